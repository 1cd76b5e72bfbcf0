"""Home as it looks when it is empty, at work, and asks."""

from __future__ import annotations

import time
from typing import Any

import pytest
from textual.pilot import Pilot

from talm_core.runtime.lock import Lock
from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp
from tests.tui.app_pilot import until
from tests.tui.screen_text import Compare
from tests.tui.test_home import quickstart

SIZES = [(80, 24), (120, 40), (200, 60)]


async def looked(pilot: Pilot[None]) -> None:
    """Wait until the app has seen the workspace."""
    app = pilot.app
    assert isinstance(app, TalmApp)
    await until(pilot, lambda: app.snapshot.complete)
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
def test_home_of_an_empty_workspace(
    screen_compare: Compare, empty_workspace: Workspace, size: tuple[int, int]
) -> None:
    assert screen_compare(
        TalmApp(empty_workspace), terminal_size=size, run_before=looked, picture=size == (80, 24)
    )


@pytest.mark.parametrize("size", SIZES)
def test_home_during_quick_start(
    screen_compare: Compare, workspace: Workspace, size: tuple[int, int]
) -> None:
    directory = quickstart(workspace)
    data = workspace.directory("data", "stdlib/quickstart_all")
    with Lock.acquire(directory), Lock.acquire(data):
        assert screen_compare(
            TalmApp(workspace), terminal_size=size, run_before=looked, picture=size == (80, 24)
        )


def test_log(snap_compare: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    log = workspace.folder("pretrain") / "try-2" / "log.txt"
    log.write_text("\n".join(f"line {number} of the log" for number in range(12)))

    async def open_log(pilot: Pilot[None]) -> None:
        await looked(pilot)
        await pilot.press("end", "l")
        # The path of a test's workspace is another one every time.
        pilot.app.screen.query_one("#log").border_title = "models/try-2/log.txt"
        await pilot.pause()

    assert snap_compare(TalmApp(workspace), terminal_size=(80, 24), run_before=open_log)
    monkeypatch.undo()
    time.tzset()


def test_question(snap_compare: Any, workspace: Workspace) -> None:
    async def ask(pilot: Pilot[None]) -> None:
        await looked(pilot)
        await pilot.press("K")

    assert snap_compare(TalmApp(workspace), terminal_size=(80, 24), run_before=ask)
