"""A line chart as rows of characters: what a chart shows, without a screen.

`draw` takes curves and a view and returns a `Picture`: rows of pieces of text, each with an
"ink", the name of a style. The widget only gives the inks their colours.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from talm_tui.charts import axis
from talm_tui.charts.canvas import Canvas, Layer, Row
from talm_tui.charts.ink import BRIGHT, MARK, RAW
from talm_tui.widgets.format import short_number

if TYPE_CHECKING:
    from talm_tui.charts.raster import Floats
    from talm_tui.charts.series import Trace

_DENSE = 8192
"""Points of a series in view from which on its `Trace` is drawn instead."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One series: its values `y` over one array of x for each of the chart's x axes, ascending.
    A curve with a `marker` is drawn as single glyphs, the others as lines.

    A curve of another run than the chart's own has a `letter`, which stands in its line here and
    there, and an `ink`. `smooth` says whether averaging it makes sense; `trace` is what was kept
    of a long series since the last time.
    """

    label: str
    xs: Mapping[str, array[float]]
    y: array[float]
    marker: str = ""
    letter: str = ""
    ink: str = ""
    smooth: bool = True
    trace: Trace | None = None

    @property
    def steps(self) -> array[float] | None:
        """Where each value lies, in the steps that its average counts; None: one step a value."""
        return self.xs.get("step")


@dataclass(frozen=True, slots=True)
class View:
    """Which part is looked at, and how. `span` None is everything; `right` None follows the
    newest point; `cursor` is the x whose values are read out."""

    x: str = "step"
    kind: axis.Kind = "whole"
    log: bool = False
    beta: float = 0.95
    span: float | None = None
    right: float | None = None
    cursor: float | None = None


_FEW, _FEW_SHARE = 3, 0.25
"""So few values are drawn no larger than as a share of the greatest."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The drawn rows, each a list of (text, ink), and where x lies in them: the plot's first
    column and its columns, and the x of its first and last dot."""

    rows: list[Row]
    left: int = 0
    columns: int = 0
    low: float = 0.0
    high: float = 1.0

    def x_at(self, column: int) -> float:
        """The x in the middle of a character column of the whole picture."""
        share = (2 * (column - self.left) + 0.5) / max(1, 2 * self.columns - 1)
        return self.low + min(1.0, max(0.0, share)) * (self.high - self.low)

    @property
    def cell(self) -> float:
        """How much x a character column is wide."""
        return (self.high - self.low) / max(1, self.columns)


@dataclass(frozen=True, slots=True)
class Reading:
    """A curve's value at the point nearest to the cursor; `average` where it is smoothed."""

    label: str
    x: float
    y: float
    average: float | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """What there is to see of curves: the bounds of x and, in drawn units, of y, the layers
    between them, and the ticks of both axes."""

    low: float
    high: float
    bottom: float
    top: float
    layers: tuple[Layer, ...]
    x_ticks: tuple[axis.Tick, ...]
    y_ticks: tuple[axis.Tick, ...]


def extent(curves: Sequence[Curve], x: str) -> float:
    """The greatest x there is, at least zero."""
    return max((curve.xs[x][-1] for curve in curves if len(curve.xs[x])), default=0.0)


def bounds(curves: Sequence[Curve], view: View) -> tuple[float, float]:
    """The x of the plot's left and right edge.

    The right edge is put on a round number ahead of the newest point, so that a growing curve
    moves across a chart that stands still.
    """
    end = extent(curves, view.x)
    step_of = axis.STEPS[view.kind]
    if view.span is None:
        step = step_of(end / 10) if end > 0 else 1.0
        return 0.0, max(step, math.ceil(end / step - 1e-9) * step)
    right = view.right
    if right is None:
        step = step_of(view.span / 10)
        right = math.ceil(end / step - 1e-9) * step
    return right - view.span, right


def draw(curves: Sequence[Curve], view: View, width: int, height: int) -> Picture:
    """The chart in `width` x `height` cells; axes are left out where there is no room for them."""
    low, high = bounds(curves, view)
    with_axes = width >= 20 and height >= 5
    lines = height - 2 if with_axes else height
    if width < 2 or lines < 1:
        return Picture([[] for _ in range(height)])
    layers = _layers(curves, view, low, high)
    bottom, top = _vertical(layers, view, lines)
    ticks = _y_ticks(bottom, top, view, lines) if with_axes else []
    gutter = max((len(tick.label) for tick in ticks), default=0) + 2 if with_axes else 0
    columns = width - gutter
    canvas = Canvas(columns, lines, low, high, bottom, top)
    canvas.paint(layers, view.cursor)
    if sum(not curve.marker for curve in curves) > 1:
        canvas.write_legend(_legend(curves, view))
    rows = canvas.rows()
    if with_axes:
        rows = [left + row for left, row in zip(canvas.y_axis(ticks, gutter), rows, strict=True)]
        rows += canvas.x_axis(view.kind, gutter)
    return Picture(rows, gutter, columns, low, high)


def frame(curves: Sequence[Curve], view: View, lines: int) -> Frame:
    """What there is to see, for whoever draws it otherwise; `lines` says how many lines of text
    there is room for."""
    low, high = bounds(curves, view)
    layers = _layers(curves, view, low, high)
    bottom, top = _vertical(layers, view, lines)
    values = axis.linear_ticks(low, high, 10, axis.STEPS[view.kind])
    labels = axis.clock_labels(values) if view.kind == "clock" else axis.number_labels(values)
    x_ticks = tuple(map(axis.Tick, values, labels))
    y_ticks = tuple(_y_ticks(bottom, top, view, lines))
    return Frame(low, high, bottom, top, tuple(layers), x_ticks, y_ticks)


def readings(curves: Sequence[Curve], view: View) -> list[Reading]:
    """What each curve says nearest to the cursor."""
    found = []
    for curve in curves:
        xs = curve.xs[view.x]
        if view.cursor is None or not len(xs):
            continue
        index = bisect_left(xs, view.cursor)
        if index == len(xs) or (index and view.cursor - xs[index - 1] <= xs[index] - view.cursor):
            index -= 1
        average = None
        if view.beta and curve.smooth and not curve.marker:
            average = float(_average(curve, index, index + 1, view.beta)[0])
        found.append(Reading(curve.label, xs[index], curve.y[index], average))
    return found


def spark(
    values: array[float],
    width: int,
    height: int,
    *,
    xs: array[float] | None = None,
    trace: Trace | None = None,
    scale: tuple[float, float] | None = None,
) -> list[str]:
    """All of a series in a few Braille rows without axes, evenly or over `xs`; `scale` is the
    value of the lowest and the highest dot, none means the least and the greatest value."""
    xs = array("d", range(len(values))) if xs is None else xs
    curve = Curve("", {"": xs}, values, trace=trace)
    begin = xs[0] if len(xs) else 0.0
    end = max(begin + 1.0, xs[-1]) if len(xs) else 1.0
    view = View(x="", beta=0.0, span=end - begin, right=end)
    layers = _layers([curve], view, begin, end)
    bottom, top = scale or _vertical(layers, view, 0)
    canvas = Canvas(width, height, begin, end, bottom, top)
    canvas.paint(layers)
    return ["".join(row) for row in canvas.glyphs]


def _layers(curves: Sequence[Curve], view: View, low: float, high: float) -> list[Layer]:
    """What is to be seen between two x, one point more on each side so that lines reach the
    edge; dim first, other runs' lines, then the own line, markers last."""
    lines, others, averages, marks = [], [], [], []
    for curve in curves:
        xs = curve.xs[view.x]
        if not len(xs):
            continue
        first, last = bisect_left(xs, low), bisect_right(xs, high)
        if curve.marker:
            ink = curve.ink or MARK
            shown = _part(curve, view, first, last)
            marks.append(Layer(*shown, ink, curve.marker, curve.letter))
            continue
        first, last = max(0, first - 1), min(len(xs), last + 1)
        beta = view.beta if curve.smooth else 0.0
        shown = _part(curve, view, first, last, beta)
        if curve.letter:
            others.append(Layer(*shown, curve.ink or BRIGHT, letter=curve.letter))
            continue
        if beta:
            lines.append(Layer(*_part(curve, view, first, last), RAW))
        averages.append(Layer(*shown, curve.ink or BRIGHT))
    return [*lines, *others, *averages, *marks]


def _part(
    curve: Curve, view: View, first: int, last: int, beta: float = 0.0
) -> tuple[Floats, Floats]:
    """x and y of a part of a curve, or of its average, in drawn units."""
    from talm_tui.charts import raster

    xs = curve.xs[view.x]
    if curve.trace is not None and last - first > _DENSE:
        x, y = curve.trace.points(xs, curve.y, first, last, beta, curve.steps)
    else:
        x = raster.floats(xs, first, last)
        smooth = beta and not curve.marker
        y = _average(curve, first, last, beta) if smooth else raster.floats(curve.y, first, last)
    return x, _scaled(y, view)


def _average(curve: Curve, first: int, last: int, beta: float) -> Floats:
    from talm_tui.charts import average, raster

    steps, reach = curve.steps, average.warm_up(beta)
    if steps is None:
        begin, gaps = max(0, first - reach), None
    else:
        begin = bisect_left(steps, steps[first] - reach) if first < len(steps) else first
        before = steps[begin - 1] if begin else 0.0
        gaps = average.gaps(raster.floats(steps, begin, last), before)
    return average.smooth(raster.floats(curve.y, begin, last), beta, gaps)[first - begin :]


def _scaled(values: Floats, view: View) -> Floats:
    if not view.log:
        return values
    import numpy as np

    return np.log10(np.where(values > 0, values, np.nan))


def _vertical(layers: Sequence[Layer], view: View, lines: int) -> tuple[float, float]:
    """The plot's lower and upper edge: everything visible with a little air, on half a tick's
    step so that the chart does not creep with every new point; without ticks exactly that."""
    ranges = []
    for layer in layers:
        from talm_tui.charts import raster

        found = raster.finite_range(layer.y)
        if found:
            ranges.append(found)
    if not ranges:
        return (0.0, 1.0)
    far = 100.0 if view.log else 1e100
    low = min(far, max(-far, min(r[0] for r in ranges)))
    high = min(far, max(-far, max(r[1] for r in ranges)))
    if not view.log and max(len(layer.y) for layer in layers) <= _FEW:
        # Two evaluations that differ by a hair are no cliff.
        air = max(0.0, _FEW_SHARE * max(abs(low), abs(high)) - (high - low)) / 2
        low, high = low - air, high + air
    if not high - low > 1e-9 * max(abs(low), abs(high)):
        air = max(abs(low) * 0.05, 1e-6) if low else 0.5
        return low - air, high + air
    if not lines:
        return low, high
    if view.log:
        air = (high - low) * 0.03
        return low - air, high + air
    step = axis.nice_step((high - low) / _most_ticks(lines)) / 2
    return math.floor(low / step) * step, math.ceil(high / step) * step


def _most_ticks(lines: int) -> int:
    return max(2, min(8, lines // 2))


def _y_ticks(bottom: float, top: float, view: View, lines: int) -> list[axis.Tick]:
    most = _most_ticks(lines)
    if view.log:
        values = axis.log_ticks(10**bottom, 10**top, most)
        return [
            axis.Tick(math.log10(value), label)
            for value, label in zip(values, axis.number_labels(values), strict=True)
        ]
    values = axis.linear_ticks(bottom, top, most)
    return list(map(axis.Tick, values, axis.number_labels(values)))


def _legend(curves: Sequence[Curve], view: View) -> list[tuple[str, str]]:
    """Which line is which, and its value at the cursor or the newest, with its ink."""
    lines = [curve for curve in curves if not curve.marker]
    return [(_legend_row(curve, view), curve.ink or BRIGHT) for curve in lines]


def _legend_row(curve: Curve, view: View) -> str:
    name = "".join(c if c.isprintable() and c.isascii() else "?" for c in curve.label)
    if len(name) > 20:
        name = name[:19] + "…"
    xs = curve.xs[view.x]
    newest = replace(view, cursor=xs[-1]) if view.cursor is None and len(xs) else view
    found = readings([curve], newest)
    value = ""
    if found:
        number = found[0].y if found[0].average is None else found[0].average
        value = short_number(number) if abs(number) < 0.01 else f"{number:.4g}"
    return f"{curve.letter or '━'} {name:<8} {value:>8}"
