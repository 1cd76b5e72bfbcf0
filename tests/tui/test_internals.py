"""What is used of Textual that it does not offer to others."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import pytest
from textual.color import Color
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.events import Key
from textual.pilot import Pilot

from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp
from talm_tui.home.screen import HomeScreen
from talm_tui.shell.header import HeaderLine
from talm_tui.shell.internals import EscapeParser, bindings, stacks
from tests.tui.app_pilot import play, until


def test_screens_and_bindings_are_found(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("5")
        await pilot.pause()
        assert {mode for mode, screens in stacks(app).items() if screens} == {"home", "runs"}
        assert stacks(app)["runs"][-1] is app.screen

    play(workspace, story)
    ids = [binding.id for binding in bindings(HomeScreen)]
    assert ids.index("place.leave") < ids.index("home.open") < ids.index("home.last")


def _shown(app: TalmApp, part: str) -> bool:
    return bool(app.screen.query(part))


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


def _keys_of(*read: str) -> list[str]:
    parser = EscapeParser()
    events = [event for data in read for event in parser.feed(data)]
    return [event.key if isinstance(event, Key) else type(event).__name__ for event in events]


@pytest.mark.parametrize(
    ("read", "keys"),
    [
        (["\x1b3"], ["escape", "3"]),
        (["\x1b", "3"], ["escape", "3"]),
        (["ab\x1b", "\x1b[B", "c"], ["a", "b", "escape", "down", "c"]),
        (["\x1b", "[B"], ["down"]),
        (["\x1bOP\x1b[1;5D\x1bb"], ["f1", "ctrl+left", "ctrl+left"]),
        (
            ["\x1bs\x1b[Bt\x1b\r\x1b/"],
            ["escape", "s", "down", "t", "escape", "enter", "escape", "slash"],
        ),
        (["\x1b" + "s" * 40], ["escape", *"s" * 40]),
        (["\x1b[200~a", "3b\x1b[201~d", "\x1be"], ["Paste", "d", "escape", "e"]),
        (["\x1b[<0;5;5M\x1bx"], ["MouseDown", "escape", "x"]),
    ],
)
def test_an_escape_is_a_key_or_begins_a_sequence(read: list[str], keys: list[str]) -> None:
    assert _keys_of(*read) == keys
