"""A falling loss in a few cells: a Braille line, two values a cell."""

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
    finite = [value for value in columns if value is not None]
    if not finite or width <= 0:
        return ""
    low, high = min(finite), max(finite)
    span = high - low
    cells = [0] * -(-len(columns) // 2)
    before: int | None = None
    for index, value in enumerate(columns):
        if value is None:
            before = None
            continue
        row = round((high - value) / span * (_ROWS - 1)) if span else 2
        first = row if before is None else before + (row > before) - (row < before)
        for dot in range(min(first, row), max(first, row) + 1):
            cells[index // 2] |= _DOTS[index % 2][dot]
        before = row
    return "".join(chr(0x2800 + cell) for cell in cells)


def _columns(values: Sequence[float], count: int) -> list[float | None]:
    if len(values) <= count:
        return [value if math.isfinite(value) else None for value in values]
    columns: list[float | None] = []
    for index in range(count):
        part = values[index * len(values) // count : (index + 1) * len(values) // count]
        finite = [value for value in part if math.isfinite(value)]
        columns.append(sum(finite) / len(finite) if finite else None)
    return columns
