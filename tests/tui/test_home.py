"""Home: what it lists, what it proposes, what its keys do."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import Log

from talm_core.errors import RunError
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.quickstart.config import QuickstartConfig
from talm_core.jobs.quickstart.job import stages
from talm_core.runtime import runner
from talm_core.runtime.event_json import to_json
from talm_core.runtime.events import (
    Command,
    Failed,
    Finished,
    Notice,
    Progress,
    Stage,
    Started,
    Stop,
)
from talm_core.runtime.lock import Lock
from talm_core.settings.schema import JobConfig
from talm_core.storage.workspace import Artifact, Workspace
from talm_tui.app import TalmApp
from talm_tui.home.next_step import next_step
from talm_tui.home.run_detail import RunDetail
from talm_tui.home.run_table import Columns, RunTable
from talm_tui.home.screen import HomeScreen
from talm_tui.home.step import Step
from talm_tui.services.watcher import Looker, Snapshot
from talm_tui.shell.dialogs import ConfirmScreen
from talm_tui.shell.log import LogScreen
from talm_tui.widgets.status import figure
from tests.tui import canned
from tests.tui.app_pilot import play, said, screen_text, until


def snapshot(workspace: Workspace) -> Snapshot:
    *_, last = Looker(workspace).snapshots()
    return last


def rows(app: TalmApp) -> list[str]:
    return [line for line in screen_text(app).splitlines() if line[1:2] in "▶‖●◐✕"]


def test_empty_workspace_says_what_to_do(empty_workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        text = " ".join(screen_text(app).split())
        assert "Press s: talm trains a tokenizer, prepares data and trains a small model" in text
        assert "Cuts text into tokens." in text
        assert not app.screen.query_one(RunTable).display
        assert not app.screen.query_one("#whole").display

    play(empty_workspace, story)
    assert not empty_workspace.root.exists(), "looking creates nothing"


def test_boxes_and_runs(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        text = " ".join(screen_text(app).split())
        for row in (
            "● code-8k 8,192 tokens",
            "● base 4,096 tokens",
            "● stdlib/all 3.3 M tokens",
            "◐ text/book stopped 12 %",
            "▶ nano 412/900 46 %",
        ):
            assert row in text
        table = rows(app)
        assert [line[3:10].strip() for line in table] == ["nano", "try-3", "talm-1", "try-2"]
        assert "running" in table[0]
        assert "412/900" in table[0]
        assert "0:49 left" in table[0]
        assert "2.96" in table[0], "the validation loss at step 400"
        assert "r  resume" in table[1]
        assert "yesterday" in table[2]
        assert "not finite at step 17, learning rate 3.0e-2" in table[3]
        assert "l  log" in table[3]
        assert "Next: nano finishes in 0:49; it goes on when you quit." in text
        assert "2 cores · 4.1/23 GiB · ▶ nano 46 %" in screen_text(app).splitlines()[0]

    play(workspace, story, size=(120, 40))


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (120, 40), (200, 60), (60, 20), (40, 12)])
def test_nothing_is_wider_than_the_screen(workspace: Workspace, size: tuple[int, int]) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        lines = screen_text(app).splitlines()
        assert len(lines) == size[1]
        assert all(len(line) == size[0] for line in lines)
        assert any("nano" in line and "running" in line for line in lines[2:])
        assert "quit" in lines[-1]
        table = app.screen.query_one(RunTable)
        assert not table.show_horizontal_scrollbar

    play(workspace, story, size=size)


def test_eighty_columns_show_boxes_and_the_whole_table(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        text = screen_text(app)
        for word in ("Tokenizer", "Data", "Model", "train one", "prepare one", "Recent runs"):
            assert word in text
        assert len(rows(app)) == 4

    play(workspace, story)


def test_columns_never_take_more_than_the_width() -> None:
    for width in range(22, 240):
        columns = Columns.of(width)
        numbers = columns.step + columns.loss + columns.bits + columns.rate
        used = 2 + columns.name + columns.state + numbers + columns.spark + columns.end + 2
        assert used <= width, columns
        assert columns.name >= 6


def test_cursor_moves_and_stays_with_its_run(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        table = app.screen.query_one(RunTable)

        def chosen() -> str:
            assert table.row is not None
            return table.row.name

        assert chosen() == "nano"
        await pilot.press("down", "down")
        assert chosen() == "talm-1"
        # Another run says something, and moves up in the list.
        kinds, models = app.snapshot.kinds, app.snapshot.models
        later = replace(models[-1], updated=canned.NOW + 100)
        app.snapshot = replace(app.snapshot, kinds={**kinds, "pretrain": (later, *models[:-1])})
        await pilot.pause()
        assert chosen() == "talm-1"
        await pilot.press("end", "down")
        last = chosen()
        assert last in ("talm-1", "try-2")
        await pilot.press("home", "up")
        assert chosen() == "nano", "what runs comes first"
        await pilot.press("pagedown")
        assert chosen() == last
        await pilot.press("pageup")
        assert chosen() == "nano"

    play(workspace, story)


def test_keys_fit_the_chosen_run(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        def footer() -> str:
            return screen_text(app).splitlines()[-1]

        assert "K stop" in footer()
        assert "r resume" not in footer()
        await pilot.press("down")
        await pilot.pause()
        assert "r resume" in footer()
        assert "K stop" not in footer()
        assert "s quick start" in footer()

    play(workspace, story)


class Recorded(TalmApp):
    """An app that notes what it was asked instead of doing it."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.asked: list[tuple[str, object]] = []

    def start_job(self, config: JobConfig, *, resume: bool = False) -> None:
        self.asked.append(("resume" if resume else "start", config))

    def send(self, directory: Path, command: Command) -> None:  # type: ignore[override]
        self.asked.append((directory.name, command))

    def open_run(self, artifact: Artifact) -> None:
        self.asked.append(("open", artifact.name))


def test_enter_opens_the_run(workspace: Workspace) -> None:
    app = Recorded(workspace)

    async def story(_: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("down", "enter")
        assert app.asked == [("open", "try-3")]

    play(workspace, story, app=app)


def test_stop_asks_first(workspace: Workspace) -> None:
    app = Recorded(workspace)

    async def story(_: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("K")
        assert isinstance(app.screen, ConfirmScreen)
        assert "Stop nano?" in screen_text(app)
        await pilot.press("escape")
        assert isinstance(app.screen, HomeScreen)
        assert app.asked == []
        await pilot.press("K", "y")
        await pilot.pause()
        assert app.asked == [("nano", Stop())]

    play(workspace, story, app=app)


def test_resume_goes_on_with_the_stored_settings(workspace: Workspace) -> None:
    app = Recorded(workspace)

    async def story(_: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("r")
        assert app.asked == [], "a running job is not resumed"
        await pilot.press("down", "r")
        [(verb, config)] = app.asked
        assert verb == "resume"
        assert isinstance(config, PretrainConfig)
        assert (config.model_name, config.max_steps) == ("try-3", 2000)

    play(workspace, story, app=app)


def test_letters_lead_to_the_forms(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        for key, mode in (("t", "tokenizer"), ("d", "data"), ("m", "train")):
            await pilot.press(key)
            await pilot.pause()
            assert app.current_mode == mode
            await pilot.press("escape", "1")
            await pilot.pause()
            assert app.current_mode == "home"

    play(workspace, story)


def test_a_click_on_a_box_is_its_key(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.click("#step-data")
        await until(pilot, lambda: app.current_mode == "data")

    play(workspace, story)


def test_log_shows_what_was_printed_as_plain_text(workspace: Workspace) -> None:
    log = workspace.folder("pretrain") / "try-2" / "log.txt"
    log.write_text("one\n[b]two[/b] \x1b[31mred\x1b[0m\n10 %\r20 %\rdone\nTraceback\n")

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("end", "l")
        assert isinstance(app.screen, LogScreen)
        await pilot.pause()
        text = screen_text(app)
        assert "[b]two[/b] red" in text
        assert "20 %" not in text
        assert "done" in text
        with log.open("a") as file:
            file.write("and more\n")
        await until(pilot, lambda: "and more" in screen_text(app))
        with log.open("a") as file:
            file.write("".join(f"line {number}\n" for number in range(100)))
        lines = app.screen.query_one(Log)
        await until(pilot, lambda: lines.line_count > 100)
        await pilot.press("home")
        assert lines.scroll_y == 0
        await pilot.press("pagedown", "down")
        assert lines.scroll_y > 10
        await pilot.press("pageup", "up")
        assert lines.scroll_y == 0
        await pilot.press("end")
        assert lines.scroll_y == lines.max_scroll_y > 0
        await pilot.press("escape")
        assert isinstance(app.screen, HomeScreen)

    play(workspace, story)


def test_the_log_tells_each_step_and_goes_on(workspace: Workspace) -> None:
    nano = workspace.directory("pretrain", "nano")

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("l")
        await until(pilot, lambda: "step 412 of 900, loss 2.922, lr 3.0e-03" in screen_text(app))
        assert "printed by its process" not in screen_text(app)
        long = "word " * 40 + "and then do this"
        notice = Notice(message=long, level="warning")
        with (nano / "events.jsonl").open("a") as file:
            file.write(to_json(notice, time=canned.NOW + 5) + "\n")
        await until(pilot, lambda: "and then do this" in screen_text(app))

    play(workspace, story)


def test_a_log_of_nothing_says_so(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        app.open_log(workspace.root / "nowhere")
        await until(pilot, lambda: "Nothing logged yet" in screen_text(app))

    play(workspace, story)


# --- quick start ---------------------------------------------------------------------------


def quickstart(workspace: Workspace, *, failed: bool = False) -> Path:
    """A quick start in its second stage, or one that failed there."""
    config = QuickstartConfig(name="quickstart")
    tokenizer, data, _ = stages(config, workspace)
    canned.artifact(
        workspace,
        tokenizer,
        [
            Started(job="tokenizer", name="quickstart"),
            Finished(seconds=3.2, summary={"vocab_size": 4096}),
        ],
        end=canned.NOW - 9,
    )
    progress = Progress(
        phase="encoding", done=6_100_000, total=9_800_000, unit="bytes", rate=12e6, eta=1
    )
    end = [Failed(message="no space left on the disk", kind="RunError")] if failed else []
    begun = [Started(job="data", name=data.artifact), progress]
    canned.artifact(workspace, data, [*begun, *end], end=canned.NOW)
    said = [
        Started(job="quickstart", name="quickstart"),
        Stage(kind="tokenizer", name="quickstart", directory="x", index=0, count=3),
        Stage(kind="data", name=data.artifact, directory="y", index=1, count=3),
        progress,
        *end,
    ]
    return canned.artifact(workspace, config, said, end=canned.NOW + 1)


def test_quick_start_shows_its_three_stages(empty_workspace: Workspace) -> None:
    directory = quickstart(empty_workspace)
    data = empty_workspace.directory("data", "stdlib/quickstart_all")

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        text = screen_text(app)
        assert "Quick start: quickstart" in text
        assert "● tokenizer 4,096 tokens" in text
        line = next(line for line in text.splitlines() if "▶ data " in line)
        # What does not fit is left out in the middle: the end of the line is how much longer.
        assert line.rstrip(" │").endswith(" 62 %  encoding  12 MB/s  0:01 left")
        assert "· model" in text

    with Lock.acquire(directory), Lock.acquire(data):
        play(empty_workspace, story)


def test_failed_quick_start_says_why_and_offers_the_log(empty_workspace: Workspace) -> None:
    directory = quickstart(empty_workspace, failed=True)
    (directory / "log.txt").write_text("OSError: [Errno 28] No space left on device\n")

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        text = screen_text(app)
        assert "✕ no space left on the disk" in text
        assert "quickstart failed: l shows its log" in text
        await pilot.press("l")
        await pilot.pause()
        assert "Errno 28" in screen_text(app)

    play(empty_workspace, story)


def test_s_starts_a_quick_start_under_a_free_name(workspace: Workspace) -> None:
    canned.artifact(
        workspace, QuickstartConfig(name="quickstart"), [], end=canned.NOW - canned.HOUR
    )
    app = Recorded(workspace)

    async def story(_: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("s", "s")
        assert app.asked == [("start", QuickstartConfig(name="quickstart-2"))]
        assert said(app) == ["A quick start is running already."]

    play(workspace, story, app=app)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RunError("no process could be started"), "The job cannot be started: no process"),
        (OSError("no space"), "The job cannot be started: no space"),
        (KeyError("bug"), "A bug in talm-tui: KeyError('bug')"),
    ],
)
def test_s_starts_one_after_a_start_that_failed(
    empty_workspace: Workspace, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    asked: list[str] = []

    def start(config: JobConfig, workspace: Workspace, **_: object) -> Path:
        asked.append(config.artifact)
        if len(asked) == 1:
            raise error
        return workspace.directory_of(config)

    monkeypatch.setattr(runner, "start", start)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("s")
        await until(pilot, lambda: said(app))
        assert said(app)[0].startswith(told)
        await until(pilot, lambda: isinstance(app.screen, HomeScreen) and not app.screen._asked)
        await pilot.press("s")
        await until(pilot, lambda: len(asked) == 2)

    play(empty_workspace, story)


def test_s_really_starts_one(empty_workspace: Workspace) -> None:
    """The process is stopped as soon as it is seen: this is about the screen."""

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("s")
        await until(pilot, lambda: app.snapshot.wholes)
        directory = empty_workspace.directory("quickstart", "quickstart")
        try:
            await until(pilot, lambda: "Quick start: quickstart" in screen_text(app))
        finally:
            runner.send(directory, Stop())
        await until(pilot, lambda: not app.snapshot.active, seconds=30)
        await pilot.pause()
        assert "go on" in screen_text(app)

    play(empty_workspace, story)


# --- words ---------------------------------------------------------------------------------


def test_next_step_follows_what_there_is(workspace: Workspace) -> None:
    whole = snapshot(workspace)
    keys = {"home.resume": "r", "home.train": "m", "home.data": "d", "app.play": "6"}
    assert next_step(Snapshot(complete=True), keys.__getitem__) == ""
    idle = replace(whole, active=())
    said = next_step(idle, keys.__getitem__)
    assert said == "r goes on with try-3; talm-1 is ready to talk to (6)."
    only_data = replace(idle, kinds={**idle.kinds, "pretrain": ()})
    assert next_step(only_data, keys.__getitem__) == "m trains a model on stdlib/all."
    only_tokenizer = replace(only_data, kinds={"tokenizer": idle.of("tokenizer")})
    said = next_step(only_tokenizer, keys.__getitem__)
    assert said == "d turns text into tokens with code-8k."


def test_figures_get_shorter_where_there_is_no_room(workspace: Workspace) -> None:
    by_name = {item.name: item for item in snapshot(workspace).models}
    assert figure(by_name["nano"]) == "412/900  46 %"
    assert figure(by_name["nano"], 8) == "46 %"
    assert figure(by_name["try-3"], 12) == "15 %"
    assert figure(by_name["talm-1"], 3) == ""


def test_names_with_markup_and_escapes_are_text(empty_workspace: Workspace) -> None:
    directory = empty_workspace.folder("pretrain") / "[red]x\x1b[2J"
    directory.mkdir(parents=True)
    (directory / "config.toml").write_text("job = 'nonsense'")
    (directory / "events.jsonl").write_text(
        '{"event": "Started", "job": "pretrain", "name": "x", "time": 1}\n'
        'nonsense\n\x00\xff{"event": 5}\n[1, 2]\n{"event": "Metrics", "step": "many"}\n'
        '{"event": "Failed", "message": "[bold]\\u001b[31mno\\u202e good", "time": 2}\n'
        '{"event": "Fin'
    )

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        text = screen_text(app)
        assert "✕ [red]x" in text
        assert "[bold]no good" in text
        assert "\x1b" not in text
        await pilot.press("r", "K", "enter")

    play(empty_workspace, story)


def test_step_box_counts_what_it_cannot_show(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        assert "… 2 more" in screen_text(app)
        assert app.screen.query_one("#step-model", Step).border_title == "Model"

    play(workspace, story)


def test_the_workspace_may_vanish(workspace: Workspace) -> None:
    import shutil

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        shutil.rmtree(workspace.root)
        app.refresh_workspace()
        await until(pilot, lambda: app.snapshot.empty)
        await pilot.press("l", "r", "K", "enter", "down")
        await until(pilot, lambda: "Press s" in screen_text(app))
        await asyncio.sleep(0)

    play(workspace, story)


def test_every_job_that_works_has_a_bar_its_rate_and_what_is_left(workspace: Workspace) -> None:
    book = workspace.directory("data", "text/book")
    encoding = Progress(
        phase="encoding", done=40_000_000, total=100_000_000, unit="bytes", rate=14e6, eta=4.0
    )
    with (book / "events.jsonl").open("a") as file:
        for event in (Started(job="data", name="text/book"), encoding):
            file.write(to_json(event, time=canned.NOW) + "\n")

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        with Lock.acquire(book):
            app.refresh_workspace()
            await until(pilot, lambda: "14 MB/s" in screen_text(app))
            rows = [row for row in screen_text(app).splitlines() if "█" in row]
            assert len(rows) == 2
            assert "nano" in rows[0]
            assert rows[0].rstrip().endswith("step 412/900  40.8 k tokens/s  0:49 left")
            assert "text/book" in rows[1]
            assert " 40 %  encoding" in rows[1]
            assert rows[1].rstrip().endswith("14 MB/s  0:04 left")
        app.refresh_workspace()
        await until(pilot, lambda: "14 MB/s" not in screen_text(app))
        assert sum("█" in row for row in screen_text(app).splitlines()) == 1

    play(workspace, story)


def test_the_chosen_run_is_told_where_there_is_room(workspace: Workspace) -> None:
    def detail(app: TalmApp) -> str:
        return app.screen.query_one(RunDetail).render().plain

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        shown = app.screen.query_one(RunDetail)
        assert shown.display
        assert Content.from_markup(str(shown.border_title)).plain == "nano  ▶ running"
        for text in (
            "step        412 of 900, 46 %, 0:49 left",
            "validation  2.963 nats/token, 2.315 bits/byte",
            "learns from stdlib/all",
            "settings    max_steps 900",
            "K  stop",
        ):
            assert text in detail(app)
        # The chart goes from the first value to the last, its axis from the first step.
        chart = [line[:30] for line in detail(app).splitlines()]
        assert chart[1].startswith("7.88┤")
        assert any(line.startswith("2.84┤") for line in chart)
        assert "step 1 " in detail(app)
        assert "step 412 " in detail(app)
        await pilot.press("down")
        await until(pilot, lambda: "300 of 2,000" in detail(app))
        assert "r  resume" in detail(app)
        assert "ended       3 h ago" in detail(app)
        await pilot.press("end")
        await until(pilot, lambda: "not finite at step 17" in detail(app))
        await pilot.resize_terminal(80, 24)
        # Why it failed is told even there, and nothing else.
        await until(pilot, lambda: detail(app).startswith("not finite at step 17"))
        await pilot.press("home")
        await until(pilot, lambda: not shown.display)
        await pilot.press("end")
        await pilot.resize_terminal(60, 40)
        await until(pilot, lambda: shown.display and shown.size.width < 60)
        await until(pilot, lambda: "step        17" in detail(app))
        assert "step        17 of 2,000" in detail(app).splitlines()[0], "no room for a chart"

    play(workspace, story, size=(120, 40))


def test_pages_of_runs(workspace: Workspace) -> None:
    for number in range(30):
        config = PretrainConfig(model_name=f"run-{number:02}", data_dir="stdlib/all")
        canned.artifact(workspace, config, canned.run_events(10, 10), end=canned.NOW - 9e5 - number)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        listed = app.screen.query_one(RunTable)
        visited = []
        for key in ("pagedown", "down", "pageup", "end", "pageup", "pagedown", "home"):
            await pilot.press(key)
            assert listed.row is not None
            visited.append(listed.row.name)
        # Four of other names come first.
        assert visited == ["run-06", "run-07", "try-3", "run-29", "run-19", "run-29", "nano"]
        assert "nano" in screen_text(app)

    play(workspace, story)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=str)
def test_why_a_run_failed_is_told_to_its_end(workspace: Workspace, size: tuple[int, int]) -> None:
    long = (
        "not finite at step 17, learning rate 3.0e-2. " + "It was lowered twice. " * 5 + "Lower it."
    )
    config = PretrainConfig(model_name="broken", data_dir="stdlib/all")
    canned.artifact(workspace, config, [Failed(message=long)], end=canned.NOW - 5)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        table = app.screen.query_one(RunTable)
        while table.row is None or table.row.name != "broken":
            await pilot.press("down")
        await pilot.pause()
        words = " ".join(screen_text(app).replace("│", " ").split())
        assert "Lower it." in words
        await pilot.press("home")
        await until(pilot, lambda: "Lower it." not in screen_text(app))

    play(workspace, story, size=size)
