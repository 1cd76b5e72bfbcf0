"""The text of documents in parts, and what of it comes before and behind a cut.

A place in a document is counted in bytes of UTF-8 or in characters, as the rule that divides says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from talm_core.data.division import Rule


@dataclass(frozen=True, slots=True)
class Part:
    """Some text of a document: the number of that, whether it begins it or goes on with the part
    before, and whether it is for validation."""

    number: int
    begins: bool
    text: str
    held_out: bool = False


def byte_length(text: str) -> int:
    """How many bytes a text is in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def length(text: str, rule: Rule | None) -> int:
    """How long a text is as a rule counts; without one, in bytes."""
    return len(text) if rule is not None and rule.in_characters else byte_length(text)


def cut_at(text: str, at: int, rule: Rule | None) -> tuple[str, str]:
    """A text before and behind a place; a character that it falls into comes before."""
    if rule is not None and rule.in_characters:
        return text[:at], text[at:]
    data = text.encode()
    while at < len(data) and data[at] & 0xC0 == 0x80:
        at += 1
    return data[:at].decode(), data[at:].decode()


def both_sides(
    texts: Iterable[str], cut: int | None, rule: Rule | None
) -> Iterator[tuple[bool, str]]:
    """The text of a document in parts, each with whether it comes behind a cut. A character that
    the cut falls into comes before it; no cut is one behind everything."""
    place = 0
    for text in texts:
        size = length(text, rule)
        if cut is None or place + size <= cut:
            yield False, text
        elif place >= cut:
            yield True, text
        else:
            before, behind = cut_at(text, cut - place, rule)
            yield False, before
            if behind:
                yield True, behind
        place += size


def one_side(number: int, sides: Iterable[tuple[bool, str]], wanted: bool | None) -> Iterator[Part]:
    """A document's parts on one side, or on both; the first on each begins it."""
    begun = {False: False, True: False}
    for held_out, text in sides:
        if wanted is None or held_out is wanted:
            yield Part(number, not begun[held_out], text, held_out)
            begun[held_out] = True
        elif wanted:
            yield Part(number, False, "", True)
        else:
            return
