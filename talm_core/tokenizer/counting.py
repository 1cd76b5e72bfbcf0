"""Counting the pieces of a corpus, on all cores.

Text comes in parts, is cut where every pattern ends a piece, and counted by threads, each with a
table of its own: the compiled loop lets go of the interpreter, so that threads count as fast as
processes would, without the seconds those take to start and the copies of text they need. Every
piece remembers where it occurred first; the tables are joined in that order, which makes the
result that of one pass from the beginning to the end.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TypeVar

from talm_core.system.hardware import cores
from talm_core.tokenizer.merging import Pieces
from talm_core.tokenizer.patterns import CUT_BEHIND
from talm_core.tokenizer.pieces import FastCounter, RegexCounter, piece_counter

Part = tuple[bool, str]
"""Some text, and whether it begins a document or goes on with the part before."""

BATCH_CHARACTERS = 1 << 20
"""Text counted in one go by one thread: some 30 ms of work."""
LONGEST_TEXT = 1 << 21
"""A text of so many characters without a place to cut is cut all the same."""
MOST_THREADS = 8
"""Each has a table of all pieces it has seen: memory, for which ever fewer are new."""

_BATCHES_AHEAD = 2
_WAIT_SECONDS = 0.05
_PLACES = 1 << 40

T = TypeVar("T")


def count_pieces(
    parts: Iterable[Part],
    pattern: str,
    *,
    counted: Callable[[int], None] = lambda _: None,
    threads: int | None = None,
) -> Pieces:
    """Count the pieces of documents. `counted` is called with the bytes counted since the last
    time, many times a second, 0 for a moment of waiting; what it raises ends the counting.
    `threads` is one for each core by default.

    Raises:
        UnicodeEncodeError: a text has a lone surrogate.
    """
    counter = piece_counter(pattern)
    if not isinstance(counter, RegexCounter):
        pool = ThreadPoolExecutor(threads or min(cores(), MOST_THREADS), thread_name_prefix="count")
        try:
            return _count_fast(parts, pattern, pool, counted)
        finally:
            # What is being counted now is short; nobody waits for it.
            pool.shutdown(wait=False, cancel_futures=True)
    # An unknown pattern can be cut nowhere: document after document.
    for text in _whole(parts):
        for size in counter.add(text):
            counted(size)
    return counter.pieces()


def _whole(parts: Iterable[Part]) -> Iterator[str]:
    text: list[str] = []
    for begins, part in parts:
        if begins and text:
            yield "".join(text)
            text.clear()
        text.append(part)
    yield "".join(text)


def _count_fast(
    parts: Iterable[Part],
    pattern: str,
    pool: ThreadPoolExecutor,
    counted: Callable[[int], None],
) -> Pieces:
    own = threading.local()
    counters: list[FastCounter] = []

    def count(number: int, texts: list[str]) -> int:
        # A thread takes batches in their order, so that places in its table only grow.
        if not hasattr(own, "counter"):
            own.counter = FastCounter(pattern)
            counters.append(own.counter)
        size, place = 0, number * _PLACES
        for text in texts:
            size += sum(own.counter.add(text, place=place + size))
        return size

    waiting: deque[Future[int]] = deque()
    for number, batch in enumerate(_batches(_cut(parts))):
        waiting.append(pool.submit(count, number, batch))
        counted(0)  # many are read before the first is waited for
        while len(waiting) > _BATCHES_AHEAD * pool._max_workers:  # noqa: SLF001
            counted(_result(waiting[0], counted))
            waiting.popleft()
    for future in waiting:
        counted(_result(future, counted))
    counters = counters or [FastCounter(pattern)]
    joined = pool.submit(lambda: FastCounter.joined(counters).pieces())
    return _result(joined, counted)


def _result(future: Future[T], counted: Callable[[int], None]) -> T:
    """What was done; every moment of waiting for it is told as nothing counted."""
    while True:
        try:
            future.exception(_WAIT_SECONDS)
        except FutureTimeoutError:
            counted(0)
        else:
            return future.result()


def _cut(parts: Iterable[Part]) -> Iterator[str]:
    """Texts of about the size of a batch or less, none across two documents."""
    rest = ""
    for begins, part in parts:
        if begins and rest:
            yield rest
            rest = ""
        text, start = rest + part, 0
        while len(text) - start > BATCH_CHARACTERS:
            found = CUT_BEHIND.search(text, start + BATCH_CHARACTERS, start + LONGEST_TEXT)
            if found is None and len(text) - start < LONGEST_TEXT:
                break
            stop = start + LONGEST_TEXT if found is None else found.end()
            yield text[start:stop]
            start = stop
        rest = text[start:]
    if rest:
        yield rest


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        # Each costs something, however short.
        size += len(text) + 20
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
