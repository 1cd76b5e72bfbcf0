"""Cutting UTF-8 text into pieces, exactly where tiktoken does for the named patterns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from talm_core.tokenizer import patterns
from talm_core.tokenizer.characters import Bytes, character_at
from talm_core.tokenizer.jit import Scalar, compiled, inner

LONGEST_PIECE = 1 << 14
"""A piece of more bytes is cut at the next character, so that a text without a space gives no
token as long as itself."""

Longs = npt.NDArray[np.int64]

Cutter = Callable[[Bytes, Longs, int, Bytes], int]
"""`cut(data, bounds, stop, classes)` cuts UTF-8 from `bounds[0]` until a piece ends at or behind
`stop`, or until `bounds` is full: piece i is `data[bounds[i] : bounds[i + 1]]`. Returns how many
pieces there are."""


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
            character = character_at(data, at)
            if classes[character >> 3] != kind:
                break
            at += character & 7
        most -= 1
    return at


@inner
def _contraction(data: Bytes, at: Scalar, fold: Scalar) -> Scalar:
    """The end of a contraction that begins with the apostrophe at `at`; `at` when there is
    none. With `fold`, the bit by which capitals differ, case does not count, and a long s (C5 BF)
    is an s; with 0 it is GPT-2's, in lower case only."""
    if at + 1 >= len(data):
        return at
    first = data[at + 1] | fold
    if (first == 0x73) | (first == 0x64) | (first == 0x6D) | (first == 0x74):
        return at + 2
    if at + 2 < len(data):
        pair = first << 8 | data[at + 2] | fold
        if (pair == 0x6C6C) | (pair == 0x7665) | (pair == 0x7265):
            return at + 3
        # C5 BF, with its bits folded and its bytes not.
        if (pair == 0xE5BF) & (data[at + 1] == 0xC5):
            return at + 3
    return at


@inner
def _space_end(data: Bytes, at: Scalar, limit: Scalar, lines: Scalar, classes: Bytes) -> Scalar:
    """Where a piece of white space ends: behind its last line feed if `lines` count, else before
    its last character, which goes with what follows; at the end of the text it is all of it."""
    space, newline = classes[0x20], classes[0x0A]
    last_line = previous = end = at
    while end < limit:
        character = character_at(data, end)
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
def _gpt2_end(data: Bytes, at: Scalar, classes: Bytes) -> Scalar:
    """Where the piece that begins at `at` ends by GPT-2's pattern."""
    limit = min(len(data), at + LONGEST_PIECE)
    space, newline = classes[0x20], classes[0x0A]
    character = character_at(data, at)
    begin, kind = at, classes[character >> 3]
    if character >> 3 == 0x27:
        end = _contraction(data, at, np.int64(0))
        if end > at:
            return end
    if character >> 3 == 0x20 and at + 1 < len(data):
        following = classes[character_at(data, at + 1) >> 3]
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
    character = character_at(data, at)
    code, after = character >> 3, at + (character & 7)
    kind = classes[code]
    if code == 0x27:
        end = _contraction(data, at, np.int64(0x20))
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


@compiled
def _cut_default(data: Bytes, bounds: Longs, stop: Scalar, classes: Bytes) -> Scalar:
    at, count = bounds[0], 0
    while at < stop and count + 1 < len(bounds):
        at = _piece_end(data, at, classes)
        count += 1
        bounds[count] = at
    return count


@compiled
def _cut_gpt2(data: Bytes, bounds: Longs, stop: Scalar, classes: Bytes) -> Scalar:
    at, count = bounds[0], 0
    while at < stop and count + 1 < len(bounds):
        at = _gpt2_end(data, at, classes)
        count += 1
        bounds[count] = at
    return count


CUTTERS: dict[str, Cutter] = {
    patterns.DEFAULT: _cut_default,
    patterns.LLAMA3: _cut_default,
    patterns.GPT2: _cut_gpt2,
}
"""The patterns that are cut by compiled code, each compiled when it is first used."""
