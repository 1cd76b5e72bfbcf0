"""Cutting text into pieces and counting the distinct ones.

For the named patterns this is a loop over UTF-8 bytes that cuts exactly where `regex` does and
counts in a hash table as it goes; for any other pattern `regex` itself cuts. Memory grows with the
distinct pieces, not with the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Protocol

import numpy as np
import numpy.typing as npt
import regex

from talm_core.tokenizer import patterns
from talm_core.tokenizer.compiled import Scalar, compiled, inner
from talm_core.tokenizer.merging import Pieces

LONGEST_PIECE = 1 << 14
"""A piece of more bytes is cut at the next character, so that a text without a space gives no
token as long as itself."""

LONG_PIECE = 1 << 10
MOST_LONG_BYTES = 1 << 23
"""Of pieces of more than `LONG_PIECE` bytes, which no language writes, as many are learned from as
have `MOST_LONG_BYTES` together: those whose hashes end in enough zeros, the same ones whatever the
order. So the memory for a text without spaces has an end, however long it is."""

_REPORT_BYTES = 1 << 18
_OTHER, _LETTER, _NUMBER, _SPACE, _NEWLINE = range(5)


Bytes = npt.NDArray[np.uint8]
Shorts = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

# A record of a piece: its key in the hash table, where its bytes start in the pool (they end
# where the next one's start), how often it occurs and where it occurred first.
KEY, START, COUNT, FIRST = range(4)

# Places in the state array: how many pieces there are, how many zeros the hashes of long ones must
# end in, and how many bytes those have.
USED, ZEROS, LONG_BYTES = range(3)

# How a compiled loop cuts.
_STYLES = {patterns.DEFAULT: 0, patterns.LLAMA3: 0, patterns.GPT2: 1}


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
    return FastCounter(pattern) if pattern in _STYLES else RegexCounter(pattern)


class RegexCounter:
    """Counts pieces of any pattern."""

    def __init__(self, pattern: str) -> None:
        self._pattern = regex.compile(pattern)
        self._counts: dict[bytes, int] = {}

    def add(self, text: str) -> Iterator[int]:
        counts, done, reported = self._counts, 0, 0
        for match in self._pattern.finditer(text):
            piece = match[0].encode()
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
        self, pattern: str = patterns.DEFAULT, *, room: int = 1 << 16, window: int = 1 << 21
    ) -> None:
        """`room`, a power of two, is for how many pieces there is room before arrays grow;
        `window` is how many characters are counted at once: two million take some hundredths of
        a second."""
        self._style = _STYLES[pattern]
        self._window = window
        self._classes = _character_classes()
        self._slots = np.full(2 * room, -1, np.int32)
        self._records = np.zeros((room, 4), np.int64)
        self._bytes = np.zeros(1 << 20, np.uint8)
        self._state = np.zeros(3, np.int64)
        self._place = 0

    def add(self, text: str, *, place: int | None = None) -> Iterator[int]:
        """Count one document, or a part of one that begins and ends where a piece does. `place`
        says where in the corpus it begins when it does not follow what came before; it must never
        be smaller than the last one's end. Yields and raises as `PieceCounter.add`."""
        self._place = self._place if place is None else place
        start = 0
        while start < len(text):
            window = text[start : start + self._window]
            data = np.frombuffer(window.encode(), np.uint8)
            # What begins near the end of a window could go on behind it.
            whole = start + self._window >= len(text)
            stop = len(data) if whole else len(data) - 2 * LONGEST_PIECE
            at = 0
            while at < stop:
                at = _count(
                    data,
                    at,
                    stop,
                    self._place,
                    self._style,
                    self._classes,
                    self._slots,
                    self._records,
                    self._bytes,
                    self._state,
                )
                self._make_room()
            self._place += at
            yield at
            # Characters begin at every byte that is no continuation.
            start += int(np.count_nonzero((data[:at] & 0xC0) != 0x80))

    def _make_room(self) -> None:
        used = int(self._state[USED])
        if used + 1 >= len(self._records):
            self._records = np.concatenate([self._records, np.zeros_like(self._records)])
            self._slots = np.full(2 * len(self._slots), -1, np.int32)
            _seat(self._records, self._slots, used)
        if int(self._records[used, START]) + 2 * LONGEST_PIECE > len(self._bytes):
            grown = np.zeros(len(self._bytes) * 3 // 2 + LONGEST_PIECE, np.uint8)
            grown[: len(self._bytes)] = self._bytes
            self._bytes = grown

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
        zeros = max(counter.zeros for counter in counters)
        while sizes[_too_long(records, sizes, zeros, counted=True)].sum() > MOST_LONG_BYTES:
            zeros += 1
        order = np.argsort(records[:, FIRST], kind="stable")
        order = order[~_too_long(records, sizes, zeros)[order]]
        whole = cls(room=1 << (len(records) + 2).bit_length())
        whole._bytes = np.zeros(len(pool) + 4 * LONGEST_PIECE, np.uint8)
        _absorb(
            order, sizes, records, pool, whole._slots, whole._records, whole._bytes, whole._state
        )
        return whole


def _too_long(
    records: Longs, sizes: npt.NDArray[np.int64], zeros: int, *, counted: bool = False
) -> npt.NDArray[np.bool_]:
    """Which pieces are long and do not count, or do, when hashes must end in so many zeros."""
    ends = records[:, KEY] & ((1 << zeros) - 1)
    matching: npt.NDArray[np.bool_] = (sizes > LONG_PIECE) & ((ends == 0) == counted)
    return matching


@cache
def _character_classes() -> Bytes:
    """The class of each code point, as the patterns tell them apart."""
    classes = np.zeros(0x110000, np.uint8)
    plain = "".join(map(chr, range(0xD800)))
    high = "".join(map(chr, range(0xE000, 0x110000)))
    for kind, pattern in ((_LETTER, r"\p{L}+"), (_NUMBER, r"\p{N}+"), (_SPACE, r"\s+")):
        for text, offset in ((plain, 0), (high, 0xE000)):
            for match in regex.finditer(pattern, text):
                classes[offset + match.start() : offset + match.end()] = kind
    classes[[ord("\r"), ord("\n")]] = _NEWLINE
    return classes


@inner
def _home(key: Scalar, slots: Shorts) -> Scalar:
    """The slot at which the search for a piece begins."""
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64((mixed >> np.uint64(32)) & np.uint64(len(slots) - 1))


@compiled
def _seat(records: Longs, slots: Shorts, count: Scalar) -> None:
    """Fill empty slots with the first `count` pieces."""
    for piece in range(count):
        slot = _home(records[piece, KEY], slots)
        while slots[slot] != -1:
            slot = (slot + 1) & (len(slots) - 1)
        slots[slot] = piece


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
def _same(data: Bytes, start: Scalar, size: Scalar, pool: Bytes, other: Scalar) -> Scalar:
    """Whether `size` bytes at `start` and, in the pool, at `other` are equal."""
    i = np.int64(0)
    while i < size and data[start + i] == pool[other + i]:
        i += 1
    return i == size


@inner
def _character(data: Bytes, at: Scalar) -> Scalar:
    """The character at `at`: its code point times 8 plus its bytes. The text is valid UTF-8; at
    its end there is code point 0 of no bytes."""
    if at >= len(data):
        return 0
    first = np.int64(data[at])
    if first < 0x80:
        return first << 3 | 1
    if first < 0xE0:
        return ((first & 0x1F) << 6 | (data[at + 1] & 0x3F)) << 3 | 2
    if first < 0xF0:
        high = (first & 0x0F) << 12 | np.int64(data[at + 1] & 0x3F) << 6
        return (high | (data[at + 2] & 0x3F)) << 3 | 3
    high = (first & 0x07) << 18 | np.int64(data[at + 1] & 0x3F) << 12
    return (high | np.int64(data[at + 2] & 0x3F) << 6 | (data[at + 3] & 0x3F)) << 3 | 4


@inner
def _run(
    data: Bytes, at: Scalar, kind: Scalar, most: Scalar, limit: Scalar, classes: Bytes
) -> Scalar:
    """The end of a run of at most `most` characters of one class."""
    while most > 0 and at < limit:
        if data[at] < 0x80:
            if classes[data[at]] != kind:
                break
            at += 1
        else:
            character = _character(data, at)
            if classes[character >> 3] != kind:
                break
            at += character & 7
        most -= 1
    return at


@inner
def _contraction(data: Bytes, at: Scalar) -> Scalar:
    """The end of a contraction that begins with the apostrophe at `at`; `at` when there is
    none. Case does not count, and a long s (C5 BF) is an s."""
    left = len(data) - at - 1
    if left >= 1:
        first = data[at + 1] | 0x20
        if first == 0x73 or first == 0x64 or first == 0x6D or first == 0x74:
            return at + 2
        if left >= 2:
            second = data[at + 2] | 0x20
            if data[at + 1] == 0xC5 and data[at + 2] == 0xBF:
                return at + 3
            if first == 0x6C and second == 0x6C:
                return at + 3
            if (first == 0x76 or first == 0x72) and second == 0x65:
                return at + 3
    return at


@inner
def _space_end(data: Bytes, at: Scalar, limit: Scalar, lines: Scalar, classes: Bytes) -> Scalar:
    """Where a piece of white space ends: behind its last line feed if `lines` count, else before
    its last character, which goes with what follows; at the end of the text it is all of it."""
    space, newline = classes[0x20], classes[0x0A]
    last_line = previous = end = at
    while end < limit:
        character = _character(data, end)
        kind = classes[character >> 3]
        if kind != space and kind != newline:
            break
        previous = end
        end += character & 7
        if kind == newline:
            last_line = end
    if lines and last_line > at:
        return last_line
    if end < len(data) and previous > at:
        return previous
    return end


@inner
def _gpt2_contraction(data: Bytes, at: Scalar) -> Scalar:
    """The same for GPT-2's, in lower case only."""
    left = len(data) - at - 1
    if left >= 1:
        first = data[at + 1]
        if first == 0x73 or first == 0x64 or first == 0x6D or first == 0x74:
            return at + 2
        if left >= 2:
            second = data[at + 2]
            if first == 0x6C and second == 0x6C:
                return at + 3
            if (first == 0x76 or first == 0x72) and second == 0x65:
                return at + 3
    return at


@inner
def _gpt2_end(data: Bytes, at: Scalar, classes: Bytes) -> Scalar:
    """Where the piece that begins at `at` ends by GPT-2's pattern."""
    limit = min(len(data), at + LONGEST_PIECE)
    space, newline = classes[0x20], classes[0x0A]
    character = _character(data, at)
    begin, kind = at, classes[character >> 3]
    if character >> 3 == 0x27:
        end = _gpt2_contraction(data, at)
        if end > at:
            return end
    if character >> 3 == 0x20 and at + 1 < len(data):
        following = classes[_character(data, at + 1) >> 3]
        if following != space and following != newline:
            begin, kind = at + 1, following
    if kind != space and kind != newline:
        return _run(data, begin, kind, limit, limit, classes)
    return _space_end(data, at, limit, np.int64(0), classes)


@inner
def _piece_end(data: Bytes, at: Scalar, classes: Bytes) -> Scalar:
    """Where the piece that begins at `at` ends by tokencoder's default pattern."""
    limit = min(len(data), at + LONGEST_PIECE)
    # Read, not constant: a call would be compiled anew for every constant.
    letter, number, other, newline = classes[0x61], classes[0x30], classes[0x21], classes[0x0A]
    character = _character(data, at)
    code, after = character >> 3, at + (character & 7)
    kind = classes[code]
    if code == 0x27:
        end = _contraction(data, at)
        if end > at:
            return end
    if kind == letter:
        return _run(data, after, letter, limit, limit, classes)
    if kind == number:
        return _run(data, after, number, np.int64(2), limit, classes)
    if kind != newline:
        end = _run(data, after, letter, limit, limit, classes)
        if end > after:
            return end
    end = after if kind == other else at
    if kind == other or code == 0x20:
        end = _run(data, after, other, limit, limit, classes)
        if kind == other or end > after:
            return _run(data, end, newline, limit, limit, classes)
    return _space_end(data, at, limit, np.int64(1), classes)


@inner
def _enter(
    key: Scalar,
    data: Bytes,
    at: Scalar,
    size: Scalar,
    count: Scalar,
    first: Scalar,
    slots: Shorts,
    records: Longs,
    pool: Bytes,
    number: Scalar,
) -> Scalar:
    """Count a piece of `data` `count` times more; returns the number of pieces, which was
    `number`."""
    slot = _home(key, slots)
    piece = slots[slot]
    while piece != -1:
        if records[piece, KEY] == key:
            start = records[piece, START]
            if key >= 0 or (
                records[piece + 1, START] - start == size and _same(data, at, size, pool, start)
            ):
                records[piece, COUNT] += count
                return number
        slot = (slot + 1) & (len(slots) - 1)
        piece = slots[slot]
    slots[slot] = number
    start = records[number, START]
    for i in range(size):
        pool[start + i] = data[at + i]
    records[number, KEY] = key
    records[number, COUNT] = count
    records[number, FIRST] = first
    records[number + 1, START] = start + size
    return number + 1


@inner
def _thin(records: Longs, number: Scalar, state: Longs) -> None:
    """Let about half of the long pieces count that count now."""
    state[ZEROS] += 1
    state[LONG_BYTES] = 0
    for piece in range(number):
        size = records[piece + 1, START] - records[piece, START]
        if size > LONG_PIECE and records[piece, KEY] & ((np.int64(1) << state[ZEROS]) - 1) == 0:
            state[LONG_BYTES] += size


@compiled
def _count(
    data: Bytes,
    at: Scalar,
    stop: Scalar,
    place: Scalar,
    style: Scalar,
    classes: Bytes,
    slots: Shorts,
    records: Longs,
    pool: Bytes,
    state: Longs,
) -> Scalar:
    """Count pieces from `at` until one ends at or behind `stop`, or until an array could be too
    short for the next; returns where that begins. `place` is where in the corpus `data` begins."""
    number = state[USED]
    while at < stop:
        if number + 1 >= len(records) or records[number, START] + 2 * LONGEST_PIECE > len(pool):
            break
        end = _piece_end(data, at, classes) if style == 0 else _gpt2_end(data, at, classes)
        size = end - at
        if size > 1:
            key = _piece_key(data, at, end)
            before = number
            if size <= LONG_PIECE or key & ((np.int64(1) << state[ZEROS]) - 1) == 0:
                number = _enter(
                    key, data, at, size, np.int64(1), place + at, slots, records, pool, number
                )
            if size > LONG_PIECE and number > before:
                state[LONG_BYTES] += size
                while state[LONG_BYTES] > MOST_LONG_BYTES:
                    _thin(records, number, state)
        at = end
    state[USED] = number
    return at


@compiled
def _absorb(
    order: Longs,
    sizes: Longs,
    theirs: Longs,
    data: Bytes,
    slots: Shorts,
    records: Longs,
    pool: Bytes,
    state: Longs,
) -> None:
    """Enter the pieces `theirs`, whose bytes are `sizes` many of `data`, in this order; there is
    room for all."""
    number = state[USED]
    for piece in order:
        number = _enter(
            theirs[piece, KEY],
            data,
            theirs[piece, START],
            sizes[piece],
            theirs[piece, COUNT],
            theirs[piece, FIRST],
            slots,
            records,
            pool,
            number,
        )
    state[USED] = number
