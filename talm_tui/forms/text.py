"""Values of settings as text somebody edits, and back.

A field holds text; a config holds values. Numbers may be written with thousands separators or a
suffix (`10k`, `2M`, `0.5G`). A setting of several values is written as words; a word with spaces
is quoted, `\\n`, `\\t`, `\\"`, `\\'` and `\\\\` mean in quotes what they mean in Python. Empty text
is none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from talm_core.settings.schema import Declared

_SUFFIXES = {"k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12}
_NUMBER = re.compile(r"([+-]?[0-9.,_]+(?:e[+-]?[0-9]+)?)\s*([kmgbt]?)", re.IGNORECASE)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_SHOWN = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"'}
_SEPARATED_FROM = 10_000


class TextError(ValueError):
    """Text that cannot be read; the message says why."""


def show(item: Declared, value: Any) -> str:
    """The text of a value; none is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= _SEPARATED_FROM else str(value)
    if isinstance(value, float):
        return show_float(value)
    if isinstance(value, tuple | list):
        return join(value, plain=item.setting.picks == "paths")
    return str(value)


def show_float(value: float) -> str:
    """The shortest text that is read back as the same float, without what says nothing."""
    text = repr(value)
    mantissa, _, exponent = text.partition("e")
    mantissa = mantissa.removesuffix(".0")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def parse(item: Declared, text: str) -> Any:
    """The value of a text. What is no number is given back as text, for `build` to refuse in
    the same words as everywhere.

    Raises:
        TextError: a quote that is not closed.
    """
    kind = item.base_type
    if kind is tuple:
        return tuple(split(text, paths=item.setting.picks == "paths"))
    if _is_prose(item):
        return text
    stripped = text.strip()
    if not stripped or (item.optional and stripped.lower() == "none"):
        return None
    if kind in (int, float):
        return _number(stripped, whole=kind is int)
    if kind is bool:
        return {"yes": True, "no": False}.get(stripped.lower(), stripped)
    return stripped


def _is_prose(item: Declared) -> bool:
    """Whether spaces around the text count: a prompt, but no name and no path."""
    given = item.required or item.optional or item.choices
    return item.base_type is str and item.setting.picks == "text" and not given


def _number(text: str, *, whole: bool) -> int | float | str:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    digits, suffix = match.groups()
    try:
        number = Decimal(digits.replace(",", "").replace("_", ""))
    except InvalidOperation:
        return text
    if number and abs(number.adjusted()) > 400:
        return text  # beyond any float; as an int it could fill the memory
    number *= _SUFFIXES.get(suffix.lower(), 1)
    if whole:
        return int(number) if number == number.to_integral_value() else text
    return float(number) if math.isfinite(float(number)) else text


def join(words: Iterable[str], *, plain: bool = False) -> str:
    """The words as text `split` reads back. `plain` leaves backslashes alone: paths."""
    return " ".join(_quoted(word, plain=plain) for word in words)


def _quoted(word: str, *, plain: bool) -> str:
    if word and not re.search(r"[\s\"'\\]", word):
        return word
    if plain and "\\" not in word and "\n" not in word:
        for quote in ('"', "'"):
            if quote not in word:
                return f"{quote}{word}{quote}"
    return '"' + "".join(_SHOWN.get(char, char) for char in word) + '"'


def split(text: str, *, paths: bool = False) -> list[str]:
    """The words of a text. With `paths`, a text that is an existing path is that one path,
    whatever spaces it has.

    Raises:
        TextError: a quote that is not closed.
    """
    if paths and " " in text.strip() and _exists(text.strip()):
        return [text.strip()]
    words: list[str] = []
    word: list[str] | None = None
    quote = ""
    chars = iter(text)
    for char in chars:
        if char == "\\" and quote:
            following = next(chars, "")
            assert word is not None
            word.append(_ESCAPES.get(following, following))
        elif quote:
            assert word is not None
            if char == quote:
                quote = ""
            else:
                word.append(char)
        elif char in "\"'":
            quote, word = char, word or []
        elif char.isspace():
            if word is not None:
                words.append("".join(word))
            word = None
        else:
            word = word or []
            word.append(char)
    if quote:
        raise TextError(f"the quote {quote} is not closed")
    if word is not None:
        words.append("".join(word))
    return words


def _exists(text: str) -> bool:
    try:
        return Path(text).expanduser().exists()
    except (OSError, RuntimeError, ValueError):
        return False
