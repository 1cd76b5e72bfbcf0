"""The raster against a slow reference that lights dot by dot."""

from __future__ import annotations

import math
from array import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talm_tui.charts import raster


def naive_line(
    points: list[tuple[int, int, bool]], width: int, height: int
) -> set[tuple[int, int]]:
    """Every two joined points by a line of their own, a point at a time."""
    lit: set[tuple[int, int]] = set()
    before: tuple[int, int] | None = None
    for x, y, join in points:
        lit.add((x, y))
        if join and before is not None:
            (xa, ya), (xb, yb) = sorted((before, (x, y)), key=lambda point: point[0])
            if xa == xb:
                lit |= {(xa, row) for row in range(min(ya, yb), max(ya, yb) + 1)}
            for column in range(xa, xb + 1) if xa < xb else ():
                ends = []
                for twice in (max(2 * column - 1, 2 * xa), min(2 * column + 1, 2 * xb)):
                    # The line's height, rounded to the nearest row, halves up.
                    over, under = (yb - ya) * (twice - 2 * xa), 2 * (xb - xa)
                    ends.append(ya + math.floor((2 * over + under) / (2 * under)))
                lit |= {(column, row) for row in range(min(ends), max(ends) + 1)}
        before = (x, y)
    return {(x, y) for x, y in lit if 0 <= x < width and 0 <= y < height}


def drawn(points: list[tuple[int, int, bool]], width: int, height: int) -> set[tuple[int, int]]:
    columns = np.array([x for x, _, _ in points], dtype=np.int64)
    rows = np.array([y for _, y, _ in points], dtype=np.int64)
    join = np.array([j for _, _, j in points], dtype=np.bool_)
    grid = raster.line(columns, rows, join, width, height)
    assert grid.shape == (width, height)
    return {(int(x), int(y)) for x, y in zip(*np.nonzero(grid), strict=True)}


def series(kind: str, count: int) -> tuple[array[float], array[float]]:
    rng = np.random.default_rng(7)
    x = np.arange(count, dtype=float)
    y = 8 * np.exp(-x / (count / 3)) + 2
    if kind == "noisy":
        y = y + rng.normal(0, 0.7, count)
    elif kind == "gaps":
        y[rng.random(count) < 0.1] = np.nan
        y[count // 3 : count // 2] = np.nan
        y[5 % count] = np.inf
    elif kind == "spikes":
        y[rng.integers(0, count, 5)] = 80.0
    elif kind == "sparse":
        x = np.sort(rng.choice(100_000, count, replace=False)).astype(float)
    return array("d", x), array("d", y)


@pytest.mark.parametrize("count", [2, 37, 211, 3000])
@pytest.mark.parametrize("kind", ["noisy", "smooth", "gaps", "spikes", "sparse"])
@pytest.mark.parametrize("part", [(0.0, 1.0), (0.31, 0.62)])
def test_line_is_dot_for_dot_the_naive_one(
    kind: str, count: int, part: tuple[float, float]
) -> None:
    width, height = 96, 40
    xs, ys = series(kind, count)
    low, high = (xs[0] + share * (xs[-1] - xs[0]) for share in part)
    x, y, join = raster.joined(raster.floats(xs), raster.floats(ys))
    columns, rows = raster.dots(x, low, high, width), raster.dots(y, 1.0, 9.0, height)
    grid = raster.line(columns, rows, join, width, height)
    few_columns, few_y, few_join = raster.thinned(columns, y, join)
    few = raster.line(few_columns, raster.dots(few_y, 1.0, 9.0, height), few_join, width, height)
    assert (grid == few).all()

    points, before_good = [], False
    for a, b in zip(xs, ys, strict=True):
        good = math.isfinite(b)
        if good:
            column = math.floor((a - low) / (high - low) * (width - 1) + 0.5)
            row = math.floor((b - 1.0) / 8.0 * (height - 1) + 0.5)
            points.append((column, row, before_good))
        before_good = good
    want = naive_line(points, width, height)
    assert {(int(c), int(r)) for c, r in zip(*np.nonzero(grid), strict=True)} == want
    assert want or count == 2


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-30, 50), st.integers(-30, 50), st.booleans()),
        max_size=25,
    )
)
def test_any_points_in_any_order_are_drawn_like_the_naive_ones(
    points: list[tuple[int, int, bool]],
) -> None:
    assert drawn(points, 20, 16) == naive_line(points, 20, 16)


def test_a_spike_among_a_hundred_thousand_points_is_seen() -> None:
    y = np.full(100_000, 3.0)
    y[61_234] = 9.0
    x = np.arange(100_000, dtype=float)
    grid = raster.line(
        raster.dots(x, 0, 99_999, 200),
        raster.dots(y, 3, 9, 40),
        np.ones(100_000, dtype=np.bool_),
        200,
        40,
    )
    (column,) = np.flatnonzero(grid[:, 39])
    assert column == math.floor(61_234 / 99_999 * 199 + 0.5)
    assert grid[column].all()


def test_braille_has_each_dot_where_it_belongs() -> None:
    # By column, from the bottom: U+2800 plus these bits.
    bits = {(0, 3): 1, (0, 2): 2, (0, 1): 4, (0, 0): 64, (1, 3): 8, (1, 2): 16, (1, 1): 32}
    bits[(1, 0)] = 128
    for (column, row), bit in bits.items():
        grid = np.zeros((4, 8), dtype=np.bool_)
        grid[2 + column, row] = True
        cells = raster.braille(grid)
        assert cells.tolist() == [[0, 0], [0, bit]]
        grid = np.zeros((4, 8), dtype=np.bool_)
        grid[column, 4 + row] = True
        assert raster.braille(grid).tolist() == [[bit, 0], [0, 0]]


def test_floats_lets_the_array_grow_again() -> None:
    values = array("d", [1.0, 2.0])
    assert float(raster.floats(values).sum()) == 3.0
    values.append(3.0)
    assert raster.floats(array("d")).size == 0
    assert raster.finite_range(raster.floats(values)) == (1.0, 3.0)
    assert raster.finite_range(np.array([np.nan, np.inf])) is None
