"""Documents to token ids, on all cores, in order.

The work is done by threads: compiled encoding, and tiktoken until that is ready, let go of the
interpreter while they encode and hand ids over as an array, so that two threads encode as fast as
two processes would, without the time those take to start and without copying text to them. Results
come in the order of the documents whatever the number of threads.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field

import numpy as np

from talm_core.data.resume_state import Located
from talm_core.data.shards import Tokens, dtype_for
from talm_core.tokenizer.patterns import CUT, CUTTABLE
from talm_core.tokenizer.readiness import Readiness
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import Vocabulary

BATCH_CHARACTERS = 200_000
"""Text encoded in one go by one thread: some 20 ms of work."""

LONGEST_TEXT = 1 << 23
"""A text of so many characters in which the pattern tells no place to cut is cut all the same: at
the end of a line, if there is one."""

_BATCHES_AHEAD = 3
_WAIT_SECONDS = 0.05


@dataclass(slots=True)
class Batch:
    """Texts that are encoded together, each with the special token before it, if there is one.
    `places` are the file and row of each document that begins here, None for one that its text
    says begins; a text that does not begin its document goes on with that of the batch before."""

    texts: list[tuple[int | None, str]] = field(default_factory=list)
    places: list[tuple[int, int] | None] = field(default_factory=list)
    characters: int = 0

    def add(self, before: int | None, text: str) -> None:
        self.texts.append((before, text))
        # Empty-handed documents cost something, too.
        self.characters += len(text) + 20


@dataclass(frozen=True, slots=True)
class Encoded:
    """A batch's token ids. `places` are the batch's."""

    places: list[tuple[int, int] | None]
    tokens: Tokens


class Encoder:
    """Encodes text as the vocabulary says; special tokens in it are plain text."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.dtype = dtype_for(vocabulary.n_vocab)
        self._own = threading.local()
        self._end_of_text_id = vocabulary.end_of_text
        self._readiness = Readiness(vocabulary)
        self._cuttable = vocabulary.pattern in CUTTABLE

    @property
    def _tokenizer(self) -> Tokenizer:
        """This thread's own tokenizer. A regular expression keeps its working memory for the
        first thread that uses it; every other one would pay a third more for each piece."""
        tokenizer: Tokenizer | None = getattr(self._own, "tokenizer", None)
        if tokenizer is None:
            tokenizer = self._own.tokenizer = Tokenizer.from_vocabulary(self.vocabulary)
        return tokenizer

    def encode(self, batch: Batch) -> Encoded:
        """The batch's ids, an end-of-text token before each document's."""
        tokenizer = self._tokenizer
        if (fast := self._readiness.tokenizer(tokenizer)) is not None:
            before = [token for token, _ in batch.texts]
            ids = fast.ids([text for _, text in batch.texts], before)
            return Encoded(batch.places, ids.astype(self.dtype))
        parts: list[Tokens] = []
        for token, text in batch.texts:
            if token is not None:
                parts.append(np.array([token], self.dtype))
            parts.append(tokenizer.ids(text).astype(self.dtype))
        return Encoded(batch.places, np.concatenate(parts))

    def batches(self, documents: Iterable[Located | None]) -> Iterator[Batch | None]:
        """Documents grouped or cut into batches of about the same size. None, a moment of
        waiting, is passed on."""
        batch = Batch()
        for piece in self._pieces(documents):
            if piece is None:
                yield None
                continue
            document, before, text = piece
            batch.add(before, text)
            if before == self._end_of_text_id:
                place = (document.part, document.row)
                batch.places.append(place if document.begins else None)
            if batch.characters >= BATCH_CHARACTERS:
                yield batch
                batch = Batch()
        if batch.texts:
            yield batch

    def _pieces(
        self, documents: Iterable[Located | None]
    ) -> Iterator[tuple[Located, int | None, str] | None]:
        """Documents, long ones cut into texts, each with the special token before it. What is left
        of one waits until it is known whether it goes on."""
        current: Located | None = None
        before: int | None = None
        rest = ""
        for document in documents:
            if document is None:
                yield None
                continue
            token = self._end_of_text_id if document.begins else document.special
            if token is not None:
                if current is not None and (before is not None or rest):
                    yield current, before, rest
                current, before, rest = document, token, ""
            assert current is not None, "the first part begins a document"
            text, start = rest + document.text, 0
            while (stop := self._place_to_cut(text, start)) is not None:
                yield current, before, text[start:stop]
                before, start = None, stop
            rest = text[start:]
        if current is not None and (before is not None or rest):
            yield current, before, rest

    def _place_to_cut(self, text: str, start: int) -> int | None:
        """Where a text ends that begins at `start`; None: all of the rest is short enough, or
        what follows may tell."""
        left = len(text) - start
        if self._cuttable and left > 2 * BATCH_CHARACTERS:
            found = CUT.search(text, start + BATCH_CHARACTERS)
            if found is not None:
                return found.start()
        if left <= LONGEST_TEXT:
            return None
        line_end = text.rfind("\n", start + LONGEST_TEXT // 2, start + LONGEST_TEXT)
        return start + LONGEST_TEXT if line_end < 0 else line_end + 1

    def run(
        self, batches: Iterable[Batch | None], *, threads: int
    ) -> Generator[Encoded | None, None, None]:
        """Encode batches on this many threads, in order. None stands for a moment of waiting."""
        waiting: deque[Future[Encoded]] = deque()
        pool = ThreadPoolExecutor(threads, thread_name_prefix="encode")
        try:
            for batch in batches:
                if batch is not None:
                    self._readiness.advance(batch.characters, pool)
                    waiting.append(pool.submit(self.encode, batch))
                elif not waiting:
                    yield None
                # Only as much is ready or begun as keeps every thread busy.
                while waiting and (batch is None or len(waiting) >= _BATCHES_AHEAD * threads):
                    encoded = _result(waiting[0])
                    yield encoded
                    if encoded is not None:
                        waiting.popleft()
                    elif batch is None:
                        break
            while waiting:
                encoded = _result(waiting[0])
                yield encoded
                if encoded is not None:
                    waiting.popleft()
        finally:
            # What is being encoded now is short; nobody waits for it.
            pool.shutdown(wait=False, cancel_futures=True)
            self._readiness.close()


def _result(future: Future[Encoded]) -> Encoded | None:
    """What was encoded; None if that takes longer than a moment."""
    try:
        return future.result(_WAIT_SECONDS)
    except FutureTimeoutError:
        return None
