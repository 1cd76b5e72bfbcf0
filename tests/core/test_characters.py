"""Letters, digits and white space: whoever splits a text asks tiktoken, who encodes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import regex
import tiktoken

from talm_core.tokenizer import patterns
from talm_core.tokenizer.bpe_encoder import FastTokenizer
from talm_core.tokenizer.bpe_trainer import learn
from talm_core.tokenizer.characters import (
    LETTER,
    NEWLINE,
    NUMBER,
    OTHER,
    SPACE,
    Members,
    character_classes,
)
from talm_core.tokenizer.piece_table import Tokens
from talm_core.tokenizer.pretokenize import CUTTERS
from talm_core.tokenizer.ranks import from_tokens
from talm_core.tokenizer.splitter import Splitter
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import Vocabulary

NEW = "\U000323b0"
"""A letter since Unicode 17: none to tiktoken 0.14, one to a `regex` of 2026."""

OWN = r"\w+|[^\w\s]+|\s+"
LETTERS = r"\p{L}+|\P{L}+"
DIGITS = r"[\p{N}_]|[^\p{N}_\s]+|\s"
BOUNDS = r"\b.|\B.|\n"


def every_character() -> str:
    """All code points."""
    return "".join(map(chr, (*range(0xD800), *range(0xE000, 0x110000))))


def most_characters() -> Iterator[str]:
    """All but those that lie in long rows of one kind; of these some."""
    codes = (*range(0x3400), *range(0x3400, 0xD800, 13), *range(0xE000, 0x20000))
    return map(chr, (*codes, *range(0x20000, 0x33500, 13), *range(0x33500, 0x110000, 997)))


def everywhere(character: str) -> str:
    """It before, behind and between letters, digits, white space and an apostrophe."""
    return f"a{character}b 1{character}1\t{character}'s{character}, {character}\n"


def sample() -> str:
    """Of each few hundred characters some, and those of which editions of Unicode say different
    things, in every place."""
    text = "".join(most_characters())
    strange = {*regex.findall(r"[\p{L}\p{N}]", text)} ^ {*Members(r"[\p{L}\p{N}]").of(text)}
    return "".join(map(everywhere, [*text[::97], *sorted(strange)[::40], *"'’ſK\u0130\x85\xa0"]))


def boundary_vocabulary(pattern: str) -> Vocabulary:
    """One by whose ids is seen where pieces end before and behind each character that is not
    ASCII: it has a token of any ASCII character with the first byte of another behind it, and of
    any byte that can be the last of one with an ASCII character behind that."""
    pairs = [bytes([a, b]) for a in range(128) for b in range(0xC2, 0xF5)]
    pairs += [bytes([b, a]) for a in range(128) for b in range(0x80, 0xC0)]
    pairs += [bytes([a, b]) for a in range(128) for b in range(128)]
    tokens = [*(bytes([b]) for b in range(256)), *pairs]
    return Vocabulary("boundaries", pattern, {t: rank for rank, t in enumerate(tokens)}, {})


def cut(pattern: str, text: str) -> list[str]:
    """The pieces that the compiled loop finds."""
    data = np.frombuffer(text.encode(), np.uint8)
    classes = character_classes()
    classes.learn_from(data)
    bounds = np.zeros(len(data) + 1, np.int64)
    count = CUTTERS[pattern](data, bounds, len(data), classes.table)
    return [bytes(data[a:b]).decode() for a, b in pairwise(bounds[: count + 1].tolist())]


def ids_of(tokenizer: Tokenizer, pieces: list[str]) -> list[int]:
    return [rank for piece in pieces for rank in tokenizer._encode_single_piece(piece)]


@pytest.mark.parametrize("pattern", [*CUTTERS], ids=["default", "llama3", "gpt2"])
def test_every_way_gives_every_character_the_same_ids(pattern: str) -> None:
    vocabulary = boundary_vocabulary(pattern)
    tokenizer = Tokenizer.from_vocabulary(vocabulary)
    text = "".join(f"a{c}1" for c in most_characters()) + sample()
    # Straight from the library that says what the ids are.
    expected = tiktoken.Encoding(
        "x", pat_str=pattern, mergeable_ranks=vocabulary.ranks, special_tokens={}
    ).encode_to_numpy(text, disallowed_special=())
    assert np.array_equal(tokenizer.ids(text), expected)
    # What survives long runs of white space.
    assert np.array_equal(tokenizer._ids_by_pieces(text), expected)
    # By what a vocabulary is learned.
    assert cut(pattern, text) == list(Splitter(pattern).pieces(text))
    tokens = Tokens(vocabulary)
    tokens.fill()
    fast = FastTokenizer(tokenizer, tokens, character_classes())
    assert np.array_equal(fast.ids([text], [None]), expected)


@pytest.mark.parametrize("pattern", [OWN, LETTERS, DIGITS, BOUNDS])
def test_a_pattern_of_ones_own_is_split_where_tiktoken_does(pattern: str) -> None:
    tokenizer = Tokenizer.from_vocabulary(boundary_vocabulary(pattern))
    text = sample()
    pieces = list(Splitter(pattern).pieces(text))
    assert "".join(pieces) == text
    assert ids_of(tokenizer, pieces) == tokenizer.encode_ordinary(text)


@pytest.mark.parametrize("name", ["alpha", "^alpha", "punct", "space", "alnum"])
def test_the_classes_of_posix_are_ascii_as_tiktoken_has_them(name: str) -> None:
    pattern = rf"[[:{name}:]]+|[^[:{name}:]]+"
    tokenizer = Tokenizer.from_vocabulary(boundary_vocabulary(pattern))
    text = "".join(map(everywhere, "aé中٣ \u3000—!" + NEW))
    assert ids_of(tokenizer, list(Splitter(pattern).pieces(text))) == tokenizer.encode_ordinary(
        text
    )


def test_the_classes_are_those_of_tiktoken() -> None:
    text = every_character()
    data = np.frombuffer(text.encode(), np.uint8)
    character_classes().learn_from(data)
    codes = np.array([*map(ord, text)])
    found = character_classes().table[codes]
    for kind, pattern in ((LETTER, r"\p{L}"), (NUMBER, r"\p{N}"), (SPACE, r"[^\S\r\n]")):
        members = {*map(ord, Members(pattern).of(text))}
        assert set(codes[found == kind].tolist()) == members
    assert codes[found == NEWLINE].tolist() == [10, 13]
    assert character_classes().table[ord(NEW)] == OTHER


def test_a_copy_without_what_is_seen_differently_has_the_same_classes() -> None:
    text = "".join(most_characters())
    names = (r"\p{L}", r"\p{N}", r"\s", r"\w", r"\d", r"\p{Lu}", r"\p{P}", r"\p{M}")
    seen = Splitter("|".join(names))._seen(text)
    for name in names:
        ours = "".join(text[match.start()] for match in regex.finditer(name, seen))
        assert ours == Members(name).of(text)


@pytest.mark.skipif(
    not regex.match(r"\p{L}", NEW) or bool(Members(r"\p{L}").of(NEW)),
    reason="regex and tiktoken see the same letters here",
)
@pytest.mark.parametrize("pattern", [patterns.DEFAULT, patterns.GPT2, LETTERS])
def test_no_token_is_learned_that_never_occurs(pattern: str) -> None:
    text = f"ab{NEW}cd " * 200
    tokens = learn([text], pattern, 266)
    # The character ends a piece: no token holds a letter and goes on behind it.
    assert not [token for token in tokens if b"b\xf0" in token]
    ranks = from_tokens("t", pattern, tokens, ()).ranks
    tokenizer = Tokenizer.from_vocabulary(Vocabulary("t", pattern, ranks, {}))
    used = {tokens[rank] for rank in set(tokenizer.encode_ordinary(text))}
    # Whatever was learned occurs, or is a part of what does.
    assert [t for t in tokens[256:] if not any(t in other for other in used)] == []


def test_one_text_has_one_result_however_long() -> None:
    tokenizer = Tokenizer.from_vocabulary(boundary_vocabulary(patterns.DEFAULT))
    for character in ("\u088f", NEW, "\U0003d000", "\u0558", "é", "中"):
        text = f"a{character}b{character}'s "
        expected = tokenizer.encode_ordinary(text.strip())
        long = text.strip() + " " * 100_001 + "x" + "a" * 300_000
        assert tokenizer.ids(long).tolist()[: len(expected)] == expected


def test_a_long_text_is_cut_behind_letters_and_digits_alone() -> None:
    text = "".join(f"{character}." for character in most_characters())
    before = {text[match.start() - 1] for match in patterns.CUT.finditer(text)}
    assert before == {text[match.start()] for match in patterns.CUT_BEHIND.finditer(text)}
    assert {*Members(r"[\p{L}\p{N}]").of("".join(sorted(before)))} == before
    assert {*"aZ9éЖ㐀あשع"} <= before
