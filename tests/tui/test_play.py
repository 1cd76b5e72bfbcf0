"""The place Play, against a child that speaks the same lines without a model."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import TextArea

from talm_core.jobs.sample.config import SampleConfig
from talm_core.runtime.events import Failed, Finished, Generated, Sampled, Started, Stopped
from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp
from talm_tui.forms.editors import PickEditor, TextEditor
from talm_tui.forms.picker import PickScreen
from talm_tui.play.alternatives import readout
from talm_tui.play.screen import PlayScreen
from talm_tui.play.token_view import Token, TokenView, level, visible
from talm_tui.services.clients import Heard, PlaySession
from tests.tui.app_pilot import play, screen_text, until
from tests.tui.play_pilot import CHILD, TEXT, child, enter, idle, models, shown

__all__ = ["child", "models"]


# --- the screen ------------------------------------------------------------------------------


def test_a_prompt_is_continued(models: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        assert screen.query_one("#edit-model", PickEditor).value == "nano"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: idle(screen))
        await pilot.pause()
        assert shown(screen) == TEXT.rstrip()
        text = screen_text(app)
        assert "11 tokens  1,240 tokens/s" in text
        assert '"⏎"  p 0.90   next best:  "other" 0.20  "␣n" 0.10' in text
        assert all(len(row) == 80 for row in text.splitlines())
        screen.query_one("#edit-max_tokens", TextEditor).value = "2"
        pid = screen.session.pid if screen.session else None
        await pilot.press("ctrl+r")
        await until(pilot, lambda: idle(screen))
        await pilot.pause()
        assert shown(screen) == "def __init__(self"
        # The same child: its model is still loaded.
        assert screen.session is not None
        assert screen.session.pid == pid

    play(models, story)


def test_arrows_go_from_token_to_token(models: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: idle(screen))
        view = screen.query_one(TokenView)
        view.focus()
        read = []
        for _ in range(3):
            await pilot.press("left")
            assert view.current is not None
            read.append(view.current.text)
        assert read == ["name", " = ", ".name"]
        assert '".name"  p 0.20' in screen_text(app)
        await pilot.press("right", "up")
        assert view.current is view.tokens[1]
        await pilot.press("home")
        assert view.current is view.tokens[0]
        await pilot.press("end")
        assert view.current is view.tokens[-1]
        await pilot.click(TokenView, offset=(2 + len("def __init__") + 2, 1))
        assert view.current is not None
        assert view.current.text == "(self"
        # Pages go as far as what is seen, and up to the first token below a long prompt.
        view.begin("prompt\n" * 9)
        view.add([Token(f"{number}\n", 0.5) for number in range(60)])
        await pilot.pause()
        page = view.size.height - 1
        assert page > 5
        await pilot.press("home", "pagedown")
        assert view.cursor == page
        assert f"\n│ {page} " in screen_text(app)
        await pilot.press("pagedown", "pageup", "pageup", "pageup")
        assert view.cursor == 0

    play(models, story)


def test_escape_stops_and_the_next_prompt_is_answered(models: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot, "forever")
        view = screen.query_one(TokenView)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: len(view.tokens) > 20)
        assert "esc stops" in screen_text(app)
        await pilot.press("escape")
        assert idle(screen)
        count = len(view.tokens)
        await pilot.pause(0.2)
        assert len(view.tokens) == count
        assert "stopped" in screen_text(app)
        screen.query_one("#play-prompt", TextArea).text = "def "
        await pilot.press("ctrl+r")
        await until(pilot, lambda: idle(screen) and len(view.tokens) == 11)
        assert shown(screen) == TEXT.rstrip()

    play(models, story)


def test_a_new_prompt_ends_the_one_before(models: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot, "forever")
        view = screen.query_one(TokenView)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: len(view.tokens) > 20)
        screen.query_one("#play-prompt", TextArea).text = "def "
        await pilot.press("ctrl+r")
        await until(pilot, lambda: idle(screen))
        assert shown(screen) == TEXT.rstrip()

    play(models, story)


def test_a_child_that_dies_says_why_and_the_next_prompt_starts_another(models: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot, "die")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: idle(screen))
        await pilot.pause()
        assert "the model's process died: MemoryError: no [bold]room[/]" in screen_text(app)
        screen.query_one("#play-prompt", TextArea).text = "def "
        await pilot.press("ctrl+r")
        await until(pilot, lambda: idle(screen))
        assert shown(screen) == TEXT.rstrip()

    play(models, story)


def test_what_the_model_refuses_is_told(models: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot, "refuse")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: idle(screen))
        await pilot.pause()
        assert "✕ model = 'x': has no checkpoint yet" in screen_text(app)
        assert screen.session is not None
        assert screen.session.alive

    play(models, story)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("temperature", "hot", "temperature: must be a number, 0 to 100"),
        ("top_p", "0", "top-p: must be a number, above 0, up to 1"),
        ("max_tokens", "0", "max: must be a whole number, 1 to 1,000,000"),
        ("seed", "1.5", "seed: must be a whole number"),
        ("seed", "", "seed: must be a whole number"),
    ],
)
def test_a_wrong_setting_is_told_and_nothing_starts(
    models: Workspace, key: str, text: str, message: str
) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        field = screen.query_one(f"#edit-{key}", TextEditor)
        field.value = text
        await pilot.pause()
        assert message in screen_text(app)
        assert field.has_class("-invalid")
        await pilot.press("ctrl+r")
        assert screen.session is None
        assert screen.focused is field
        field.value = "1"
        await pilot.pause()
        assert "✕" not in screen_text(app)
        request = screen.choice.request()
        assert request is not None
        assert getattr(request.lanes[0].config, key) == 1

    play(models, story)


def test_the_model_can_be_chosen(models: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        app.open_play("talm-1")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, PlayScreen)
        await until(pilot, lambda: screen.choice.models)
        assert [model.name for model in screen.choice.models] == ["nano", "talm-1"]
        assert screen.query_one("#edit-model", PickEditor).value == "talm-1"
        await pilot.press("escape", "m")
        await until(pilot, lambda: app.screen is not screen)
        assert "val loss 2.700" in screen_text(app)
        await pilot.press("n", "a", "n", "enter")
        await until(pilot, lambda: app.screen is screen)
        assert screen.query_one("#edit-model", PickEditor).value == "nano"

    play(models, story)


def test_a_checkpoint_that_was_copied_here_is_offered(models: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await pilot.press("escape", "c")
        await until(pilot, lambda: isinstance(app.screen, PickScreen))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        (models.directory("pretrain", "nano") / "checkpoint-000500").mkdir()
        # No field had the focus before the list, and none has it now.
        await pilot.press("c")
        await until(pilot, lambda: "step 500" in screen_text(app), seconds=10)
        await pilot.press(*"step", "enter")
        await until(pilot, lambda: app.screen is screen)
        assert screen.query_one("#edit-checkpoint", PickEditor).value == "step 500"

    play(models, story)


def test_without_a_model_it_says_what_to_do(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("6")
        # One is on its way; without it there would be something else to do.
        await until(pilot, lambda: "A model is being trained" in screen_text(app))
        assert "5 shows how far it is, and c there saves one now" in screen_text(app)

    play(workspace, story)


def test_the_child_ends_with_the_app(models: Workspace) -> None:
    pids: list[int] = []

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot, "forever")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: len(screen.query_one(TokenView).tokens) > 5)
        assert screen.session is not None
        assert screen.session.pid is not None
        pids.append(screen.session.pid)

    play(models, story)
    assert gone(pids[0])


def gone(pid: int) -> bool:
    """Whether a child has ended, within some seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


# --- the session -----------------------------------------------------------------------------


def heard_from(session: PlaySession, heard: list[Heard], config: SampleConfig) -> list[object]:
    del heard[:]
    session.ask({1: config})
    ends = (Finished, Failed, Stopped)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        events = [record.event for message in list(heard) for record in message.records]
        if any(isinstance(event, ends) for event in events) or any(m.died for m in list(heard)):
            return list(events)
        time.sleep(0.005)
    raise TimeoutError


def test_a_session_hears_each_event_once_and_in_order() -> None:
    heard: list[Heard] = []
    session = PlaySession(Path("/nowhere"), heard.append, command=CHILD)
    try:
        assert not session.alive
        events = heard_from(session, heard, SampleConfig(model="m", prompt="x", max_tokens=3))
        assert [type(event) for event in events] == [
            Started,
            *[Generated] * 3,
            Sampled,
            Finished,
        ]
        # Far fewer messages than events: they come in batches.
        events = heard_from(session, heard, SampleConfig(model="m", prompt="x"))
        assert len(heard) < len(events)
        pid = session.pid
        assert pid is not None
    finally:
        session.close()
    assert gone(pid)
    assert not session.alive


def test_a_program_that_cannot_be_started() -> None:
    session = PlaySession(Path("/nowhere"), lambda _: None, command=("/nowhere/python",))
    with pytest.raises(OSError, match="nowhere"):
        session.ask({1: SampleConfig(model="m")})


def test_a_child_without_a_last_word() -> None:
    heard: list[Heard] = []
    session = PlaySession(
        Path("/nowhere"), heard.append, command=(sys.executable, "-c", "raise SystemExit(3)")
    )
    heard_from(session, heard, SampleConfig(model="m"))
    assert heard[-1].died == "it ended with code 3"


# --- tokens ----------------------------------------------------------------------------------


def test_the_read_out_shows_white_space_and_no_markup() -> None:
    token = Token("\t[b]\n", 0.001, [("\t[b]\n", 0.001), (" x", 0.5), ("\x1b[31m", 0.25)])
    assert readout(token).plain == '"⇥[b]⏎"  p < 0.01   next best:  "␣x" 0.50  "" 0.25'
    assert visible("a\x1b]0;t\x07b") == '"ab"'
    assert readout(None).plain


def test_levels_rise_with_the_probability() -> None:
    assert [level(p) for p in (0.0, 0.03, 0.2, 0.5, 0.9)] == [0, 1, 2, 3, 4]


def test_text_is_wrapped_between_tokens_and_nothing_is_lost(models: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        view = screen.query_one(TokenView)
        view.begin("")
        words = ["word"] * 100 + ["\n", "\n", "x" * 200, "日本", "e\u0301"]
        view.add([Token(word, 0.5) for word in words[:50]])
        view.add([Token(word, 0.5) for word in words[50:]])
        for size in ((80, 24), (30, 10), (120, 40)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            lines = view.text.split("\n")
            assert "".join(line.replace(" ", "") for line in lines) == "".join(words).replace(
                "\n", ""
            )
            width = view.scrollable_content_region.width
            assert all(len(line) <= width for line in lines)
            assert not any(line.startswith("ord") for line in lines)

    play(models, story)
