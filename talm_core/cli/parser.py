"""The words of a command as values of its flags, with everything that is wrong with them at once.

A parser of our own because every one that was tried stops at the first word it cannot read, takes a
text that begins with a dash for a flag, or costs more to import than what `talm list` does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from talm_core.cli.options import Flag, Given
from talm_core.errors import Problem, nearest

_LIKE_A_FLAG = re.compile(r"-{1,2}[A-Za-z][\w-]*(=.*)?", re.DOTALL)
# What flags are called in nanoGPT, transformers, llama.cpp and elsewhere.
_ELSEWHERE = {
    **dict.fromkeys(("steps", "iters", "max-iters", "num-steps", "n-steps"), "max-steps"),
    **dict.fromkeys(("block-size", "ctx", "ctx-size", "seq-len", "max-seq-len"), "context-len"),
    **dict.fromkeys(("dim", "d-model", "hidden-size", "width"), "n-embd"),
    **dict.fromkeys(("layers", "n-layers", "num-layers", "depth"), "n-layer"),
    **dict.fromkeys(("heads", "n-heads", "num-heads"), "n-head"),
    **dict.fromkeys(("bs", "batch"), "batch-size"),
    **dict.fromkeys(("gradient-accumulation-steps", "grad-accum"), "grad-accum-steps"),
    **dict.fromkeys(("lr", "rate"), "learning-rate"),
    **dict.fromkeys(("min-lr", "lr-min"), "min-learning-rate"),
    **dict.fromkeys(("warmup", "warmup-iters"), "warmup-steps"),
    **dict.fromkeys(("wd",), "weight-decay"),
    **dict.fromkeys(("eval-interval",), "eval-every"),
    **dict.fromkeys(("save-every", "save-interval", "save-steps"), "checkpoint-every"),
    **dict.fromkeys(("dtype",), "precision"),
    **dict.fromkeys(("data", "dataset"), "data-dir"),
    **dict.fromkeys(("tokenizer",), "tokenizer-path"),
    **dict.fromkeys(("temp",), "temperature"),
    **dict.fromkeys(("n-predict", "max-new-tokens", "num-tokens"), "max-tokens"),
    **dict.fromkeys(("out", "out-dir", "output-dir"), "output"),
    **dict.fromkeys(("quant", "quantization"), "outtype"),
    **dict.fromkeys(("input", "file", "files"), "text-file"),
    **dict.fromkeys(("name",), "model-name"),
}
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
        # First what is positional, then what a command adds, then what settings may be bare.
        free = [flag for flag in flags if flag.positional or flag.bare]
        self._free = sorted(free, key=lambda flag: (not flag.positional, flag.setting is not None))
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
        for flag in self._flags:
            if flag.is_text and flag.kind != "switch" and flag.key in self.values:
                self.problems += _not_text(flag.key, self.values[flag.key])

    def _name(self, word: str) -> None:
        free = next((flag for flag in self._free if self._has_room(flag)), None)
        if free is None:
            self.unknown.append(Problem("command line", "there is no place for this", word))
        elif free.kind == "many":
            self.values.setdefault(free.key, []).append(word)
        else:
            self._set(free, word)

    def _has_room(self, flag: Flag) -> bool:
        return flag.kind == "many" or flag.key not in self.values

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
        hint = self._meant(name) or nearest(name, [*self._named, *self._negated])
        self.unknown.append(Problem(name, "there is no such flag", hint=hint))
        if not alone and self._left and not self._left[0].startswith("-"):
            # What follows is most likely its value.
            self._left.pop(0)

    def _meant(self, name: str) -> str:
        """The flag that is called so elsewhere, or by its initials; empty: none is."""
        word = name.strip("-").replace("_", "-")
        usual = "--" + _ELSEWHERE.get(word, word)
        by_initials = [
            long
            for long in self._named
            if "".join(part[:1] for part in long[2:].split("-")) == word
        ]
        found = [long for long in (usual, *by_initials) if long in self._named]
        return f"did you mean {found[0]!r}?" if found and len(word) > 1 else ""


def _not_text(key: str, value: str | list[str]) -> Iterator[Problem]:
    """What of a text is none: Python has a surrogate for each byte it could not read."""
    for text in [value] if isinstance(value, str) else value:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            byte = os.fsencode(text[error.start : error.start + 1])[:1]
            place = len(os.fsencode(text[: error.start]))
            shown = os.fsencode(text).decode("utf-8", "replace")
            message = f"is not UTF-8: byte 0x{byte.hex()} at position {place}"
            yield Problem(key, message, shown, "convert it to UTF-8 first, with iconv for example")
