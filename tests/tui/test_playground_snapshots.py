"""Pictures of the playground. A picture that changed was looked at."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp
from talm_tui.tokenizer.playground import PlaygroundScreen
from talm_tui.tokenizer.token_grid import TokenGrid
from tests.tui.form_pilot import app_at, until
from tests.tui.screen_text import Compare


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=str)
def test_playground(workspace: Workspace, screen_compare: Compare, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, TalmApp)
        await until(pilot, lambda: app.snapshot.complete)
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, PlaygroundScreen))
        screen = app.screen
        assert isinstance(screen, PlaygroundScreen)
        screen.choose("base")
        await pilot.press("up", "end", "left")
        await until(pilot, lambda: screen.query_one(TokenGrid).cursor == 28)
        await pilot.pause()

    assert screen_compare(
        app_at(workspace, "tokenizer"),
        terminal_size=size,
        run_before=before,
        picture=size == (80, 24),
    )
