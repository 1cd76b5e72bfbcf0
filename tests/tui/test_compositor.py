"""What is painted and styled again: as little as possible, and the same as Textual would."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from functools import partial

import pytest
from textual._compositor import Compositor
from textual.color import Color
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.geometry import Region
from textual.pilot import Pilot
from textual.widget import Widget

from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp
from talm_tui.shell.compositor import SparingCompositor
from talm_tui.shell.header import HeaderLine
from tests.tui.app_pilot import play, until


def _regions(rng: random.Random, width: int, height: int) -> set[Region]:
    """A few rectangles, most of them single lines, as widgets ask for them."""
    found = set()
    for _ in range(rng.randint(1, 6)):
        x, y = rng.randrange(width), rng.randrange(height)
        lines = 1 if rng.random() < 0.6 else rng.randint(1, height - y)
        found.add(Region(x, y, rng.randint(1, width - x), lines))
    return found


def _shown(app: TalmApp, part: str) -> bool:
    return bool(app.screen.query(part))


def _without_nothing(sent: str) -> str:
    """Without colours of no text and moves to where nothing is written."""
    coloured = re.sub(r"\x1b\[[\d;]+m\x1b\[0m", "", sent)
    return re.sub(r"\x1b\[[\d;]+H(?=\x1b\[[\d;]+H|\n|$)", "", coloured)


def test_the_terminal_is_sent_what_textual_would_send(workspace: Workspace) -> None:

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        for place, part in (("5", "#run-chart"), ("1", "#next")):
            await pilot.press(place)
            await until(pilot, partial(_shown, app, part))
            app.notify("in front of all else", timeout=60)
            await until(pilot, lambda: app.screen.query("Toast"))
            await pilot.pause()
            compositor = app.screen._compositor
            assert isinstance(compositor, SparingCompositor)
            rng = random.Random(place)
            for _ in range(60):
                regions = _regions(rng, *app.size)
                compositor._dirty_regions = set(regions)
                theirs = Compositor.render_partial_update(compositor)
                compositor._dirty_regions = set(regions)
                ours = compositor.render_partial_update()
                assert ours is not None
                assert theirs is not None
                sent = _without_nothing(ours.render_segments(app.console))
                assert sent == _without_nothing(theirs.render_segments(app.console))
                assert not compositor._dirty_regions

    play(workspace, story, size=(120, 40))


def test_only_what_changed_is_asked_for_its_lines(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Region]] = []
    render = Widget.render_lines

    def remember(self: Widget, crop: Region) -> object:
        asked.append((self.id or "", crop))
        return render(self, crop)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("5")
        await until(pilot, lambda: app.screen.query("#run-chart"))
        await pilot.pause()
        with monkeypatch.context() as patch:
            patch.setattr(Widget, "render_lines", remember)
            compositor = app.screen._compositor
            compositor._dirty_regions = {Region(0, 0, 120, 1), Region(0, 39, 120, 1)}
            assert compositor.render_partial_update() is not None
            assert sorted(asked) == [
                ("header", Region(0, 0, 120, 1)),
                ("keys", Region(0, 0, 120, 1)),
            ]
            assert compositor.render_partial_update() is None

    play(workspace, story, size=(120, 40))


def test_a_place_is_styled_when_it_is_made_and_with_the_theme_only(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    styled: list[str] = []
    update = Stylesheet.update_nodes

    def remember(self: Stylesheet, nodes: Iterable[DOMNode], animate: bool = False) -> None:
        found = list(nodes)
        styled.extend(node.id for node in found if isinstance(node, HeaderLine) and node.id)
        update(self, found, animate)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        for place in "45":
            await pilot.press(place)
            await pilot.pause()
        await until(pilot, partial(_shown, app, "#run-chart"))
        await pilot.pause()
        monkeypatch.setattr(Stylesheet, "update_nodes", remember)
        for place in "4154":
            await pilot.press(place)
            await pilot.pause()
        assert styled == []
        app.theme = "textual-light"
        await pilot.pause()
        light = Color.parse(app.current_theme.background or "")
        assert app.screen.styles.background == light
        await pilot.press("5")
        await pilot.pause()
        assert app.screen.styles.background == light
        assert len(styled) >= 2

    play(workspace, story, size=(120, 40))
