"""What the values of a form amount to: sizes, memory, time, disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from talm_tui.widgets.format import count, size

UNKNOWN = "not known until it starts and asks the Hub"


@dataclass(frozen=True)
class Part:
    """A part of a bar: what it is and how much of it."""

    name: str
    amount: float


@dataclass(frozen=True)
class Row:
    """A line: what, how much, and the two in a few words (empty: not worth a word)."""

    name: str
    value: str
    brief: str = ""


@dataclass(frozen=True)
class Meaning:
    """Lines, a bar of memory by part against what there is, and what is worrying about it."""

    rows: tuple[Row, ...] = ()
    bar: tuple[Part, ...] = ()
    total: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def brief(self) -> str:
        """The same in one line, the worst first."""
        warnings = [f"! {warning}" for warning in self.warnings]
        return " · ".join([*warnings, *(row.brief for row in self.rows if row.brief)])


def amount(text_bytes: int, documents: int | None) -> str:
    """How much text that is."""
    if documents is None:
        return f"about {size(text_bytes)}"
    return f"{size(text_bytes)}, {count(documents)} {'document' if documents == 1 else 'documents'}"


def unnamed(values: Mapping[str, Any], source: str) -> Meaning | None:
    """What can be said of a dataset on the Hub before it is named: None when `source`, the setting
    that would ask for one, says something else, or there is a name."""
    if values.get(source) != "hub" or values.get("dataset"):
        return None
    needs = "the id of a dataset on the Hub, such as roneneldan/TinyStories"
    rows = [Row("needs", needs, f"needs {needs}"), Row("corpus", UNKNOWN)]
    for key, shown, unit in (("max_tokens", count, " tokens"), ("max_bytes", size, " of text")):
        most = values.get(key)
        if isinstance(most, int):
            rows.append(Row("at most", f"{shown(most)}{unit}", f"at most {shown(most)}{unit}"))
    return Meaning(tuple(rows))
