"""Whether a tokenizer's regular expression takes in all of the text, here and elsewhere.

Between the pieces that an expression such as `\\w+` finds, text falls through: no token stands for
it, and nobody notices until a model writes without spaces. talm's own patterns match every
character; of another the first text tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from talm_core.data.local.parts import byte_length
from talm_core.data.resume_state import Located
from talm_core.runtime.events import Event, Notice
from talm_core.tokenizer.hf import other_ids
from talm_core.tokenizer.patterns import CUTTABLE
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import Vocabulary

LOOKED_AT = 1_000_000
"""Characters of text from which it is judged."""


class Coverage:
    """How many bytes of the first documents no token stands for."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.text_bytes = self.lost = 0
        self._left = 0 if vocabulary.pattern in CUTTABLE else LOOKED_AT
        self._tokenizer = Tokenizer.from_vocabulary(vocabulary) if self._left else None
        self._told = False
        self._elsewhere = other_ids(vocabulary)

    def over(self, documents: Iterable[Located | None]) -> Iterator[Located | None]:
        """The documents as they are, looked at on the way until enough is seen.

        Raises:
            RunError: the tokenizer's regular expression cannot split a text.
        """
        for document in documents:
            if document is not None and self._left:
                self._look_at(document.text[: self._left])
            yield document

    def _look_at(self, text: str) -> None:
        assert self._tokenizer is not None
        size = byte_length(text)
        self._left -= len(text)
        self.text_bytes += size
        self.lost += size - int(self._tokenizer.lengths[self._tokenizer.ids(text)].sum())

    def report(self, report: Callable[[Event], None], *, complete: bool = False) -> None:
        """Warn, once, of a tokenizer that gives other ids elsewhere, and when enough was seen, or
        all there is, and some of it is lost."""
        if self._elsewhere:
            report(Notice(message=self._elsewhere, level="warning"))
            self._elsewhere = ""
        if self.lost and not self._told and (complete or not self._left):
            self._told = True
            share = f"{self.lost / self.text_bytes:.1%}"
            what = f"{self.lost:,} of the first {self.text_bytes:,} bytes become no token"
            message = (
                f"the tokenizer's regular expression leaves out {share} of the text: {what};"
                " choose a tokenizer whose expression matches every character"
            )
            report(Notice(message=message, level="warning"))
