"""The documents of a job as tokens, and what is to be said of that."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator

from talm_core.data import special_text
from talm_core.data.encoding import Encoded, Encoder
from talm_core.data.resume_state import Located
from talm_core.data.special_text import Piece, SpecialText, WrittenTokens
from talm_core.data.tokenizer_coverage import Coverage
from talm_core.runtime.events import Event, Notice
from talm_core.tokenizer.vocabulary import Vocabulary


class TokenReader:
    """Encodes documents, with special tokens that are written out in them taken as they should be,
    and keeps count of those and of what the tokenizer leaves out."""

    def __init__(self, vocabulary: Vocabulary, mode: SpecialText, *, threads: int) -> None:
        """`threads` is how many encode at the same time."""
        self._encoder = Encoder(vocabulary)
        self._coverage = Coverage(vocabulary)
        self._ids = vocabulary.special_tokens
        end = vocabulary.end_of_text
        # The end-of-text token comes first.
        names = sorted(self._ids, key=lambda name: (self._ids[name] != end, name))
        self._written = WrittenTokens(names, mode)
        self._mode = mode
        self._threads = threads

    def encoded(self, documents: Iterable[Located | None]) -> Generator[Encoded | None, None, None]:
        """The documents in batches of tokens, in order. None, a moment of waiting, is passed on.

        Raises:
            RunError: the tokenizer's regular expression cannot split a text.
        """
        pieces = self._pieces(self._coverage.over(documents))
        return self._encoder.run(self._encoder.batches(pieces), threads=self._threads)

    def report(self, report: Callable[[Event], None], *, complete: bool = False) -> None:
        """Say what is to be said now; once all is read, which special tokens it had, too."""
        self._coverage.report(report, complete=complete)
        if complete and (told := special_text.told(self._written.counts, self._mode)):
            report(Notice(message=told))

    def _pieces(self, documents: Iterable[Located | None]) -> Iterator[Located | None]:
        before = None
        for document in documents:
            if document is None:
                yield None
                continue
            if document.begins and before is not None:
                yield from self._located(before, self._written.finish())
            found = self._written.feed(document.text, begins=document.begins)
            yield from self._located(document, found)
            before = document
        if before is not None:
            yield from self._located(before, self._written.finish())

    def _located(self, document: Located, pieces: Iterable[Piece]) -> Iterator[Located]:
        for begins, token, text in pieces:
            special = None if token is None else self._ids[token]
            yield Located(document.part, document.row, text, begins, special)
