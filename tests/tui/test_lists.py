"""Lists of runs and of what was made: what their keys do, or why not, and what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.content import Content
from textual.pilot import Pilot

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime import runner, upkeep
from talm_core.runtime.event_json import to_json
from talm_core.runtime.events import Finished, Paused, Started
from talm_core.settings.schema import JobConfig
from talm_core.storage.workspace import Artifact, Workspace
from talm_tui.app import TalmApp
from talm_tui.forms.screen import FormPlace
from talm_tui.home.run_table import RunTable
from talm_tui.home.screen import HomeScreen
from talm_tui.play.models import Playable, beside_options
from talm_tui.runs.run_list import RunList
from talm_tui.runs.screen import RunsScreen
from talm_tui.runs.text import differences
from talm_tui.shell.dialogs import AskScreen, ConfirmScreen
from talm_tui.shell.help import HelpScreen
from talm_tui.widgets import cells
from talm_tui.widgets import format as formats
from tests.tui import canned
from tests.tui.app_pilot import play, said, screen_text, until


class Recorded(TalmApp):
    """Notes what is started instead of starting it."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.started: list[tuple[JobConfig, bool]] = []

    def start_job(self, config: JobConfig, *, resume: bool = False) -> None:
        self.started.append((config, resume))


def stopped(workspace: Workspace) -> Path:
    """A workspace in which one run was interrupted after another was done; nothing runs."""
    made = {}
    for name, step, ended in (("first", 90, True), ("killme", 10, False)):
        config = PretrainConfig(model_name=name, data_dir="stdlib/all", max_steps=90)
        events = [*canned.run_events(step, 90, name=name)]
        events += [Finished(seconds=1.0, summary={})] if ended else []
        made[name] = canned.artifact(workspace, config, events, end=canned.NOW - 100 * (not ended))
    return made["killme"]


def test_what_the_next_line_names_is_what_its_key_does(empty_workspace: Workspace) -> None:
    directory = stopped(empty_workspace)
    app = Recorded(empty_workspace)

    async def story(_: TalmApp, pilot: Pilot[None]) -> None:
        row = app.screen.query_one(RunTable).row
        assert row is not None
        assert row.name == "first"
        assert "r goes on with killme" in screen_text(app)
        await pilot.press("r")
        assert app.started == [(runner.read_config(directory), True)]

    play(empty_workspace, story, app=app)


def test_a_key_that_can_do_nothing_says_why(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("r", "down", "K")
        assert said(app) == [
            "nano is running: there is nothing to resume",
            "try-3 is interrupted: there is nothing to stop",
        ]
        app.clear_notifications()
        await pilot.press("q")
        assert said(app) == ["^q leaves talm; jobs that run go on"]
        await pilot.press("5")
        app.clear_notifications()
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        await until(pilot, lambda: screen.run.files.config)
        await pilot.press("n", "d", "r", "p")
        assert said(app) == [
            *["nano is running: K stops it first"] * 2,
            "nano is running already",
            "nano has no checkpoint yet",
        ]
        await pilot.press("q")
        assert isinstance(app.screen, HomeScreen)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))

    play(workspace, story, size=(120, 40))


def test_j_and_k_walk_lists(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        table = app.screen.query_one(RunTable)
        await pilot.press("j", "j", "k")
        assert table.row is not None
        assert table.row.name == "try-3"
        await pilot.press("5")
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        await until(pilot, lambda: screen.run.files.config)
        await pilot.press("j", "j", "k")
        await until(pilot, lambda: screen.chosen == "try-3")

    play(workspace, story, size=(120, 40))


def test_ages_go_on_while_nothing_else_happens(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talm_tui.widgets.table.AGO_SECONDS", 0.05)
    monkeypatch.setattr("talm_tui.home.screen.AGO_SECONDS", 0.05)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await until(pilot, lambda: isinstance(app.screen, FormPlace))
        await until(pilot, lambda: "yesterday" in screen_text(app))
        monkeypatch.setattr(formats, "now", lambda: canned.NOW + 3 * 86400)
        await until(pilot, lambda: "4 days ago" in screen_text(app), seconds=5)
        await pilot.press("5")
        await until(pilot, lambda: "4 days ago" in screen_text(app), seconds=5)
        monkeypatch.setattr(formats, "now", lambda: canned.NOW + 9 * 86400)
        await until(pilot, lambda: "10 days ago" in screen_text(app), seconds=5)

    play(workspace, story, size=(120, 40))


def test_a_paused_run_counts_nothing_down_and_is_offered_to_go_on(workspace: Workspace) -> None:
    with (workspace.directory("pretrain", "nano") / "events.jsonl").open("a") as file:
        file.write(to_json(Paused(), time=canned.NOW) + "\n")

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        assert "left" not in screen_text(app)
        await pilot.press("5")
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        await until(pilot, lambda: "space continue" in screen_text(app))
        assert "left" not in screen_text(app)
        assert "pause" not in screen_text(app).splitlines()[-1]

    play(workspace, story, size=(120, 40))


def test_names_that_are_cut_keep_their_ends() -> None:
    assert [cells.name(f"quickstart-{n}", 9) for n in (2, 3)] == ["quick…t-2", "quick…t-3"]
    assert cells.name("nano", 8) == "nano    "
    assert cells.name("日本語の名前-2", 8) == "日本 …-2"
    assert cells.name("quickstart", 4) == "qui…"


def test_the_chosen_run_stays_in_sight_when_others_appear(empty_workspace: Workspace) -> None:
    def run(number: int, end: float) -> None:
        name = f"r{number:02d}"
        config = PretrainConfig(model_name=name, data_dir="stdlib/all", max_steps=90)
        events = [Started(job="pretrain", name=name), Finished(seconds=1.0, summary={})]
        canned.artifact(empty_workspace, config, events, end=end)

    for number in range(20):
        run(number, canned.NOW - 1000 - number)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        table = app.screen.query_one(RunTable)
        await pilot.press("end")
        await pilot.pause()
        assert table.in_sight(table.cursor)
        for number in range(20, 60):
            run(number, canned.NOW - number)
        app.refresh_workspace()
        await until(pilot, lambda: len(table.rows) == 60)
        await until(pilot, lambda: table.in_sight(table.cursor), seconds=5)
        assert table.row is not None
        assert table.row.name == "r19"

    play(empty_workspace, story, size=(80, 24))


def test_a_model_is_not_compared_with_itself(tmp_path: Path) -> None:
    model = Playable("nano", tmp_path, steps=(30, 20, 10))
    other = Playable("talm", tmp_path, steps=(5,))
    assert [value for value, _ in beside_options(model, None, [model, other])] == [
        *("", "step 20", "step 10", "talm")
    ]
    assert [value for value, _ in beside_options(model, 20, [model])] == ["", "step 30", "step 10"]


def test_settings_of_many_runs_stand_in_parts_that_fit() -> None:
    def run(number: int) -> PretrainConfig:
        return PretrainConfig(model_name=f"r{number}", data_dir="stdlib/all", n_layer=number)

    configs: dict[str, JobConfig | None] = {"": run(1), "a": run(2), "b": run(3), "c": run(4)}
    names = {"": "r1", "a": "r2", "b": "r3", "c": "r4"}
    wide = differences(configs, names, 80).plain.splitlines()
    assert [line.split() for line in wide] == [
        ["━", "r1", "a", "r2", "b", "r3", "c", "r4"],
        ["n_layer", "1", "2", "3", "4"],
    ]
    narrow: Content = differences(configs, names, 22)
    assert [line.split() for line in narrow.plain.splitlines()] == [
        ["━", "r1", "a", "r2"],
        ["n_layer", "1", "2"],
        [],
        ["━", "r1", "b", "r3"],
        ["n_layer", "1", "3"],
        [],
        ["━", "r1", "c", "r4"],
        ["n_layer", "1", "4"],
    ]
    assert max(map(len, narrow.plain.splitlines())) <= 22


def test_a_tokenizer_is_renamed_and_a_dataset_deleted(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await until(pilot, lambda: isinstance(app.screen, FormPlace))
        await pilot.press("N")
        await until(pilot, lambda: "Rename which tokenizer?" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, AskScreen))
        await pilot.press("end", "2", "enter")
        await until(pilot, lambda: app.snapshot.of("tokenizer")[0].name == "code-8k2")
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, FormPlace))
        await pilot.press("N")
        assert said(app) == ["A dataset keeps the name of what it was made of"]
        await pilot.press("delete")
        await until(pilot, lambda: "Delete which dataset?" in screen_text(app))
        await pilot.press(*"stdlib", "enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        dialog = app.screen
        assert isinstance(dialog, ConfirmScreen)
        assert dialog._question == "Delete stdlib/all for good?"
        said_of_it = "This dataset is named by nano, talm-1, try-2 and 1 more."
        assert dialog._detail.endswith(f"This cannot be undone. {said_of_it}")
        await pilot.press("n")
        assert workspace.directory("data", "stdlib/all").is_dir()
        await pilot.press("delete", *"book", "enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: not workspace.directory("data", "text/book").exists())

    play(workspace, story, size=(120, 40))


def test_what_names_an_artifact_follows_when_it_is_renamed(workspace: Workspace) -> None:
    for name, origin in (("child", "talm-1"), ("other", "talm-1/checkpoint-000500")):
        config = PretrainConfig(model_name=name, data_dir="stdlib/all", init_from=origin)
        canned.artifact(workspace, config, canned.run_events(10, 900, name=name))
    again = TokenizerConfig(name="talm-1")
    canned.artifact(workspace, again, [])
    upkeep.rename(workspace, "pretrain", "talm-1", "best")

    def begun(name: str) -> object:
        config = runner.read_config(workspace.directory("pretrain", name))
        assert isinstance(config, PretrainConfig)
        return config.init_from

    assert begun("child") == "best"
    assert begun("other") == "best/checkpoint-000500"
    assert begun("nano") is None
    assert runner.read_config(workspace.directory_of(again)) == again


def test_a_run_that_is_done_is_trained_longer(workspace: Workspace) -> None:
    app = Recorded(workspace)

    async def story(_: TalmApp, pilot: Pilot[None]) -> None:
        directory = workspace.directory("pretrain", "talm-1")
        app.open_run(Artifact("pretrain", "talm-1", directory))
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        await until(pilot, lambda: screen.run.over and screen.query_one(RunList).chosen)
        await pilot.press("r")
        assert said(app) == ["talm-1 is done: L trains it longer"]
        await pilot.press("L")
        await until(pilot, lambda: isinstance(app.screen, AskScreen))
        await pilot.press(*"2000", "enter")
        await until(pilot, lambda: "must be more than 2,000" in screen_text(app))
        await pilot.press("backspace", "5", "enter")
        await until(pilot, lambda: app.started)
        [(config, resume)] = app.started
        assert isinstance(config, PretrainConfig)
        assert (config.model_name, config.max_steps, resume) == ("talm-1", 2005, True)

    play(workspace, story, size=(120, 40), app=app)


def test_a_run_that_its_time_limit_ended_is_trained_longer(workspace: Workspace) -> None:
    settings = PretrainConfig(model_name="short", data_dir="stdlib/all", max_steps=700, minutes=0.5)
    events = [*canned.run_events(80, 700, name="short"), Finished(seconds=30.0, summary={})]
    canned.artifact(workspace, settings, events)
    app = Recorded(workspace)

    async def story(_: TalmApp, pilot: Pilot[None]) -> None:
        directory = workspace.directory("pretrain", "short")
        app.open_run(Artifact("pretrain", "short", directory))
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        await until(pilot, lambda: screen.run.over and screen.run.history.last_metrics)
        await pilot.press("L")
        await until(pilot, lambda: isinstance(app.screen, AskScreen))
        dialog = app.screen
        assert isinstance(dialog, AskScreen)
        said_of_it = "It has trained 80 steps, until its time limit, which is lifted. "
        assert dialog._detail.startswith(said_of_it)
        await pilot.press(*"200", "enter")
        await until(pilot, lambda: app.started)
        [(config, resume)] = app.started
        assert isinstance(config, PretrainConfig)
        assert (config.max_steps, config.minutes, resume) == (200, None, True)

    play(workspace, story, size=(80, 24), app=app)


def test_the_palette_finds_what_other_places_can_do(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("ctrl+p")
        await pilot.pause()
        await pilot.press(*"delete", "space", *"one")
        await until(pilot, lambda: "Data: Delete one from the list" in screen_text(app))
        await pilot.press("escape", "escape")

    play(workspace, story, size=(120, 40))
