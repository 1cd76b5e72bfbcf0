"""A few dozen values as a Braille line, two a cell, in one row of cells or in several. Plain
Python: Home draws before anything heavy is loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence

_ROWS = 4
# Bits of a Braille cell from the top row down, left and right column.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def sparkline(values: Sequence[float], width: int) -> str:
    """`width` cells at most; a value that is no number leaves a gap, equal values lie in the
    middle. Columns hold their values' mean; neighbours are joined by dots in between."""
    columns = _columns(values, 2 * width)
    if width <= 0 or not any(value is not None for value in columns):
        return ""
    return _drawn(columns, 1)[0]


def course(values: Sequence[float], width: int, height: int) -> list[str]:
    """The same in `height` rows of exactly `width` cells: fewer values are drawn wider, with
    straight lines between them. No row where there is nothing to draw."""
    if width <= 0 or height <= 0 or not any(map(math.isfinite, values)):
        return []
    return _drawn(_columns(_stretched(values, 2 * width), 2 * width), height)


def _drawn(columns: Sequence[float | None], height: int) -> list[str]:
    finite = [value for value in columns if value is not None]
    low, high = min(finite), max(finite)
    span, last = high - low, _ROWS * height - 1
    cells = [[0] * -(-len(columns) // 2) for _ in range(height)]
    before: int | None = None
    for index, value in enumerate(columns):
        if value is None:
            before = None
            continue
        row = round((high - value) / span * last) if span else _ROWS * height // 2
        first = row if before is None else before + (row > before) - (row < before)
        for dot in range(min(first, row), max(first, row) + 1):
            cells[dot // _ROWS][index // 2] |= _DOTS[index % 2][dot % _ROWS]
        before = row
    return ["".join(chr(0x2800 + cell) for cell in line) for line in cells]


def _stretched(values: Sequence[float], count: int) -> Sequence[float]:
    """At least `count` values, those between two that are given on a straight line."""
    if len(values) >= count:
        return values
    found = []
    for index in range(count):
        at = index * (len(values) - 1) / (count - 1)
        left, share = int(at), at - int(at)
        value = values[left]
        found.append(value + (values[left + 1] - value) * share if share else value)
    return found


def _columns(values: Sequence[float], count: int) -> list[float | None]:
    if len(values) <= count:
        return [value if math.isfinite(value) else None for value in values]
    columns: list[float | None] = []
    for index in range(count):
        part = values[index * len(values) // count : (index + 1) * len(values) // count]
        finite = [value for value in part if math.isfinite(value)]
        columns.append(sum(finite) / len(finite) if finite else None)
    return columns
