"""Exports in llama.cpp itself: every vocabulary loads, and gives talm's ids."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from talm_core.errors import ArtifactError
from talm_core.model import gguf, hf
from talm_core.model.config import ModelConfig
from talm_core.model.weights import Weights
from talm_core.tokenizer import patterns
from talm_core.tokenizer.bpe_trainer import learn
from talm_core.tokenizer.pretokenize import LONGEST_PIECE
from talm_core.tokenizer.ranks import from_tokens
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import BASE, Vocabulary
from tests.core.test_transformer import ready

llama_cpp = pytest.importorskip(
    "cyllama.llama.llama_cpp", reason="no llama.cpp here: pip install cyllama (Linux)"
)
llama_cpp.disable_logging()

END = "<|endoftext|>"
ROLES = (END, "<|user|>", "<|assistant|>", "<|system|>")
BYTES = [bytes([byte]) for byte in range(256)]
PATTERNS = {"default": patterns.DEFAULT, "gpt2": patterns.GPT2}
PIECES = (
    *"aZsdmt'019٣½Ⅷéß中ʼn한\u0301\u200d😀🏽",
    *' \t\n\r\v\f\x85\xa0\u2028\u3000\x1b.,;_-=#"<|>',
    *("'ll", "'VE", "  ", "\r\n", "\n\n ", "don't", "1234", "self.", "return", "Привет", "שלום"),
)


def fuzzed(count: int) -> list[str]:
    source = random.Random(7)
    return ["".join(source.choices(PIECES, k=source.randint(1, 40))) for _ in range(count)]


def smallest(pattern: str) -> Vocabulary:
    """256 tokens, the least there can be, and no merge."""
    return from_tokens("smallest", pattern, BYTES, (END,))


def without_special_tokens(pattern: str) -> Vocabulary:
    return from_tokens("plain", pattern, BYTES, ())


def longest(pattern: str) -> Vocabulary:
    """With a token of as many bytes as one can have."""
    size = LONGEST_PIECE.bit_length() - 1
    return from_tokens(
        "longest", pattern, [*BYTES, *(b"a" * 2**n for n in range(1, size + 1))], ROLES
    )


def many(pattern: str, count: int = 30_000) -> Vocabulary:
    """Tokens such as Ab, AbCd and AbCdé, each made of two before it and in no other way."""
    upper, lower = range(ord("A"), ord("Z") + 1), range(ord("a"), ord("z") + 1)
    two = [bytes(pair) for pair in itertools.product(upper, lower)]
    accents = ["é".encode(), "è".encode()]
    four = (left + right for left in two for right in two)
    five = (a + b + accent for a in two for b in two for accent in accents)
    tokens = [*BYTES, *two, *accents]
    tokens += itertools.islice(four, (count - len(tokens)) // 3 + 1)
    tokens += itertools.islice(five, count - len(tokens))
    assert len(tokens) == count
    return from_tokens("many", pattern, tokens, ROLES)


def learned(pattern: str) -> Vocabulary:
    text = "the cat sat. The dog's 1234 cats\n\nдом éé  中文中文 " * 9
    return from_tokens("learned", pattern, learn([text, "ab" * 40], pattern, 330), ROLES)


def named_as_padding(pattern: str) -> Vocabulary:
    """A token that reads as the name of an id that stands for nothing, and such ids."""
    tokens = [*BYTES, *(b"[PAD265]"[:size] for size in range(2, 9)), b"zz"]
    special = {END: 264, "<|user|>": 270}
    return Vocabulary("padding", pattern, {t: rank for rank, t in enumerate(tokens)}, special)


def base(pattern: str) -> Vocabulary:
    loaded = Vocabulary.load(BASE)
    return Vocabulary("base", pattern, loaded.ranks, loaded.special_tokens)


def written(vocabulary: Vocabulary, directory: Path) -> Path:
    """The smallest model there can be with this vocabulary."""
    shape = ModelConfig(vocabulary.n_vocab, 1, 1, 1, 2, 1, 2)
    hf.save(ready(shape), vocabulary, directory)
    path = directory / "model.gguf"
    for _ in gguf.write(path, Weights(directory), shape, vocabulary, name="model", outtype="f16"):
        pass
    return path


def check(vocabulary: Vocabulary, directory: Path, texts: list[str]) -> None:
    model: Any = llama_cpp.LlamaModel(str(written(vocabulary, directory)))
    theirs = model.get_vocab()
    assert theirs.n_vocab == vocabulary.n_vocab
    ours = Tokenizer.from_vocabulary(vocabulary)
    for text in texts:
        assert list(theirs.tokenize(text, False, False)) == ours.ids(text).tolist(), text
    end = vocabulary.special_tokens.get(END)
    begun = [] if end is None else [end]
    assert list(theirs.tokenize("a b", True, False)) == [*begun, *ours.ids("a b").tolist()]
    marked = f"a{END}b"
    expected = ours.ids(marked, special=True).tolist()
    assert list(theirs.tokenize(marked, False, True)) == expected


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(
    "make",
    [smallest, without_special_tokens, longest, many, learned, named_as_padding, base],
)
def test_every_vocabulary_loads_and_gives_the_same_ids(
    tmp_path: Path, make: Any, pattern: str
) -> None:
    runs = ["a" * (LONGEST_PIECE - 1), "a" * LONGEST_PIECE, "b" + "aab" * 9, "AaAbéAaAc AbAdèZzé"]
    check(make(PATTERNS[pattern]), tmp_path, [*runs, "[PAD265]", "zz", *fuzzed(150)])


def test_a_token_that_no_merge_makes(tmp_path: Path) -> None:
    """tiktoken finds it where it is a whole piece; of llama.cpp's ways of splitting, one does."""
    tokens = [*BYTES, b"ab", b"QZX"]
    check(from_tokens("x", patterns.DEFAULT, tokens, (END,)), tmp_path, ["QZX", "aQZX ab", "QZ"])
    with pytest.raises(ArtifactError, match="1 of its tokens is made by no merge"):
        written(from_tokens("x", patterns.GPT2, tokens, (END,)), tmp_path)
