"""What tests of Play share: a child that speaks without a model, and models to choose from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import TextArea

from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp
from talm_tui.play import screen as play_module
from talm_tui.play.screen import PlayScreen
from talm_tui.play.token_view import TokenView
from talm_tui.services.clients import PlaySession
from tests.tui.app_pilot import until

CHILD = (sys.executable, str(Path(__file__).with_name("fake_player.py")))
TEXT = "def __init__(self, name=None):\n    self.name = name\n"


@pytest.fixture(autouse=True)
def child(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script instead of a model."""
    monkeypatch.setattr(
        play_module, "PlaySession", lambda root, tell: PlaySession(root, tell, command=CHILD)
    )


@pytest.fixture
def models(workspace: Workspace) -> Workspace:
    """A workspace with two models that can be prompted."""
    for name in ("nano", "talm-1"):
        (workspace.directory("pretrain", name) / "checkpoint-000400").mkdir()
    return workspace


async def enter(app: TalmApp, pilot: Pilot[None], prompt: str = "def ") -> PlayScreen:
    await pilot.press("6")
    screen = app.screen
    assert isinstance(screen, PlayScreen)
    await until(pilot, lambda: screen.choice.models)
    screen.query_one("#play-prompt", TextArea).text = prompt
    return screen


def shown(screen: PlayScreen) -> str:
    return "\n".join(line.rstrip() for line in screen.query_one(TokenView).text.splitlines())


def idle(screen: PlayScreen) -> bool:
    return not screen.generating
