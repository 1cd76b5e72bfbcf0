"""Code written for tokencoder with only its imports changed, and the same vocabularies.

Where tokencoder itself can be imported (`pip install --group peers`), both are trained and every
rank is compared.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from talm_core import tokencoder
from talm_core.tokenizer.bpe_trainer import TokenizerTrainer
from talm_core.tokenizer.patterns import DEFAULT_REGEX_PATTERN, GPT2_REGEX_PATTERN
from talm_core.tokenizer.tokenizer import Tokenizer

TEXT = "the cat and the hat, the bat and the mat: don't sit on 1234 mats!\n" * 3


def test_train_a_text_and_load_what_came_out(tmp_path: Path) -> None:
    trainer = TokenizerTrainer(
        name="mine",
        special_tokens={"<|endoftext|>"},
        regex_pattern_string=DEFAULT_REGEX_PATTERN,
    )
    path = trainer.train(text=TEXT, vocab_size=270, save_dir=tmp_path)
    assert path == str(tmp_path / "mine.json")

    tokenizer = Tokenizer.from_file(path)
    assert isinstance(tokenizer, tiktoken.Encoding)
    assert tokenizer.name == "mine"
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT
    assert tokenizer.encode("<|endoftext|>", allowed_special="all") == [270]
    assert Tokenizer.from_file(tmp_path / "mine").encode(TEXT) == tokenizer.encode(TEXT)
    assert Tokenizer.from_file(path, special_tokens={"<|more|>": 271}).n_vocab == 272
    assert Tokenizer.from_file(path, name="other").name == "other"
    assert Tokenizer.from_file(path, explicit_n_vocab=271).n_vocab == 271


def test_train_files_whole_or_in_chunks(tmp_path: Path) -> None:
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text(TEXT)
    files: list[Path | str] = [tmp_path / "one.txt", str(tmp_path / "two.txt")]
    whole = TokenizerTrainer("whole").train(files=files, vocab_size=270, save_dir=tmp_path)
    text = TokenizerTrainer("text").train(text=TEXT + TEXT, vocab_size=270, save_dir=tmp_path)
    assert ranks(Path(whole)) == ranks(Path(text))
    chunks = TokenizerTrainer("chunks").train(
        files=files, vocab_size=270, save_dir=str(tmp_path), file_read_chunksize=[50, None]
    )
    assert len(ranks(Path(chunks))) == 270


def test_the_file_is_the_documented_one(tmp_path: Path) -> None:
    trainer = TokenizerTrainer("mine", ["<|a|>", "<|b|>"], GPT2_REGEX_PATTERN)
    data = json.loads(Path(trainer.train(text=TEXT, vocab_size=260, save_dir=tmp_path)).read_text())
    assert data["name"] == "mine"
    assert data["regex_pattern"] == GPT2_REGEX_PATTERN
    assert data["special_tokens"] == {"<|a|>": 260, "<|b|>": 261}
    assert list(data["vocab"].values()) == list(range(260))
    assert [base64.b64decode(text) for text in data["vocab"]][:256] == [
        bytes([byte]) for byte in range(256)
    ]


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="either files or a text"):
        TokenizerTrainer("t").train(vocab_size=300)
    with pytest.raises(ValueError, match="at least 256"):
        TokenizerTrainer("t").train(vocab_size=255, text=TEXT)
    with pytest.warns(UserWarning, match="too short"):
        TokenizerTrainer("t").train(vocab_size=1000, text="abcd")
    with pytest.raises(FileExistsError):
        TokenizerTrainer("t").train(vocab_size=300, text=TEXT)
    with pytest.raises(FileNotFoundError):
        Tokenizer.from_file("nowhere")


def test_pairs_are_counted_and_merged() -> None:
    assert tokencoder.TokenizerTrainer.count_pairs([5, 5, 4, 4, 4]) == {
        (5, 5): 1, (5, 4): 1, (4, 4): 2,
    }  # fmt: skip
    counts = {(4, 4): 2}
    assert tokencoder.TokenizerTrainer.count_pairs([4, 4, 4], counts) is counts
    assert counts == {(4, 4): 4}
    merge = tokencoder.TokenizerTrainer.merge
    assert merge([1, 1, 2, 1, 1, 2], pair=(1, 1), idx=-1) == [-1, 2, -1, 2]
    assert merge([1, 1, 1], (1, 1), 7) == [7, 1]
    assert merge([1, 1, 1, 1], (1, 1), 1) == [1, 1]
    assert merge([], (1, 1), 7) == []


@given(st.lists(st.integers(0, 2), max_size=12), st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_a_merge_is_that_of_a_text_in_which_the_pair_is_replaced(
    tokens: list[int], pair: tuple[int, int]
) -> None:
    text = "".join(map(str, tokens)).replace("".join(map(str, pair)), "9")
    assert tokencoder.TokenizerTrainer.merge(tokens, pair, 9) == [int(digit) for digit in text]


def test_files_are_read_in_pieces(tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("the café\n")
    two.write_text("ab12")
    made = tokencoder.TokenizerTrainer("x")
    assert [bytes(piece) for piece in made.read_file_chunks(one)] == [
        b"the", " café".encode(), b"\n",
    ]  # fmt: skip
    assert list(made.read_file_chunks(str(one), 4)) == [
        list(b"the"),
        list(b" "),
        list("café".encode()),
        [10],
    ]
    chunks = made.files_to_chunks([one, two, one], [None, 1])
    assert [bytes(piece) for piece in chunks][3:] == [b"a", b"b", b"1", b"2"]
    own = tokencoder.TokenizerTrainer("x", regex_pattern_string=r"[a-z]|[^a-z]+")
    assert [bytes(piece) for piece in own.files_to_chunks({two})] == [b"a", b"b", b"12"]


def test_special_tokens_are_a_set_or_none(tmp_path: Path) -> None:
    texts = ["<|b|>", "<|a|>", "<|c|>", "<|b|>"]
    made = tokencoder.TokenizerTrainer("mine", texts)
    assert made.special_tokens == set(texts)
    path = made.train(text=TEXT, vocab_size=260, save_dir=tmp_path)
    special = json.loads(Path(path).read_text())["special_tokens"]
    assert special == {"<|b|>": 260, "<|a|>": 261, "<|c|>": 262}
    nothing: tuple[Any, ...] = (None, set(), {})
    for none in nothing:
        assert tokencoder.TokenizerTrainer("x", none).special_tokens is None
    tokenizer = tokencoder.Tokenizer.from_file(path)
    assert isinstance(tokenizer, tiktoken.Encoding)
    assert tokencoder.DEFAULT_REGEX_PATTERN == DEFAULT_REGEX_PATTERN
    assert tokencoder.GPT2_REGEX_PATTERN == GPT2_REGEX_PATTERN


def ranks(path: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads(path.read_text())["vocab"]
    return found


# --- beside the real one ---------------------------------------------------------------------


def theirs(module: str) -> Any:
    try:
        return importlib.import_module(f"tokencoder.{module}")
    except ImportError:
        pytest.skip("tokencoder is not here: pip install --group peers")


def prose(seed: int) -> str:
    source = random.Random(seed)
    words = ["".join(source.choices("abcé中'1 \n", k=source.randint(1, 7))) for _ in range(99)]
    return " ".join(source.choices(words, k=700))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text", [TEXT, "aaaa" * 30, *map(prose, range(4))])
@pytest.mark.parametrize("named", ["DEFAULT_REGEX_PATTERN", "GPT2_REGEX_PATTERN"])
def test_both_learn_the_same_ranks(text: str, named: str, tmp_path: Path) -> None:
    pattern = getattr(theirs("patterns"), named)
    made = []
    kinds: tuple[tuple[str, Callable[..., Any]], ...] = (
        ("ours", TokenizerTrainer),
        ("theirs", theirs("trainer").TokenizerTrainer),
    )
    for name, kind in kinds:
        trainer = kind(name, {"<|endoftext|>"}, pattern)
        made.append(Path(trainer.train(text=text, vocab_size=330, save_dir=tmp_path)))
    contents = [json.loads(path.read_text()) for path in made]
    for key in ("vocab", "regex_pattern", "special_tokens"):
        assert contents[0][key] == contents[1][key]
    for path in made:
        loaded = [kind.from_file(path) for kind in (Tokenizer, theirs("tokenizer").Tokenizer)]
        assert loaded[0].encode(text) == loaded[1].encode(text)


SHAKESPEARE = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
RANKS = "55a9bcc29ee64f8762efcef5b264e16dfb57a73d06562a019f461a537382b0bc"


def test_the_known_vocabulary_of_tiny_shakespeare(tmp_path: Path) -> None:
    """tokencoder's own result for a vocabulary of 1,000, by its hash; the text is not ours to
    ship: TINY_SHAKESPEARE names the file."""
    path = os.environ.get("TINY_SHAKESPEARE")
    if path is None:
        pytest.skip("TINY_SHAKESPEARE names no file")
    assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == SHAKESPEARE
    made = TokenizerTrainer("s").train(vocab_size=1000, files=[path], save_dir=tmp_path)
    digest = hashlib.sha256()
    for text in ranks(Path(made)):
        token = base64.b64decode(text)
        digest.update(b"%d:%b" % (len(token), token))
    assert digest.hexdigest() == RANKS
