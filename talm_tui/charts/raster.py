"""From numbers to Braille dots: the part of a chart that must be fast.

Everything here is a pure function of arrays. Points become dots (two columns and four rows to a
character cell), neighbouring dots are joined, and what falls into one column of dots is drawn as
the span from its least to its greatest value, so that a spike among a million points is seen. A
value that is no number breaks the line.

numpy, because a redraw may look at a million points (40 ms in plain Python, 0.6 ms here); its
import takes 0.1 s, so the widgets import this module only when there is something to draw.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Grid = NDArray[np.bool_]

_FAR = 1 << 20
"""Dots beyond this are drawn as if they lay here: squares of it still fit into 64 bits."""

_WEIGHTS = np.array([[0x40, 0x04, 0x02, 0x01], [0x80, 0x20, 0x10, 0x08]], dtype=np.uint8)
"""Bits of a Braille character: by column of dots, then by row from the bottom."""


def floats(values: array[float], first: int = 0, last: int | None = None) -> Floats:
    """A part of an `array` of type `d` or `f` as doubles. Of doubles it is a view, without
    copying: it must be gone before the `array` can grow again."""
    if not len(values):
        return np.empty(0)
    part = np.frombuffer(values, dtype=values.typecode)[first:last]
    return part.astype(np.float64, copy=False)


def dots(values: Floats, low: float, high: float, size: int) -> Ints:
    """The nearest of `size` dots, the first at `low` and the last at `high`; all values finite."""
    scaled = (values - low) * ((size - 1) / (high - low))
    np.clip(scaled, -_FAR, _FAR, out=scaled)
    scaled += 0.5
    return np.floor(scaled, out=scaled).astype(np.int64)


def joined(x: Floats, y: Floats) -> tuple[Floats, Floats, Grid]:
    """The points that are finite, and whether each is joined to the one before it."""
    good = np.isfinite(y)
    good &= np.isfinite(x)
    if good.all():
        # Copying a million points costs more than looking at them.
        join = np.ones(len(x), dtype=np.bool_)
        join[:1] = False
        return x, y, join
    after_good = np.concatenate(([False], good[:-1]))
    return x[good], y[good], after_good[good]


def thinned(columns: Ints, y: Floats, join: Grid) -> tuple[Ints, Floats, Grid]:
    """Fewer points that give the same line: of neighbours in one column only the first, the
    least, the greatest and the last."""
    if not len(columns):
        return columns, y, join
    starts = _groups(columns, join)
    lasts = np.append(starts[1:], len(columns)) - 1
    low, high = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
    few_y = np.stack((y[starts], low, high, y[lasts]), axis=1).ravel()
    few_join = np.ones((len(starts), 4), dtype=np.bool_)
    few_join[:, 0] = join[starts]
    return np.repeat(columns[starts], 4), few_y, few_join.ravel()


def _groups(columns: Ints, join: Grid) -> Ints:
    """Where runs of joined points in one and the same column begin."""
    new = np.ones(len(columns), dtype=np.bool_)
    np.not_equal(columns[1:], columns[:-1], out=new[1:])
    if not join[1:].all():
        new[1:] |= ~join[1:]
    return np.flatnonzero(new)


def line(columns: Ints, rows: Ints, join: Grid, width: int, height: int) -> Grid:
    """The dots of a line through points given in dots, as `grid[column, row]`, row 0 below.

    `join[i]` says whether point i is joined to point i - 1. Points may lie outside; what is
    inside is drawn as if the sheet were endless.
    """
    if not len(columns):
        return np.zeros((width, height), dtype=np.bool_)
    starts = _groups(columns, join)
    ends = np.append(starts[1:], len(columns)) - 1
    low, high = np.minimum.reduceat(rows, starts), np.maximum.reduceat(rows, starts)
    column = columns[starts]
    linked = np.flatnonzero(join[starts[1:]]) + 1
    segments = _segments(
        column[linked - 1], rows[ends[linked - 1]], column[linked], rows[starts[linked]], width
    )
    return _fill(
        np.concatenate((column, segments[0])),
        np.concatenate((low, segments[1])),
        np.concatenate((high, segments[2])),
        width,
        height,
    )


def _segments(x0: Ints, y0: Ints, x1: Ints, y1: Ints, width: int) -> tuple[Ints, Ints, Ints]:
    """The vertical spans (column, lowest, highest row) that straight lines between dots in
    different columns cover, for the columns inside the sheet. In each column a line covers what
    it passes from half a column before to half a column after, rounded to the nearest row."""
    swap = x0 > x1
    x0, x1 = np.where(swap, x1, x0), np.where(swap, x0, x1)
    y0, y1 = np.where(swap, y1, y0), np.where(swap, y0, y1)
    first, last = np.maximum(x0, 0), np.minimum(x1, width - 1)
    counts = np.maximum(0, last - first + 1)
    which = np.repeat(np.arange(len(x0)), counts)
    offset = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    column = first[which] + offset
    x0, x1, y0, y1 = x0[which], x1[which], y0[which], y1[which]
    run, rise = 2 * (x1 - x0), y1 - y0

    def row(twice_x: Ints) -> Ints:
        above: Ints = (2 * rise * (twice_x - 2 * x0) + run) // (2 * run)
        return y0 + above

    left, right = row(np.maximum(2 * column - 1, 2 * x0)), row(np.minimum(2 * column + 1, 2 * x1))
    return column, np.minimum(left, right), np.maximum(left, right)


def _fill(column: Ints, low: Ints, high: Ints, width: int, height: int) -> Grid:
    low, high = np.maximum(low, 0), np.minimum(high, height - 1)
    inside = (column >= 0) & (column < width) & (low <= high)
    column, low, high = column[inside] * (height + 1), low[inside], high[inside] + 1
    size = width * (height + 1)
    change = np.bincount(column + low, minlength=size) - np.bincount(column + high, minlength=size)
    return change.reshape(width, height + 1).cumsum(axis=1)[:, :height] > 0


def braille(grid: Grid) -> NDArray[np.uint8]:
    """The dots as offsets from U+2800, one a character cell, `cells[row, column]`, row 0 on top.
    Width must be even and height a multiple of four."""
    width, height = grid.shape
    blocks = grid.reshape(width // 2, 2, height // 4, 4).astype(np.uint8)
    cells: NDArray[np.uint8] = np.einsum("crhk,rk->hc", blocks, _WEIGHTS)
    return cells[::-1]


def finite_range(values: Floats) -> tuple[float, float] | None:
    """The least and the greatest finite value; None where there is none."""
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if len(values) else None
