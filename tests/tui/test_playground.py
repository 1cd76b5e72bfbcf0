"""The playground, with the encoder it has in real life."""

from __future__ import annotations

import itertools
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input, Static

from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime.events import Finished, Started
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.playground import Answer, Ask, Token
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import BASE, Vocabulary, readable
from talm_tui.app import TalmApp
from talm_tui.data.screen import DataScreen
from talm_tui.forms.editors import PickEditor
from talm_tui.services.clients import Encoded, EncodeSession
from talm_tui.tokenizer.learned import LearnedScreen
from talm_tui.tokenizer.playground import (
    REACH,
    PlaygroundScreen,
    TextInput,
    around,
    readout,
    token_at,
)
from talm_tui.tokenizer.screen import TokenizerScreen
from talm_tui.tokenizer.token_grid import TokenGrid, shown
from tests.core.driving import run_events
from tests.tui import canned
from tests.tui.app_pilot import play, screen_text, until

ENCODER = Tokenizer.from_vocabulary(Vocabulary.load(BASE))


def ids(screen: PlaygroundScreen) -> list[int]:
    return [token.id for token in screen.answer.part] if screen.answer else []


def current(screen: PlaygroundScreen) -> int:
    return screen.query_one(TokenGrid).cursor


async def enter(app: TalmApp, pilot: Pilot[None], text: str | None = None) -> PlaygroundScreen:
    await pilot.press("2")
    await until(pilot, lambda: isinstance(app.screen, TokenizerScreen))
    await pilot.press("p")
    await until(pilot, lambda: isinstance(app.screen, PlaygroundScreen))
    screen = app.screen
    assert isinstance(screen, PlaygroundScreen)
    screen.choose("base")
    await until(pilot, lambda: screen.answer)
    if text is not None:
        screen.query_one(TextInput).text = text
        await until(pilot, lambda: ids(screen) == ENCODER.encode_ordinary(text))
    return screen


def cut(screen: PlaygroundScreen, text: str) -> bool:
    return ids(screen) == ENCODER.encode_ordinary(text)


def told(screen: PlaygroundScreen, part: str) -> str:
    return str(screen.query_one(f"#playground-{part}", Static).visual)


def test_what_is_typed_is_cut_at_once(empty_workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot, "")
        assert told(screen, "readout") == "Select a token to see its id and bytes."
        typed = ""
        for key in "def g":
            typed += key
            await pilot.press("space" if key == " " else key)
            await until(pilot, partial(cut, screen, typed))
        assert told(screen, "facts") == "2 tokens · 5 B · 5 characters · 2.50 bytes a token"
        assert told(screen, "readout") == '"␣g"  id 467   token 2 of 2   bytes 20 67'
        await pilot.press("left", "left")
        await until(pilot, lambda: current(screen) == 0)
        assert told(screen, "readout") == '"def"  id 452   token 1 of 2   bytes 64 65 66'
        grid = screen.query_one(TokenGrid)
        assert grid.render_line(0).text.rstrip() == "def ␣g"
        assert grid.render_line(1).text.rstrip() == "452 467"
        await pilot.press("ctrl+n")
        await until(pilot, lambda: screen.answer and screen.answer.tokens == 0)
        assert screen.query_one(TextInput).text == ""

    play(empty_workspace, story)


def test_tokens_that_touch_differ_in_colour(empty_workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot, "x" * 40)
        grid = screen.query_one(TokenGrid)
        strip = list(grid.render_line(0))
        colours = [
            segment.style.bgcolor for segment in strip if segment.text == "xx" and segment.style
        ]
        assert len(colours) > 10
        assert all(one != other for one, other in itertools.pairwise(colours))
        assert "xx   xx   xx" in grid.render_line(0).text

    play(empty_workspace, story)


def test_a_megabyte_is_shown_and_holds_nothing_back(empty_workspace: Workspace) -> None:
    text = "def f(x):\n    return x + 1\n" * 38_000
    expected = ENCODER.encode_ordinary(text)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot, "")
        app.post_message(events.Paste(text))
        await until(pilot, lambda: screen.held == text)
        await until(pilot, lambda: screen.answer and screen.answer.tokens == len(expected))
        assert "1.0 MB" in told(screen, "facts")
        area, grid = screen.query_one(TextInput), screen.query_one(TokenGrid)
        assert area.text == ""
        assert "1.0 MB were pasted" in str(area.placeholder)
        assert grid.has_focus
        await pilot.press("end")
        last = len(expected) - 1
        await until(pilot, lambda: grid.current is not None and grid.cursor == last)
        answer = screen.answer
        assert answer is not None
        assert ids(screen) == expected[answer.first :]
        await pilot.press("up", "left", "pageup")
        assert 0 < last - grid.cursor < 200
        assert grid.current is not None
        assert grid.current.id == expected[grid.cursor]
        # Up and up, over the edge of what is here: rows stay, and each token is the right one.
        for _ in range(12):
            before = grid.cursor
            await pilot.press("pageup")
            await until(pilot, lambda: grid.current is not None)
            assert grid.cursor < before
            assert grid.current.id == expected[grid.cursor]
        before = grid.cursor
        await pilot.press("pagedown")
        await until(pilot, lambda: grid.current is not None)
        assert before < grid.cursor < last
        assert grid.current.id == expected[grid.cursor]
        await pilot.press("home", "right")
        await until(pilot, lambda: grid.current is not None and grid.cursor == 1)
        assert told(screen, "readout").startswith('"␣f"  id 285   token 2 of')
        await pilot.press("shift+tab", *"hi")
        await until(pilot, lambda: ids(screen) == ENCODER.encode_ordinary("hi"))
        assert screen.held is None

    play(empty_workspace, story)


def test_special_tokens_can_be_tokens(empty_workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot, "a<|endoftext|>")
        assert len(ids(screen)) > 2
        await pilot.press("ctrl+s")
        await until(pilot, lambda: ids(screen) == [97, 4096])
        await pilot.press("ctrl+s")
        await until(pilot, lambda: len(ids(screen)) > 2)

    play(empty_workspace, story)


def test_a_small_paste_can_be_edited(empty_workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot, "ab")
        area = screen.query_one(TextInput)
        area.move_cursor((0, 1))
        app.post_message(events.Paste("12\n3"))
        await until(pilot, lambda: area.text == "a12\n3b")
        # Too long together, though neither is alone: the text around it is kept.
        app.post_message(events.Paste("x" * 9_999))
        await until(pilot, lambda: screen.held == "a12\n3" + "x" * 9_999 + "b")

    play(empty_workspace, story)


def test_any_tokenizer_can_be_chosen(workspace: Workspace) -> None:
    # What is wrong with one that has no file is told.
    (workspace.directory("tokenizer", "code-8k") / "tokencoder.json").unlink()
    vocabulary = Vocabulary("mine", r"\S+|\s+", {bytes([b]): b for b in range(256)}, {})
    config = TokenizerConfig(name="mine", vocab_size=256)
    finished = Finished(seconds=1, summary={"vocab_size": 256})
    directory = canned.artifact(
        workspace, config, [Started(job="tokenizer", name="mine"), finished], end=canned.NOW - 9999
    )
    vocabulary.save(directory / "tokencoder.json")

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot, "hi")
        picker = screen.query_one(PickEditor)
        assert [name for name, _ in picker.options()] == ["base", "mine", "code-8k"]
        await pilot.press("ctrl+t")
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press(*"mine", "enter")
        await until(pilot, lambda: ids(screen) == [104, 105])
        assert picker.value == "mine"
        screen.choose("code-8k")
        await until(pilot, lambda: screen.problem)
        assert "✕ tokenizer = 'code-8k': this tokenizer is not finished" in screen_text(app)
        assert screen.answer is None
        screen.choose("base")
        await until(pilot, lambda: ids(screen) == ENCODER.encode_ordinary("hi"))
        assert "✕" not in screen_text(app)

    play(workspace, story, size=(120, 40))


def test_back_to_the_form_and_to_other_places(empty_workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot, "hi")
        await pilot.press("escape")
        assert app.focused is None
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, DataScreen))
        await pilot.press("2")
        await until(pilot, lambda: app.screen is screen)
        pid = screen.session.pid if screen.session else None
        assert pid is not None
        # Somebody wants the form below, with values.
        app.open_form("tokenizer", vocab_size=999)
        await until(pilot, lambda: isinstance(app.screen, TokenizerScreen))
        form = app.screen
        assert isinstance(form, TokenizerScreen)
        await until(pilot, lambda: form.state.values["vocab_size"] == 999)
        await until(pilot, lambda: gone(pid))
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, PlaygroundScreen))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: app.screen is form)

    play(empty_workspace, story)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# --- the session -----------------------------------------------------------------------------


@contextmanager
def session(root: Path, *command: str) -> Iterator[tuple[EncodeSession, Callable[[], Encoded]]]:
    """A session, and what it says next."""
    heard: queue.Queue[Encoded] = queue.Queue()
    made = EncodeSession(root, heard.put, command=command or None)
    try:
        yield made, lambda: heard.get(timeout=30)
    finally:
        made.close()


def test_only_the_newest_text_is_encoded(tmp_path: Path) -> None:
    with session(tmp_path) as (made, answer):
        for number in range(200):
            made.ask(Ask(text="x" * number))
        answers = [answer()]
        while answers[-1].ask.text != "x" * 199:
            answers.append(answer())
        assert len(answers) < 20
        last = answers[-1].answer
        assert last is not None
        assert last.characters == 199


def test_a_child_that_dies_is_told_of_and_replaced(tmp_path: Path) -> None:
    with session(tmp_path) as (made, answer):
        made.ask(Ask(text="def"))
        assert answer().answer is not None
        assert made.pid is not None
        os.kill(made.pid, signal.SIGKILL)
        # Whether the death is noticed before or after the question depends on the moment.
        made.ask(Ask(text="def"))
        first = answer()
        assert first.answer is not None or "the encoder's process died" in first.problem
        made.ask(Ask(text="def"))
        again = answer().answer
        assert again is not None
        assert again.part == (Token(452, "def", 0, 3),)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; input(); sys.exit('no [bold]room')", "process died: no [bold]room"),
        ("input(); print('nonsense')", "process died: "),
        ("input(); print('[]')", "process died: "),
        ("input(); print('{}')", "process died: 'part'"),
    ],
)
def test_a_child_that_answers_wrongly(tmp_path: Path, code: str, said: str) -> None:
    with session(tmp_path, sys.executable, "-c", code) as (made, answer):
        made.ask(Ask(text="x"))
        found = answer()
        assert found.answer is None
        assert said in found.problem


def test_a_child_that_cannot_be_started(tmp_path: Path) -> None:
    with session(tmp_path, str(tmp_path / "nothing")) as (made, answer):
        made.ask(Ask(text="x"))
        assert "cannot be started" in answer().problem


def test_what_does_not_show_is_written_out() -> None:
    def one(text: str) -> str:
        return shown(Token(1, readable(text.encode()), 0, len(text)), text)

    assert one("e\u0301") == "e\\u0301"
    assert one("a\u200db") == "a\\u200db"
    assert one("世é") == "世é"
    assert one(" \n\t") == "␣⏎⇥"
    assert one("\\n") == "\\n"
    assert one("\x1b[2J") == "\\x1b[2J"
    assert len(one(" " * 5000)) < 300


def test_the_token_at_a_place() -> None:
    # 世 is three tokens, of which two have no character of their own.
    part = (Token(1, "a", 0, 1), Token(2, "x", 1, 2), Token(3, "y", 2, 2), Token(4, "b", 2, 3))
    answer = Answer(0, tokens=9, first=5, part=part)
    assert [token_at(answer, caret) for caret in (0, 1, 2, 3, 9)] == [5, 5, 7, 8, 8]
    told = [str(readout(token, 0, 4, "a世b")) for token in part]
    assert "bytes 61" in told[0]
    assert told[1].endswith("part of 世")
    assert told[2].endswith("part of 世")


def test_a_window_begins_with_a_line_where_one_is_near() -> None:
    text = ("x" * 99 + "\n") * 100
    assert around(text, 0) == (0, REACH)
    assert around(text, 5_050) == (5_050 - REACH + 50 + 700, 5_050 + REACH)
    assert around("x" * 10_000, 5_000) == (5_000 - REACH, 5_000 + REACH)


def test_what_a_tokenizer_has_learned_is_told(empty_workspace: Workspace) -> None:
    config = TokenizerConfig(name="mine", vocab_size=300, text_file=())
    run_events(config.model_copy(update={"max_bytes": 50_000}), empty_workspace)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot, "hi")
        screen.choose("mine")
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(app.screen, LearnedScreen))
        page = app.screen
        assert isinstance(page, LearnedScreen)
        await until(pilot, lambda: page.said)
        assert page.said is not None
        assert page.said.problem == ""
        expected = capture(empty_workspace, "show", "tokenizers/mine")
        assert page.said.text.split("\n")[1:] == expected.split("\n")[1:]
        await until(pilot, lambda: "bytes per token" in screen_text(app).lower())
        await pilot.press("escape")
        assert app.screen is screen
        screen.choose("nobody")
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(app.screen, LearnedScreen) and app.screen.said)
        await until(pilot, lambda: "there is nothing of that name" in screen_text(app))
        assert "✕" in screen_text(app)

    play(empty_workspace, story)


def capture(workspace: Workspace, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "talm_core.cli", *words, "--workspace", str(workspace.root)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
