"""The place Runs: its list, its monitor, its keys."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from textual.pilot import Pilot

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime import control, runner
from talm_core.runtime.event_json import decode_command, to_json
from talm_core.runtime.events import (
    Event,
    Failed,
    Finished,
    Notice,
    Paused,
    Record,
    Sampled,
    Started,
    Unpaused,
)
from talm_core.runtime.history import History
from talm_core.runtime.lock import Lock
from talm_core.runtime.runner import Status
from talm_core.storage.workspace import Artifact, Workspace
from talm_tui.app import TalmApp
from talm_tui.charts.chart import Chart
from talm_tui.charts.curves import LOSS, Curves
from talm_tui.runs.run_list import RunList
from talm_tui.runs.sample_view import SampleView
from talm_tui.runs.screen import RunsScreen
from talm_tui.services import follower as following
from talm_tui.services.follower import Follower, Records
from tests.tui import canned
from tests.tui.app_pilot import play, said, screen_text, until


@pytest.fixture(autouse=True)
def time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """When a run will be done is said in local time."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def say(directory: Path, *events: Event, at: float = canned.NOW) -> None:
    """Append to a journal as the process that trains would."""
    with (directory / "events.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(to_json(event, time=at) + "\n" for event in events)


def run(workspace: Workspace, name: str) -> Artifact:
    return Artifact("pretrain", name, workspace.directory("pretrain", name))


def listed(screen: RunsScreen) -> list[str]:
    return [artifact.name for artifact in screen.query_one(RunList).artifacts]


async def enter(app: TalmApp, pilot: Pilot[None]) -> RunsScreen:
    """Go to Runs and wait until it has read the chosen run's journal."""
    await pilot.press("5")
    screen = app.screen
    assert isinstance(screen, RunsScreen)
    await until(pilot, lambda: len(screen.run.history.metrics))
    await drawn(pilot, screen)
    return screen


async def drawn(pilot: Pilot[None], screen: RunsScreen) -> None:
    """Draw what was heard without waiting for the timer."""
    screen._changed()
    screen._tick()
    await pilot.pause()


def head(app: TalmApp) -> str:
    rows = screen_text(app).splitlines()
    return rows[next(i for i, row in enumerate(rows) if " chart " in row) - 1].strip()


def commands(directory: Path) -> list[object]:
    folder = directory / control.FOLDER
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [decode_command(file.read_bytes()) for file in files if not file.name.startswith(".")]


# --- what is shown ---------------------------------------------------------------------------


def test_the_running_run_is_chosen_and_shown(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        assert screen.chosen == "nano"
        assert screen.run.status is Status.RUNNING
        text = screen_text(app)
        assert head(app).startswith("nano  ▶ running  412/900 ")
        assert head(app).endswith("46 %  40.8 k tokens/s  0:49 left, 14:14:08")
        assert "loss 2.922  val 2.963  bits/byte 2.315  lr 3.0e-3  grad 0.52  tok/s 40.8 k" in text
        assert "4.1/23 GiB   this run 0.4 GiB   cpu 96 %" in text
        assert sum(row.count("◆") for row in text.splitlines()) == 4 + 1
        assert "⠒ loss  ━ smoothed  ◆ validation" in text
        assert listed(screen) == ["nano", "try-3", "talm-1", "try-2"]
        assert all(len(row) == 80 for row in text.splitlines())

    play(workspace, story)


def test_at_120x40_tiles_memory_and_sample_are_beside_the_chart(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await enter(app, pilot)
        text = screen_text(app)
        for part in ("╭─ lr ", " 3.0e-3 ", " grad norm ", " tokens/s ", " 40.8 k ", " 2.31 "):
            assert part in text
        assert "sample at step 400  ◀ 4/4 ▶" in text
        assert "def __init__(self, name=None):" in text
        assert "█ this run 0.4 GiB" in text
        assert "1.32 M parameters on cpu (fp32)" in text

    play(workspace, story, size=(120, 40))


@pytest.mark.parametrize(("width", "shown"), [(100, 4), (110, 4), (120, 5)])
def test_names_of_small_charts_are_never_cut(workspace: Workspace, width: int, shown: int) -> None:
    nano = workspace.directory("pretrain", "nano")
    say(nano, replace(canned.metrics(420, 900, eta=9.0), mfu=0.38), at=canned.NOW + 1)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await until(pilot, lambda: screen.run.history.step == 420)
        await drawn(pilot, screen)
        await pilot.pause()
        (names,) = (row for row in screen_text(app).splitlines() if "─ lr ─" in row)
        assert "…" not in names
        for name in ("grad norm", "tokens/s", "bits/byte"):
            assert f" {name} " in names
        assert (" MFU % " in names) == (shown == 5)
        assert ("─ 38 ─" in screen_text(app)) == (shown == 5)

    play(workspace, story, size=(width, 36))


def test_new_lines_of_the_journal_appear_and_only_then_is_anything_drawn(
    workspace: Workspace,
) -> None:
    nano = workspace.directory("pretrain", "nano")

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        say(nano, canned.metrics(420, 900, eta=40.0), at=canned.NOW + 1)
        await until(pilot, lambda: screen.run.history.step == 420)
        await drawn(pilot, screen)
        assert "420/900" in head(app)
        assert "0:40 left" in head(app)
        say(nano, Paused(), at=canned.NOW + 2)
        await until(pilot, lambda: screen.run.status is Status.PAUSED)
        await drawn(pilot, screen)
        assert "‖ paused" in head(app)
        assert "left" not in head(app)
        say(nano, Unpaused(), canned.metrics(430, 900, eta=39.0), at=canned.NOW + 3)
        await until(pilot, lambda: screen.run.status is Status.RUNNING)

    play(workspace, story)


def test_nothing_is_drawn_while_another_place_is_shown(workspace: Workspace) -> None:
    nano = workspace.directory("pretrain", "nano")

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        chart = screen.query_one(Chart)
        await pilot.press("1")
        await pilot.pause()
        before = (screen.redraws, chart.redraws)
        say(nano, canned.metrics(420, 900), at=canned.NOW + 1)
        await until(pilot, lambda: screen.run.history.step == 420)
        await pilot.pause(0.6)
        assert (screen.redraws, chart.redraws) == before
        await pilot.press("5")
        await until(pilot, lambda: "420/900" in head(app))

    play(workspace, story)


def test_up_and_down_choose_the_run(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        expected = {
            "try-3": "◐ interrupted  at step 300 of 2,000: its process died, saved at 300",
            "talm-1": "● done  2,000 steps in 1:40, validation loss 2.700   p\xa0play",
            "try-2": "✕ failed  at step 17 of 2,000: not finite at step 17, learning rate 3.0e-2",
        }
        for name, words in expected.items():
            await pilot.press("down")
            await until(pilot, lambda: screen.run.over and len(screen.run.history.metrics))
            await drawn(pilot, screen)
            assert screen.chosen == name
            assert head(app).startswith(f"{name}  {words}"[:78].rstrip())
        await pilot.press("up", "up", "up")
        assert screen.chosen == "nano"

    play(workspace, story, size=(99, 24))


def test_without_a_run_it_says_what_to_do(empty_workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("5")
        await until(pilot, lambda: "There is no run yet" in screen_text(app))
        await pilot.press("space", "K", "r", "p", "c", "g", "v", "l", "plus", "i", "left", "comma")
        assert said(app) == []

    play(empty_workspace, story)


def test_text_from_files_is_shown_as_it_is(workspace: Workspace) -> None:
    nano = workspace.directory("pretrain", "nano")
    evil = "[red]x[/red]\x1b[31m\x1b]0;title\x07\x00[@click=app.quit]y[/]"
    say(nano, Sampled(step=410, prompt=evil, text=evil), Notice(message=evil, level="warning"))
    (nano / runner.LOG_FILE).write_text(f"{evil}\nlast line", encoding="utf-8")
    with (nano / "events.jsonl").open("ab") as file:
        file.write(b'{"event": "Metrics", "st\n\xff\xfe nonsense\n[1,2]\n')

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await pilot.press("v")
        await drawn(pilot, screen)
        clean = "[red]x[/red][@click=app.quit]y[/]"
        assert clean + clean in screen_text(app)
        await pilot.press("l")
        await drawn(pilot, screen)
        assert f"warning: {clean}" in screen_text(app)
        assert "last line" in screen_text(app)
        assert "\x1b" not in screen_text(app)

    play(workspace, story)


# --- views -----------------------------------------------------------------------------------


def test_views_by_key_and_by_mouse(workspace: Workspace) -> None:
    nano = workspace.directory("pretrain", "nano")
    for name in ("checkpoint-000300", "checkpoint-000400"):
        (nano / name).mkdir()

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await until(pilot, lambda: len(screen.run.files.checkpoints) == 2)
        seen = []
        for _ in range(5):
            await pilot.press("v")
            await drawn(pilot, screen)
            seen.append(screen.monitor.view)
            if screen.monitor.view == "sample":
                assert "self.name = 400" in screen_text(app)
                await pilot.press("comma")
                assert "self.name = 300" in screen_text(app)
                assert "◀ 3/4 ▶" in screen_text(app)
                await pilot.press("full_stop")
                assert "◀ 4/4 ▶" in screen_text(app)
            if screen.monitor.view == "log":
                assert "step 412 of 900, loss 2.922, lr 3.0e-03, 40.8 k" in screen_text(app)
            if screen.monitor.view == "config":
                assert 'model_name = "nano"' in screen_text(app)
            if screen.monitor.view == "checkpoints":
                rows = [row for row in screen_text(app).splitlines() if "checkpoint-" in row]
                assert ["checkpoint-000400" in rows[0], "checkpoint-000300" in rows[1]] == [
                    True
                ] * 2
                assert "16.0 MB   validation loss 2.963   best" in rows[0]
                assert ". , choose  p play  b branch  E export" in screen_text(app)
        assert seen == ["sample", "log", "config", "checkpoints", "chart"]
        await pilot.press("l")
        assert screen.monitor.view == "log"
        await pilot.press("escape")
        assert screen.monitor.view == "chart"
        await pilot.click("#run-views", offset=(10, 0))
        await pilot.pause()
        assert screen.monitor.view == "sample"

    play(workspace, story)


def test_leafed_back_samples_stay_while_new_ones_come(workspace: Workspace) -> None:
    nano = workspace.directory("pretrain", "nano")

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        view = screen.query_one(SampleView)
        await pilot.press("comma", "comma")
        assert view.index == 1
        say(nano, Sampled(step=420, prompt="", text="new"), at=canned.NOW + 1)
        await until(pilot, lambda: len(screen.run.history.samples) == 5)
        await drawn(pilot, screen)
        assert view.index == 1
        await pilot.press("full_stop", "full_stop", "full_stop")
        assert view.index == 4
        say(nano, Sampled(step=430, prompt="", text="newer"), at=canned.NOW + 2)
        await until(pilot, lambda: len(screen.run.history.samples) == 6)
        await drawn(pilot, screen)
        assert view.index == 5

    play(workspace, story, size=(120, 40))


def test_the_charts_keys_work_from_the_list(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        chart = screen.query_one(Chart)
        assert isinstance(screen.focused, RunList)
        await pilot.press("plus", "left")
        assert chart.view.span == pytest.approx(450 / 1.6)
        assert chart.view.right is not None
        await pilot.press("0", "x", "y", "s", "i")
        assert (chart.view.x, chart.view.log, chart.view.beta) == ("tokens", True, 0.99)
        assert chart.reading().startswith("tokens 844 k  loss 2.922")
        await pilot.press("escape")
        assert chart.reading() == ""
        assert isinstance(screen.focused, RunList)
        assert screen.chosen == "nano"

    play(workspace, story)


def test_validation_has_the_tokens_and_seconds_of_its_step(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        _, marks = Curves().of("nano", screen.run.history, LOSS)
        assert list(marks.xs["step"]) == [100, 200, 300, 400]
        assert list(marks.xs["tokens"]) == [2048 * step for step in (100, 200, 300, 400)]
        assert list(marks.xs["time"]) == pytest.approx([5, 10, 15, 20])

    play(workspace, story)


# --- actions ---------------------------------------------------------------------------------


def test_commands_reach_the_run(workspace: Workspace) -> None:
    nano = workspace.directory("pretrain", "nano")

    def left(number: int) -> bool:
        return len(commands(nano)) == number

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await enter(app, pilot)
        for number, key in enumerate(("space", "c", "g"), 1):
            await pilot.press(key)
            await until(pilot, partial(left, number))
        sent = commands(nano)
        assert [type(command).__name__ for command in sent] == ["Pause", "Checkpoint", "Sample"]

    play(workspace, story)


def test_space_lets_a_paused_run_go_on(workspace: Workspace) -> None:
    nano = workspace.directory("pretrain", "nano")
    say(nano, Paused())

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await until(pilot, lambda: screen.run.status is Status.PAUSED)
        await pilot.press("space")
        await until(pilot, lambda: commands(nano))
        assert type(commands(nano)[0]).__name__ == "Unpause"

    play(workspace, story)


def test_stop_asks_first(workspace: Workspace) -> None:
    nano = workspace.directory("pretrain", "nano")

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await enter(app, pilot)
        await pilot.press("K")
        await until(pilot, lambda: "Stop nano?" in screen_text(app))
        await pilot.press("n")
        await pilot.pause()
        assert commands(nano) == []
        await pilot.press("K")
        await until(pilot, lambda: "Stop nano?" in screen_text(app))
        await pilot.press("y")
        await until(pilot, lambda: commands(nano))
        assert type(commands(nano)[0]).__name__ == "Stop"

    play(workspace, story)


def test_only_what_can_be_done_is_offered(workspace: Workspace) -> None:
    (workspace.directory("pretrain", "talm-1") / "checkpoint-002000").mkdir()

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        offers = {}
        for name in ("nano", "try-3", "talm-1", "try-2"):
            screen.open(run(workspace, name))
            await until(pilot, lambda: len(screen.run.history.metrics) and screen.run.files.config)
            actions = ("pause", "stop", "checkpoint", "sample", "resume", "play")
            offers[name] = [x for x in actions if screen.check_action(x, ())]
        live = ["pause", "stop", "checkpoint", "sample"]
        assert offers == {
            "nano": live,
            "try-3": ["resume"],
            "talm-1": ["play"],
            "try-2": ["resume"],
        }

    play(workspace, story)


def test_resume_starts_the_stored_run(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[object, bool]] = []
    monkeypatch.setattr(
        TalmApp, "start_job", lambda _, config, *, resume=False: started.append((config, resume))
    )

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        screen.open(run(workspace, "try-3"))
        await until(pilot, lambda: screen.run.status is Status.INTERRUPTED)
        await pilot.press("r")
        await until(pilot, lambda: started)
        ((config, resume),) = started
        assert isinstance(config, PretrainConfig)
        assert (config.model_name, config.max_steps, resume) == ("try-3", 2000, True)

    play(workspace, story)


def test_play_takes_the_model_along(workspace: Workspace) -> None:
    (workspace.directory("pretrain", "talm-1") / "checkpoint-002000").mkdir()

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        screen.open(run(workspace, "talm-1"))
        await until(pilot, lambda: screen.run.files.checkpoints)
        await pilot.press("p")
        await until(pilot, lambda: app.current_mode == "play")

    play(workspace, story)


# --- runs that come and go -------------------------------------------------------------------


def test_a_run_that_dies_and_one_that_goes_on(workspace: Workspace) -> None:
    try_3 = workspace.directory("pretrain", "try-3")

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        screen.open(run(workspace, "try-3"))
        await until(pilot, lambda: screen.run.over and screen.run.status is Status.INTERRUPTED)
        with Lock.acquire(try_3):
            say(
                try_3,
                Started(job="pretrain", name="try-3", resumed_from=300),
                canned.metrics(310, 2000, eta=99.0),
            )
            app.refresh_workspace()
            await until(pilot, lambda: screen.run.history.step == 310)
            assert screen.run.status is Status.RUNNING
            say(try_3, Failed(message="disk full"))
        await until(pilot, lambda: screen.run.status is Status.FAILED)
        await drawn(pilot, screen)
        assert "at step 310 of 2,000: disk full   l\xa0log   r\xa0resume" in head(app)
        steps = list(screen.run.history.metrics["step"])
        assert steps == sorted(set(steps))

    play(workspace, story)


def test_open_run_shows_one_that_the_list_does_not_know_yet(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        config = PretrainConfig(model_name="fresh", data_dir="stdlib/all", max_steps=50)
        directory = canned.artifact(workspace, config, canned.run_events(30, 50, name="fresh"))
        with Lock.acquire(directory):
            app.open_run(run(workspace, "fresh"))
            await pilot.pause()
            screen = app.screen
            assert isinstance(screen, RunsScreen)
            await until(pilot, lambda: screen.run.history.step == 30)
            assert screen.chosen == "fresh"
            app.refresh_workspace()
            await until(pilot, lambda: "fresh" in listed(screen))
            assert screen.query_one(RunList).chosen == run(workspace, "fresh")

    play(workspace, story)


def test_a_run_that_is_deleted_gives_way_to_another(workspace: Workspace) -> None:
    gone = workspace.directory("pretrain", "try-3")

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        screen.open(run(workspace, "try-3"))
        await until(pilot, lambda: screen.run.over)
        for file in gone.iterdir():
            file.unlink()
        gone.rmdir()
        app.refresh_workspace()
        await until(pilot, lambda: screen.chosen == "nano")

    play(workspace, story)


def test_a_long_journal_is_read_to_its_end(workspace: Workspace) -> None:
    config = PretrainConfig(model_name="long", data_dir="stdlib/all", max_steps=100_000)
    events: list[Event] = [Started(job="pretrain", name="long")]
    events += [canned.metrics(step, 100_000) for step in range(1, 5_001)]
    canned.artifact(workspace, config, [*events, Finished(seconds=1.0, summary={})])

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        screen.open(run(workspace, "long"))
        await until(pilot, lambda: screen.run.over)
        assert len(screen.run.history.metrics) == 5_000

    play(workspace, story)


def test_a_follower_reads_on_when_a_batch_is_taken(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_PATIENCE_SECONDS", 60.0)
    config = PretrainConfig(model_name="long", data_dir="stdlib/all", max_steps=1_000)
    events = [canned.metrics(step, 1_000) for step in range(1, 1_001)]
    directory = canned.artifact(workspace, config, [*events, Finished(seconds=1.0, summary={})])
    told: queue.SimpleQueue[Records] = queue.SimpleQueue()
    follower = Follower(1, directory, told.put, lambda: False)
    thread = threading.Thread(target=follower.run, daemon=True)
    thread.start()
    records: list[Record] = []
    over = False
    while not over:
        message = told.get(timeout=300)
        if len(message.records) == 250:
            assert told.empty()
        records += message.records
        over = message.over
        message.taken.set()
    thread.join(60)
    assert records == list(runner.follow(directory, live=False))


def test_a_follower_says_everything_once_in_small_batches(workspace: Workspace) -> None:
    directory = workspace.directory("pretrain", "talm-1")
    said_so_far: list[Records] = []
    Follower(3, directory, said_so_far.append, lambda: False).run()
    records = [record for message in said_so_far for record in message.records]
    assert records == list(runner.follow(directory, live=False))
    assert {message.token for message in said_so_far} == {3}
    assert [message.over for message in said_so_far] == [False] * (len(said_so_far) - 1) + [True]
    assert said_so_far[-1].status is Status.DONE
    assert max(len(message.records) for message in said_so_far) <= 250


def test_a_long_journal_is_sketched_and_then_read_as_a_whole(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LONG_BYTES", 1)
    monkeypatch.setattr(following, "_SKETCH_POINTS", 50)
    monkeypatch.setattr(following, "_PATIENCE_SECONDS", 0.0)
    config = PretrainConfig(model_name="long", data_dir="stdlib/all", max_steps=9_000)
    events: list[Event] = [Started(job="pretrain", name="long")]
    events += [canned.metrics(step, 9_000) for step in range(1, 3_001)]
    directory = canned.artifact(workspace, config, [*events, Finished(seconds=1.0, summary={})])
    told: list[Records] = []
    asked = 0

    def busy() -> bool:
        nonlocal asked
        asked += 1
        if asked == 3:
            # Somebody trains on while it is read.
            say(directory, canned.metrics(3_001, 9_000))
        return False

    Follower(1, directory, told.append, lambda: False, busy).run()
    sketch, whole = History(), History()
    first = next(i for i, message in enumerate(told) if message.records and not message.sketch)
    for message in told[:first]:
        sketch.extend(message.records)
    for message in told:
        if not message.sketch:
            whole.extend(message.records)
    assert 40 <= len(sketch.metrics) <= 120
    assert sketch.metrics["step"][0] == 1
    assert (sketch.step, sketch.end) == (3_000, Finished(seconds=1.0, summary={}))
    assert list(whole.metrics["step"]) == [*range(1, 3_002)]
    assert [message.whole for message in told].count(True) == 1
    after = told[[message.whole for message in told].index(True) :]
    assert not any(message.sketch for message in after)
    assert told[-1].over


def test_a_sketch_is_shown_until_the_whole_is_there(workspace: Workspace) -> None:
    few = [Record(canned.NOW, canned.metrics(step, 900)) for step in range(1, 413, 50)]
    many = [Record(canned.NOW, canned.metrics(step, 900)) for step in range(1, 413)]

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        screen.run.token, screen.run.history = 1_000, History()
        directory = workspace.directory("pretrain", "nano")

        async def tell(records: list[Record], *, sketch: bool = False, whole: bool = False) -> str:
            message = Records(1_000, directory, records, sketch=sketch, whole=whole)
            screen.post_message(message)
            await until(pilot, message.taken.is_set)
            await drawn(pilot, screen)
            return str(screen.query_one(Chart).border_title)

        assert "preview" in await tell(few, sketch=True)
        assert "preview" in await tell(many[:200])
        assert [*screen.run.history.metrics["step"]] == [*range(1, 413, 50)]
        screen.charts.action_export()
        await pilot.pause()
        assert said(app) == ["The run is still loading: try again in a moment"]
        assert "preview" not in await tell(many[200:], whole=True)
        assert [*screen.run.history.metrics["step"]] == [*range(1, 413)]
        await tell([Record(canned.NOW, canned.metrics(413, 900))])
        assert screen.run.history.step == 413

    play(workspace, story, size=(120, 40))


def test_a_follower_ends_when_it_is_told_to(workspace: Workspace) -> None:
    told: list[Records] = []
    Follower(1, workspace.directory("pretrain", "nano"), told.append, lambda: True).run()
    assert not any(message.over for message in told)


def test_any_size(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        for size in ((20, 5), (1, 1), (200, 60)):
            await pilot.resize_terminal(*size)
            await drawn(pilot, screen)
            await pilot.press("v")
        await pilot.resize_terminal(80, 24)
        await drawn(pilot, screen)
        assert "412/900" in screen_text(app)

    play(workspace, story)


def test_the_places_import_nothing_heavy() -> None:
    code = (
        "import sys, talm_tui.runs.screen, talm_tui.play.screen;"
        "print(sorted({'torch', 'numpy', 'tiktoken', 'numba', 'pyarrow'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert found.stdout == "[]\n"
