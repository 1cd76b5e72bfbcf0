"""Pictures of Play. A picture that changed was looked at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp
from talm_tui.forms.editors import PickEditor, TextEditor
from talm_tui.play.screen import PlayScreen
from tests.tui.app_pilot import until
from tests.tui.play_pilot import child, models
from tests.tui.screen_text import Compare

__all__ = ["child", "models"]

SIZES = [
    pytest.param((80, 24), id="80x24"),
    pytest.param((120, 40), id="120x40"),
    pytest.param((200, 60), id="200x60"),
]


def prompted(samples: int, beside: str = "", keys: tuple[str, ...] = ()) -> Any:
    async def steps(pilot: Pilot[None]) -> None:
        app = pilot.app
        assert isinstance(app, TalmApp)
        await until(pilot, lambda: app.snapshot.complete)
        await pilot.press("6")
        screen = app.screen
        assert isinstance(screen, PlayScreen)
        await until(pilot, lambda: screen.choice.models)
        screen.query_one("#edit-samples", TextEditor).value = str(samples)
        screen.query_one("#edit-beside", PickEditor).choose(beside)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: not screen.generating)
        await pilot.press(*keys)
        await pilot.pause()

    before: Callable[[Pilot[None]], Awaitable[None]] = steps
    return before


@pytest.mark.parametrize("size", SIZES)
def test_four_samples(models: Workspace, screen_compare: Compare, size: tuple[int, int]) -> None:
    assert screen_compare(
        TalmApp(models), terminal_size=size, run_before=prompted(4), picture=size == (80, 24)
    )


@pytest.mark.parametrize("size", SIZES[:2])
def test_two_checkpoints(models: Workspace, screen_compare: Compare, size: tuple[int, int]) -> None:
    (models.directory("pretrain", "nano") / "checkpoint-000200").mkdir()
    before = prompted(2, "step 200", ("tab", "tab", "home", "right"))
    assert screen_compare(
        TalmApp(models), terminal_size=size, run_before=before, picture=size == (80, 24)
    )


def test_no_model(empty_workspace: Workspace, snap_compare: Any) -> None:
    async def before(pilot: Pilot[None]) -> None:
        app = pilot.app
        assert isinstance(app, TalmApp)
        await until(pilot, lambda: app.snapshot.complete)
        await pilot.press("6")
        await until(pilot, lambda: app.screen.query_one("#play-empty").display)
        await pilot.pause()

    assert snap_compare(TalmApp(empty_workspace), terminal_size=(80, 24), run_before=before)
