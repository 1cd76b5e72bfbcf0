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

from talm_core.runtime.runner import Status
from talm_core.storage.workspace import Artifact
from talm_tui.charts.chart import Chart
from talm_tui.runs.checkpoint_control import CheckpointControl
from talm_tui.runs.export_line import ExportLine
from talm_tui.runs.monitor import Monitor
from talm_tui.runs.monitor_control import MonitorControl
from talm_tui.runs.overlay import OverlayRead
from talm_tui.runs.query import Heading, chosen
from talm_tui.runs.run_control import RunControl
from talm_tui.runs.run_filter import RunFilter
from talm_tui.runs.run_list import RunList
from talm_tui.runs.shown_run import ShownRun
from talm_tui.services.follower import Follower, Records
from talm_tui.services.messages import OpenRun
from talm_tui.shell.screen import Place
from talm_tui.shell.theme import styles
from talm_tui.widgets.hint import Hint

if TYPE_CHECKING:
    from talm_core.runtime.overview import Overview

_OF_A_RUN = ("table", "filter", "order")

EMPTY = (
    "There is no run yet. Press {app.train} to set one up,\nor {app.home} and then"
    " {home.quickstart}: talm makes everything and trains a small model in about a minute."
)


class RunsScreen(Place):
    """The list of runs, and of the chosen one: how far it is, its losses, numbers, memory,
    samples, log, settings and checkpoints."""

    HELP = """\
# Runs

`{runs.previous}` `{runs.next}` choose a run. `{runs.pause}` pauses it and lets it go on,
`{runs.checkpoint}` writes a checkpoint, `{runs.sample}` a sample, `{runs.stop}` stops it (it can be
resumed), `{runs.resume}` resumes it, `{runs.play}` prompts the model. `{runs.every}` changes how
often it evaluates, `{runs.branch}` sets up a new run that begins with a checkpoint's weights,
`{runs.export_model}` exports the model for other programs.

`{runs.overlay}` overlays a run's curves on the chart, `{runs.overlay_none}` removes all overlays.
`{runs.quantity}` changes what the chart shows, `{runs.export}` writes it to files.

`{runs.zoom_in}` `{runs.zoom_out}` zoom the chart, `{runs.pan_left}` `{runs.pan_right}` pan,
`{runs.follow}` follows the newest point again, `{runs.whole}` shows everything, `{runs.inspect}`
reads values off the curves, `{runs.x}` changes the axis, `{runs.y}` the scale, `{runs.smooth}`
the smoothing.
`{runs.older}` and `{runs.newer}` leaf through the samples, `{runs.view}` changes the view,
`{runs.log}` shows the log. In the view of checkpoints they choose the one that `{runs.play}`,
`{runs.branch}` and `{runs.export_model}` are about, which elsewhere ask.

`{runs.table}` makes the table of runs large. `{runs.filter}` filters it by words and by what
settings and results are: `n_layer>=4 val_loss<3`; `sort:val_loss` and `group:n_embd` belong there,
too. `{runs.sort}` and `{runs.group}` go through the usual ones. `{runs.rename}` renames a run,
`{runs.delete}` deletes it; `{runs.longer}` trains one that is done longer.
"""
    CSS_PATH = styles("runs")
    AUTO_FOCUS = "RunList"

    BINDINGS: ClassVar[list[BindingType]] = [
        *RunControl.BINDINGS,
        *CheckpointControl.BINDINGS,
        *MonitorControl.BINDINGS,
        Binding("enter", "table", "table", id="runs.table", tooltip="Show the table full screen"),
        Binding("slash", "filter", "filter", id="runs.filter", tooltip="Filter the table"),
        Binding("S", "order('sort')", "Sort", id="runs.sort", show=False, tooltip="Sort the table"),
        Binding(
            "G", "order('group')", "Group", id="runs.group", show=False, tooltip="Group the table"
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.run = ShownRun()
        self.control = RunControl(self, self.run, self._renamed)
        self.charts = MonitorControl(self, self.run, self._list, self.redraw_soon, self._monitor)
        self.checkpoints = CheckpointControl(self, self.run, self.control)
        self.have(self.control, self.checkpoints, self.charts)
        self.redraws = 0
        self._new = False
        self._offered: tuple[object, ...] = ()
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

    def on_unmount(self) -> None:
        self.charts.close()

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
        return self.charts.monitor

    def _overview(self) -> Overview | None:
        return None if self.run.artifact is None else self.talm.snapshot.find(self.run.artifact)

    def _workspace_changed(self) -> None:
        there, runs = self.talm.snapshot.runs, self.query_one(RunList)
        self._list()
        if self.run.artifact is None and there:
            self.open(next(iter(runs.artifacts), there[0].artifact))
        elif self.run.artifact is not None and self.run.artifact != runs.chosen:
            runs.choose_run(self.run.artifact)
        overview = self._overview()
        if self.run.artifact is not None and overview is None and self.talm.snapshot.complete:
            self._forget_missing()
        elif overview is not None and self.run.is_behind(overview):
            self._follow()
        self.query_one("#runs").display = self.run.name is not None
        # Before the first look is complete nobody can say that there is nothing.
        self.query_one("#runs-empty").display = (
            self.run.name is None and self.talm.snapshot.complete
        )

    def _list(self) -> None:
        """Show the runs the filter leaves, and forget overlaid ones that are gone."""
        there, overlaid = self.talm.snapshot.runs, self.charts.overlaid
        known = {item.artifact for item in there}
        if self.talm.snapshot.complete and overlaid.keys() - known:
            self.charts.overlay(known & overlaid.keys())
            overlaid = self.charts.overlaid
        question = self.query_one(RunFilter)
        rows = chosen(question.query_now, there)
        letters = {key: (item.letter, f"${item.ink}") for key, item in overlaid.items()}
        runs = self.query_one(RunList)
        runs.show(rows, question.query_now, letters)
        self._agree(runs)
        question.say(sum(isinstance(row, Heading) is False for row in rows), len(there))

    def _agree(self, runs: RunList) -> None:
        """Monitor a run that is listed, unless somebody is still typing what is to be listed."""
        if self.run.artifact is None:
            return
        if self.run.artifact in runs.artifacts:
            if runs.chosen is None:
                runs.choose_run(self.run.artifact)
        elif runs.artifacts and self._overview() and not self.query_one(RunFilter).typing:
            self.open(runs.artifacts[0])

    def _forget_missing(self) -> None:
        """The chosen run's directory is gone: choose another."""
        if self.run.known.directory.is_dir():
            return
        self.run.close()
        if self._follower is not None:
            self._follower.cancel()
        others = self.query_one(RunList).artifacts
        if others:
            self.open(others[0])

    @property
    def chosen(self) -> str | None:
        """The name of the run that is monitored."""
        return self.run.name

    def open(self, artifact: Artifact) -> None:
        """Monitor a run from the beginning of its journal."""
        self.run.artifact = artifact
        self.query_one(RunList).choose_run(artifact)
        self.monitor.begin(self.run.spec)
        self.query_one("#runs").display = True
        self.query_one("#runs-empty").display = False
        overview = self._overview()
        self.run.status = overview.status if overview else Status.RUNNING
        self._follow()

    def _follow(self) -> None:
        self.run.begin()
        self._changed()
        self._follower = self._read(self.run.token, self.run.known.directory)

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
        if message.token == self.run.token and self.run.take(message):
            self._changed()

    @on(OverlayRead)
    def _take_overlaid(self, message: OverlayRead) -> None:
        message.stop()
        self.charts.take(message)
        self._changed()

    def _renamed(self, old: Artifact, new: Artifact) -> None:
        overlaid, moving = self.charts.overlaid, self.control.upkeep.moving
        if old in overlaid:
            self.charts.overlay(overlaid.keys() - {old})
        if old in (self.run.artifact, moving):
            self.open(new)
        self.control.upkeep.moving = None

    def on_open_run(self, message: OpenRun) -> None:
        message.stop()
        self.open(message.artifact)
        if message.artifact not in self.query_one(RunList).artifacts:
            self.query_one(RunFilter).clear()

    def _picked(self, artifact: Artifact) -> None:
        if artifact != self.run.artifact:
            self.open(artifact)

    def on_table_opened(self, message: RunList.Opened) -> None:
        message.stop()
        self._monitor()

    # --- the table ---------------------------------------------------------------------------

    def action_table(self) -> None:
        """Show the table full screen, or the monitor again."""
        self.toggle_class("-table")
        self.query_one(RunList).focus()
        self._changed()
        self.call_after_refresh(self._tick)

    def _monitor(self) -> None:
        """Show the monitor, where the table has all of the screen."""
        if self.has_class("-table"):
            self.action_table()

    def action_filter(self) -> None:
        """Ask which runs to list."""
        self.query_one(RunFilter).open()

    def action_order(self, kind: str) -> None:
        """The next usual way to sort or to group the table."""
        self.query_one(RunFilter).next_order(kind)

    def on_run_list_sorted(self, message: RunList.Sorted) -> None:
        message.stop()
        self.query_one(RunFilter).sort_by(message.key)

    def on_run_filter_changed(self, message: RunFilter.Changed) -> None:
        message.stop()
        self._list()

    def on_run_filter_left(self, message: RunFilter.Left) -> None:
        message.stop()
        # At once: as long as the field has the focus, nothing else is monitored.
        self.set_focus(self.query_one(RunList))
        self._agree(self.query_one(RunList))

    # --- drawing -----------------------------------------------------------------------------

    def _changed(self) -> None:
        self._new = True

    def _tick(self) -> None:
        if self._new and self.is_current and not self.has_class("-table"):
            self._redraw()

    def on_resize(self) -> None:
        self._changed()
        self.call_after_refresh(self._tick)

    def redraw_soon(self) -> None:
        """Something is asked to be seen: draw without waiting for the timer."""
        self._changed()
        self._tick()

    def _redraw(self) -> None:
        self._new = False
        run, others = self.run, self.charts.others()
        if run.name is None:
            return
        self.redraws += 1
        told = {item.artifact: item.config for item in self.talm.snapshot.runs}
        known = {"": told.get(run.known)}
        known |= {item.letter: told.get(item.artifact) for item in others}
        self.monitor.sketch = run.coming is not None
        self.monitor.draw(run.name, run.status, run.history, run.files, others, known)
        self._offer((run.status, bool(run.files.checkpoints), self.charts.held))

    def _offer(self, offered: tuple[object, ...]) -> None:
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    def on_chart_view_changed(self, message: Chart.ViewChanged) -> None:
        message.stop()
        if self._offered:
            self._offer((*self._offered[:-1], self.charts.held))

    def on_monitor_view_opened(self, message: Monitor.ViewOpened) -> None:
        message.stop()
        self._changed()
        self.call_after_refresh(self._tick)

    # --- actions -----------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with this run now is offered."""
        if action in _OF_A_RUN:
            return self.run.name is not None
        return super().check_action(action, parameters)

    @property
    def inside(self) -> bool:
        """Whether anything but the list of all runs is open."""
        chart, question = self.query_one(Chart), self.query_one(RunFilter)
        open_view = self.monitor.view != "chart" or chart.view.cursor is not None
        return open_view or self.has_class("-table") or bool(question.text)

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
