"""What a long series is drawn by, against the series itself."""

from __future__ import annotations

import math
import random
from array import array

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from talm_tui.charts import average, plot, raster
from talm_tui.charts.ink import LETTERS
from talm_tui.charts.plot import Curve, View
from talm_tui.charts.series import BUCKET, Trace


def noise(count: int, seed: int = 0) -> array[float]:
    rng = random.Random(seed)
    return array("f", (3 + 8 * math.exp(-9 * i / count) + rng.gauss(0, 0.1) for i in range(count)))


def whole(count: int) -> array[float]:
    return array("d", range(1, count + 1))


@given(st.lists(st.integers(1, 300), min_size=1, max_size=8), st.sampled_from([0.0, 0.6, 0.99]))
def test_grown_in_parts_it_has_every_parts_extremes(parts: list[int], beta: float) -> None:
    trace, xs, values = Trace().keep(1), array("d"), array("f")
    for part in parts:
        values.extend(noise(part, len(values)))
        xs.extend(range(len(xs) + 1, len(values) + 1))
        x, y = trace.points(xs, values, 0, len(values), beta)
        expected = average.smooth(raster.floats(values), beta) if beta else raster.floats(values)
        assert list(x) == sorted(x)
        assert np.allclose(y, expected[x.astype(int) - 1], rtol=1e-5)
        full = len(values) // BUCKET * BUCKET
        for start in range(0, full, BUCKET):
            inside = (x > start) & (x <= start + BUCKET)
            assert inside.sum() <= 3
            bucket = expected[start : start + BUCKET]
            assert np.isclose(y[inside].min(), bucket.min(), rtol=1e-5)
            assert np.isclose(y[inside].max(), bucket.max(), rtol=1e-5)
        assert list(x[x > full]) == list(xs[full:])


def test_a_part_has_its_own_edges() -> None:
    values = noise(1_000)
    x, _ = Trace().points(whole(1_000), values, 100, 900)
    assert (x[0], x[-1]) == (101, 900)
    x, _ = Trace().points(whole(1_000), values, 100, 120)
    assert list(x) == list(range(101, 121))


def test_no_number_stays_a_gap() -> None:
    values = noise(640)
    values[100] = math.nan
    values[200] = math.inf
    for beta in (0.0, 0.9):
        x, y = Trace().points(whole(640), values, 0, 640, beta)
        odd = x[~np.isfinite(y)]
        assert list(odd) == [101, 201]


def test_another_sign_forgets() -> None:
    trace = Trace().keep("a")
    xs = whole(640)
    trace.points(xs, noise(640, 1), 0, 640)
    other = noise(640, 2)
    _, fresh = Trace().points(xs, other, 0, 640)
    _, kept = trace.keep("b").points(xs, other, 0, 640)
    assert list(kept) == list(fresh)


def test_many_points_draw_the_same_picture_as_all_of_them() -> None:
    count = 200_000
    xs, values = {"step": whole(count)}, noise(count)
    values[77_777] = 40.0
    for view in (View(beta=0.0), View(beta=0.97), View(beta=0.0, log=True)):
        slow = plot.draw([Curve("loss", xs, values)], view, 100, 24)
        quick = plot.draw([Curve("loss", xs, values, trace=Trace())], view, 100, 24)
        differing = sum(
            one != other
            for row, quick_row in zip(slow.rows, quick.rows, strict=True)
            for one, other in zip(_cells(row), _cells(quick_row), strict=True)
        )
        # An extreme may be drawn one dot beside, where a bucket lies across two columns.
        assert differing <= 8
        assert _cells(slow.rows[-1]) == _cells(quick.rows[-1])


def _cells(row: list[tuple[str, str]]) -> list[str]:
    return [glyph for text, _ in row for glyph in text]


def test_lines_of_several_runs_are_told_apart_by_letter_and_by_ink() -> None:
    xs = {"step": whole(300)}
    own = Curve("nano", xs, array("f", [4.0] * 300))
    others = [
        Curve(f"run-{i}", xs, array("f", [4.5 + i] * 300), letter=LETTERS[i], ink=f"series-{i + 2}")
        for i in range(3)
    ]
    picture = plot.draw([own, *others], View(beta=0.9), 100, 24)
    text = ["".join(_cells(row)) for row in picture.rows]
    expected = ["━ nano            4", "a run-0         4.5", "b run-1         5.5"]
    for row, ending in zip(text, expected, strict=False):
        assert row.rstrip().endswith(ending)
    for i in range(3):
        letters = [p for row in picture.rows for p, ink in row if ink == f"series-{i + 2}"]
        assert sum(piece.count(LETTERS[i]) for piece in letters) >= 4
    at = plot.draw([own, *others], View(beta=0.0, cursor=7.0), 100, 24)
    assert "".join(_cells(at.rows[0])).rstrip().endswith("4")


def test_a_legend_that_does_not_fit_says_how_many_are_left() -> None:
    xs = {"step": whole(50)}
    many = [Curve("own", xs, noise(50))] + [
        Curve(f"r{i}", xs, noise(50, i), letter=LETTERS[i]) for i in range(25)
    ]
    text = ["".join(_cells(row)) for row in plot.draw(many, View(), 120, 12).rows]
    assert text[7].rstrip().endswith("19 more")
    narrow = plot.draw(many, View(), 60, 12)
    assert not any("more" in "".join(_cells(row)) for row in narrow.rows)
