"""Runs: every model's run, and the live monitor of the chosen one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.timer import Timer
from textual.worker import Worker, get_current_worker

from talm_core.errors import InputError
from talm_core.runtime.history import History
from talm_core.runtime.runner import Status
from talm_tui.charts.chart import Chart
from talm_tui.runs.export_line import ExportLine
from talm_tui.runs.monitor import Monitor
from talm_tui.runs.monitor_actions import MonitorActions
from talm_tui.runs.query import Heading, chosen
from talm_tui.runs.run_actions import Renamed
from talm_tui.runs.run_filter import RunFilter
from talm_tui.runs.run_list import RunList
from talm_tui.services.follower import Files, Follower, Records
from talm_tui.services.messages import OpenRun
from talm_tui.shell.theme import styles
from talm_tui.widgets.hint import Hint

if TYPE_CHECKING:
    from talm_core.runtime.overview import Overview

_OF_A_RUN = ("table", "filter", "order")

EMPTY = (
    "There is no run yet. Press {app.train} to set one up,\nor {app.home} and then"
    " {home.quickstart}: talm makes everything and trains a small model in about a minute."
)


class RunsScreen(MonitorActions):
    """The list of runs, and of the chosen one: how far it is, its losses, numbers, memory,
    samples, log, settings and checkpoints."""

    HELP = """\
# Runs

`{runs.previous}` `{runs.next}` choose a run. `{runs.pause}` pauses it and lets it go on,
`{runs.checkpoint}` writes a checkpoint, `{runs.sample}` a sample, `{runs.stop}` stops it (it can be
resumed), `{runs.resume}` resumes it, `{runs.play}` prompts the model. `{runs.every}` changes how
often it evaluates, `{runs.branch}` sets up a new run that begins with a checkpoint's weights,
`{runs.export_model}` exports the model for other programs.

`{runs.overlay}` lays a run's curves over those of the others, `{runs.overlay_none}` takes all away.
`{runs.quantity}` changes what the chart shows, `{runs.export}` writes it to files.

`{runs.zoom_in}` `{runs.zoom_out}` zoom the chart, `{runs.pan_left}` `{runs.pan_right}` pan,
`{runs.follow}` follows the newest point again, `{runs.whole}` shows everything, `{runs.inspect}`
reads out values, `{runs.x}` changes the axis, `{runs.y}` the scale, `{runs.smooth}` the smoothing.
`{runs.older}` and `{runs.newer}` leaf through the samples, `{runs.view}` changes the view,
`{runs.log}` shows the log. In the view of checkpoints they choose the one that `{runs.play}`,
`{runs.branch}` and `{runs.export_model}` are about, which elsewhere ask.

`{runs.table}` makes the table of runs large. `{runs.filter}` filters it by words and by what
settings and results are: `n_layer>=4 val_loss<3`; `sort:val_loss` and `group:n_embd` belong there,
too. `{runs.sort}` and `{runs.group}` go through the usual ones. `{runs.rename}` renames a run,
`{runs.delete}` deletes it.
"""
    CSS_PATH = styles("runs")
    AUTO_FOCUS = "RunList"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter", "table", "table", id="runs.table", tooltip="All of the screen for the table"
        ),
        Binding("slash", "filter", "filter", id="runs.filter", tooltip="Filter the table"),
        Binding("S", "order('sort')", "Sort", id="runs.sort", show=False, tooltip="Sort the table"),
        Binding(
            "G", "order('group')", "Group", id="runs.group", show=False, tooltip="Group the table"
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.redraws = 0
        self._token = 0
        self._over = True
        self._new = False
        self._follower: Worker[None] | None = None
        self._timer: Timer | None = None

    # --- making ------------------------------------------------------------------------------

    def compose_place(self) -> ComposeResult:
        yield Hint(EMPTY, id="runs-empty")
        with Vertical(id="runs"):
            yield RunFilter()
            yield RunList(id="run-list")
            yield Monitor(id="run-monitor")
            yield ExportLine()

    def on_mount(self) -> None:
        self._timer = self.set_interval(self.talm.redraw_seconds, self._tick)
        self.watch(self.app, "snapshot", self._workspace_changed)
        self.watch(self.query_one(RunList), "picked", self._picked, init=False)

    def on_screen_suspend(self) -> None:
        if self._timer is not None:
            self._timer.pause()

    def on_screen_resume(self) -> None:
        if self._timer is not None:
            self._timer.resume()
            self._tick()

    # --- which run ---------------------------------------------------------------------------

    def chosen_checkpoint(self) -> str | None:
        """The checkpoint under the cursor where they are listed; else None."""
        return self.monitor.checkpoint

    def _overview(self) -> Overview | None:
        models = self.talm.snapshot.models
        return next((item for item in models if item.name == self._run), None)

    def _workspace_changed(self) -> None:
        models = self.talm.snapshot.models
        runs = self.query_one(RunList)
        self._list()
        if self._run is None and models:
            first = next(iter(runs.names), models[0].name)
            self.open(first)
        elif self._run is not None and self._run != runs.chosen:
            runs.choose(self._run)
        overview = self._overview()
        if self._run is not None and overview is None and self.talm.snapshot.complete:
            self._forget_missing()
        elif overview is not None and self._over and self._said_more(overview):
            self._follow()
        self.query_one("#runs").display = self._run is not None
        # Before the first look is complete nobody can say that there is nothing.
        self.query_one("#runs-empty").display = self._run is None and self.talm.snapshot.complete

    def _list(self) -> None:
        """Show the runs the filter leaves, and forget overlaid ones that are gone."""
        models = self.talm.snapshot.models
        if self.talm.snapshot.complete and self.overlaid.keys() - {item.name for item in models}:
            self._overlay({item.name for item in models} & self.overlaid.keys())
        question = self.query_one(RunFilter)
        rows = chosen(question.query_now, models)
        letters = {item.name: (item.letter, f"${item.ink}") for item in self.overlaid.values()}
        runs = self.query_one(RunList)
        runs.show(rows, question.query_now, letters)
        if self._run is not None and runs.chosen is None:
            # A filter had left it out for a moment.
            runs.choose(self._run)
        question.say(sum(isinstance(row, Heading) is False for row in rows), len(models))

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
        self.history, self.coming, self.files = History(), None, Files()
        self._changed()
        self._follower = self._read(self._token, self._directory)

    @work(thread=True, exclusive=True, group="follow", exit_on_error=False)
    def _read(self, token: int, directory: Path) -> None:
        # Its import takes a tenth of a second: here rather than in front of somebody's eyes.
        from talm_tui.charts import raster  # noqa: F401

        worker = get_current_worker()
        Follower(
            token,
            directory,
            self.post_message,
            cancelled=lambda: worker.is_cancelled,
            busy=lambda: self.talm.busy,
        ).run()

    @on(Records)
    def _take(self, message: Records) -> None:
        message.stop()
        self.call_after_refresh(message.taken.set)
        if message.token != self._token:
            return
        changed = self._take_in(message)
        if message.status is not None and message.status is not self.status:
            self.status, changed = message.status, True
        if message.files is not None and message.files != self.files:
            self.files, changed = message.files, True
        if message.over:
            self._over = changed = True
        if changed:
            self._changed()

    def _take_in(self, message: Records) -> bool:
        """Add records to what is shown, or to what is read behind a sketch; whether the first has
        changed."""
        if message.sketch:
            self.coming = self.coming or History()
            return self.history.extend(message.records)
        if self.coming is None:
            return self.history.extend(message.records)
        self.coming.extend(message.records)
        if message.whole:
            self.history, self.coming = self.coming, None
        return message.whole

    def on_renamed(self, message: Renamed) -> None:
        message.stop()
        if message.name in self.overlaid:
            self._overlay(self.overlaid.keys() - {message.name})
        if message.name in (self._run, self._moving):
            self.open(message.new)
        self._moving = None

    def on_open_run(self, message: OpenRun) -> None:
        message.stop()
        self.open(message.name)

    def _picked(self, name: str) -> None:
        if name != self._run:
            self.open(name)

    def on_run_list_opened(self, message: RunList.Opened) -> None:
        message.stop()
        if self.has_class("-table"):
            self.action_table()

    # --- the table ---------------------------------------------------------------------------

    def action_table(self) -> None:
        """All of the screen for the table, or the monitor again."""
        self.toggle_class("-table")
        self.query_one(RunList).focus()
        self._changed()
        self.call_after_refresh(self._tick)

    def action_filter(self) -> None:
        """Ask which runs to list."""
        self.query_one(RunFilter).open()

    def action_order(self, kind: str) -> None:
        """The next usual way to sort or to group the table."""
        self.query_one(RunFilter).next_order(kind)

    def on_run_list_head_clicked(self, message: RunList.HeadClicked) -> None:
        message.stop()
        self.query_one(RunFilter).sort_by(message.key)

    def on_run_filter_changed(self, message: RunFilter.Changed) -> None:
        message.stop()
        self._list()

    def on_run_filter_left(self, message: RunFilter.Left) -> None:
        message.stop()
        self.query_one(RunList).focus()

    # --- drawing -----------------------------------------------------------------------------

    def _changed(self) -> None:
        self._new = True

    def _tick(self) -> None:
        if self._new and self.is_current and not self.has_class("-table"):
            self._redraw()

    def on_resize(self) -> None:
        self._changed()
        self.call_after_refresh(self._tick)

    def _redraw(self) -> None:
        self._new = False
        if self._run is None:
            return
        self.redraws += 1
        others = self._others()
        configs = {item.name: item.config for item in self.talm.snapshot.models}
        known = {name: configs.get(name) for name in (self._run, *(item.name for item in others))}
        self.monitor.sketch = self.coming is not None
        self.monitor.draw(self._run, self.status, self.history, self.files, others, known)
        offered = (self.status, bool(self.files.checkpoints), self._held)
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
        if action in _OF_A_RUN:
            return self._run is not None
        return super().check_action(action, parameters)

    def action_leave_field(self) -> None:
        """End reading values; else back to the chart; else give the focus back to the list; else
        list all runs."""
        chart, runs = self.query_one(Chart), self.query_one(RunList)
        if self.has_class("-table"):
            self.action_table()
        elif chart.view.cursor is not None:
            chart.action_leave()
        elif self.monitor.view != "chart":
            self.monitor.open_view("chart")
        elif not runs.has_focus:
            runs.focus()
        else:
            self.query_one(RunFilter).clear()
