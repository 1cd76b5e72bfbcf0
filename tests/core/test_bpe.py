"""Splitting and merging, each against a slow and obvious version of the same."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talm_core.system.hardware import cores
from talm_core.tokenizer import counting, patterns
from talm_core.tokenizer.bpe_trainer import learn
from talm_core.tokenizer.counting import count_pieces
from talm_core.tokenizer.jit import compiled
from talm_core.tokenizer.merging import Merger, Pieces
from talm_core.tokenizer.pieces import (
    LONG_PIECE,
    MOST_LONG_BYTES,
    FastCounter,
    PieceCounter,
    RegexCounter,
    _count,
    piece_counter,
)
from talm_core.tokenizer.pretokenize import LONGEST_PIECE
from talm_core.tokenizer.ranks import extend, from_tokens, single_bytes
from talm_core.tokenizer.splitter import splitter

TRICKY = (
    *"aZsdmtlverSDMTLVER'’ſK019٣½Ⅷéß中ʼn한\u0301\u200d😀🏽",
    *' \t\n\r\v\f\x85\xa0\u2028\u3000\x00\x1b\x1c\x7f.,;_-=#"<|>',
    *("'ll", "'VE", "'ſ", "  ", "\r\n", "\n\n ", "don't", "1234"),
)

texts = st.one_of(
    st.text(st.sampled_from("ab"), max_size=40),
    st.text(st.sampled_from("abc \n"), max_size=60),
    st.lists(st.sampled_from(TRICKY), max_size=30).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)


def slow_merges(chunks: Sequence[list[int]], vocab_size: int) -> list[bytes]:
    """The rule as it is said: count every pair anew for every merge; `max` takes the first of the
    most frequent, and a dict has pairs in the order of their first occurrence."""
    tokens = [bytes([byte]) for byte in range(256)]
    chunks = [list(chunk) for chunk in chunks]
    while len(tokens) < vocab_size:
        counts: dict[tuple[int, int], int] = {}
        for chunk in chunks:
            for pair in pairwise(chunk):
                counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        best = max(counts, key=lambda pair: counts[pair])
        new = len(tokens)
        tokens.append(tokens[best[0]] + tokens[best[1]])
        for chunk in chunks:
            at = 0
            while at < len(chunk) - 1:
                if (chunk[at], chunk[at + 1]) == best:
                    chunk[at : at + 2] = [new]
                at += 1
    return tokens


def slow_learn(documents: Sequence[str], pattern: str, vocab_size: int) -> list[bytes]:
    chunks = [list(p.encode()) for text in documents for p in splitter(pattern).pieces(text)]
    return slow_merges(chunks, vocab_size)


def counted(counter: PieceCounter, documents: Sequence[str]) -> dict[bytes, int]:
    """What a counter counted, in its order, without pieces of one byte."""
    for text in documents:
        assert sum(counter.add(text)) == len(text.encode())
    pieces = counter.pieces()
    assert pieces.lengths.sum() == len(pieces.data)
    data, ends = pieces.data.tobytes(), np.cumsum(pieces.lengths)
    starts = ends - pieces.lengths
    found = {
        data[start:end]: int(count)
        for start, end, count in zip(starts, ends, pieces.counts, strict=True)
    }
    assert len(found) == len(pieces.lengths)
    return {piece: count for piece, count in found.items() if len(piece) > 1}


def counted_in_parts(
    documents: Sequence[str], pattern: str, *, threads: int = 2
) -> dict[bytes, int]:
    """What `count_pieces` counts in documents that come in parts of odd sizes."""
    source = random.Random(len(documents))
    parts: list[tuple[bool, str]] = []
    for text in documents:
        begins, at = True, 0
        while begins or at < len(text):
            size = source.randint(0, 500)
            parts.append((begins, text[at : at + size]))
            begins, at = False, at + size
    sizes: list[int] = []
    pieces = count_pieces(parts, pattern, counted=sizes.append, threads=threads)
    assert sum(sizes) == sum(len(text.encode()) for text in documents)
    ends = np.cumsum(pieces.lengths)
    found = {
        pieces.data[end - length : end].tobytes(): int(count)
        for end, length, count in zip(ends, pieces.lengths, pieces.counts, strict=True)
    }
    assert len(found) == len(ends)
    return {piece: count for piece, count in found.items() if len(piece) > 1}


OWN = r"\d+|[^\d\s]+\s?|\s+"


def slow_count(documents: Sequence[str], pattern: str = patterns.DEFAULT) -> dict[bytes, int]:
    counts: dict[bytes, int] = {}
    for text in documents:
        for piece in splitter(pattern).pieces(text):
            counts[piece.encode()] = counts.get(piece.encode(), 0) + 1
    return {piece: count for piece, count in counts.items() if len(piece) > 1}


class TestSplitting:
    @given(st.lists(texts, max_size=4))
    @settings(max_examples=200, deadline=None)
    def test_cuts_as_the_default_pattern(self, documents: list[str]) -> None:
        expected = slow_count(documents)
        found = counted(FastCounter(room=2), documents)
        assert found == expected
        assert list(found) == list(expected)  # in the order of first occurrence

    @given(st.lists(texts, max_size=4))
    @settings(deadline=None)
    def test_cuts_as_any_pattern(self, documents: list[str]) -> None:
        for pattern in (patterns.GPT2, OWN):
            expected = slow_count(documents, pattern)
            found = counted(RegexCounter(pattern), documents)
            assert list(found.items()) == list(expected.items())
            assert counted_in_parts(documents, pattern) == expected

    @given(st.lists(texts, max_size=4))
    @settings(max_examples=200, deadline=None)
    def test_cuts_as_gpt2s_pattern(self, documents: list[str]) -> None:
        expected = slow_count(documents, patterns.GPT2)
        found = counted(FastCounter(patterns.GPT2, room=2), documents)
        assert list(found.items()) == list(expected.items())

    @pytest.mark.parametrize("pattern", [patterns.DEFAULT, patterns.GPT2, patterns.LLAMA3])
    def test_knows_characters_of_every_script(self, pattern: str) -> None:
        codes = [*range(0x3100), *range(0x3100, 0xD800, 37), *range(0xE000, 0x110000, 37)]
        text = "".join(f"a{c}a{c}1 {c}" for c in map(chr, codes))
        assert counted(FastCounter(pattern), [text]) == slow_count([text], pattern)

    @pytest.mark.parametrize("pattern", [patterns.DEFAULT, patterns.GPT2])
    def test_windows_do_not_show(self, pattern: str) -> None:
        source = random.Random(3)
        text = "".join(source.choices(TRICKY, k=400_000))
        found = counted(FastCounter(pattern, window=150_000), [text])
        assert list(found.items()) == list(slow_count([text], pattern).items())

    @pytest.mark.parametrize("pattern", [patterns.DEFAULT, patterns.GPT2])
    def test_neither_parts_nor_batches_nor_threads_show(
        self, pattern: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(counting, "BATCH_CHARACTERS", 300)
        source = random.Random(6)
        words = [*TRICKY, "don't", "1234", "中文。", "\n\n  x", "Привет, ", "नमस्ते ", "x1"]
        documents = ["".join(source.choices(words, k=source.randint(0, 900))) for _ in range(40)]
        expected = slow_count(documents, pattern)
        for threads in (1, 2, 5):
            found = counted_in_parts(documents, pattern, threads=threads)
            assert list(found.items()) == list(expected.items())

    def test_a_text_that_can_be_cut_nowhere_is_cut_all_the_same(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(counting, "BATCH_CHARACTERS", 100)
        monkeypatch.setattr(counting, "LONGEST_TEXT", 1_000)
        found = counted_in_parts(["a" * 2_500], patterns.DEFAULT)
        assert found == {b"a" * 1_000: 2, b"a" * 500: 1}

    @pytest.mark.parametrize("pattern", [patterns.DEFAULT, patterns.GPT2])
    def test_very_long_pieces_are_cut(self, pattern: str) -> None:
        for character in "aé中 ":
            text = character * 300_000
            found = counted(piece_counter(pattern), [text])
            assert max(map(len, found)) <= LONGEST_PIECE + 3
            assert sum(len(piece) * count for piece, count in found.items()) >= (
                len(text.encode()) - 1
            )

    def test_of_too_many_long_pieces_the_same_ones_count_in_any_order(self) -> None:
        source = random.Random(2)
        pieces = ["".join(source.choices("abcdefgh", k=9_000)) for _ in range(3_000)]
        texts = [f"{piece} short\n" for piece in pieces] * 2
        forward = counted_in_parts(texts, patterns.DEFAULT, threads=2)
        backward = counted_in_parts(texts[::-1], patterns.DEFAULT, threads=3)
        assert forward == backward
        kept = [piece for piece in forward if len(piece) > LONG_PIECE]
        assert MOST_LONG_BYTES // 4 < sum(map(len, kept)) <= MOST_LONG_BYTES
        assert {forward[piece] for piece in kept} == {2}
        assert forward[b" short"] == 6_000

    def test_a_lone_surrogate_is_refused(self) -> None:
        for pattern in (patterns.DEFAULT, patterns.GPT2):
            with pytest.raises(UnicodeEncodeError):
                list(piece_counter(pattern).add("a\ud800b"))

    def test_nothing(self) -> None:
        assert counted(FastCounter(), ["", "a", ""]) == {}


def joined(chunk: list[int], left: int, right: int, new: int) -> list[int]:
    """A chunk with the pair joined, from left to right."""
    found: list[int] = []
    at = 0
    while at < len(chunk):
        pair = chunk[at : at + 2] == [left, right]
        found.append(new if pair else chunk[at])
        at += 2 if pair else 1
    return found


class TestMerging:
    @given(st.lists(texts, min_size=1, max_size=4), st.integers(0, 60))
    @settings(max_examples=250, deadline=None)
    def test_learns_what_the_rule_says(self, documents: list[str], merges: int) -> None:
        expected = slow_learn(documents, patterns.DEFAULT, 256 + merges)
        assert learn(documents, patterns.DEFAULT, 256 + merges) == expected

    @given(
        st.lists(st.binary(min_size=1, max_size=30).map(lambda b: bytes(x % 3 for x in b))),
        st.integers(1, 40),
    )
    @settings(max_examples=250, deadline=None)
    def test_counts_grow_and_slices_do_not_show(self, chunks: list[bytes], merges: int) -> None:
        counts: dict[bytes, int] = {}
        for chunk in chunks:
            counts[chunk] = counts.get(chunk, 0) + 1
        pieces = Pieces(
            np.frombuffer(b"".join(counts), np.uint8),
            np.array([len(piece) for piece in counts], np.int32),
            np.array(list(counts.values()), np.int64),
        )
        tokens = single_bytes()
        merger = Merger(pieces, merges, room=2, work=3)
        assert merger.tokens == sum(map(len, chunks))
        cut = [list(chunk) for chunk in chunks]
        for new in merger.run():
            for number, merge in enumerate(new, len(tokens)):
                cut = [joined(chunk, merge.left, merge.right, number) for chunk in cut]
            extend(tokens, new)
        assert merger.tokens == sum(map(len, cut))
        assert tokens == slow_merges([list(chunk) for chunk in chunks], 256 + merges)

    def test_a_longer_text(self) -> None:
        source = random.Random(5)
        words = ["".join(source.choices("abcdeé ", k=source.randint(1, 9))) for _ in range(300)]
        text = " ".join(source.choices(words, k=3_000))
        expected = slow_learn([text], patterns.DEFAULT, 600)
        assert learn([text], patterns.DEFAULT, 600) == expected

    def test_the_first_of_the_most_frequent_wins(self) -> None:
        # All pairs are equal in number: the order of the text decides.
        assert learn(["xy", "ab"], patterns.DEFAULT, 258)[256:] == [b"xy", b"ab"]
        assert learn(["ab", "xy"], patterns.DEFAULT, 258)[256:] == [b"ab", b"xy"]
        # Overlapping occurrences count: "aaa" has two pairs.
        assert learn(["bc", "aaa"], patterns.DEFAULT, 257)[256:] == [b"aa"]

    def test_counts_of_merges(self) -> None:
        pieces = Pieces(
            np.frombuffer(b"abcab", np.uint8),
            np.array([3, 2], np.int32),
            np.array([5, 7], np.int64),
        )
        merger = Merger(pieces, 9)
        assert merger.tokens == 5 * 3 + 7 * 2
        merges = [merge for slice_ in merger.run() for merge in slice_]
        assert merger.tokens == 5 + 7
        assert [(m.left, m.right, m.count) for m in merges] == [(97, 98, 12), (256, 99, 5)]

    def test_stops_when_no_pair_is_left(self) -> None:
        assert learn(["abc", ""], patterns.DEFAULT, 1_000)[256:] == [b"ab", b"abc"]
        assert learn([], patterns.DEFAULT, 1_000) == single_bytes()
        assert learn(["abc"], patterns.DEFAULT, 256) == single_bytes()

    def test_no_token_crosses_documents(self) -> None:
        assert b"ab" not in learn(["a", "b"] * 9, patterns.DEFAULT, 300)
        assert b"ab" in learn(["ab"] * 9, patterns.DEFAULT, 300)

    def test_a_run_of_one_letter_takes_no_square_of_time(self) -> None:
        tokens = learn(["a" * 3_000_000], patterns.DEFAULT, 266)
        assert [len(token) for token in tokens[256:]] == [2**n for n in range(1, 11)]

    def test_nul_bytes_are_bytes(self) -> None:
        assert learn(["\0\0"] * 2, patterns.DEFAULT, 257)[256:] == [b"\0\0"]


def test_bytes_that_come_out_twice_collapse() -> None:
    tokens = [*single_bytes(), b"ab", b"bc", b"abc", b"abc", b"abcd"]
    vocabulary = from_tokens("x", patterns.DEFAULT, tokens, ("<|endoftext|>", "<|user|>"))
    assert vocabulary.ranks[b"abc"] == 258
    assert vocabulary.ranks[b"abcd"] == 259
    assert vocabulary.special_tokens == {"<|endoftext|>": 260, "<|user|>": 261}


HITS_AND_MISSES = """
import json, sys
from talm_core.tokenizer import compilation, merging, patterns, pieces, pretokenize
compilation.make_ready(patterns.DEFAULT)
functions = (pretokenize.CUTTERS[patterns.DEFAULT], pieces._count, merging.advance)
stats = [f.stats for f in functions]
json.dump([[sum(s.cache_hits.values()), sum(s.cache_misses.values())] for s in stats], sys.stdout)
"""


def test_is_compiled_once_by_two_processes_and_then_never_again(tmp_path: Path) -> None:
    environ = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    words = [sys.executable, "-c", HITS_AND_MISSES]
    first, second = (
        json.loads(subprocess.check_output(words, env=environ, text=True)) for _ in range(2)
    )
    # What merges was compiled by the other process; on a single core there is none.
    assert first == [[0, 1], [0, 1], [1, 0] if cores() > 1 else [0, 1]]
    assert second == [[1, 0], [1, 0], [1, 0]]


def test_there_is_machine_code_for_one_type_of_text() -> None:
    counter = FastCounter(room=2)
    assert sum(counter.add("a rose is a rose " * 9)) == 153
    FastCounter.joined([counter, counter])
    assert len(_count.signatures) == 1  # type: ignore[attr-defined]


def test_compiles_where_no_cache_can_be_written() -> None:
    namespace: dict[str, object] = {}
    exec("def twice(x):\n    return x + x\n", namespace)
    function = namespace["twice"]
    assert callable(function)
    assert compiled(function)(21) == 42
