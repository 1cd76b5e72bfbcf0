"""A small chart as text: a Braille line between two axes that say where they begin and end."""

from __future__ import annotations

import math
from collections.abc import Sequence

from textual.content import Content

from talm_tui.charts.sparkline import course
from talm_tui.widgets.format import short_number


def gutter(values: Sequence[float]) -> int:
    """Cells left of the plot: the longer of both labels, and the axis."""
    return max(len(label) for label in _labels(values)) + 1


def outline(
    values: Sequence[float], width: int, height: int, first: str, last: str
) -> list[Content]:
    """`values`, evenly from left to right, in `height` lines of `width` cells; `first` and `last`
    stand below the ends. Nothing where there is no room or no number."""
    room = width - gutter(values)
    drawn = course(values, room, height - 2)
    if not drawn or room < len(first) + len(last) + 2:
        return []
    most, least = _labels(values)
    margin = gutter(values) - 1
    lines = []
    for index, row in enumerate(drawn):
        label = most if index == 0 else least if index == len(drawn) - 1 else ""
        edge = "┤" if label else "│"
        lines.append(
            Content.assemble((f"{label.rjust(margin)}{edge}", "$secondary"), (row, "$series-1"))
        )
    lines.append(Content.styled(" " * margin + "└" + "─" * room, "$secondary"))
    ends = first + " " * (room - len(first) - len(last)) + last
    lines.append(Content.styled(" " * (margin + 1) + ends, "$secondary"))
    return lines


def _labels(values: Sequence[float]) -> tuple[str, str]:
    finite = [value for value in values if math.isfinite(value)]
    return (short_number(max(finite)), short_number(min(finite))) if finite else ("", "")
