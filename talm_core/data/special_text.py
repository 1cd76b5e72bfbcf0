"""Special tokens that are written out in a text, such as `<|endoftext|>` between two stories.

As text they are taken for what they are, some letters, and counted: who wrote them may have meant
them. As tokens they become what they mean.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

SpecialText = Literal["text", "tokens"]

Piece = tuple[bool, str | None, str]
"""Some text, whether it begins a document, and the special token before it, if there is one."""


class WrittenTokens:
    """Looks for special tokens in documents that come in parts; `counts` says how many of each it
    has seen."""

    def __init__(self, tokens: Sequence[str], mode: SpecialText) -> None:
        """The first of the tokens is the end-of-text token."""
        self.counts: Counter[str] = Counter()
        self._tokens = tuple(tokens)
        self._as_tokens = mode == "tokens"
        # The longest first: one may be the beginning of another.
        longest = sorted(map(re.escape, self._tokens), key=len, reverse=True)
        self._pattern = re.compile(f"({'|'.join(longest)})")
        self._most = max(map(len, self._tokens)) - 1
        self._rest = ""
        self._pending = False
        self._empty = True

    def feed(self, text: str, *, begins: bool) -> Iterator[Piece]:
        """The next part of a document as pieces, of which the first begins it if it does. What may
        be the beginning of a special token waits for the part that follows."""
        if not self._as_tokens:
            self._count("" if begins else self._rest, text)
            yield begins, None, text
            return
        if begins:
            self._rest, self._pending, self._empty = "", False, True
            yield True, None, ""
        text = self._rest + text
        stop = len(text) - self._open_end(text)
        self._rest = text[stop:]
        yield from self._split(text[:stop])

    def finish(self) -> Iterator[Piece]:
        """What is left of a document at its end."""
        rest, self._rest = self._rest, ""
        if self._as_tokens and rest:
            yield from self._split(rest)

    def _count(self, before: str, text: str) -> None:
        both = before + text
        for token in self._tokens:
            self.counts[token] += both.count(token) - before.count(token)
        self._rest = both[-self._most :]

    def _open_end(self, text: str) -> int:
        """How many of the last characters may begin a special token."""
        for length in range(min(self._most, len(text)), 0, -1):
            if any(token.startswith(text[-length:]) for token in self._tokens):
                return length
        return 0

    def _split(self, text: str) -> Iterator[Piece]:
        for number, piece in enumerate(self._pattern.split(text)):
            if number % 2 == 0:
                yield from self._flush(None, piece)
                continue
            self.counts[piece] += 1
            if piece == self._tokens[0]:
                # One at the beginning or the end of a document, or behind another, adds nothing.
                self._pending = not self._empty
            else:
                yield from self._flush(piece, "")

    def _flush(self, token: str | None, text: str) -> Iterator[Piece]:
        """A token or some text, behind an end of text that waits for one; white space that follows
        that only parted it from the next document."""
        if self._pending:
            text = text.lstrip()
            if token is None and not text:
                return
            self._pending = False
            yield False, self._tokens[0], ""
        if token or text:
            self._empty = self._empty and not token and not text.strip()
            yield False, token, text


def told(counts: Counter[str], mode: SpecialText) -> str:
    """How many special tokens a text has, and what became of them; empty if it has none."""
    named = ", ".join(f"{token} ({count:,})" for token, count in counts.items() if count)
    if not named:
        return ""
    if mode == "tokens":
        return f"special tokens written in the text were taken as tokens: {named}"
    return (
        f"special tokens written in the text were taken as ordinary text: {named};"
        " special_text = tokens makes tokens of them"
    )


def without_tokens(
    parts: Iterable[tuple[bool, str]], written: WrittenTokens
) -> Iterator[tuple[bool, str]]:
    """Text in parts to learn from: documents are cut where a special token was."""
    for begins, text in parts:
        if begins:
            yield from _learned(written.finish())
        yield from _learned(written.feed(text, begins=begins))
    yield from _learned(written.finish())


def _learned(pieces: Iterable[Piece]) -> Iterator[tuple[bool, str]]:
    return ((begins or token is not None, text) for begins, token, text in pieces)
