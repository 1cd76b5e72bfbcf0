"""Splitting text by any pattern, where tiktoken would.

tiktoken gives ids and not the pieces, so pieces are found by the library `regex`. Its edition of
Unicode is another: a character that is a letter to one may be none to the other. Such characters
are exchanged, in a copy of the text, for one that both take for what tiktoken says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import regex

from talm_core.tokenizer.characters import Members

# Classes whose members depend on the edition of Unicode.
_CLASS = re.compile(r"\\(?:[pP](?:\{[^}]*\}|\w)|[wWdDsS])")
_WORD = re.compile(r"\\[bB]")
# To tiktoken these hold ASCII alone, to `regex` all of Unicode.
_POSIX = re.compile(r"\[:\^?[a-z]+:\]")

# U+FDD0 is no character in any edition. Those before U+3000 are of every kind, and old.
_STABLE = "".join(map(chr, (0xFDD0, *range(0x80, 0x3000))))

Kind = tuple[bool, ...]


class Splitter:
    """Splits by one pattern."""

    def __init__(self, pattern: str) -> None:
        """Raises:
        regex.error: the pattern is none, or only in tiktoken's dialect.
        """
        self._pattern = regex.compile(_POSIX.sub(_ascii, pattern))
        classes = {match[0] for match in _CLASS.finditer(pattern)}
        if _WORD.search(pattern):
            classes.add(r"\w")
        self._classes = [_class(name) for name in sorted(classes)]
        self._known: set[str] = set()
        self._exchanged: dict[str, str] = {}
        self._stable: dict[Kind, str] = {}

    def pieces(self, text: str, *, timeout: float | None = None) -> Iterator[str]:
        """The pieces of a text, in its order. What no piece takes in is left out.

        Raises:
            TimeoutError: it has taken more than `timeout` seconds.
        """
        seen = text if text.isascii() else self._seen(text)
        for match in self._pattern.finditer(seen, timeout=timeout):
            yield text[match.start() : match.end()]

    def _seen(self, text: str) -> str:
        """The text as it is shown to `regex`, of the same length."""
        characters = set(text)
        if new := characters - self._known:
            if not self._stable:
                for character, kind in self._kinds(_STABLE):
                    self._stable.setdefault(kind, character)
            for character, kind in self._kinds("".join(sorted(new)), alike=False):
                self._exchanged[character] = self._stable.get(kind, character)
            self._known |= new
        strange = characters & self._exchanged.keys()
        return text.translate({ord(c): self._exchanged[c] for c in strange}) if strange else text

    def _kinds(self, text: str, *, alike: bool = True) -> Iterator[tuple[str, Kind]]:
        """To which classes tiktoken counts each character on which the two agree, or of which
        they do not."""
        members = [found.members(text) for found in self._classes]
        for character in text:
            kind = tuple(character in ours for ours, _ in members)
            if alike == (kind == tuple(character in theirs for _, theirs in members)):
                yield character, kind


@cache
def splitter(pattern: str) -> Splitter:
    """The splitter of a pattern, which remembers what it has found out about characters. Raises as
    `Splitter` does."""
    return Splitter(pattern)


class _Class:
    """A class of characters, such as `\\p{L}`."""

    def __init__(self, name: str) -> None:
        self._regex = regex.compile(name)
        try:
            self._tiktoken = Members(name)
        except ValueError:
            # tiktoken does not know it, and will say so of the whole pattern when it encodes.
            self._tiktoken = Members(r"\z.")

    def members(self, text: str) -> tuple[set[str], set[str]]:
        """What of a text belongs to it for tiktoken, and what for `regex`."""
        return set(self._tiktoken.of(text)), set(self._regex.findall(text))


@cache
def _class(name: str) -> _Class:
    return _Class(name)


def _ascii(posix: re.Match[str]) -> str:
    """The members of a class such as `[:alpha:]`, to stand between brackets."""
    members = Members(f"[{posix[0]}]").of("".join(map(chr, range(0x81))))
    everything_else = "\\x80-\\U0010ffff" if "\x80" in members else ""
    return "".join(f"\\x{ord(c):02x}" for c in members if c < "\x80") + everything_else
