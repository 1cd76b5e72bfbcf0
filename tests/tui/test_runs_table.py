"""The table of runs, other runs in the chart, and what changes a run: state and messages."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime import runner
from talm_core.runtime.events import Command, EvaluateEvery
from talm_core.settings.toml import dumps
from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp
from talm_tui.charts.chart import Chart
from talm_tui.runs.run_filter import RunFilter
from talm_tui.runs.run_list import RunList
from talm_tui.runs.screen import RunsScreen
from talm_tui.shell.dialogs import AskScreen, ConfirmScreen
from talm_tui.train.screen import TrainScreen
from tests.tui import canned
from tests.tui.app_pilot import play, said, screen_text, until
from tests.tui.test_runs import commands, drawn, enter, run


def table(screen: RunsScreen) -> list[str]:
    return [artifact.name for artifact in screen.query_one(RunList).artifacts]


def under_cursor(screen: RunsScreen) -> str:
    chosen = screen.query_one(RunList).chosen
    assert chosen is not None
    return chosen.name


def overlaid(screen: RunsScreen) -> list[str]:
    return [item.name for item in screen.charts.overlaid.values()]


async def type_filter(pilot: Pilot[None], text: str) -> None:
    await pilot.press("slash")
    pilot.app.screen.query_one(RunFilter).query_one(Input).value = text
    await pilot.pause()


def test_keys_typed_ahead_are_about_the_run_they_were_typed_for(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        for key in ("o", "down", "o", "down", "down", "o"):
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: len(screen.charts.overlaid) == 3)
        assert overlaid(screen) == ["nano", "try-3", "try-2"]
        assert screen.chosen == "try-2"

    play(workspace, story)


def test_the_cursor_stays_in_sight_while_runs_are_found(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await pilot.press("end")
        assert screen.chosen == "try-2"
        for number in range(30):
            config = PretrainConfig(model_name=f"new-{number}", data_dir="stdlib/all")
            canned.artifact(workspace, config, canned.run_events(10, 20))
        app.refresh_workspace()
        await until(pilot, lambda: len(table(screen)) == 34)
        await until(pilot, lambda: "✕ try-2" in screen_text(app))
        assert under_cursor(screen) == "try-2"

    play(workspace, story)


# --- the table -------------------------------------------------------------------------------


def test_a_filter_leaves_some_runs_and_the_monitor_agrees(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await pilot.press("slash", *"try")
        await pilot.pause()
        assert table(screen) == ["try-3", "try-2"]
        assert "2 of 4 runs" in screen_text(app)
        # Only keys that are not typed into the filter.
        last = screen_text(app).splitlines()[-1]
        assert last.split()[:4] == ["esc", "to", "the", "table"]
        assert "zoom" not in last
        assert "filter" not in last
        assert screen.chosen == "nano"
        # What is monitored is listed, as soon as what is listed has been said.
        await pilot.press("enter")
        await until(pilot, lambda: screen.chosen == "try-3")
        assert under_cursor(screen) == "try-3"
        await type_filter(pilot, "val_loss<2.8")
        assert table(screen) == ["talm-1"]
        await type_filter(pilot, "n_layrs>2")
        assert "did you mean 'n_layer'?" in screen_text(app)
        assert len(table(screen)) == 4
        assert under_cursor(screen) == "try-3"
        await pilot.press("escape", "escape")
        assert not screen.query_one(RunFilter).display
        assert screen.query_one(RunFilter).text == ""

    play(workspace, story, size=(120, 40))


def test_keys_of_the_monitor_show_it_where_the_table_is_large(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        for key, view in (("l", "log"), ("l", "log"), ("v", "config"), ("plus", "config")):
            await pilot.press("enter")
            await until(pilot, lambda: not screen.monitor.display)
            await pilot.press(key)
            await until(pilot, lambda: screen.monitor.display)
            assert screen.monitor.view == view
        await pilot.press("l", "l")
        assert screen.monitor.view == "chart"

    play(workspace, story, size=(80, 24))


def test_sorting_and_grouping_by_key_and_by_mouse(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await pilot.press("S")
        await pilot.pause()
        assert screen.query_one(RunFilter).text == "sort:val_loss"
        assert table(screen) == ["talm-1", "nano", "try-3", "try-2"]
        await pilot.click(RunList, offset=(6, 0))
        await pilot.pause()
        assert screen.query_one(RunFilter).text == "sort:name"
        assert table(screen) == ["nano", "talm-1", "try-2", "try-3"]
        await pilot.click(RunList, offset=(6, 0))
        await pilot.pause()
        assert table(screen) == ["try-3", "try-2", "talm-1", "nano"]
        await pilot.press("G")
        await pilot.pause()
        assert "▾ status done · 1 run · best val 2.700" in screen_text(app)
        await pilot.press("home")
        assert screen.chosen == table(screen)[0] == "talm-1"
        await pilot.press("end", "down")
        assert screen.chosen == table(screen)[-1] == "nano"

    play(workspace, story, size=(120, 40))


def test_the_table_takes_all_of_the_screen_and_gives_it_back(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await pilot.press("enter")
        await pilot.pause()
        assert screen.monitor.size.height == 0
        before = screen.redraws
        await drawn(pilot, screen)
        assert screen.redraws == before
        assert screen.query_one(RunList).size.height == 22
        await pilot.press("down", "enter")
        await pilot.pause()
        assert screen.monitor.display
        assert screen.chosen == "try-3"
        await pilot.press("enter", "escape")
        await pilot.pause()
        assert screen.monitor.display

    play(workspace, story)


def test_five_hundred_runs_are_listed(workspace: Workspace) -> None:
    from talm_core.jobs.pretrain.config import PretrainConfig

    for number in range(500):
        config = PretrainConfig(model_name=f"r{number}", data_dir="stdlib/all", seed=number)
        canned.artifact(workspace, config, canned.run_events(20, 50), end=canned.NOW - 1e6 - number)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        assert len(table(screen)) == 504
        await type_filter(pilot, "seed>=490 seed<500 sort:-seed")
        assert table(screen) == [f"r{number}" for number in range(499, 489, -1)]
        await pilot.press("enter", "end")
        assert screen.chosen == "r490"

    play(workspace, story)


def test_what_is_typed_right_after_the_key_is_in_the_filter(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await pilot.press("slash", "o", "k")
        assert screen.query_one(RunFilter).text == "ok"
        assert overlaid(screen) == []

    play(workspace, story)


# --- other runs in the chart -----------------------------------------------------------------


def test_runs_laid_over_each_other_have_letters_in_table_and_chart(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await pilot.press("o", "down", "o", "down")
        await until(
            pilot, lambda: all(len(x.history.metrics) for x in screen.charts.overlaid.values())
        )
        await until(pilot, lambda: len(screen.run.history.metrics) == 200)
        await drawn(pilot, screen)
        assert {item.name: item.letter for item in screen.charts.overlaid.values()} == {
            "nano": "a",
            "try-3": "b",
        }
        lines = [c for c in screen.query_one(Chart).curves if not c.marker]
        assert [(c.label, c.letter, len(c.y)) for c in lines] == [
            ("talm-1", "", 200),
            ("nano", "a", 42),
            ("try-3", "b", 30),
        ]
        text = screen_text(app)
        assert "a ▶ nano" in text
        assert "b ◐ try-3" in text
        assert "━ talm-1" in text
        await pilot.press("up", "o")
        await drawn(pilot, screen)
        assert overlaid(screen) == ["nano"]
        await pilot.press("O")
        assert overlaid(screen) == []
        await until(pilot, lambda: len(screen.run.history.metrics) == 30)
        await drawn(pilot, screen)
        assert [c.label for c in screen.query_one(Chart).curves] == ["loss", "validation"]

    play(workspace, story, size=(120, 40))


def test_an_overlaid_run_grows_and_one_that_is_deleted_goes(workspace: Workspace) -> None:
    import shutil

    from tests.tui.test_runs import say

    nano, old = (workspace.directory("pretrain", name) for name in ("nano", "try-2"))

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await pilot.press("o", "end", "o", "up")
        await until(
            pilot, lambda: all(len(x.history.metrics) for x in screen.charts.overlaid.values())
        )
        say(nano, canned.metrics(420, 900), at=canned.NOW + 1)
        await until(
            pilot, lambda: len(next(iter(screen.charts.overlaid.values())).history.metrics) == 43
        )
        shutil.rmtree(old)
        app.refresh_workspace()
        await until(pilot, lambda: overlaid(screen) == ["nano"])

    play(workspace, story)


def test_the_chart_shows_one_quantity_after_the_other(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        chart, seen = screen.query_one(Chart), []
        for _ in range(6):
            await pilot.press("m")
            await drawn(pilot, screen)
            seen.append((screen.monitor.quantity.name, chart.curves[0].y[-1]))
        # There is no MFU on a processor whose peak nobody knows.
        assert [name for name, _ in seen] == [
            *("validation", "bits/byte", "lr", "grad norm", "tokens/s", "loss")
        ]
        values = dict(seen)
        assert values["lr"] == pytest.approx(3e-3)
        assert values["validation"] == pytest.approx(values["bits/byte"] * 1.28)
        assert values["loss"] == pytest.approx(canned.loss_at(412))

    play(workspace, story)


def test_follow_is_offered_while_the_chart_is_held(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        chart = screen.query_one(Chart)
        assert not screen.check_action("chart", ("follow",))
        await pilot.press("plus", "plus", "left")
        assert screen.check_action("chart", ("follow",))
        await pilot.press("f")
        assert chart.view.right is None
        assert chart.view.span is not None
        assert not screen.check_action("chart", ("follow",))

    play(workspace, story)


def test_the_config_page_says_how_overlaid_runs_differ(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await pilot.press("down", "o", "up")
        await until(pilot, lambda: len(screen.run.history.metrics) == 42)
        for _ in range(3):
            await pilot.press("v")
        await drawn(pilot, screen)
        text = screen_text(app)
        assert screen.monitor.view == "config"
        assert "━ nano  a try-3" in text
        assert "max_steps  900     2000" in text
        assert "n_layer  " not in text.partition("job =")[0]
        await pilot.press("O")
        await drawn(pilot, screen)
        assert "━ nano" not in screen_text(app)

    play(workspace, story)


# --- what changes a run ----------------------------------------------------------------------


def test_how_often_it_evaluates_is_asked_and_sent(workspace: Workspace) -> None:
    nano = workspace.directory("pretrain", "nano")
    sent: list[Command] = []

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await enter(app, pilot)
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, AskScreen))
        await pilot.press("x", "enter")
        assert "must be a whole number" in screen_text(app)
        assert isinstance(app.screen, AskScreen)
        await pilot.press("backspace", "5", "0", "enter")
        await until(pilot, lambda: commands(nano))
        sent.extend(commands(nano))  # type: ignore[arg-type]

    play(workspace, story)
    assert sent == [EvaluateEvery(steps=50)]


def test_a_run_is_trained_again_with_other_settings(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await pilot.press("end")
        await until(pilot, lambda: screen.run.over)
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, TrainScreen))
        place = app.screen
        assert isinstance(place, TrainScreen)
        await until(pilot, lambda: place.state.values.get("model_name") == "try-4")
        assert place.state.values["max_steps"] == 2000
        assert place.state.values.get("init_from") is None

    play(workspace, story)


def test_a_config_that_is_no_runs_is_named(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await pilot.press("end")
        await until(pilot, lambda: screen.run.over)
        file = screen.run.known.directory / "config.toml"
        file.write_text(dumps(TokenizerConfig(name="x")))
        await pilot.press("t")
        await until(pilot, lambda: said(app))
        assert said(app) == [f"{file}: is the config of a tokenizer job, not a run's"]
        assert app.screen is screen

    play(workspace, story)


def test_pages_of_runs(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for number in range(60):
        config = PretrainConfig(model_name=f"run-{number:02d}", data_dir="stdlib/all")
        canned.artifact(workspace, config, canned.run_events(10, 900), end=canned.NOW - number)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        runs = screen.query_one(RunList)
        await pilot.press("enter", "home")
        await pilot.pause()
        page = runs.size.height - 2
        assert page > 10
        await pilot.press("pagedown")
        assert screen.chosen == f"run-{page:02d}"
        await pilot.pause()
        assert f"run-{page:02d}" in screen_text(app)
        await pilot.press("pageup", "down", "pagedown", "pagedown", "pagedown", "pagedown")
        assert screen.chosen == "run-59"
        await pilot.press("home")
        assert screen.chosen == "run-00"

    play(workspace, story)


def test_a_run_is_renamed(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        assert not screen.check_action("rename", ())
        await pilot.press("end")
        await until(pilot, lambda: screen.run.over)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, AskScreen))
        answer = app.screen.query_one(Input)
        answer.value = "nano"
        await pilot.press("enter")
        assert "exists already" in screen_text(app)
        answer.value = "../x"
        await pilot.press("enter")
        assert "must begin with a letter" in screen_text(app)
        answer.value = "burnt"
        await pilot.press("enter")
        await until(pilot, lambda: "burnt" in table(screen) and screen.chosen == "burnt")
        assert "try-2" not in table(screen)

    play(workspace, story)
    config = workspace.directory("pretrain", "burnt") / "config.toml"
    assert tomllib.loads(config.read_text())["model_name"] == "burnt"


def test_a_run_is_deleted_after_a_question_that_says_what_it_frees(workspace: Workspace) -> None:
    old = workspace.directory("pretrain", "talm-1")
    (old / "checkpoint-002000").mkdir()
    (old / "checkpoint-002000" / "model.safetensors").write_bytes(bytes(2_500_000))

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await pilot.press("d")
        assert isinstance(app.screen, RunsScreen)
        screen.open(run(workspace, "talm-1"))
        await until(pilot, lambda: screen.run.over and screen.run.files.checkpoints)
        for answer, left in (("n", True), ("y", False)):
            await pilot.press("d")
            await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
            assert "Delete talm-1 for good?" in screen_text(app)
            assert "Frees 2.6 MB: 1 checkpoint, journal and log." in screen_text(app)
            await pilot.press(answer)
            await until(pilot, lambda: app.screen is screen)
            if left:
                assert old.is_dir()
        await until(pilot, lambda: "talm-1" not in table(screen))
        await until(pilot, lambda: "talm-1 is deleted, 2.6 MB are free" in said(app))
        assert screen.chosen == "nano"

    play(workspace, story)
    assert not old.exists()


def test_of_a_link_the_question_says_where_the_data_stays(
    workspace: Workspace, tmp_path: Path
) -> None:
    old, disk = workspace.directory("pretrain", "talm-1"), tmp_path / "disk"
    old.rename(disk)
    old.symlink_to(disk)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        screen.open(run(workspace, "talm-1"))
        await until(pilot, lambda: screen.run.over)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        shown = screen_text(app)
        assert "It is a link, which alone is removed: the data stays in" in shown
        assert "Frees" not in shown
        await pilot.press("y")
        text = f"talm-1 was a link and is removed; its data lies in {disk}"
        await until(pilot, lambda: text in said(app))

    play(workspace, story)
    assert not old.is_symlink()
    assert (disk / "config.toml").is_file()


def test_a_branch_is_set_up_in_the_form(workspace: Workspace) -> None:
    nano = workspace.directory("pretrain", "nano")
    (nano / "checkpoint-000400").mkdir()

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await until(pilot, lambda: len(screen.run.files.checkpoints) == 1)
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, TrainScreen))
        await until(pilot, lambda: "--init-from nano/checkpoint-000400" in screen_text(app))
        assert "nano-2" in screen_text(app)

    play(workspace, story, size=(160, 50))
    assert runner.read_config(nano).model_dump()["init_from"] is None
