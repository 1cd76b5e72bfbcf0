"""The chart on a screen: keys, mouse, redraws."""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Awaitable, Callable

import pytest
from textual.app import App, ComposeResult
from textual.events import MouseScrollDown, MouseScrollUp
from textual.pilot import Pilot

from talm_tui.charts.chart import Chart, XAxis
from talm_tui.charts.plot import Curve, bounds

AXES = (XAxis("step", "whole"), XAxis("tokens"), XAxis("time", "clock"))


class ChartApp(App[None]):
    def compose(self) -> ComposeResult:
        yield Chart("loss (nats/token)", AXES)


def curves(count: int) -> list[Curve]:
    step = array("d", range(1, count + 1))
    xs = {
        "step": step,
        "tokens": array("d", (4096 * i for i in step)),
        "time": array("d", (0.1 * i for i in step)),
    }
    loss = array("d", (8 * math.exp(-i / 100) + 3 + 0.1 * (i % 3) for i in range(count)))
    marks = {name: x[99::100] for name, x in xs.items()}
    return [
        Curve("loss", xs, loss),
        Curve("validation", marks, loss[99::100], "◆"),
    ]


def on_chart(
    check: Callable[[Pilot[None], Chart], Awaitable[None]], size: tuple[int, int] = (80, 20)
) -> None:
    async def main() -> None:
        app = ChartApp()
        async with app.run_test(size=size) as pilot:
            chart = app.query_one(Chart)
            chart.focus()
            chart.show(curves(400))
            await pilot.pause()
            await check(pilot, chart)

    asyncio.run(main())


def follows(chart: Chart) -> bool:
    return chart.view.right is None


def cursor(chart: Chart) -> float | None:
    return chart.view.cursor


def lines(chart: Chart) -> list[str]:
    return [chart.render_line(y).text for y in range(chart.size.height)]


def test_title_legend_and_axes_say_what_is_shown() -> None:
    async def check(pilot: Pilot[None], chart: Chart) -> None:
        assert str(chart.border_title) == "loss (nats/token)  x step  y linear  smooth 0.95"
        assert str(chart.border_subtitle) == "⠒ loss  ━ smoothed  ◆ validation"
        assert [len(line) for line in lines(chart)] == [78] * 18
        assert lines(chart)[-1].split() == [str(n) for n in range(0, 401, 50)]
        assert sum(line.count("◆") for line in lines(chart)) == 4
        await pilot.press("y", "x", "s")
        assert str(chart.border_title) == "loss (nats/token)  x tokens  y log  smooth 0.99"
        assert lines(chart)[-1].split()[-1] == "M"
        await pilot.press("x", "s", "s")
        assert str(chart.border_title) == "loss (nats/token)  x time  y log  raw"
        assert "0:30" in lines(chart)[-1]
        assert str(chart.border_subtitle) == "━ loss  ◆ validation"
        await pilot.press("x", "y")
        assert (chart.view.x, chart.view.log) == ("step", False)

    on_chart(check)


def test_zoom_follows_the_tail_until_panned() -> None:
    async def check(pilot: Pilot[None], chart: Chart) -> None:
        await pilot.press("plus", "plus")
        assert chart.view.span == pytest.approx(400 / 1.6**2)
        assert follows(chart)
        low, high = bounds(chart.curves, chart.view)
        assert low < 260
        assert high >= 400
        chart.show(curves(500))
        assert bounds(chart.curves, chart.view)[1] >= 500
        await pilot.press("left")
        assert not follows(chart)
        stays = bounds(chart.curves, chart.view)
        chart.show(curves(700))
        assert bounds(chart.curves, chart.view) == stays
        assert "held" in str(chart.border_title)
        await pilot.press("f")
        assert follows(chart)
        assert chart.view.span == pytest.approx(400 / 1.6**2)
        assert "held" not in str(chart.border_title)
        await pilot.press("left")
        for _ in range(12):
            chart.action_pan(1)
        assert follows(chart)
        for _ in range(40):
            chart.action_pan(-1)
        assert bounds(chart.curves, chart.view)[0] == pytest.approx(0)
        await pilot.press("0")
        assert (chart.view.span, chart.view.right) == (None, None)
        await pilot.press("plus", "minus")
        assert chart.view.span is None

    on_chart(check)


def test_zoom_stops_at_a_few_steps() -> None:
    async def check(pilot: Pilot[None], chart: Chart) -> None:
        for _ in range(30):
            chart.action_zoom(1)
        assert chart.view.span == 4
        assert len(lines(chart)) == 18

    on_chart(check)


def test_values_by_keyboard() -> None:
    async def check(pilot: Pilot[None], chart: Chart) -> None:
        assert chart.reading() == ""
        await pilot.press("i")
        assert cursor(chart) == 400
        assert chart.reading() == "step 400  loss 3.148  smoothed 3.281  validation 3.148"
        await pilot.press("left")
        assert 390 < (cursor(chart) or 0) < 400
        assert chart.view.span is None
        assert str(chart.border_subtitle) == chart.reading()
        assert any("│" in line[10:] for line in lines(chart))
        await pilot.press("escape")
        assert cursor(chart) is None
        await pilot.press("plus", "i")
        for _ in range(80):
            chart.action_pan(-1)
        low, high = bounds(chart.curves, chart.view)
        assert not follows(chart)
        assert low - 1e-6 <= (cursor(chart) or 0) <= high
        await pilot.press("i")
        assert cursor(chart) is None

    on_chart(check)


def test_values_and_zoom_by_mouse() -> None:
    async def check(pilot: Pilot[None], chart: Chart) -> None:
        await pilot.hover(Chart, offset=(40, 8))
        assert cursor(chart) == pytest.approx(chart._picture.x_at(39))
        assert "loss" in chart.reading()
        chart._zoom_about(200.0, 0.5)
        low, high = bounds(chart.curves, chart.view)
        assert [low, high] == pytest.approx([100, 300])
        await pilot.mouse_down(Chart, offset=(40, 8))
        await pilot.hover(Chart, offset=(50, 8))
        await pilot.mouse_up(Chart, offset=(50, 8))
        assert bounds(chart.curves, chart.view)[0] == pytest.approx(
            100 - 10 * chart._picture.cell, rel=0.05
        )

    on_chart(check)


def test_the_wheel_zooms_about_the_mouse() -> None:
    async def check(pilot: Pilot[None], chart: Chart) -> None:
        for direction, factor in ((MouseScrollUp, 1.6), (MouseScrollDown, 1.0)):
            under = chart._picture.x_at(40)
            await pilot._post_mouse_events([direction], Chart, offset=(41, 9))
            await pilot.pause()
            low, high = bounds(chart.curves, chart.view)
            assert high - low == pytest.approx(400 / factor, rel=0.02)
            if factor > 1:
                assert chart._picture.x_at(40) == pytest.approx(under, abs=chart._picture.cell)

    on_chart(check)


def test_nothing_is_drawn_while_hidden_and_little_while_it_grows() -> None:
    async def check(pilot: Pilot[None], chart: Chart) -> None:
        before = lines(chart)
        count = chart.redraws
        data = curves(400)
        data[0].y[-1] += 0.01
        chart.show(data)
        assert chart.redraws == count + 1
        changed = [a != b for a, b in zip(before, lines(chart), strict=True)]
        assert sum(changed) <= 1
        chart.display = False
        await pilot.pause()
        count = chart.redraws
        for n in range(401, 420):
            chart.show(curves(n))
        assert chart.redraws == count
        chart.display = True
        await pilot.pause()
        assert chart.redraws == count + 1
        assert lines(chart)[-1].split()[-1] == "450"

    on_chart(check)


def test_without_points_it_says_so_and_survives_any_size() -> None:
    async def check(pilot: Pilot[None], chart: Chart) -> None:
        chart.show([])
        await pilot.pause()
        assert any("no points yet" in line for line in lines(chart))
        await pilot.press("plus", "left", "i", "right", "x", "y", "s", "minus")
        for size in ((20, 5), (3, 3), (1, 1), (200, 60)):
            await pilot.resize_terminal(*size)
            chart.show(curves(3))
            await pilot.pause()
        assert len(lines(chart)) == 58

    on_chart(check)


def test_a_theme_repaints() -> None:
    async def check(pilot: Pilot[None], chart: Chart) -> None:
        count = chart.redraws
        pilot.app.theme = "textual-light"
        await pilot.pause()
        assert chart.redraws > count

    on_chart(check)
