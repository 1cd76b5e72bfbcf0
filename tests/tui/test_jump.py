"""Jump mode: letters on everything that can be gone to."""

from __future__ import annotations

from textual import events
from textual.pilot import Pilot

from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp
from talm_tui.forms.screen import FormPlace
from talm_tui.shell.jump import LETTERS, JumpScreen, Letter, labels
from tests.tui.app_pilot import play, screen_text, until


def test_no_label_begins_another() -> None:
    assert labels(3) == ["a", "s", "d"]
    assert labels(26) == list(LETTERS)
    many = labels(60)
    assert len(set(many)) == 60
    assert {len(label) for label in many} == {2}


async def jump(app: TalmApp, pilot: Pilot[None]) -> JumpScreen:
    await pilot.press("ctrl+o")
    await until(pilot, lambda: isinstance(app.screen, JumpScreen) and app.screen.targets)
    await pilot.pause()
    assert isinstance(app.screen, JumpScreen)
    return app.screen


def test_a_letter_goes_to_its_field_and_escape_stays(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await until(pilot, lambda: isinstance(app.screen, FormPlace))
        place = app.screen
        await pilot.press("down")
        name = place.focused
        overlay = await jump(app, pilot)
        shown = {letter.label for letter in overlay.query(Letter)}
        assert shown == set(overlay.targets)
        [vocab] = [key for key, widget in overlay.targets.items() if widget.id == "edit-vocab_size"]
        await pilot.press(vocab)
        await until(pilot, lambda: app.screen is place)
        assert getattr(place.focused, "key", None) == "vocab_size"
        await jump(app, pilot)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is place)
        assert getattr(place.focused, "key", None) == "vocab_size"
        assert name is not place.focused
        # From within a field a digit is typed; from here it goes to a place.
        await jump(app, pilot)
        await pilot.press("1")
        await until(pilot, lambda: app.current_mode == "home")

    play(workspace, story)


def test_every_letter_stands_on_what_can_be_seen(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("4")
        await until(pilot, lambda: isinstance(app.screen, FormPlace))
        overlay = await jump(app, pilot)
        for letter in overlay.query(Letter):
            assert app.screen.size.region.contains_region(letter.region)
        few = len(overlay.targets)
        await pilot.resize_terminal(120, 60)
        await until(pilot, lambda: len(overlay.targets) > few)
        text = screen_text(app)
        assert "esc leaves" in text.splitlines()[-1]
        # A click beside the letters leaves.
        await pilot.click(offset=(119, 58))
        await until(pilot, lambda: not isinstance(app.screen, JumpScreen))

    play(workspace, story)


def test_a_dialog_that_is_left_twice_is_left_once(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        overlay = await jump(app, pilot)
        overlay.dismiss(None)
        overlay.dismiss(None)
        await pilot.pause()
        assert app.current_mode == "home"
        # Keys typed faster than the letters go.
        overlay = await jump(app, pilot)
        for _ in range(3):
            overlay.post_message(events.Key("2", "2"))
        await until(pilot, lambda: app.current_mode == "tokenizer")
        await pilot.pause()
        assert len(app.screen_stack) == 1

    play(workspace, story)


def test_the_steps_of_home_can_be_jumped_to(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        overlay = await jump(app, pilot)
        [data] = [key for key, widget in overlay.targets.items() if widget.id == "step-data"]
        letter = next(item for item in overlay.query(Letter) if item.label == data)
        await pilot.click(letter)
        await until(pilot, lambda: app.current_mode == "data")

    play(workspace, story)
