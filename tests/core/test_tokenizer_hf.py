"""`tokenizer.json` beside our own tokenizer: the same ids for any text."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest
import tokenizers
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from talm_core.tokenizer import patterns
from talm_core.tokenizer.bpe_trainer import learn
from talm_core.tokenizer.byte_level import byte_characters, merges
from talm_core.tokenizer.hf import FILES, other_ids, write_huggingface
from talm_core.tokenizer.ranks import from_tokens, single_bytes
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import BASE, Vocabulary

PIECES = (
    *"aZsdmt'ſK019٣½Ⅷéß中ʼn한\u0301\u200d😀🏽🇩🇪",
    *' \t\n\r\v\f\x85\xa0\u2028\u3000\x00\x1b\x1c\x7f.,;_-=#"<|>',
    *("'ll", "'VE", "'ſ", "  ", "\r\n", "\n\n ", "don't", "1234", "self.", "return"),
    *("<|endoftext|>", "<|user|>", "<|assistant|", "<|", "Привет", "नमस्ते", "שלום", "สวัสดี"),
)

texts = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.text(st.sampled_from("ab"), max_size=60),
)


def pair_of(vocabulary: Vocabulary, directory: Path) -> tuple[Tokenizer, tokenizers.Tokenizer]:
    write_huggingface(vocabulary, directory)
    theirs = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    return Tokenizer.from_vocabulary(vocabulary), theirs


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, tokenizers.Tokenizer]:
    return pair_of(Vocabulary.load(BASE), tmp_path_factory.mktemp("base"))


@given(texts)
@settings(max_examples=500, deadline=None)
def test_base_gives_the_same_ids(base: tuple[Tokenizer, tokenizers.Tokenizer], text: str) -> None:
    ours, theirs = base
    ids = ours.encode(text, allowed_special="all")
    assert theirs.encode(text).ids == [*ours.encode("<|endoftext|>", allowed_special="all"), *ids]
    assert theirs.encode(text, add_special_tokens=False).ids == ids
    assert theirs.decode(ids, skip_special_tokens=False) == text


@pytest.fixture(scope="module", params=["default", "gpt2"])
def repetitive(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Tokenizer, tokenizers.Tokenizer]:
    """A vocabulary in which many tokens can be cut in many ways."""
    source = random.Random(1)
    documents = ["".join(source.choices("ab", k=50)) for _ in range(40)] + [
        "aaaa" * 30,
        "éé中" * 20,
    ]
    pattern = patterns.NAMED[request.param]
    tokens = learn(documents, pattern, 400)
    vocabulary = from_tokens("x", pattern, tokens, ("<|endoftext|>", "<|user|>"))
    return pair_of(vocabulary, tmp_path_factory.mktemp("repetitive"))


@given(texts)
@settings(max_examples=300, deadline=None)
def test_a_repetitive_vocabulary_gives_the_same_ids(
    repetitive: tuple[Tokenizer, tokenizers.Tokenizer], text: str
) -> None:
    ours, theirs = repetitive
    ids = ours.encode(text, allowed_special="all")
    assert theirs.encode(text, add_special_tokens=False).ids == ids
    assert theirs.encode(text).ids == [*ours.encode("<|endoftext|>", allowed_special="all"), *ids]


def test_every_token_has_its_pair() -> None:
    vocabulary = Vocabulary.load(BASE)
    pairs = merges(vocabulary.ranks)
    assert [left + right for left, right in pairs] == [*vocabulary.ranks][256:]


@given(st.lists(st.text("ab", min_size=2, max_size=12), max_size=12), st.text("ab", min_size=2))
def test_pairs_are_those_of_a_slow_replay(words: list[str], last: str) -> None:
    tokens = dict.fromkeys([*single_bytes(), *(w.encode() for w in words), last.encode()])
    ranks = {token: rank for rank, token in enumerate(tokens)}
    expected = []
    for token in [*ranks][256:]:
        parts = [token[i : i + 1] for i in range(len(token))]
        while len(parts) > 2:
            known = [
                (ranks[parts[i] + parts[i + 1]], i)
                for i in range(len(parts) - 1)
                if parts[i] + parts[i + 1] in ranks
            ]
            if not known:
                break
            at = min(known)[1]
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        if len(parts) == 2:
            expected.append(tuple(parts))
    assert merges(ranks) == expected


def test_a_token_no_merge_gives_is_reached_as_a_whole(tmp_path: Path) -> None:
    tokens = [*single_bytes(), b"xyz"]
    vocabulary = from_tokens("x", patterns.DEFAULT, tokens, ())
    ours, theirs = pair_of(vocabulary, tmp_path)
    for text in ("xyz", "xyzz", "xyz xyz"):
        assert theirs.encode(text).ids == ours.encode(text)
    assert ours.encode("xyz") == [256]


def test_a_token_of_many_thousand_bytes() -> None:
    tokens = learn(["a" * 40_000], patterns.DEFAULT, 256 + 14)
    pairs = merges({token: rank for rank, token in enumerate(tokens)})
    assert [(len(left), len(right)) for left, right in pairs] == [(2**n, 2**n) for n in range(14)]


def test_lone_surrogates_are_refused(base: tuple[Tokenizer, tokenizers.Tokenizer]) -> None:
    with pytest.raises(TypeError):
        base[1].encode("a\ud800b")


def test_merges_are_lines_where_lines_are_plain(tmp_path: Path) -> None:
    """Versions before 0.20 read no pairs; every version takes `#version` for a heading."""
    for word, form in (("version", str), ("#version", list)):
        text = f" {word}s {word}x" * 30
        tokens = learn([text], r"\s|[^\s]+", 256 + 20)
        vocabulary = from_tokens("x", r"\s|[^\s]+", tokens, ("<|endoftext|>",))
        ours, theirs = pair_of(vocabulary, tmp_path)
        lines = json.loads((tmp_path / "tokenizer.json").read_text())["model"]["merges"]
        assert {type(line) for line in lines} == {form}
        assert len(lines) == len(tokens) - 256
        for sample in (text, f"{word}sx", f"x{word}s"):
            ids = ours.encode(sample)
            assert theirs.encode(sample, add_special_tokens=False).ids == ids


def test_no_token_that_is_shown_has_a_space() -> None:
    assert not any(character.isspace() for character in byte_characters().values())


def test_every_byte_has_a_character() -> None:
    characters = byte_characters()
    assert sorted(characters) == list(range(256))
    assert len(set(characters.values())) == 256
    assert [characters[byte] for byte in b" \n\0a\xad"] == list("ĠĊĀaŃ")


def test_other_readers_recognise_the_pattern(tmp_path: Path) -> None:
    """They compare the regular expression, or its hash, with Llama 3's."""
    write_huggingface(Vocabulary.load(BASE), tmp_path)
    data = json.loads((tmp_path / "tokenizer.json").read_text())
    split, byte_level = data["pre_tokenizer"]["pretokenizers"]
    digest = hashlib.sha256(split["pattern"]["Regex"].encode()).hexdigest()
    assert digest.startswith("d98f9631")
    assert digest.endswith("a48f")
    assert byte_level["use_regex"] is False


def test_transformers_loads_the_directory(tmp_path: Path) -> None:
    vocabulary = Vocabulary.load(BASE)
    write_huggingface(vocabulary, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == set(FILES)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    ours = Tokenizer.from_vocabulary(vocabulary)
    text = "def main() -> None:\n    print('Grüße, 世界!', 12345)\n<|endoftext|><|user|> don 't ,"
    ids = ours.encode(text, allowed_special="all")
    assert theirs(text)["input_ids"] == [vocabulary.end_of_text, *ids]
    assert theirs(text, add_special_tokens=False)["input_ids"] == ids
    assert theirs.decode(ids) == text
    assert len(theirs) == vocabulary.n_vocab
    assert theirs.eos_token_id == theirs.bos_token_id == vocabulary.end_of_text


OWN = {
    r"[\p{L}\p{N}_]+|[^\p{L}\p{N}_]": "",
    r"\d+|[^\d\s]+|\s+": "",
    r"(?i:[a-z])+|\\word|[^a-z]": "",
    r"\w+|[^\w]": r"\w, \W, \b or \B",
    r"\b.|\n": r"\w, \W, \b or \B",
    r"\\\W|.": r"\w, \W, \b or \B",
    r"[[:alpha:]]+|.": "classes such as [:alpha:]",
    r"(?s).": "flags other than (?i",
    r"\s+$|.|\n": r"^, $ or \z",
    r"^a|[^b]|b": r"^, $ or \z",
    r"\pL+|[^a]": r"\p without braces",
    r"\p{Script=Han}|.": "properties by name and value",
    r"[a-z--b]|.": "differences of classes",
}


@pytest.mark.parametrize(("pattern", "differing"), OWN.items())
def test_a_pattern_that_means_something_else_to_others_is_known(
    pattern: str, differing: str, tmp_path: Path
) -> None:
    ranks = {bytes([b]): b for b in range(256)} | {b"a\xc2": 256, b"\xb2b": 257}
    own = Vocabulary("own", pattern, ranks, {})
    assert patterns.dialect(pattern) == ([differing] if differing else [])
    assert differing in other_ids(own)
    assert bool(differing) == bool(other_ids(own))
    if not differing:
        ours, theirs = pair_of(own, tmp_path)
        text = "word Word \\word a²b ½ é_1 中\u200d\n 12"
        assert theirs.encode(text).ids == ours.ids(text).tolist()


def test_word_characters_are_others_there(tmp_path: Path) -> None:
    """What is warned of: were it so no more, nothing need be said."""
    ranks = {bytes([b]): b for b in range(256)} | {b"a\xc2": 256}
    ours, theirs = pair_of(Vocabulary("own", r"\w+|\W", ranks, {}), tmp_path)
    assert ours.ids("a²").tolist() == [97, 0xC2, 0xB2]
    assert theirs.encode("a²").ids == [256, 0xB2]
