"""Byte-pair merging over distinct pieces: the order of merges tokencoder gives, incrementally.

The rule: merge the pair that occurs most often; among equals, the one whose first occurrence
comes first in the corpus as it is tokenized now. Pieces are laid end to end in the order of their
first occurrence in the corpus, so that a pair's first occurrence in this text stands for its
first occurrence in the corpus, and each counts as often as its piece occurs.

Every pair has the list of its occurrences in ascending order. A merge walks one list and touches
nothing else. Old pairs only ever lose occurrences, so what a heap entry says about its pair can
only be too good: the entry on top is compared with the pair as it is, and put back if it has
become worse. Lost occurrences are recognised by looking at the text, when their turn comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from talm_core.tokenizer.jit import Scalar, compiled, inner
from talm_core.tokenizer.ranks import Merge

# What lies together is read together: a position of the text is a token, its length in bytes
# (at its first and its last byte) and the number of its piece; a pair is both its ids in one
# number, its first and last entry in the list of occurrences, and how often it occurs.
TOKEN, SPAN, OWNER = range(3)
KEY, FIRST, LAST, COUNT = range(4)

# Places in the state array.
MERGED, CURSOR, FIRST_NEW, PAIRS, ENTRIES, FREE, HEAP, SCANNED, JOINED, UNSEATED = range(10)

# What `advance` returns.
DONE, MORE, GROW = range(3)

_NONE = -1
_UNKNOWN = -2
_DEAD = -2  # the token of a position inside a longer token
_PIECES = 1_000  # how many are laid at once: of up to 16 KiB each

A = TypeVar("A", bound=np.generic)
Bytes = npt.NDArray[np.uint8]
Shorts = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pieces:
    """Distinct pieces in the order of their first occurrence.

    `data` is their bytes end to end (uint8), `lengths` int32 and `counts` int64 one value each.
    """

    data: Bytes
    lengths: Shorts
    counts: Longs


class Merger:
    """Learns merges from pieces, a slice of work at a time."""

    def __init__(
        self, pieces: Pieces, merges: int, *, room: int = 1 << 15, work: int = 200_000
    ) -> None:
        """Make ready for at most `merges` merges. Memory: about 30 bytes a byte of `pieces`.

        `room`, a power of two, is for how many pairs there is room before arrays grow; `work` is
        how many occurrences a slice looks at: so many take some hundredths of a second.
        """
        size = len(pieces.data)
        assert size < 2**31 - 2, "positions are 32-bit"
        self._pieces = pieces
        # One position more on each side, of no piece, so that a neighbour can always be asked.
        self._text = np.zeros((size + 2, 3), np.int32)
        self._text[[0, -1]] = _NONE, 1, _NONE
        self._counts = np.ascontiguousarray(pieces.counts, np.int64)
        self._bytes = int(np.dot(pieces.lengths.astype(np.int64), self._counts))
        self._state = np.zeros(10, np.int64)
        self._state[[CURSOR, FREE]] = _NONE
        self._state[SCANNED] = 1
        self._results = np.zeros((max(merges, 1), 2), np.int64)
        self._goal = merges
        self._work = work
        self._pairs = np.zeros((room, 4), np.int64)
        self._slots = np.full(2 * room, _NONE, np.int32)
        # A position begins one pair, and each merge takes one occurrence and gives two at most, of
        # which there are as many as positions. Memory is taken when it is first written.
        self._entries = np.zeros((2 * size + 2, 2), np.int32)
        self._heap = np.zeros((room, 3), np.int64)

    def run(self) -> Iterator[list[Merge]]:
        """Merge until there are as many as wanted, or no pair is left. Yields what is new after
        every slice of some hundredths of a second; the list may be empty."""
        for _ in self._lay():
            yield []
        seen = 0
        status = MORE
        while status != DONE:
            status = advance(
                self._text,
                self._counts,
                self._pairs,
                self._slots,
                self._entries,
                self._heap,
                self._results,
                self._state,
                self._goal,
                self._work,
            )
            if status == GROW:
                self._grow_pairs()
            merged = int(self._state[MERGED])
            new = self._results[seen:merged].tolist()
            yield [Merge(key >> 32, key & 0xFFFFFFFF, count) for key, count in new]
            seen = merged

    @property
    def tokens(self) -> int:
        """How many tokens the corpus has as it is tokenized now."""
        return self._bytes - int(self._state[JOINED])

    def _lay(self) -> Iterator[int]:
        """Lay the pieces end to end, a slice at a time."""
        data, lengths = self._pieces.data, self._pieces.lengths
        at = 0
        ends = np.cumsum(lengths, dtype=np.int64)
        for part in range(0, len(lengths), _PIECES):
            count = lengths[part : part + _PIECES]
            end = int(ends[part + len(count) - 1])
            rows = self._text[at + 1 : end + 1]
            rows[:, TOKEN] = data[at:end]
            rows[:, SPAN] = 1
            rows[:, OWNER] = np.repeat(np.arange(part, part + len(count), dtype=np.int32), count)
            at = end
            yield at

    def _grow_pairs(self) -> None:
        self._pairs = _longer(self._pairs)
        self._heap = _longer(self._heap)
        self._slots = np.full(2 * len(self._slots), _NONE, np.int32)
        self._state[UNSEATED] = self._state[PAIRS]


def _longer(array: npt.NDArray[A]) -> npt.NDArray[A]:
    return np.concatenate([array, np.zeros_like(array)])


@inner
def _slot(key: Scalar, pairs: Longs, slots: Shorts) -> Scalar:
    """The slot of a pair, or the empty one where it belongs."""
    mask = len(slots) - 1
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    slot = np.int64(mixed ^ (mixed >> np.uint64(32))) & mask
    while slots[slot] != -1 and pairs[slots[slot], KEY] != key:
        slot = (slot + 1) & mask
    return slot


@inner
def _seat(pairs: Longs, slots: Shorts, state: Longs) -> None:
    """Put the pairs into slots that were emptied."""
    for pair in range(state[UNSEATED]):
        slots[_slot(pairs[pair, KEY], pairs, slots)] = pair
    state[UNSEATED] = 0


@inner
def _add(
    key: Scalar,
    position: Scalar,
    weight: Scalar,
    pairs: Longs,
    slots: Shorts,
    entries: Shorts,
    state: Longs,
) -> None:
    """One more occurrence, behind all others of its pair."""
    entry = state[FREE]
    if entry == -1:
        entry = state[ENTRIES]
        state[ENTRIES] += 1
    else:
        state[FREE] = entries[entry, 1]
    entries[entry, 0] = position
    entries[entry, 1] = -1
    slot = _slot(key, pairs, slots)
    pair = slots[slot]
    if pair == -1:
        pair = state[PAIRS]
        state[PAIRS] += 1
        slots[slot] = pair
        pairs[pair, KEY] = key
        pairs[pair, FIRST] = entry
        pairs[pair, COUNT] = weight
    else:
        entries[pairs[pair, LAST], 1] = entry
        pairs[pair, COUNT] += weight
    pairs[pair, LAST] = entry


@inner
def _before(heap: Longs, a: Scalar, b: Scalar) -> Scalar:
    """Whether entry a of the heap is to be merged before entry b."""
    if heap[a, 0] == heap[b, 0]:
        return heap[a, 1] < heap[b, 1]
    return heap[a, 0] > heap[b, 0]


@inner
def _swap(heap: Longs, a: Scalar, b: Scalar) -> None:
    for column in range(3):
        spare = heap[a, column]
        heap[a, column] = heap[b, column]
        heap[b, column] = spare


@inner
def _sink(heap: Longs, size: Scalar) -> None:
    """Put the entry on top where it belongs."""
    at = np.int64(0)
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _before(heap, child + 1, child):
            child += 1
        if not _before(heap, child, at):
            return
        _swap(heap, at, child)
        at = child


@inner
def _push_new(pairs: Longs, entries: Shorts, heap: Longs, state: Longs) -> None:
    """Put the pairs made since FIRST_NEW on the heap, those that have lost all occurrences
    already left out."""
    for pair in range(state[FIRST_NEW], state[PAIRS]):
        if pairs[pair, COUNT] == 0:
            continue
        at = state[HEAP]
        state[HEAP] += 1
        heap[at, 0] = pairs[pair, COUNT]
        # It may be an occurrence that is lost: too good, as a heap entry is allowed to be.
        heap[at, 1] = entries[pairs[pair, FIRST], 0]
        heap[at, 2] = pair
        while at > 0 and _before(heap, at, (at - 1) // 2):
            _swap(heap, at, (at - 1) // 2)
            at = (at - 1) // 2
    state[FIRST_NEW] = state[PAIRS]


@inner
def _holds(key: Scalar, position: Scalar, text: Shorts) -> Scalar:
    """Whether the pair still stands at a position where it once stood."""
    if text[position, TOKEN] != key >> 32:
        return False
    follower = position + text[position, SPAN]
    if text[follower, OWNER] != text[position, OWNER]:
        return False
    return text[follower, TOKEN] == key & 0xFFFFFFFF


@inner
def _best(
    text: Shorts, pairs: Longs, entries: Shorts, heap: Longs, state: Longs, work: Scalar
) -> Scalar:
    """The pair to merge next, taken off the heap; _NONE when none is left, _UNKNOWN when `work`
    occurrences were looked at without an answer."""
    while state[HEAP] > 0:
        pair = heap[0, 2]
        count = pairs[pair, COUNT]
        if count > 0:
            key = pairs[pair, KEY]
            entry = pairs[pair, FIRST]
            while work > 0 and not _holds(key, np.int64(entries[entry, 0]), text):
                following = np.int64(entries[entry, 1])
                entries[entry, 1] = state[FREE]
                state[FREE] = entry
                entry = following
                work -= 1
            pairs[pair, FIRST] = entry
            if work <= 0:
                return _UNKNOWN
            work -= 1
            position = entries[entry, 0]
            if heap[0, 0] != count or heap[0, 1] != position:
                heap[0, 0] = count
                heap[0, 1] = position
                _sink(heap, state[HEAP])
                continue
        state[HEAP] -= 1
        top = np.int64(0)
        _swap(heap, top, state[HEAP])
        _sink(heap, state[HEAP])
        if count > 0:
            return pair
    return _NONE


@inner
def _join(
    key: Scalar,
    at: Scalar,
    new: Scalar,
    text: Shorts,
    counts: Longs,
    pairs: Longs,
    slots: Shorts,
    entries: Shorts,
    state: Longs,
) -> None:
    """Make one token of the pair that stands at `at`; its neighbours lose a pair and gain one."""
    owner = text[at, OWNER]
    weight = counts[owner]
    middle = at + text[at, SPAN]
    after = middle + text[middle, SPAN]
    before = at - text[at - 1, SPAN]
    state[JOINED] += weight
    text[middle, TOKEN] = _DEAD
    text[at, TOKEN] = new
    text[at, SPAN] = after - at
    text[after - 1, SPAN] = after - at
    if text[before, OWNER] == owner:
        neighbour = np.int64(text[before, TOKEN])
        lost = slots[_slot(neighbour << 32 | key >> 32, pairs, slots)]
        pairs[lost, COUNT] -= weight
        _add(neighbour << 32 | new, before, weight, pairs, slots, entries, state)
    if text[after, OWNER] == owner:
        neighbour = np.int64(text[after, TOKEN])
        lost = slots[_slot((key & 0xFFFFFFFF) << 32 | neighbour, pairs, slots)]
        pairs[lost, COUNT] -= weight
        _add(new << 32 | neighbour, at, weight, pairs, slots, entries, state)


@compiled
def advance(
    text: Shorts,
    counts: Longs,
    pairs: Longs,
    slots: Shorts,
    entries: Shorts,
    heap: Longs,
    results: Longs,
    state: Longs,
    goal: Scalar,
    work: Scalar,
) -> Scalar:
    """Count pairs, then merge, until done, until `work` occurrences were looked at, or until
    there is no room for new pairs. State is complete at every return: call again to go on."""
    _seat(pairs, slots, state)
    while True:
        # One occurrence can add two pairs.
        if state[PAIRS] + 2 > len(pairs):
            return GROW
        if work <= 0:
            return MORE
        work -= 1
        if state[SCANNED] < len(text) - 2:
            at = state[SCANNED]
            state[SCANNED] += 1
            if text[at + 1, OWNER] == text[at, OWNER]:
                key = np.int64(text[at, TOKEN]) << 32 | text[at + 1, TOKEN]
                _add(key, at, counts[text[at, OWNER]], pairs, slots, entries, state)
            continue
        if state[CURSOR] == -1:
            _push_new(pairs, entries, heap, state)
            if state[MERGED] == goal:
                return DONE
            pair = _best(text, pairs, entries, heap, state, work + 1)
            if pair == _UNKNOWN:
                return MORE
            if pair == _NONE:
                return DONE
            results[state[MERGED], 0] = pairs[pair, KEY]
            results[state[MERGED], 1] = pairs[pair, COUNT]
            state[CURSOR] = pairs[pair, FIRST]
        key = results[state[MERGED], 0]
        entry = state[CURSOR]
        position = np.int64(entries[entry, 0])
        state[CURSOR] = entries[entry, 1]
        entries[entry, 1] = state[FREE]
        state[FREE] = entry
        if _holds(key, position, text):
            new = 256 + state[MERGED]
            _join(key, position, new, text, counts, pairs, slots, entries, state)
        if state[CURSOR] == -1:
            state[MERGED] += 1
