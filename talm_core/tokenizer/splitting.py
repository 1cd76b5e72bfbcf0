"""Cutting text into pieces and counting the distinct ones.

For tokencoder's default pattern this is a loop over UTF-8 bytes that cuts exactly where `regex`
does and counts in a hash table as it goes; for any other pattern `regex` itself cuts. Memory
grows with the distinct pieces, not with the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Protocol

import numpy as np
import numpy.typing as npt
import regex

from talm_core.tokenizer import patterns
from talm_core.tokenizer.compiled import Scalar, compiled, inner
from talm_core.tokenizer.merging import Pieces

LONGEST_PIECE = 1 << 16
"""A piece of more bytes is cut at the next character, so that a text without a space gives no
token as long as itself."""

_REPORT_BYTES = 1 << 18
_OTHER, _LETTER, _NUMBER, _SPACE, _NEWLINE = range(5)


Bytes = npt.NDArray[np.uint8]
Shorts = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


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
    return FastCounter() if pattern == patterns.DEFAULT else RegexCounter(pattern)


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
    """Counts pieces of tokencoder's default pattern."""

    def __init__(self, *, room: int = 1 << 16, window: int = 1 << 21) -> None:
        """`room`, a power of two, is for how many pieces there is room before arrays grow;
        `window` is how many characters are counted at once: two million take some hundredths of
        a second."""
        self._window = window
        self._classes = _character_classes()
        self._slots = np.full(2 * room, -1, np.int32)
        self._hashes = np.zeros(room, np.uint64)
        self._starts = np.zeros(room + 1, np.int64)
        self._counts = np.zeros(room, np.int64)
        self._bytes = np.zeros(1 << 20, np.uint8)
        self._used = np.zeros(1, np.int64)

    def add(self, text: str) -> Iterator[int]:
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
                    self._classes,
                    self._slots,
                    self._hashes,
                    self._starts,
                    self._counts,
                    self._bytes,
                    self._used,
                )
                self._make_room()
            yield at
            # Characters begin at every byte that is no continuation.
            start += int(np.count_nonzero((data[:at] & 0xC0) != 0x80))

    def _make_room(self) -> None:
        used = int(self._used[0])
        if used + 1 >= len(self._counts):
            self._hashes = np.concatenate([self._hashes, np.zeros_like(self._hashes)])
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
            self._starts = np.concatenate([self._starts, np.zeros_like(self._counts)])
            self._slots = np.full(2 * len(self._slots), -1, np.int32)
            _seat(self._hashes, self._slots, used)
        if int(self._starts[used]) + 2 * LONGEST_PIECE > len(self._bytes):
            grown = np.zeros(len(self._bytes) * 3 // 2 + LONGEST_PIECE, np.uint8)
            grown[: len(self._bytes)] = self._bytes
            self._bytes = grown

    def pieces(self) -> Pieces:
        used = int(self._used[0])
        starts = self._starts[: used + 1]
        return Pieces(
            self._bytes[: int(starts[-1])],
            np.diff(starts).astype(np.int32),
            self._counts[:used].copy(),
        )


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


@compiled
def _seat(hashes: Hashes, slots: Shorts, count: Scalar) -> None:
    """Fill empty slots with the first `count` pieces."""
    mask = np.uint64(len(slots) - 1)
    for piece in range(count):
        slot = hashes[piece] & mask
        while slots[slot] != -1:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = piece


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
def _space_end(data: Bytes, at: Scalar, limit: Scalar, classes: Bytes) -> Scalar:
    """Where a piece of white space ends: behind its last line feed, else before its last
    character, which goes with what follows; at the end of the text it is all of it."""
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
    if last_line > at:
        return last_line
    if end < len(data) and previous > at:
        return previous
    return end


@inner
def _piece_end(data: Bytes, at: Scalar, classes: Bytes) -> Scalar:
    """Where the piece that begins at `at` ends."""
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
    return _space_end(data, at, limit, classes)


@compiled
def _count(
    data: Bytes,
    at: Scalar,
    stop: Scalar,
    classes: Bytes,
    slots: Shorts,
    hashes: Hashes,
    starts: Longs,
    counts: Longs,
    pool: Bytes,
    used: Longs,
) -> Scalar:
    """Count pieces from `at` until one ends at or behind `stop`, or until an array could be too
    short for the next; returns where that begins."""
    mask = np.uint64(len(slots) - 1)
    number = used[0]
    while at < stop:
        if number + 1 >= len(counts) or starts[number] + 2 * LONGEST_PIECE > len(pool):
            break
        end = _piece_end(data, at, classes)
        size = end - at
        if size > 1:
            key = np.uint64(size)
            for i in range(at, end):
                key = (key ^ np.uint64(data[i])) * np.uint64(0x9E3779B97F4A7C15)
                key ^= key >> np.uint64(32)
            slot = key & mask
            piece = slots[slot]
            while piece != -1:
                start = starts[piece]
                if hashes[piece] == key and starts[piece + 1] - start == size:
                    i = 0
                    while i < size and pool[start + i] == data[at + i]:
                        i += 1
                    if i == size:
                        break
                slot = (slot + np.uint64(1)) & mask
                piece = slots[slot]
            if piece == -1:
                slots[slot] = number
                hashes[number] = key
                start = starts[number]
                for i in range(size):
                    pool[start + i] = data[at + i]
                starts[number + 1] = start + size
                counts[number] = 1
                number += 1
            else:
                counts[piece] += 1
        at = end
    used[0] = number
    return at
