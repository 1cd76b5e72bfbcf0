"""How Runs and Play look, at two sizes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from talm_core.workspace import Workspace
from talm_tui.app import TalmApp
from talm_tui.play_session import PlaySession
from talm_tui.screens import play as play_module
from talm_tui.screens.play import PlayScreen
from talm_tui.screens.runs import RunsScreen
from tests.tui.app_pilot import until

CHILD = (sys.executable, str(Path(__file__).with_name("fake_player.py")))
SIZES = [pytest.param((80, 24), id="80x24"), pytest.param((120, 40), id="120x40")]


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One time zone, and a chart that nobody redraws."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(
        play_module, "PlaySession", lambda root, tell: PlaySession(root, tell, command=CHILD)
    )
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


async def prompted(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, TalmApp)
    await until(pilot, lambda: app.snapshot.complete)
    await pilot.press("6")
    screen = app.screen
    assert isinstance(screen, PlayScreen)
    await until(pilot, lambda: screen._models)
    await pilot.press("ctrl+r")
    await until(pilot, lambda: not screen.generating)
    await pilot.press("tab", "left", "left")
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
def test_a_run(workspace: Workspace, snap_compare: Any, size: tuple[int, int]) -> None:
    assert snap_compare(TalmApp(workspace), terminal_size=size, run_before=runs)


@pytest.mark.parametrize("size", SIZES)
def test_no_run(empty_workspace: Workspace, snap_compare: Any, size: tuple[int, int]) -> None:
    assert snap_compare(TalmApp(empty_workspace), terminal_size=size, run_before=runs)


@pytest.mark.parametrize("size", SIZES)
def test_play(workspace: Workspace, snap_compare: Any, size: tuple[int, int]) -> None:
    (workspace.directory("pretrain", "nano") / "checkpoint-000400").mkdir()
    assert snap_compare(TalmApp(workspace), terminal_size=size, run_before=prompted)
