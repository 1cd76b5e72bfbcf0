"""How Runs looks, at three sizes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
from textual.pilot import Pilot

from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp
from talm_tui.runs.screen import RunsScreen
from talm_tui.shell.theme import DARK, LIGHT, series
from tests.tui import canned
from tests.tui.app_pilot import until
from tests.tui.screen_text import Compare, text_of_screen
from tests.tui.test_runs import say

SIZES = [
    pytest.param((columns, rows), id=f"{columns}x{rows}")
    for columns, rows in ((80, 24), (120, 40), (200, 60))
]


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One time zone, and a chart that nobody redraws."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


async def runs(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, TalmApp)
    await until(pilot, lambda: app.snapshot.complete)
    await pilot.press("5")
    screen = app.screen
    assert isinstance(screen, RunsScreen)
    if app.snapshot.models:
        await until(pilot, lambda: len(screen.run.history.metrics))
        await until(pilot, lambda: screen.run.files.config)
        await pilot.pause()
        screen._changed()
        screen._tick()
    await pilot.pause()


def _overlays(screen: RunsScreen, count: int) -> bool:
    return len(screen.charts.overlaid) == count


def _left(screen: RunsScreen, run: str | None) -> bool:
    return screen.run.name != run


async def overlaid(pilot: Pilot[None]) -> None:
    await runs(pilot)
    screen = pilot.app.screen
    assert isinstance(screen, RunsScreen)
    for number in range(1, 4):
        await pilot.press("o")
        await until(pilot, partial(_overlays, screen, number))
        chosen = screen.run.name
        await pilot.press("down")
        await until(pilot, partial(_left, screen, chosen))
    await pilot.press("home")
    await until(pilot, lambda: all(len(x.history.metrics) for x in screen.charts.overlaid.values()))
    await until(pilot, lambda: len(screen.run.history.metrics) == 42 and screen.run.files.config)
    screen._changed()
    screen._tick()
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
def test_runs_laid_over_each_other(
    workspace: Workspace, screen_compare: Compare, size: tuple[int, int]
) -> None:
    assert screen_compare(
        TalmApp(workspace), terminal_size=size, run_before=overlaid, picture=size == (120, 40)
    )


def test_the_light_theme_changes_colours_alone(workspace: Workspace) -> None:
    texts, inks = [], []
    for theme in (DARK, LIGHT):
        app = TalmApp(workspace)
        app.theme = theme
        texts.append(text_of_screen(app, (120, 40), overlaid))
        colours = series(dark=theme == DARK)
        inks.append([app.theme_variables[name] for name in colours] == list(colours.values()))
    assert texts[0] == texts[1]
    assert inks == [True, True]


@pytest.mark.parametrize("size", SIZES[:2])
def test_the_table(workspace: Workspace, screen_compare: Compare, size: tuple[int, int]) -> None:
    async def grouped(pilot: Pilot[None]) -> None:
        await runs(pilot)
        await pilot.press("enter", "slash", *"step>=10 group:status")
        await pilot.press("enter")
        await pilot.pause()

    assert screen_compare(
        TalmApp(workspace), terminal_size=size, run_before=grouped, picture=size == (80, 24)
    )


@pytest.mark.parametrize("size", SIZES[:2])
def test_two_accelerators(
    workspace: Workspace, screen_compare: Compare, size: tuple[int, int]
) -> None:
    events = []
    for second in range(60):
        event = canned.telemetry(gpu=True)
        (device,) = event.devices
        first = replace(device, used=int(device.used * (1 + second / 60)))
        idle = replace(device, used=device.used // 2, utilisation=second / 60, power=None)
        events.append(replace(event, devices=[first, idle]))
    say(workspace.directory("pretrain", "nano"), *events)
    assert screen_compare(
        TalmApp(workspace), terminal_size=size, run_before=runs, picture=size == (80, 24)
    )


@pytest.mark.parametrize("size", SIZES)
def test_no_run(empty_workspace: Workspace, screen_compare: Compare, size: tuple[int, int]) -> None:
    assert screen_compare(
        TalmApp(empty_workspace), terminal_size=size, run_before=runs, picture=size == (80, 24)
    )
