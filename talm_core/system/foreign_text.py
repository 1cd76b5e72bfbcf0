"""Text from outside made safe to show: names, samples, messages and files of others are data."""

from __future__ import annotations

import re
import textwrap

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])"
)
# Control characters but tab and newline, marks that turn the reading direction, surrogates that
# no terminal can be sent, and line ends other than a newline.
_UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def plain(text: str) -> str:
    """Text from outside without anything that acts on a terminal; tabs and newlines stay."""
    return _UNSAFE.sub("", _ESCAPES.sub("", text))


def line(text: str) -> str:
    """`plain`, in one line: runs of white space become a single space."""
    return " ".join(plain(text).split())


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines of `width` characters at most, broken between words; at hyphens only what is
    longer than a line. Line breaks of its own stay."""
    found: list[str] = []
    for part in text.splitlines():
        found += textwrap.wrap(part, max(1, width), break_on_hyphens=False) or [""]
    return found
