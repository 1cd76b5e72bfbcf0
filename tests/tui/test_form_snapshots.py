"""Pictures of finding and of browsing in a form. A picture that changed was looked at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp
from talm_tui.forms.browser import BrowseScreen
from talm_tui.forms.screen import FormPlace
from talm_tui.train.screen import TrainScreen
from tests.tui.form_pilot import add_manifest, app_at, settled, until
from tests.tui.screen_text import Compare

SIZES = [(80, 24), (120, 40)]


@pytest.fixture(autouse=True)
def usual_workspace(
    workspace: Workspace, empty_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command names only a workspace that is not the usual one."""
    assert workspace.root == empty_workspace.root
    monkeypatch.setenv("TALM_HOME", str(workspace.root))
    # A corpus that is the same wherever the tests run.
    texts = workspace.root.parent / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("some text\n" * 50_000)
    monkeypatch.chdir(texts.parent)


def shown(
    steps: Callable[[Pilot[Any], FormPlace], Awaitable[None]],
) -> Callable[[Pilot[Any]], Awaitable[None]]:
    async def before(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, TalmApp)
        await until(pilot, lambda: app.snapshot.complete)
        place = app.screen
        assert isinstance(place, FormPlace)
        await until(pilot, lambda: place.form.is_mounted)
        await steps(pilot, place)
        await pilot.pause()

    return before


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_finding(workspace: Workspace, screen_compare: Compare, size: tuple[int, int]) -> None:
    add_manifest(workspace)

    async def steps(pilot: Pilot[Any], place: FormPlace) -> None:
        assert isinstance(place, TrainScreen)
        place.load_preset("talm")
        await settled(pilot, place)
        await pilot.press("slash", *"learn")

    assert screen_compare(
        app_at(workspace, "train"),
        terminal_size=size,
        run_before=shown(steps),
        picture=size == (80, 24),
    )


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_browsing(
    workspace: Workspace,
    screen_compare: Compare,
    size: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Below the home directory, so that the picture does not say where the tests run.
    texts = workspace.root.parent / "texts"
    monkeypatch.setenv("HOME", str(texts.parent))
    for number in range(30):
        (texts / f"chapter-{number:02d}.txt").write_text("some text\n" * 100 * number)
    (texts / "more").mkdir()

    async def steps(pilot: Pilot[Any], place: FormPlace) -> None:
        place.fill({"text_file": ("texts/chapter-03.txt",)})
        place.form.go_to("text_file")
        await until(pilot, lambda: getattr(place.focused, "key", None) == "text_file")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen))
        screen = pilot.app.screen
        assert isinstance(screen, BrowseScreen)
        await until(pilot, lambda: screen._shown)
        await pilot.press("down", "space")

    app = app_at(workspace, "tokenizer")
    assert screen_compare(
        app, terminal_size=size, run_before=shown(steps), picture=size == (80, 24)
    )
