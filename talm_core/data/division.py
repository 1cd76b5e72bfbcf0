"""How much of each document is kept for validation.

Validation is near the share that was asked for, and from all over the text. Long documents give
their end, short ones are kept whole, evenly spread: a story that is torn in two says little about
how well a model writes stories, and a book of which nothing is left to train on none about books.
Of up to a hundred documents nearly every one is long.

Nothing here reads or loads anything. Sizes may be bytes or tokens.
"""

from __future__ import annotations

from typing import Protocol

VERSION = 2
"""How a new dataset is divided: as `Division` does. The first way was `LastDocuments`."""

MOST_BYTES = 400_000_000
"""Text kept for validation at most: about a hundred million tokens, more than any run looks at."""
MOST_TOKENS = 100_000_000
"""The same where a dataset is limited to some tokens."""

SHORT_BYTES = 2_000
SHORT_TOKENS = 500
"""Documents up to this size stay whole, where that leaves any for validation."""

TINY_BYTES = 200
"""Documents up to this size stay whole in any case, but for a single one."""

_FEW = 100
_LONG_SHARE = 10


class Rule(Protocol):
    """Says of one document after the other what validation has of it. Sizes are bytes of UTF-8, or
    characters where `in_characters` says so."""

    @property
    def in_characters(self) -> bool: ...

    def cut(self, size: int) -> int | None:
        """Where the part for validation begins in the next document, which is of this size: 0 for
        all of it, None for nothing."""


class Division:
    """The rule for new datasets: `fraction` of `documents` that have a `size` together."""

    in_characters = False

    def __init__(
        self,
        documents: int,
        size: int,
        fraction: float,
        *,
        short: int = SHORT_BYTES,
        tiny: int = TINY_BYTES,
    ) -> None:
        """Documents of up to `short` stay whole where that leaves any for validation, of up to
        `tiny` in any case, but for a single one."""
        self._fraction = fraction
        self._left = documents
        long = short if documents <= _FEW else max(short, fraction * size / _LONG_SHARE)
        self._longest_whole = max(min(long, fraction * size), tiny if documents > 1 else 0)
        # What validation should have of the documents so far, less what it has.
        self._owed = 0.0
        self._some = False

    def cut(self, size: int) -> int | None:
        """As `Rule`."""
        self._left -= 1
        self._owed += self._fraction * size
        kept = self._kept(size)
        self._owed -= kept
        self._some = self._some or kept > 0
        return size - kept if kept else None

    def _kept(self, size: int) -> int:
        if size > self._longest_whole and size > 1:
            return min(max(1, round(self._owed)), size - 1)
        last = not self._left and not self._some
        return size if last or self._owed >= size / 2 else 0


class LastDocuments:
    """The rule for datasets that were begun before there was `Division`: the last documents, or
    the end of a single one, which is measured in characters."""

    def __init__(self, documents: int, fraction: float) -> None:
        self._first = documents - min(max(1, round(documents * fraction)), documents - 1)
        self.in_characters = documents == 1
        self._fraction = fraction
        self._number = 0

    def cut(self, size: int) -> int | None:
        """As `Rule`."""
        if self.in_characters:
            return max(1, size - max(1, round(size * self._fraction)))
        self._number += 1
        return 0 if self._number > self._first else None


def share(size: int, fraction: float) -> float:
    """The share of so many bytes of text that is kept where `fraction` was asked for."""
    return min(fraction, MOST_BYTES / max(size, 1))


def expected_validation(
    tokens: float,
    text_bytes: float,
    *,
    hub: bool,
    val_fraction: float,
    val_tokens: int | None,
    shard_size: int,
) -> float:
    """How many of `tokens` tokens are going to be for validation. `text_bytes` is the text they
    stand for, `hub` whether it comes from the Hub; the others are settings of data preparation."""
    if val_tokens is not None:
        return min(val_tokens, tokens)
    if hub and tokens >= 2 * shard_size:
        return shard_size
    return tokens * share(round(text_bytes), val_fraction)
