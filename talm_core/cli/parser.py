"""The words of a command as values of its flags, with everything that is wrong with them at once.

A parser of our own because every one that was tried stops at the first word it cannot read, takes a
text that begins with a dash for a flag, or costs more to import than what `talm list` does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from talm_core.cli.options import Flag, Given
from talm_core.errors import Problem, nearest

_LIKE_A_FLAG = re.compile(r"-{1,2}[A-Za-z][\w-]*(=.*)?", re.DOTALL)
_SWITCHED = {"true": True, "on": True, "yes": True, "1": True}
_SWITCHED |= {"false": False, "off": False, "no": False, "0": False}


def parse(words: Sequence[str], flags: tuple[Flag, ...]) -> Given:
    """What `words` say: `--flag value`, `--flag=value`, switches with their `--no-flag`, lists by
    repeating their flag or by several values after it, `--empty-flag` for an empty one, names in
    their order, and after `--` nothing but names."""
    reader = _Reader(words, flags)
    reader.read()
    return Given(reader.values, (*reader.problems, *reader.unknown), flags)


class _Reader:
    def __init__(self, words: Sequence[str], flags: tuple[Flag, ...]) -> None:
        self.values: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self.unknown: list[Problem] = []
        self._left = list(words)
        self._flags = flags
        self._free = [flag for flag in flags if flag.positional]
        self._named = {name: flag for flag in flags for name in (flag.long, *flag.names)}
        self._negated = {
            ("--no-" if flag.kind == "switch" else "--empty-") + flag.long[2:]: flag
            for flag in flags
            if flag.kind == "many" or (flag.kind == "switch" and flag.setting is not None)
        }

    def read(self) -> None:
        """Read every word."""
        only_names = False
        while self._left:
            word = self._left.pop(0)
            name, equals, value = word.partition("=")
            if word == "--" and not only_names:
                only_names = True
            elif only_names or not _LIKE_A_FLAG.fullmatch(word):
                self._name(word)
            elif name in self._named:
                self._flag(self._named[name], value if equals else None)
            elif word in self._negated:
                flag = self._negated[word]
                self._set(flag, False if flag.kind == "switch" else [])
            else:
                self._unknown(name, alone=bool(equals))

    def _name(self, word: str) -> None:
        free = next((flag for flag in self._free if flag.key not in self.values), None)
        if free is None:
            self.unknown.append(Problem("command line", "there is no place for this", word))
        else:
            self.values[free.key] = word

    def _flag(self, flag: Flag, value: str | None) -> None:
        if flag.kind == "switch":
            self._switch(flag, value)
        elif flag.kind == "many":
            found = [value] if value is not None else self._following()
            if found:
                self.values.setdefault(flag.key, []).extend(found)
            else:
                self.problems.append(Problem(flag.key, "needs a value after it"))
        elif value is not None:
            self._set(flag, value)
        elif self._left and not _LIKE_A_FLAG.fullmatch(self._left[0]) and self._left[0] != "--":
            self._set(flag, self._left.pop(0))
        else:
            hint = f"one that begins with a dash is given as {flag.long}=VALUE"
            hint = hint if self._left and self._left[0] not in self._named else ""
            self.problems.append(Problem(flag.key, "needs a value after it", hint=hint))

    def _switch(self, flag: Flag, value: str | None) -> None:
        if value is None:
            self._set(flag, True)
        elif value.lower() in _SWITCHED:
            self._set(flag, _SWITCHED[value.lower()])
        else:
            message = "is a switch and takes no value"
            self.problems.append(Problem(flag.key, message, f"{flag.long}={value}"))

    def _following(self) -> list[str]:
        found: list[str] = []
        while self._left and self._left[0] != "--" and not _LIKE_A_FLAG.fullmatch(self._left[0]):
            found.append(self._left.pop(0))
        return found

    def _set(self, flag: Flag, value: Any) -> None:
        if flag.key in self.values:
            self.problems.append(Problem(flag.key, "may be given once"))
        else:
            self.values[flag.key] = value

    def _unknown(self, name: str, *, alone: bool) -> None:
        known = [*self._named, *self._negated]
        hint = nearest(name, known)
        self.unknown.append(Problem(name, "there is no such flag", hint=hint))
        if not alone and self._left and not self._left[0].startswith("-"):
            # What follows is most likely its value.
            self._left.pop(0)
