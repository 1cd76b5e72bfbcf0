"""How Runs looks, at two sizes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from textual.pilot import Pilot

from talm_core.workspace import Workspace
from talm_tui.app import TalmApp
from talm_tui.screens.runs import RunsScreen
from tests.tui.app_pilot import until

SIZES = [pytest.param((80, 24), id="80x24"), pytest.param((120, 40), id="120x40")]


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
        await until(pilot, lambda: len(screen.history.metrics))
        await until(pilot, lambda: screen.files.config)
        await pilot.pause()
        screen._changed()
        screen._tick()
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
def test_a_run(workspace: Workspace, snap_compare: Any, size: tuple[int, int]) -> None:
    assert snap_compare(TalmApp(workspace), terminal_size=size, run_before=runs)


@pytest.mark.parametrize("size", SIZES)
def test_no_run(empty_workspace: Workspace, snap_compare: Any, size: tuple[int, int]) -> None:
    assert snap_compare(TalmApp(empty_workspace), terminal_size=size, run_before=runs)
