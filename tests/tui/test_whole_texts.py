"""Nothing that says what to do is cut off, on a screen of 80 columns either."""

from __future__ import annotations

from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Log

from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime.events import Failed
from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp
from talm_tui.forms.job_view import JobView
from talm_tui.forms.screen import FormPlace
from talm_tui.shell.dialogs import ConfirmScreen
from talm_tui.shell.log import LogScreen
from tests.tui import canned
from tests.tui.app_pilot import play, screen_text, until
from tests.tui.form_pilot import field, run_at

LONG = " ".join(f"word{number}" for number in range(40)) + " and-then --do-this-with-it"


def words(app: App[Any]) -> list[str]:
    """What stands on the screen, without frames."""
    text = screen_text(app)
    for edge in "│╭╮╰╯─▁▂▃▄▅▆▇█":
        text = text.replace(edge, " ")
    return text.split()


def holds(app: App[Any], said: str) -> bool:
    """Whether every word of a text is there, in its order and unbroken."""
    found = iter(words(app))
    return all(word in found for word in said.split())


@pytest.mark.parametrize("columns", [80, 120])
def test_a_question_is_asked_to_its_last_word(workspace: Workspace, columns: int) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        app.push_screen(ConfirmScreen("Delete nano for good?", LONG))
        await until(pilot, lambda: holds(app, LONG))
        for _ in range(2):
            await pilot.press("n")
        app.push_screen(ConfirmScreen("Delete " + "nano-" * 11 + "for good?"))
        await until(pilot, lambda: holds(app, "for good?") or holds(app, "good?"))

    play(workspace, story, size=(columns, 24))


def test_what_a_filter_means_instead_is_told_whole(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("5", "slash", *"vall_loss<3 sort:n_layerr")
        await until(pilot, lambda: holds(app, "there is no vall_loss, did you mean"))
        assert holds(app, "there is no n_layerr")
        await pilot.press(*["backspace"] * 40)
        await until(pilot, lambda: "✕ there" not in screen_text(app))

    play(workspace, story)


def test_a_log_is_broken_between_words_at_any_width(workspace: Workspace) -> None:
    log = workspace.folder("pretrain") / "nano" / "log.txt"
    log.write_text(f"first\n{LONG}\n{'x' * 300}\nlast")

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        def told() -> list[str]:
            return [text for log in app.screen.query(Log) for text in log.lines]

        app.open_log(log.parent)
        await until(pilot, lambda: isinstance(app.screen, LogScreen) and told()[-1:] == ["last"])
        for columns in (80, 60):
            await pilot.resize_terminal(columns, 30)
            room = app.screen.query_one(Log).size.width - 1
            await pilot.pause()
            assert max(map(len, told())) <= room
            assert LONG in " ".join(told())
            assert "x" * 300 in "".join(told())

    play(workspace, story)


def test_a_failed_job_is_told_whole_where_it_was_started(workspace: Workspace) -> None:
    config = TokenizerConfig(name="broken")
    directory = canned.artifact(workspace, config, [Failed(message=LONG)])

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        found = [item for item in place.overviews() if item.artifact.directory == directory]
        place.query_one(JobView).follow(found[0].artifact)
        await until(pilot, lambda: holds(place.app, LONG))
        # And what is wrong with a value, under its field.
        place.fill({"vocab_size": 4096, "text_file": (str(directory / ("no-such-" * 12)),)})
        await until(pilot, lambda: field(place, "text_file").problem)
        await pilot.press("escape")
        problem = field(place, "text_file").problem
        assert problem is not None
        said = field(place, "text_file").render().plain
        assert problem.message.split()[-1] in said

    run_at(workspace, "tokenizer", steps, size=(80, 40))
