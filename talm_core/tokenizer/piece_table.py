"""What is known of pieces of text: the ids of each, in a hash table that compiled code reads.

A table begins with the vocabulary, so that a piece that is a token is found at once; pieces that
had to be merged are entered as they come. Beside it are the pairs of tokens that make a token,
by which a piece that is not known is merged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from talm_core.tokenizer.jit import Scalar, compiled, inner
from talm_core.tokenizer.vocabulary import Vocabulary

Bytes = npt.NDArray[np.uint8]
Ids = npt.NDArray[np.uint32]
Longs = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

LONGEST_MERGED = 128
"""Longer pieces are not merged here: looking through all pairs for each merge takes too long."""

ROOM = 3 << 14
"""For how many pieces there is room besides the vocabulary. Text repeats itself: a table that is
full begins anew, and soon has again what is frequent."""
_BYTES_A_PIECE = 16
_IDS_A_PIECE = 4

# A row of the table: up to fifteen bytes of a piece and their number, or a long one's hash and
# number of bytes; where a long one's bytes are in the pool; how many ids it has, shifted by
# `COUNT`, and where they are among the answers.
FIRST, SECOND, START, VALUE = range(4)
COUNT = 40

COPIED = 4
"""So many answers are copied at once: two numbers more cost less than to ask how many."""

# Places in the state of a table: how many rows, bytes of the pool and answers are in use.
ROWS, POOL, ANSWERS = range(3)

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)

NEVER = 1 << 31
"""Above all ranks."""


@dataclass(frozen=True, slots=True)
class Table:
    """What one thread knows. `rows` are by hash, `pool` has the bytes of long pieces, `answers` the
    ids of pieces of several tokens; `state` says how much of each is in use."""

    rows: Longs
    pool: Bytes
    answers: Ids
    state: Longs


class Text:
    """Bytes for compiled code, which takes eight of them at a time, at any place."""

    def __init__(self, data: bytes) -> None:
        padded = data + bytes(16)
        self.bytes = np.frombuffer(padded, np.uint8, len(data))
        self.words: Words = np.ndarray(len(data) + 8, np.dtype("<u8"), padded, strides=1)
        """The eight bytes from each on, the first of them in the lowest bits; behind the end are
        zeros."""


class Tokens:
    """A vocabulary for compiled code; once filled, read only and for all threads."""

    def __init__(self, vocabulary: Vocabulary, *, room: int = ROOM) -> None:
        """Tables have `room` for so many pieces besides the vocabulary."""
        tokens = sorted(vocabulary.ranks, key=vocabulary.ranks.__getitem__)
        self._text = Text(b"".join(tokens))
        self._starts = np.zeros(len(tokens) + 1, np.int64)
        np.cumsum([len(token) for token in tokens], out=self._starts[1:])
        self.bytes = np.zeros(256, np.int64)
        """The id of each byte."""
        self.byte_pairs = np.full(1 << 16, NEVER, np.int64)
        """The id of each two bytes, `NEVER` where they are no token."""
        self.pairs = np.zeros((0, 2), np.int64)
        """The pairs of tokens that make a token, by hash: (left << 32 | right) + 1 and the id."""
        self._room = room
        self._rows = np.zeros((_power(2 * (len(tokens) + room)), 4), np.int64)

    def fill(self) -> None:
        """Enter the vocabulary; this runs compiled code."""
        data, words, starts = self._text.bytes, self._text.words, self._starts
        # A pool can be written to; with anything else, all would be compiled a second time.
        pool = data.copy()
        _seat(data, words, starts, self._rows, pool, self.bytes, self.byte_pairs)
        count = _pair_up(data, words, starts, self._rows, pool, self.pairs)
        self.pairs = np.zeros((_power(2 * count + 2), 2), np.int64)
        _pair_up(data, words, starts, self._rows, pool, self.pairs)

    def table(self) -> Table:
        """A new table that knows the vocabulary."""
        data, tokens = self._text.bytes, len(self._starts) - 1
        table = Table(
            np.empty_like(self._rows),
            np.zeros(len(data) + self._room * _BYTES_A_PIECE + LONGEST_MERGED, np.uint8),
            np.zeros(tokens + self._room * _IDS_A_PIECE + LONGEST_MERGED + COPIED, np.uint32),
            np.zeros(3, np.int64),
        )
        table.pool[: len(data)] = data
        table.answers[:tokens] = np.arange(tokens)
        self.reset(table)
        return table

    def reset(self, table: Table) -> None:
        """Make a table know the vocabulary and nothing else."""
        table.rows[:] = self._rows
        tokens = len(self._starts) - 1
        table.state[:] = [tokens, len(self._text.bytes), tokens]


def _power(least: int) -> int:
    return 1 << (least - 1).bit_length()


@inner
def _mixed(number: Scalar, size: Scalar) -> Scalar:
    """A slot for a number among `size`, a power of two."""
    mixed = np.uint64(number) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(32)
    return np.int64(mixed & np.uint64(size - 1))


@inner
def first_of(words: Words, at: Scalar, size: Scalar) -> Scalar:
    """The first eight bytes of a piece as a number; of more than fifteen, a hash of all."""
    if size < 8:
        return np.int64(words[at] & (_ALL >> np.uint64(64 - 8 * size)))
    if size < 16:
        return np.int64(words[at])
    mixed = np.uint64(size)
    end = at + size
    while at < end:
        # The last eight may have been there in part.
        mixed = (mixed ^ words[min(at, end - 8)]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(32)
        at += 8
    return np.int64(mixed)


@inner
def second_of(words: Words, at: Scalar, size: Scalar) -> Scalar:
    """The other seven bytes of a piece and how many it has in all; never 0."""
    if size <= 8:
        return size << 56
    if size < 16:
        return size << 56 | np.int64(words[at + 8] & (_ALL >> np.uint64(128 - 8 * size)))
    return np.int64(16) << 56 | size


@inner
def _same(data: Bytes, at: Scalar, size: Scalar, pool: Bytes, other: Scalar) -> Scalar:
    i = np.int64(0)
    while i < size and data[at + i] == pool[other + i]:
        i += 1
    return i == size


@inner
def slot_of(
    first: Scalar,
    second: Scalar,
    data: Bytes,
    at: Scalar,
    size: Scalar,
    rows: Longs,
    pool: Bytes,
) -> Scalar:
    """The row of a piece, or the empty one where it belongs."""
    slot = _mixed(first ^ second * np.int64(0x2545F4914F6CDD1D), len(rows))
    while rows[slot, SECOND] != 0:
        if (
            rows[slot, FIRST] == first
            and rows[slot, SECOND] == second
            and (size < 16 or _same(data, at, size, pool, rows[slot, START]))
        ):
            break
        slot = (slot + 1) & (len(rows) - 1)
    return slot


@inner
def _find(data: Bytes, words: Words, at: Scalar, size: Scalar, rows: Longs, pool: Bytes) -> Scalar:
    first, second = first_of(words, at, size), second_of(words, at, size)
    return slot_of(first, second, data, at, size, rows, pool)


@compiled
def _seat(
    data: Bytes,
    words: Words,
    starts: Longs,
    rows: Longs,
    pool: Bytes,
    bytes_: Longs,
    byte_pairs: Longs,
) -> None:
    """Enter all tokens, whose bytes lie end to end, as they do in the pool."""
    for token in range(len(starts) - 1):
        at = starts[token]
        size = starts[token + 1] - at
        first, second = first_of(words, at, size), second_of(words, at, size)
        slot = slot_of(first, second, data, at, size, rows, pool)
        rows[slot, FIRST] = first
        rows[slot, SECOND] = second
        rows[slot, START] = at
        rows[slot, VALUE] = np.int64(1) << COUNT | token
        if size == 1:
            bytes_[data[at]] = token
        elif size == 2:
            byte_pairs[np.int64(data[at]) << 8 | np.int64(data[at + 1])] = token


@compiled
def _pair_up(
    data: Bytes, words: Words, starts: Longs, rows: Longs, pool: Bytes, pairs: Longs
) -> Scalar:
    """Enter all pairs of tokens that make one of up to `LONGEST_MERGED` bytes, unless there is no
    room at all; returns how many there are."""
    count = 0
    for token in range(len(starts) - 1):
        at = starts[token]
        size = starts[token + 1] - at
        for cut in range(1, size if size <= LONGEST_MERGED else 0):
            left = rows[_find(data, words, at, cut, rows, pool), VALUE]
            if left == 0:
                continue
            right = rows[_find(data, words, at + cut, size - cut, rows, pool), VALUE]
            if right == 0:
                continue
            count += 1
            if len(pairs) > 0:
                one = np.int64(1) << COUNT
                key = ((left ^ one) << 32 | (right ^ one)) + 1
                slot = _mixed(key, len(pairs))
                while pairs[slot, 0] != 0:
                    slot = (slot + 1) & (len(pairs) - 1)
                pairs[slot, 0] = key
                pairs[slot, 1] = token
    return count


@inner
def _rank(left: Scalar, right: Scalar, pairs: Longs) -> Scalar:
    """The token that two make; `NEVER` when they make none."""
    key = (left << 32 | right) + 1
    slot = _mixed(key, len(pairs))
    while pairs[slot, 0] != 0:
        if pairs[slot, 0] == key:
            return pairs[slot, 1]
        slot = (slot + 1) & (len(pairs) - 1)
    return NEVER


@inner
def merge(
    data: Bytes,
    at: Scalar,
    size: Scalar,
    bytes_: Longs,
    byte_pairs: Longs,
    pairs: Longs,
    scratch: Longs,
) -> Scalar:
    """Merge a piece of up to `LONGEST_MERGED` bytes, the pair of the lowest id first, of several
    the leftmost. The ids are in `scratch[0]`; returns how many."""
    ids, ranks = scratch[0], scratch[1]
    for i in range(size):
        ids[i] = bytes_[data[at + i]]
        ranks[i] = NEVER
        if i + 1 < size:
            ranks[i] = byte_pairs[np.int64(data[at + i]) << 8 | np.int64(data[at + i + 1])]
    count = size
    while True:
        best, rank = np.int64(0), np.int64(NEVER)
        for i in range(count - 1):
            if ranks[i] < rank:
                best, rank = np.int64(i), ranks[i]
        if rank == NEVER:
            return count
        count -= 1
        for i in range(best + 1, count):
            ids[i] = ids[i + 1]
            ranks[i] = ranks[i + 1]
        ids[best] = rank
        # Two calls in the source would be compiled twice.
        for i in range(best - 1, best + 1):
            if i >= 0:
                ranks[i] = _rank(ids[i], ids[i + 1], pairs) if i + 1 < count else NEVER
