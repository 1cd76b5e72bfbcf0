"""What can be done with the monitor of a run: its views, its chart, other runs' curves in that."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType

from talm_core.runtime.history import History
from talm_tui.charts.chart import Chart
from talm_tui.charts.curves import OVERLAID, Curves, Overlaid, Quantity
from talm_tui.charts.ink import LETTERS
from talm_tui.charts.plot import Curve, View
from talm_tui.runs.checkpoint_actions import CheckpointActions
from talm_tui.runs.monitor import VIEWS, Monitor
from talm_tui.runs.overlay import OverlayRead, OverlayReader
from talm_tui.services.messages import Said, Trouble

_OF_A_RUN = ("overlay", "overlay_none", "next_quantity", "export")


class MonitorActions(CheckpointActions):
    """A place that shows a run's monitor. The chart's keys work wherever the focus is; a subclass
    draws."""

    BINDINGS: ClassVar[list[BindingType]] = [
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
        Binding(
            "f",
            "chart('follow')",
            "follow",
            id="runs.follow",
            tooltip="Follow the newest point again",
        ),
        Binding("i", "chart('inspect')", "values", id="runs.inspect", tooltip="Read out values"),
        Binding("s", "chart('smooth')", "smooth", id="runs.smooth", tooltip="Smooth more or less"),
        Binding("x", "chart('next_axis')", "x axis", id="runs.x", tooltip="Step, tokens or time"),
        Binding("y", "chart('log')", "log y", id="runs.y", tooltip="Logarithmic or linear"),
        Binding(
            "m", "next_quantity", "chart", id="runs.quantity", tooltip="Another quantity's chart"
        ),
        Binding(
            "o",
            "overlay",
            "overlay",
            id="runs.overlay",
            tooltip="Lay this run's curves over the chart, or take them off",
        ),
        Binding(
            "O",
            "overlay_none",
            "No overlay",
            id="runs.overlay_none",
            show=False,
            tooltip="Take all other runs' curves away",
        ),
        Binding(
            "e",
            "export",
            "Export",
            id="runs.export",
            show=False,
            tooltip="Write the chart as SVG, PNG and CSV",
        ),
        Binding("comma,less_than_sign", "leaf(-1)", "Older sample", id="runs.older", show=False),
        Binding(
            "full_stop,greater_than_sign", "leaf(1)", "Newer sample", id="runs.newer", show=False
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.overlaid: dict[str, Overlaid] = {}
        self._overlays = OverlayReader(self.post_message)
        self._offered: tuple[object, ...] = ()

    def on_unmount(self) -> None:
        self._overlays.stop()

    @property
    def monitor(self) -> Monitor:
        """The part that shows the chosen run."""
        return self.query_one(Monitor)

    def _list(self) -> None:
        """Show the letters of the runs in the chart beside their names."""
        raise NotImplementedError

    def _changed(self) -> None:
        """There is something new to draw."""
        raise NotImplementedError

    def _tick(self) -> None:
        """Draw what is new."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with this run now is offered."""
        if action in _OF_A_RUN:
            return self._run is not None
        if action == "chart" and parameters == ("follow",):
            return self.is_mounted and self._held
        return super().check_action(action, parameters)

    def action_next_view(self) -> None:
        """The next view."""
        self.monitor.open_view(VIEWS[(VIEWS.index(self.monitor.view) + 1) % len(VIEWS)])

    def action_view(self, view: str) -> None:
        """A view by its name; back to the chart when it is open already."""
        self.monitor.open_view("chart" if view == self.monitor.view else view)

    def action_leaf(self, direction: int) -> None:
        """To an older or newer sample, or checkpoint where these are listed."""
        self.monitor.leaf(direction)

    def action_chart(self, name: str, *arguments: int) -> None:
        """One of the chart's actions, wherever the focus is."""
        getattr(self.query_one(Chart), f"action_{name}")(*arguments)

    def _others(self) -> list[Overlaid]:
        """The overlaid runs but the chosen one."""
        return [item for item in self.overlaid.values() if item.name != self._run]

    @property
    def _held(self) -> bool:
        """Whether the chart does not follow its newest point."""
        return self.query_one(Chart).view.right is not None

    def on_chart_view_changed(self, message: Chart.ViewChanged) -> None:
        message.stop()
        if self._offered and self._offered[-1] != self._held:
            self._offered = (*self._offered[:-1], self._held)
            self.refresh_bindings()

    # --- other runs in the chart -------------------------------------------------------------

    def action_overlay(self) -> None:
        """Lay the chosen run's curves over the others', or take them away."""
        assert self._run is not None
        if self._run in self.overlaid:
            self._overlay(self.overlaid.keys() - {self._run})
        elif len(self.overlaid) >= len(LETTERS):
            self.notify(f"{len(LETTERS)} runs is as many as there are letters.", markup=False)
        else:
            self._overlay([*self.overlaid, self._run])

    def action_overlay_none(self) -> None:
        """Take all other runs' curves away."""
        self._overlay(())

    def _overlay(self, names: Collection[str]) -> None:
        kept = {name: item for name, item in self.overlaid.items() if name in names}
        for name in names:
            if name not in kept:
                used = {item.letter for item in kept.values()}
                letter = next(letter for letter in LETTERS if letter not in used)
                kept[name] = Overlaid(name, letter, History.slim(*OVERLAID, most=1))
        self.overlaid = kept
        folder = self.talm.workspace.folder("pretrain")
        self._overlays.follow({name: folder / name for name in kept})
        self._list()
        self._changed()
        self._tick()

    def on_overlay_read(self, message: OverlayRead) -> None:
        message.stop()
        item = self.overlaid.get(message.name)
        if item is not None:
            self.overlaid[message.name] = replace(item, history=message.history)
            self._changed()

    def action_next_quantity(self) -> None:
        """Another quantity's chart."""
        self.monitor.next_quantity()

    def action_export(self) -> None:
        """Write the chart as it is to files."""
        assert self._run is not None
        if self.coming is not None:
            self.notify("Not all of the run is read yet: in a moment", severity="warning")
            return
        own, others = self.history.snapshot(), self._others()
        curves = Curves().of(self._run, own, self.monitor.quantity, others)
        view = replace(self.query_one(Chart).view, cursor=None)
        self._export(self._run, self.monitor.quantity, curves, view)

    @work(thread=True, exclusive=True, group="export", exit_on_error=False)
    def _export(self, name: str, quantity: Quantity, curves: list[Curve], view: View) -> None:
        from talm_tui.charts import export as chart_file

        folder = self.talm.workspace.root / "charts"
        kind = "".join(letter if letter.isalnum() else "-" for letter in quantity.name)
        title = f"{name}: {quantity.title}"
        try:
            paths = chart_file.write(folder, f"{name}-{kind}", title, curves, view)
        except OSError as error:
            self.app.post_message(Trouble(f"{folder} cannot be written: {error.strerror}"))
        else:
            names = ", ".join(path.name for path in paths)
            self.app.post_message(Said(f"In {folder}: {names}"))
