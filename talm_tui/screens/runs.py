"""Runs: every model's run, and the live monitor of the chosen one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.timer import Timer
from textual.widgets import OptionList
from textual.worker import Worker, get_current_worker

from talm_core import jobs
from talm_core.errors import InputError
from talm_core.events import Checkpoint, Pause, Sample, Stop, Unpause
from talm_core.history import History
from talm_core.jobs import Status
from talm_tui.following import Files, Follower, Records
from talm_tui.messages import OpenRun, Trouble
from talm_tui.screens.confirm import ConfirmScreen
from talm_tui.screens.place import Place
from talm_tui.theme import styles
from talm_tui.widgets.chart import Chart
from talm_tui.widgets.hint import Hint
from talm_tui.widgets.monitor import VIEWS, Monitor
from talm_tui.widgets.run_list import RunList
from talm_tui.widgets.sample_view import SampleView

if TYPE_CHECKING:
    from talm_core.overview import Overview
    from talm_core.settings import JobConfig

REDRAW_SECONDS = 0.5
_RESUMABLE = (Status.STOPPED, Status.INTERRUPTED, Status.FAILED)

EMPTY = (
    "There is no run yet. Press {app.train} to set one up,\nor {app.home} and then"
    " {home.quickstart}: talm makes everything and trains a small model in about a minute."
)


class ResumeReady(Message):
    """The config a stopped run goes on with has been read."""

    def __init__(self, config: JobConfig) -> None:
        super().__init__()
        self.config = config


class RunsScreen(Place):
    """The list of runs, and of the chosen one: how far it is, its losses, numbers, memory,
    samples, log, settings and checkpoints."""

    HELP = """\
# Runs

`{runs.previous}` `{runs.next}` choose a run. `{runs.pause}` pauses it and lets it go on,
`{runs.checkpoint}` writes a checkpoint, `{runs.sample}` a sample, `{runs.stop}` stops it (it can be
resumed), `{runs.resume}` resumes it, `{runs.play}` prompts the model.

`{runs.zoom_in}` `{runs.zoom_out}` zoom the chart, `{runs.pan_left}` `{runs.pan_right}` pan,
`{runs.whole}` shows everything again, `{runs.inspect}` reads out values, `{runs.x}` changes the
axis, `{runs.y}` the scale, `{runs.smooth}` the smoothing. `{runs.older}` and `{runs.newer}` leaf
through the samples, `{runs.view}` changes the view, `{runs.log}` shows the log.
"""
    CSS_PATH = styles("runs")
    AUTO_FOCUS = "RunList"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "space", "pause", "pause", id="runs.pause", tooltip="Pause the run or let it go on"
        ),
        Binding("k", "stop", "stop", id="runs.stop", tooltip="Save and end the run"),
        Binding("c", "checkpoint", "save", id="runs.checkpoint", tooltip="Write a checkpoint now"),
        Binding("g", "sample", "sample", id="runs.sample", tooltip="Let the model write now"),
        Binding("r", "resume", "resume", id="runs.resume", tooltip="Go on with a run that ended"),
        Binding("p", "play", "play", id="runs.play", tooltip="Prompt this model"),
        Binding("v", "next_view", "view", id="runs.view", tooltip="Chart, sample, log, config"),
        Binding("l", "view('log')", "log", id="runs.log", show=False),
        Binding(
            "plus,equals_sign", "chart('zoom', 1)", "zoom", id="runs.zoom_in", key_display="+ -"
        ),
        Binding(
            "minus,underscore", "chart('zoom', -1)", "Zoom out", id="runs.zoom_out", show=False
        ),
        Binding("left", "chart('pan', -1)", "Pan left", id="runs.pan_left", show=False),
        Binding("right", "chart('pan', 1)", "Pan right", id="runs.pan_right", show=False),
        Binding("0", "chart('whole')", "Show everything", id="runs.whole", show=False),
        Binding("i", "chart('inspect')", "values", id="runs.inspect", tooltip="Read out values"),
        Binding("s", "chart('smooth')", "smooth", id="runs.smooth", tooltip="Smooth more or less"),
        Binding("x", "chart('next_axis')", "x axis", id="runs.x", tooltip="Step, tokens or time"),
        Binding("y", "chart('log')", "log y", id="runs.y", tooltip="Logarithmic or linear"),
        Binding("comma,less_than_sign", "leaf(-1)", "Older sample", id="runs.older", show=False),
        Binding(
            "full_stop,greater_than_sign", "leaf(1)", "Newer sample", id="runs.newer", show=False
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.history = History()
        self.status = Status.INTERRUPTED
        self.files = Files()
        self.redraws = 0
        self._run: str | None = None
        self._directory: Path | None = None
        self._token = 0
        self._over = True
        self._new = False
        self._offered: tuple[object, ...] = ()
        self._follower: Worker[None] | None = None
        self._timer: Timer | None = None

    # --- making ------------------------------------------------------------------------------

    def compose_place(self) -> ComposeResult:
        yield Hint(EMPTY, id="runs-empty")
        with Vertical(id="runs"):
            yield RunList(id="run-list")
            yield Monitor(id="run-monitor")

    def on_mount(self) -> None:
        self._timer = self.set_interval(REDRAW_SECONDS, self._tick)
        self.watch(self.app, "snapshot", self._workspace_changed)

    def on_screen_suspend(self) -> None:
        if self._timer is not None:
            self._timer.pause()

    def on_screen_resume(self) -> None:
        if self._timer is not None:
            self._timer.resume()
            self._tick()

    # --- which run ---------------------------------------------------------------------------

    @property
    def monitor(self) -> Monitor:
        """The part that shows the chosen run."""
        return self.query_one(Monitor)

    def _overview(self) -> Overview | None:
        models = self.talm.snapshot.models
        return next((item for item in models if item.name == self._run), None)

    def _workspace_changed(self) -> None:
        models = self.talm.snapshot.models
        runs = self.query_one(RunList)
        runs.show(models)
        if self._run is None and models:
            names = {item.name for item in models}
            first = next(iter(runs.names), None)
            if first in names:
                self.open(first)
        elif self._run is not None:
            runs.choose(self._run)
        overview = self._overview()
        if self._run is not None and overview is None and self.talm.snapshot.complete:
            self._forget_missing()
        elif overview is not None and self._over and self._said_more(overview):
            self._follow()
        self.query_one("#runs").display = self._run is not None
        # Before the first look is complete nobody can say that there is nothing.
        self.query_one("#runs-empty").display = self._run is None and self.talm.snapshot.complete

    def _said_more(self, overview: Overview) -> bool:
        return overview.status.active or overview.updated > self.history.last_time

    def _forget_missing(self) -> None:
        """The chosen run's directory is gone: choose another."""
        if self._directory is not None and self._directory.is_dir():
            return
        self._run = self._directory = None
        if self._follower is not None:
            self._follower.cancel()
        names = self.query_one(RunList).names
        if names:
            self.open(names[0])

    @property
    def chosen(self) -> str | None:
        """The name of the run that is monitored."""
        return self._run

    def open(self, name: str) -> None:
        """Monitor the run of this model from the beginning of its journal."""
        try:
            directory = self.talm.workspace.directory("pretrain", name)
        except InputError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self._run, self._directory = name, directory
        self.query_one(RunList).choose(name)
        self.monitor.begin()
        self.query_one("#runs").display = True
        self.query_one("#runs-empty").display = False
        overview = self._overview()
        self.status = overview.status if overview else Status.RUNNING
        self._follow()

    def _follow(self) -> None:
        assert self._directory is not None
        self._token += 1
        self._over = False
        self.history, self.files = History(), Files()
        self._changed()
        self._follower = self._read(self._token, self._directory)

    @work(thread=True, exclusive=True, group="follow", exit_on_error=False)
    def _read(self, token: int, directory: Path) -> None:
        # Its import takes a tenth of a second: here rather than in front of somebody's eyes.
        from talm_tui.widgets import raster  # noqa: F401

        worker = get_current_worker()
        Follower(token, directory, self.post_message, lambda: worker.is_cancelled).run()

    @on(Records)
    def _take(self, message: Records) -> None:
        message.stop()
        if message.token != self._token:
            return
        changed = self.history.extend(message.records)
        if message.status is not None and message.status is not self.status:
            self.status, changed = message.status, True
        if message.files is not None and message.files != self.files:
            self.files, changed = message.files, True
        if message.over:
            self._over = changed = True
        if changed:
            self._changed()

    def on_open_run(self, message: OpenRun) -> None:
        message.stop()
        self.open(message.name)

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, message: OptionList.OptionHighlighted) -> None:
        message.stop()
        name = self.query_one(RunList).chosen
        if name is not None and name != self._run:
            self.open(name)

    # --- drawing -----------------------------------------------------------------------------

    def _changed(self) -> None:
        self._new = True

    def _tick(self) -> None:
        if self._new and self.is_current:
            self._redraw()

    def on_resize(self) -> None:
        self._changed()
        self.call_after_refresh(self._tick)

    def _redraw(self) -> None:
        self._new = False
        if self._run is None:
            return
        self.redraws += 1
        self.monitor.draw(self._run, self.status, self.history, self.files)
        offered = (self.status, bool(self.files.checkpoints))
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    def on_monitor_view_opened(self, message: Monitor.ViewOpened) -> None:
        message.stop()
        self._changed()
        self.call_after_refresh(self._tick)

    # --- actions -----------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with this run now is offered."""
        if action in ("pause", "stop", "checkpoint", "sample"):
            return self._run is not None and self.status.active
        if action == "resume":
            return self._run is not None and self.status in _RESUMABLE
        if action == "play":
            return self._run is not None and bool(self.files.checkpoints)
        return super().check_action(action, parameters)

    def _send(self, command: Pause | Unpause | Stop | Checkpoint | Sample) -> None:
        assert self._directory is not None
        self.talm.send(self._directory, command)

    def action_pause(self) -> None:
        """Pause the run, or let it go on."""
        self._send(Unpause() if self.status is Status.PAUSED else Pause())

    def action_checkpoint(self) -> None:
        """Write a checkpoint now."""
        self._send(Checkpoint())
        self.notify("A checkpoint is written after this step.", timeout=3)

    def action_sample(self) -> None:
        """Let the model write a sample now."""
        self._send(Sample())
        self.notify("A sample is drawn after this step.", timeout=3)

    def action_stop(self) -> None:
        """Ask, then save and end the run."""
        directory = self._directory

        def answered(yes: bool | None) -> None:
            if yes and directory is not None:
                self.talm.send(directory, Stop())

        question = f"Stop {self._run}?"
        detail = "It saves a checkpoint first and can be resumed."
        self.app.push_screen(ConfirmScreen(question, detail, yes="stop", no="go on"), answered)

    def action_resume(self) -> None:
        """Go on with a run that was stopped, failed or died."""
        assert self._directory is not None
        self._read_config(self._directory)

    @work(thread=True, exclusive=True, group="resume", exit_on_error=False)
    def _read_config(self, directory: Path) -> None:
        try:
            self.post_message(ResumeReady(jobs.resumed_config(directory, {})))
        except InputError as error:
            self.app.post_message(Trouble(str(error)))

    def on_resume_ready(self, message: ResumeReady) -> None:
        message.stop()
        self.talm.start_job(message.config, resume=True)

    def action_play(self) -> None:
        """Prompt this model."""
        assert self._run is not None
        self.talm.open_play(self._run)

    def action_next_view(self) -> None:
        """The next view."""
        self.monitor.open_view(VIEWS[(VIEWS.index(self.monitor.view) + 1) % len(VIEWS)])

    def action_view(self, view: str) -> None:
        """A view by its name; back to the chart when it is open already."""
        self.monitor.open_view("chart" if view == self.monitor.view else view)

    def action_chart(self, name: str, *arguments: int) -> None:
        """One of the chart's actions, wherever the focus is."""
        getattr(self.query_one(Chart), f"action_{name}")(*arguments)

    def action_leaf(self, direction: int) -> None:
        """To an older or newer sample."""
        self.query_one(SampleView).action_leaf(direction)

    def action_leave_field(self) -> None:
        """End reading values; else give the focus back to the list."""
        chart = self.query_one(Chart)
        if chart.view.cursor is not None:
            chart.action_leave()
        elif self.monitor.view != "chart":
            self.monitor.open_view("chart")
        else:
            self.query_one(RunList).focus()
