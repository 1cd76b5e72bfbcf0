"""Rows of JSON: a line each, or the elements of an array, or values one after the other.

Python's own decoder reads them, a value at a time, so that of an array of any length only what is
at hand is in memory. Numbers are never looked at: however many digits one has, it is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

LONGEST_ROW = 1 << 27
"""A row of more characters is an error: a few of them would not fit into memory."""

_DECODER = json.JSONDecoder(parse_int=float)
_SPACE = " \t\r\n"
# What a value that breaks off may lack for the decoder to see what it is: `\u00e`, `-Infinit`.
_BREAKS_OFF = 16
_SHOWN = 20


class NotJsonError(ValueError):
    """What cannot be read as JSON; says what is wrong with it, as `is no JSON: it breaks off`."""


def value(text: str) -> object:
    """The value of a JSON text.

    Raises:
        NotJsonError: it is none.
    """
    try:
        found, end = _decoded(text, _skip(text, 0))
        if _skip(text, end) < len(text):
            raise _WrongError(_skip(text, end))
    except _WrongError as wrong:
        where = f" from its character {wrong.place + 1:,} on"
        raise NotJsonError(wrong.told(text, where)) from None
    return found


def values(texts: Iterator[str], longest: int = LONGEST_ROW) -> Iterator[object]:
    """The elements of the array that is JSON text in parts, or, where it is none, the values that
    follow one another, each of at most about `longest` characters.

    Raises:
        NotJsonError: it is no JSON, or a value is too long.
    """
    buffer = _Buffer(texts, longest)
    array = buffer.peek() == "["
    if array:
        buffer.at += 1
    first = True
    while True:
        following = buffer.peek()
        if array and following == "]":
            buffer.at += 1
            if buffer.peek():
                raise NotJsonError("goes on behind the end of its array")
            return
        if not following:
            if array:
                raise NotJsonError("breaks off in the middle of its array")
            return
        if array and not first:
            if following != ",":
                raise NotJsonError(_WrongError(buffer.at).told(buffer.text))
            buffer.at += 1
            buffer.peek()
        yield buffer.value()
        first = False


class _Buffer:
    """JSON text that is read on as it is needed."""

    def __init__(self, texts: Iterator[str], longest: int) -> None:
        self.text, self.at = "", 0
        self._longest = longest
        self._texts = texts

    def peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            self.at = _skip(self.text, self.at)
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more(1):
                return ""

    def value(self) -> object:
        """The value that begins here."""
        while True:
            try:
                found, self.at = _decoded(self.text, self.at)
            except _WrongError as wrong:
                left = len(self.text) - self.at
                if left > self._longest:
                    message = f"has a row of more than {self._longest:,} characters"
                    raise NotJsonError(message) from None
                told = wrong.told(self.text)
                # Twice as much each time, so that a long value is not looked at too often.
                if not wrong.may_go_on(self.text) or not self._more(left):
                    raise NotJsonError(told) from None
            else:
                return found

    def _more(self, count: int) -> bool:
        """Read on, at least so many characters if there are any."""
        parts, read = [self.text[self.at :]], 0
        while read < count and (part := next(self._texts, "")):
            parts.append(part)
            read += len(part)
        self.text, self.at = "".join(parts), 0
        return read > 0


class _WrongError(Exception):
    """There is no value: what stands at `place` is wrong, or, `open`, a string has no end."""

    def __init__(self, place: int, *, is_open: bool = False) -> None:
        super().__init__(place)
        self.place = place
        self._open = is_open

    def may_go_on(self, text: str) -> bool:
        """Whether the text may only break off too early."""
        return self._open or self.place >= len(text) - _BREAKS_OFF

    def told(self, text: str, where: str = "") -> str:
        """What is wrong with the text."""
        if self._open or self.place >= len(text.rstrip()):
            return f"is no JSON: it breaks off{where}"
        shown = text[self.place : self.place + _SHOWN].split("\n")[0]
        return f"is no JSON{where}: {shown!r}"


def _decoded(text: str, start: int) -> tuple[object, int]:
    """The value that begins there, and where it ends."""
    try:
        return _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        is_open = error.msg.startswith("Unterminated string")
        raise _WrongError(error.pos, is_open=is_open) from None
    except RecursionError:
        raise NotJsonError("is nested too deeply to be read") from None


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at
