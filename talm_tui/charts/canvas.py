"""A chart's area in character cells: lines in Braille dots, markers, letters, legend and axes.

What is painted later owns the whole cell, so that colours never mix and the smooth line stands
clear of the noise around it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from talm_tui.charts import axis
from talm_tui.charts.ink import AXIS, BRIGHT, CURSOR, LABEL, LETTERS, MARK, RAW, SERIES

if TYPE_CHECKING:
    from talm_tui.charts.raster import Floats, Ints

Row = list[tuple[str, str]]
"""A line of a picture: pieces of text, each with its ink."""

_BLANK = " "
_OWNERS = ("", RAW, BRIGHT, MARK, CURSOR, *SERIES)
_LETTER_CELLS = 24
_MARKER_CELLS = 8
_LEGEND_CELLS = 34


@dataclass(frozen=True, slots=True)
class Layer:
    """A part of a curve that is to be drawn: points in drawn units, which are logarithms on a
    logarithmic axis."""

    x: Floats
    y: Floats
    ink: str
    marker: str = ""
    letter: str = ""


@dataclass
class Canvas:
    """`columns` x `lines` cells between the bounds `low` to `high` of x and `bottom` to `top` of
    y, in drawn units. Empty until it is painted."""

    columns: int
    lines: int
    low: float
    high: float
    bottom: float
    top: float
    glyphs: list[list[str]] = field(default_factory=list)
    inks: list[list[str]] = field(default_factory=list)

    def paint(self, layers: Sequence[Layer], cursor: float | None = None) -> None:
        """Fill the cells with these layers, the last on top, and a line at the cursor's x."""
        if not layers:
            self.glyphs = [[_BLANK] * self.columns for _ in range(self.lines)]
            self.inks = [[""] * self.columns for _ in range(self.lines)]
            self._paint_cursor(cursor)
            return
        import numpy as np

        from talm_tui.charts import raster

        width, height = 2 * self.columns, 4 * self.lines
        codes = np.zeros((self.lines, self.columns), dtype=np.uint8)
        owner = np.zeros((self.lines, self.columns), dtype=np.uint8)
        marks: list[tuple[int, int, str, str]] = []
        for layer in layers:
            x, y, join = raster.joined(layer.x, layer.y)
            columns = raster.dots(x, self.low, self.high, width)
            if not layer.marker:
                columns, y, join = raster.thinned(columns, y, join)
            rows = raster.dots(y, self.bottom, self.top, height)
            if layer.marker:
                marks += self._markers(layer, columns, rows)
                continue
            if layer.letter:
                marks += self._letters(layer, columns, rows)
            cells = raster.braille(raster.line(columns, rows, join, width, height))
            lit = cells > 0
            codes[lit], owner[lit] = cells[lit], _OWNERS.index(layer.ink)
        self.glyphs = [
            [chr(0x2800 + code) if code else _BLANK for code in row] for row in codes.tolist()
        ]
        self.inks = [[_OWNERS[ink] for ink in row] for row in owner.tolist()]
        self._paint_cursor(cursor)
        for column, row, glyph, ink in marks:
            if 0 <= column < self.columns and 0 <= row < self.lines:
                self.glyphs[row][column], self.inks[row][column] = glyph, ink

    def write_legend(self, texts: Sequence[tuple[str, str]]) -> None:
        """Lines of text with their inks in the upper right corner, which falling curves leave
        free; those there is no room for are counted."""
        if len(texts) < 2 or self.columns < 2 * _LEGEND_CELLS or self.lines < 4:
            return
        most = self.lines - 2
        rows = list(texts if len(texts) <= most else texts[: most - 1])
        if len(rows) < len(texts):
            rows.append((f"{len(texts) - len(rows)} more", LABEL))
        width = max(len(text) for text, _ in rows) + 1
        for row, (text, ink) in enumerate(rows):
            for place, glyph in enumerate(f" {text}".ljust(width), self.columns - width):
                self.glyphs[row][place], self.inks[row][place] = glyph, ink

    def rows(self) -> list[Row]:
        """What was painted, neighbouring cells of one ink as one piece."""
        return [_runs(*cells) for cells in zip(self.glyphs, self.inks, strict=True)]

    def y_axis(self, ticks: Sequence[axis.Tick], gutter: int) -> list[Row]:
        """What stands left of each line, `gutter` cells wide: labels, and the axis."""
        labels: dict[int, str] = {}
        height = 4 * self.lines
        for tick in ticks:
            share = (tick.value - self.bottom) / (self.top - self.bottom)
            line = self.lines - 1 - math.floor(share * (height - 1) + 0.5) // 4
            labels.setdefault(line, tick.label)
        framed: list[Row] = []
        for line in range(self.lines):
            label = labels.get(line)
            text = (label or "").rjust(gutter - 2)
            framed.append([(f"{text} ", LABEL), ("┤" if label else "│", AXIS)])
        return framed

    def x_axis(self, kind: axis.Kind, gutter: int) -> list[Row]:
        """The two lines below: the axis with as many ticks as there is room for, their labels."""
        labels_of: Callable[[Sequence[float]], list[str]] = (
            axis.clock_labels if kind == "clock" else axis.number_labels
        )
        for most in range(max(1, self.columns // 8), 0, -1):
            values = axis.linear_ticks(self.low, self.high, most, axis.STEPS[kind])
            labels = labels_of(values)
            room = sum(len(label) + 2 for label in labels)
            if room <= self.columns:
                break
        line, text = ["─"] * self.columns, [_BLANK] * (self.columns + gutter)
        free_from = 0
        for value, label in zip(values, labels, strict=True):
            column = self._column(value)
            line[column] = "┬"
            start = min(max(0, gutter + column - len(label) // 2), len(text) - len(label))
            if start >= free_from:
                text[start : start + len(label)] = label
                free_from = start + len(label) + 1
        corner = _BLANK * (gutter - 1) + "└"
        return [[(corner + "".join(line), AXIS)], [("".join(text), LABEL)]]

    def _markers(
        self, layer: Layer, columns: Ints, rows: Ints
    ) -> Iterator[tuple[int, int, str, str]]:
        """Where a layer's markers stand; another run's not too close together, and the last
        always."""
        apart = _MARKER_CELLS if layer.letter else 0
        after = -apart
        places = list(zip((columns // 2).tolist(), (rows // 4).tolist(), strict=True))
        for place, (column, row) in enumerate(places):
            if column >= after + apart or place == len(places) - 1:
                after = column
                yield column, self.lines - 1 - row, layer.marker, layer.ink

    def _letters(
        self, layer: Layer, columns: Ints, rows: Ints
    ) -> Iterator[tuple[int, int, str, str]]:
        """Where a line's letter stands: every few cells, those of several lines beside each
        other."""
        if not len(columns):
            return
        offset = 3 * LETTERS.index(layer.letter) % _LETTER_CELLS
        places = [*range(offset, self.columns, _LETTER_CELLS), int(columns[-1]) // 2]
        for place in places:
            index = min(len(columns) - 1, int(columns.searchsorted(2 * place)))
            column, row = int(columns[index]) // 2, int(rows[index]) // 4
            # Where the line is not, a letter would say something else.
            if abs(column - place) <= 1:
                yield column, self.lines - 1 - row, layer.letter, layer.ink

    def _paint_cursor(self, cursor: float | None) -> None:
        if cursor is None:
            return
        column = self._column(cursor)
        if not 0 <= column < self.columns:
            return
        for glyphs, inks in zip(self.glyphs, self.inks, strict=True):
            if glyphs[column] == _BLANK:
                glyphs[column], inks[column] = "│", CURSOR

    def _column(self, x: float) -> int:
        share = (x - self.low) / (self.high - self.low)
        return math.floor(share * (2 * self.columns - 1) + 0.5) // 2


def _runs(glyphs: Sequence[str], inks: Sequence[str]) -> Row:
    runs: Row = []
    start = 0
    for i in range(1, len(inks) + 1):
        if i == len(inks) or inks[i] != inks[start]:
            runs.append(("".join(glyphs[start:i]), inks[start]))
            start = i
    return runs
