"""What a chart shows, as rows of characters."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

import pytest

from talm_tui.charts import plot
from talm_tui.charts.plot import Curve, View

NAN = math.nan


def curve(y: Sequence[float], *, marker: str = "", x: Sequence[float] | None = None) -> Curve:
    xs = array("d", range(1, len(y) + 1) if x is None else x)
    return Curve("val" if marker else "loss", {"step": xs}, array("d", y), marker)


def text(picture: plot.Picture) -> list[str]:
    return ["".join(piece for piece, _ in row) for row in picture.rows]


def inks(picture: plot.Picture) -> set[str]:
    return {ink for row in picture.rows for piece, ink in row if piece.strip()}


def test_a_falling_line_between_two_axes() -> None:
    falling = curve([4, 3, 2, 1, 0], x=[0, 1, 2, 3, 4])
    assert text(plot.draw([falling], View(beta=0), 42, 8)) == [
        "4 ┤⠉⠓⠲⠤⣄⣀                                 ",
        "  │     ⠈⠉⠓⠲⠤⢤⣀⣀                          ",
        "2 ┤            ⠈⠉⠙⠒⠲⠤⢤⣀⣀                  ",
        "  │                    ⠈⠉⠓⠲⠤⣄⣀            ",
        "  │                          ⠈⠉⠓⠒⠦⢤⣀⡀     ",
        "0 ┤                                 ⠉⠙⠒⠦⢤⣀",
        "  └┬────────┬─────────┬─────────┬────────┬",
        "   0        1         2         3        4",
    ]


@pytest.mark.parametrize(
    "y",
    [[], [3.0], [3.0, 2.0], [5.0] * 40, [0.0] * 9, [NAN] * 30, [NAN, math.inf, -math.inf], [1e300]],
    ids=["none", "one", "two", "equal", "zeros", "nan", "inf", "huge"],
)
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("beta", [0.0, 0.9])
@pytest.mark.parametrize("size", [(78, 14), (30, 5), (12, 3), (2, 1), (1, 1), (0, 0), (200, 50)])
def test_anything_can_be_drawn_at_any_size(
    y: list[float], log: bool, beta: float, size: tuple[int, int]
) -> None:
    width, height = size
    rows = text(plot.draw([curve(y)], View(log=log, beta=beta, cursor=1.0), width, height))
    assert len(rows) == height
    assert {len(row) for row in rows} <= {width, 0}


def test_a_single_point_is_a_dot_and_equal_values_a_level_line() -> None:
    one = plot.draw([curve([3.0])], View(beta=0), 30, 8)
    dots = [c for row in text(one) for c in row if "⠁" <= c <= "⣿"]
    assert len(dots) == 1
    level = text(plot.draw([curve([5.0] * 100)], View(beta=0), 40, 9))
    assert sum(any("⠁" <= c <= "⣿" for c in row) for row in level) == 1


def test_no_number_leaves_a_gap() -> None:
    y = [4.0] * 30 + [NAN] * 30 + [4.0] * 40
    row = next(
        row
        for row in text(plot.draw([curve(y)], View(beta=0.9), 60, 9))
        if "⠤" in row or "⠒" in row
    )
    body = row.split("│")[-1].split("┤")[-1].rstrip()
    assert "⠀" not in body
    blank = body.strip().count(" ")
    assert 0.25 * len(body) < blank < 0.35 * len(body)


def test_raw_is_dim_smooth_bright_and_validation_marked() -> None:
    curves = [curve([5, 4, 6, 3, 5, 2] * 20), curve([4, 3], marker="◆", x=[40, 80])]
    smooth = plot.draw(curves, View(beta=0.9), 60, 16)
    assert inks(smooth) == {"raw", "line", "marker", "axis", "label"}
    assert sum(row.count("◆") for row in text(smooth)) == 2
    assert inks(plot.draw(curves, View(beta=0), 60, 16)) == {"line", "marker", "axis", "label"}


def test_logarithmic_ticks_are_true_and_what_is_not_positive_is_a_gap() -> None:
    picture = plot.draw([curve([10, 1, 0.1, 0, -1])], View(beta=0, log=True), 40, 24)
    labels = [row.split("┤")[0].strip() for row in text(picture) if "┤" in row]
    assert labels == sorted(labels, key=float, reverse=True)
    assert {"10.0", "1.0", "0.1"} <= set(labels)
    lines = [i for i, row in enumerate(text(picture)) if "┤" in row]
    assert len(labels) == len(lines)


def test_the_edge_stands_still_while_points_are_added() -> None:
    views = [View(), View(span=100.0)]
    for view in views:
        edges = {plot.bounds([curve([1.0] * n)], view) for n in range(401, 412)}
        assert len(edges) <= 2
        for n in range(2, 3000, 7):
            low, high = plot.bounds([curve([1.0] * n)], view)
            assert high >= n
            assert high - n <= 0.25 * (high - low) or n < 10


def test_only_what_is_visible_decides_the_scale() -> None:
    y = [100.0] * 10 + [2.0, 3.0] * 500
    picture = plot.draw([curve(y)], View(beta=0, span=50.0, right=900.0), 60, 16)
    labels = [float(row.split("┤")[0]) for row in text(picture) if "┤" in row]
    assert 2.0 <= min(labels) <= max(labels) <= 3.0


def test_values_under_the_cursor() -> None:
    curves = [
        curve([8.0, 6.0, 4.0, 2.0]),
        curve([5.0, 3.0], marker="◆", x=[2, 4]),
        curve([]),
    ]
    found = plot.readings(curves, View(beta=0.5, cursor=2.4))
    assert [(r.label, r.x, r.y) for r in found] == [("loss", 2, 6.0), ("val", 2, 5.0)]
    # (6 * 0.5 + 8 * 0.25) / 0.75
    assert found[0].average == pytest.approx(20 / 3)
    assert found[1].average is None
    assert plot.readings(curves, View(cursor=None)) == []
    beyond = plot.readings(curves, View(beta=0, cursor=99))
    assert [(r.x, r.y) for r in beyond] == [(4, 2.0), (4, 3.0)]


def test_the_column_under_the_mouse_and_the_cursor_agree() -> None:
    curves = [curve([float(i % 7) for i in range(500)])]
    for column in range(6, 60):
        x = plot.draw(curves, View(), 60, 12).x_at(column)
        picture = plot.draw([curve([NAN] * 500)], View(cursor=x), 60, 12)
        shown = plot.draw([curve([NAN] * 500)], View(cursor=picture.x_at(column)), 60, 12)
        at = text(shown)[0].index("│", picture.left)
        assert at == max(column, picture.left)


def test_spark_fits_and_ends_with_the_newest() -> None:
    rows = plot.spark(array("d", [1, 2, 3, 4, 5, 6, 7, 8]), 4, 1)
    assert rows == ["⣠⠴⠚⠉"]
    assert plot.spark(array("d"), 5, 2) == ["     ", "     "]
    assert len(plot.spark(array("d", [NAN, 1.0]), 9, 2)) == 2


def test_two_values_that_hardly_differ_are_no_cliff() -> None:
    frame = plot.frame([curve([2.90, 2.88], marker="◆")], View(beta=0), 20)
    assert frame.bottom < 2.6
    assert frame.top > 3.1
    steep = plot.frame([curve([8.0, 3.0], marker="◆")], View(beta=0), 20)
    assert (steep.bottom, steep.top) == (3.0, 8.0)
