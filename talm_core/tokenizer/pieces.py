"""Counting the distinct pieces of text. Memory grows with them, not with the text.

For the named patterns pieces are cut and counted, in a hash table, by compiled loops over UTF-8
bytes; for any other pattern `splitter` cuts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from talm_core.tokenizer import patterns
from talm_core.tokenizer.characters import Bytes, character_classes
from talm_core.tokenizer.jit import Scalar, compiled, inner
from talm_core.tokenizer.merging import Pieces
from talm_core.tokenizer.pretokenize import CUTTERS, LONGEST_PIECE
from talm_core.tokenizer.splitter import splitter

LONG_PIECE = 1 << 10
MOST_LONG_BYTES = 1 << 23
"""Of pieces of more than `LONG_PIECE` bytes, which no language writes, as many are learned from as
have `MOST_LONG_BYTES` together: those whose hashes end in enough zeros, the same ones whatever the
order. So the memory for a text without spaces has an end, however long it is."""

_REPORT_BYTES = 1 << 18
_PIECES = 1 << 14  # cut at once: their bounds stay in the processor's cache

Shorts = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

# A record of a piece: its key in the hash table, where its bytes start in the pool (they end
# where the next one's start), how often it occurs and where it occurred first.
KEY, START, COUNT, FIRST = range(4)

# Places in the state array: how many pieces there are, how many zeros the hashes of long ones must
# end in, and how many bytes those have.
USED, ZEROS, LONG_BYTES = range(3)

_NO_COUNTS: Longs = np.zeros(0, np.int64)


class PieceCounter(Protocol):
    """Counts the pieces of document after document."""

    def add(self, text: str) -> Iterator[int]:
        """Count one document. Yields the bytes counted since the last time, every few hundredths
        of a second and at its end.

        Raises:
            UnicodeEncodeError: the text has a lone surrogate.
        """

    def pieces(self) -> Pieces:
        """What was counted so far. Pieces of a single byte, in which there is no pair, may be
        left out."""


def piece_counter(pattern: str) -> PieceCounter:
    """The fastest counter there is for a pattern."""
    return FastCounter(pattern) if pattern in CUTTERS else RegexCounter(pattern)


class RegexCounter:
    """Counts pieces of any pattern."""

    def __init__(self, pattern: str) -> None:
        self._split = splitter(pattern).pieces
        self._counts: dict[bytes, int] = {}

    def add(self, text: str) -> Iterator[int]:
        counts, done, reported = self._counts, 0, 0
        for cut in self._split(text):
            piece = cut.encode()
            done += len(piece)
            for start in range(0, len(piece), LONGEST_PIECE):
                part = piece[start : start + LONGEST_PIECE]
                counts[part] = counts.get(part, 0) + 1
            if done - reported > _REPORT_BYTES:
                yield done - reported
                reported = done
        yield done - reported

    def pieces(self) -> Pieces:
        return Pieces(
            np.frombuffer(b"".join(self._counts), np.uint8),
            np.fromiter(map(len, self._counts), np.int32, len(self._counts)),
            np.fromiter(self._counts.values(), np.int64, len(self._counts)),
        )


class FastCounter:
    """Counts pieces of a named pattern."""

    def __init__(
        self,
        pattern: str = patterns.DEFAULT,
        *,
        room: int = 1 << 16,
        pool: int = 1 << 20,
        window: int = 1 << 21,
    ) -> None:
        """`room`, a power of two, is for how many pieces there is room before arrays grow, `pool`
        for how many of their bytes; `window` is how many characters are counted at once: two
        million take some hundredths of a second."""
        self._cut = CUTTERS[pattern]
        self._window = window
        self._classes = character_classes()
        self._bounds = np.zeros(_PIECES + 1, np.int64)
        self._state = np.zeros(3, np.int64)
        self._place = 0
        self._allocate(room, pool)

    def _allocate(self, room: int, pool: int) -> None:
        """Begin a new table."""
        self._slots = np.full(2 * room, -1, np.int32)
        self._records = np.zeros((room, 4), np.int64)
        self._bytes = np.zeros(pool, np.uint8)
        self._state[[USED, LONG_BYTES]] = 0

    def add(self, text: str, *, place: int | None = None) -> Iterator[int]:
        """Count one document, or a part of one that begins and ends where a piece does. `place`
        says where in the corpus it begins when it does not follow what came before; it must never
        be smaller than the last one's end. Yields and raises as `PieceCounter.add`."""
        self._place = self._place if place is None else place
        start = 0
        while start < len(text):
            window = text[start : start + self._window]
            data = np.frombuffer(window.encode(), np.uint8)
            if not window.isascii():
                self._classes.learn_from(data)
            # What begins near the end of a window could go on behind it.
            whole = start + self._window >= len(text)
            stop = len(data) if whole else len(data) - 2 * LONGEST_PIECE
            at, bounds = 0, self._bounds
            while at < stop:
                bounds[0] = at
                count = self._cut(data, bounds, stop, self._classes.table)
                at = int(bounds[count])
                self._enter(data, bounds[:count], bounds[1 : count + 1])
            self._place += at
            yield at
            # Characters begin at every byte that is no continuation.
            start += int(np.count_nonzero((data[:at] & 0xC0) != 0x80))

    def _enter(
        self,
        data: Bytes,
        starts: Longs,
        ends: Longs,
        counts: Longs = _NO_COUNTS,
        firsts: Longs = _NO_COUNTS,
    ) -> None:
        """Count pieces of `data`: once each, where they stand in the corpus, or as often, and
        where, as is said."""
        # Always read-only, or there would be machine code for either kind.
        data = data.view()
        data.flags.writeable = False
        done = 0
        while done < len(starts):
            done = _count(
                data,
                starts,
                ends,
                counts,
                firsts,
                done,
                self._place,
                self._slots,
                self._records,
                self._bytes,
                self._state,
            )
            self._make_room()

    def _make_room(self) -> None:
        """See that there is room for a piece, and that long ones are not too many."""
        used, room, pool = int(self._state[USED]), len(self._records), len(self._bytes)
        size = int(self._records[used, START])
        if size + 2 * LONGEST_PIECE > pool:
            grown = np.zeros(pool * 3 // 2 + 2 * LONGEST_PIECE, np.uint8)
            grown[:size] = self._bytes[:size]
            self._bytes = grown
        if used + 1 >= room:
            records, data = self._records, self._bytes
            self._allocate(2 * room, len(data))
            bounds = records[: used + 1, START].copy()
            counts, firsts = records[:used, COUNT].copy(), records[:used, FIRST].copy()
            self._enter(data, bounds[:-1], bounds[1:], counts, firsts)
        if self._state[LONG_BYTES] > MOST_LONG_BYTES:
            self._thin()

    def _thin(self) -> None:
        """Let ever fewer of the long pieces count, about half of them at a time."""
        records, data = self.table()
        sizes = np.diff(records[:, START], append=len(data))
        while self._state[LONG_BYTES] > MOST_LONG_BYTES:
            self._state[ZEROS] += 1
            ends = records[:, KEY] & ((1 << self.zeros) - 1)
            self._state[LONG_BYTES] = sizes[(sizes > LONG_PIECE) & (ends == 0)].sum()

    def pieces(self) -> Pieces:
        records, data = self.joined([self]).table()
        sizes = np.diff(records[:, START], append=len(data))
        return Pieces(data, sizes.astype(np.int32), records[:, COUNT].copy())

    @property
    def zeros(self) -> int:
        """How many zeros the hashes of long pieces must end in to count."""
        return int(self._state[ZEROS])

    def table(self) -> tuple[Longs, Bytes]:
        """The records of all pieces, and their bytes end to end."""
        used = int(self._state[USED])
        return self._records[:used], self._bytes[: int(self._records[used, START])]

    @classmethod
    def joined(cls, counters: Sequence[FastCounter]) -> FastCounter:
        """One counter that has counted what these have, in the order of first occurrence."""
        if len(counters) == 1 and counters[0].zeros == 0:
            return counters[0]
        tables = [counter.table() for counter in counters]
        pool = np.concatenate([data for _, data in tables])
        records = np.concatenate([rows for rows, _ in tables])
        ends = np.cumsum([len(data) for _, data in tables])
        records[:, START] += np.repeat([0, *ends[:-1]], [len(rows) for rows, _ in tables])
        sizes = np.diff(records[:, START], append=ends[-1])
        order = np.argsort(records[:, FIRST], kind="stable")
        starts, counts, firsts = (records[order, column] for column in (START, COUNT, FIRST))
        room = 1 << (len(records) + 2).bit_length()
        whole = cls(room=room, pool=len(pool) + 4 * LONGEST_PIECE)
        zeros = max(counter.zeros for counter in counters)
        whole._state[ZEROS] = zeros
        whole._enter(pool, starts, starts + sizes[order], counts, firsts)
        # Of those that count no more, some were entered before that was known.
        return whole if whole.zeros == zeros else cls.joined([whole])


@inner
def _piece_key(data: Bytes, start: Scalar, end: Scalar) -> Scalar:
    """A piece of up to seven bytes as a number of its own; a longer one's hash, below zero."""
    size = end - start
    if size < 8:
        key = size
        for at in range(start, end):
            key = key << 8 | np.int64(data[at])
        return key
    mixed = np.uint64(size)
    for at in range(start, end):
        mixed = (mixed ^ np.uint64(data[at])) * np.uint64(0x100000001B3)
    return np.int64(mixed ^ (mixed >> np.uint64(29))) | np.int64(-(2**63))


@inner
def _slot(
    key: Scalar,
    data: Bytes,
    start: Scalar,
    size: Scalar,
    slots: Shorts,
    records: Longs,
    pool: Bytes,
) -> Scalar:
    """The slot of a piece, or the empty one where it belongs."""
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    slot = np.int64(mixed >> np.uint64(32)) & (len(slots) - 1)
    while slots[slot] != -1:
        piece = slots[slot]
        if records[piece, KEY] == key:
            if key >= 0:
                return slot
            other = records[piece, START]
            same = size if records[piece + 1, START] - other == size else -1
            i = 0
            while i < same and data[start + i] == pool[other + i]:
                i += 1
            if i == same:
                return slot
        slot = (slot + 1) & (len(slots) - 1)
    return slot


@compiled
def _count(
    data: Bytes,
    starts: Longs,
    ends: Longs,
    counts: Longs,
    firsts: Longs,
    done: Scalar,
    place: Scalar,
    slots: Shorts,
    records: Longs,
    pool: Bytes,
    state: Longs,
) -> Scalar:
    """Count pieces from number `done` on, until an array could be too short for the next or long
    pieces are too many; returns the number of the next. Without `counts` and `firsts` each counts
    once, and `data` begins at `place` of the corpus."""
    used = state[USED]
    zeros = (np.int64(1) << state[ZEROS]) - 1
    while done < len(starts):
        start, size = starts[done], ends[done] - starts[done]
        free = records[used, START]
        if used + 1 >= len(records) or free + size > len(pool):
            break
        done += 1
        if size == 1:
            continue
        key = _piece_key(data, start, start + size)
        if size > LONG_PIECE and key & zeros != 0:
            continue
        weight, first = np.int64(1), place + start
        if len(counts) > 0:
            weight, first = counts[done - 1], firsts[done - 1]
        slot = _slot(key, data, start, size, slots, records, pool)
        piece = slots[slot]
        if piece != -1:
            records[piece, COUNT] += weight
            continue
        slots[slot] = used
        for i in range(size):
            pool[free + i] = data[start + i]
        records[used, KEY] = key
        records[used, COUNT] = weight
        records[used, FIRST] = first
        used += 1
        records[used, START] = free + size
        if size > LONG_PIECE:
            state[LONG_BYTES] += size
            if state[LONG_BYTES] > MOST_LONG_BYTES:
                break
    state[USED] = used
    return done
