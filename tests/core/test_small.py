"""Learning from little text in plain Python: the same as by the compiled loops."""

from __future__ import annotations

import argparse
import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.jobs.tokenizer.job import train_tokenizer
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer import patterns, small
from talm_core.tokenizer.counting import count_pieces
from talm_core.tokenizer.merging import Merger, Pieces
from talm_core.tokenizer.ranks import Merge, extend, single_bytes
from talm_core.tokenizer.small import SmallMerger, TooMuchError, count, small_pieces
from tests.core.driving import events_of
from tests.core.test_bpe import slow_learn, texts

PATTERNS = [patterns.DEFAULT, patterns.GPT2, patterns.LLAMA3]


def learned(documents: Sequence[str], pattern: str, vocab_size: int) -> list[bytes]:
    tokens = single_bytes()
    for merges in SmallMerger(count(documents, pattern), vocab_size - 256).run():
        extend(tokens, merges)
    return tokens


def compiled(documents: Sequence[str], pattern: str) -> dict[bytes, int]:
    pieces = count_pieces(((True, text) for text in documents), pattern)
    data, found, at = pieces.data.tobytes(), {}, 0
    for length, times in zip(pieces.lengths.tolist(), pieces.counts.tolist(), strict=True):
        found[data[at : at + length]] = times
        at += length
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(texts, max_size=4), st.sampled_from(PATTERNS), st.integers(256, 300))
def test_it_learns_what_the_rule_says(documents: list[str], pattern: str, vocab_size: int) -> None:
    try:
        found = learned(documents, pattern, vocab_size)
    except TooMuchError:
        return
    assert found == slow_learn(documents, pattern, vocab_size)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_real_text_gives_the_merges_of_the_compiled_loops(pattern: str) -> None:
    text = Path(argparse.__file__).read_text(encoding="utf-8")
    pieces = count([text, text[:5_000]], pattern)
    assert list(pieces.items()) == list(compiled([text, text[:5_000]], pattern).items())
    ours, theirs = SmallMerger(pieces, 2_000), Merger(_laid(pieces), 2_000)
    assert _all(ours) == _all(theirs)
    assert ours.tokens == theirs.tokens


def _laid(pieces: dict[bytes, int]) -> Pieces:
    return Pieces(
        np.frombuffer(b"".join(pieces), np.uint8),
        np.array([*map(len, pieces)], np.int32),
        np.array([*pieces.values()], np.int64),
    )


def _all(merger: SmallMerger | Merger) -> list[Merge]:
    return [merge for merges in merger.run() for merge in merges]


@pytest.mark.parametrize("pattern", [patterns.DEFAULT, patterns.GPT2])
def test_every_character_is_cut_as_the_compiled_loops_do(pattern: str) -> None:
    known = [
        chr(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code)) not in ("Cn", "Co", "Cs")
    ]
    assert len(known) > 140_000
    for start in range(0, len(known), 50_000):
        part = known[start : start + 50_000]
        text = "".join(f"a{c}1 {c}{c}'{c}\n" for c in part)
        assert list(count([text], pattern).items()) == list(compiled([text], pattern).items())


def test_what_is_not_for_it() -> None:
    for text in ("\U00011de0", "\ue000", "x" * 2_000):
        with pytest.raises(TooMuchError):
            count([text], patterns.DEFAULT)
    with pytest.raises(UnicodeEncodeError):
        count(["\ud800"], patterns.DEFAULT)
    nothing = iter(())
    assert small_pieces([(True, "ab ab")], nothing, "a+", print) is None
    much = [(True, "ab " * (small.MOST_BYTES // 3 + 1))]
    assert small_pieces(much, nothing, patterns.DEFAULT, print) is None


def test_a_document_in_parts_is_one() -> None:
    parts = [(True, "don"), (False, "'t ab"), (True, "ab")]
    found = small_pieces(parts, iter(()), patterns.DEFAULT, lambda _: None)
    assert found == count(["don't ab", "ab"], patterns.DEFAULT)


def test_more_tokens_than_there_are_characters_below_the_surrogates() -> None:
    for token in (0, 0xD7FF, 0xD800, 0xDFFF, 0xE000, 1_000_000):
        assert small._id_of(small._character(token)) == token
        small._character(token).encode()


def test_a_first_tokenizer_needs_no_compiled_loops(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the cat sat on the mat. " * 1_000)
    code = f"""
import sys
from talm_core.cli import main
words = ["train-tokenizer", "-n", "t", "-vs", "280", "--text-file", {str(tmp_path / "a.txt")!r}]
assert main.main([*words, "--workspace", {str(tmp_path / "ws")!r}]) == 0
assert not [name for name in ("numba", "torch") if name in sys.modules]
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_job_learns_the_same_either_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path(argparse.__file__).read_text(encoding="utf-8")
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    files = []
    for name, most in (("small", small.MOST_BYTES), ("compiled", 10_000)):
        monkeypatch.setattr(small, "MOST_BYTES", most)
        config = TokenizerConfig(name=name, vocab_size=700, text_file=(str(tmp_path / "a.txt"),))
        workspace = Workspace(tmp_path / name)
        events_of(train_tokenizer, config, workspace)
        directory = workspace.directory("tokenizer", name)
        files.append((directory / "tokenizer.json").read_bytes())
    assert files[0] == files[1]
