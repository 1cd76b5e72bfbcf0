"""What can be done with the monitor of a run: its views, its chart, other runs' curves in that."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType

from talm_core.runtime.history import History
from talm_core.storage.workspace import Artifact
from talm_tui.charts.chart import Chart
from talm_tui.charts.curves import OVERLAID, Curves, Overlaid
from talm_tui.charts.ink import LETTERS
from talm_tui.runs.monitor import Monitor
from talm_tui.runs.overlay import OverlayRead, OverlayReader
from talm_tui.runs.shown_run import ShownRun
from talm_tui.services.messages import Said
from talm_tui.shell.screen import Part, Place

_OF_A_RUN = ("overlay", "overlay_none", "next_quantity", "export")


class MonitorControl(Part):
    """The keys of a run's monitor. Those of the chart work wherever the focus is."""

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
        Binding(
            "i",
            "chart('inspect')",
            "values",
            id="runs.inspect",
            tooltip="Read values off the curves",
        ),
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
            tooltip="Overlay this run's curves on the chart, or remove them",
        ),
        Binding(
            "O",
            "overlay_none",
            "No overlay",
            id="runs.overlay_none",
            show=False,
            tooltip="Remove all overlays",
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

    def __init__(
        self,
        place: Place,
        run: ShownRun,
        listed: Callable[[], object],
        changed: Callable[[], object],
        seen: Callable[[], object],
    ) -> None:
        """`listed` shows the letters of the runs in the chart beside their names, `changed` draws
        the chart, `seen` sees to it that the monitor is on the screen."""
        super().__init__(place)
        self._run = run
        self._listed = listed
        self._changed = changed
        self._seen = seen
        self.overlaid: dict[Artifact, Overlaid] = {}
        self._overlays = OverlayReader(place.post_message)

    def close(self) -> None:
        """Read no more."""
        self._overlays.stop()

    @property
    def monitor(self) -> Monitor:
        """The part that shows the chosen run."""
        return self.place.query_one(Monitor)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with this run now is offered."""
        if action in _OF_A_RUN:
            return self._run.name is not None
        if action == "chart" and parameters == ("follow",):
            return self.place.is_mounted and self.held
        return True

    def action_next_view(self) -> None:
        """The next view."""
        self._seen()
        views = self.monitor.views
        self.monitor.open_view(views[(views.index(self.monitor.view) + 1) % len(views)])

    def action_view(self, view: str) -> None:
        """A view by its name; back to the chart when it is seen already."""
        seen = self.monitor.display and view == self.monitor.view
        self._seen()
        self.monitor.open_view("chart" if seen else view)

    def action_leaf(self, direction: int) -> None:
        """To an older or newer sample, or checkpoint where these are listed."""
        self._seen()
        self.monitor.leaf(direction)

    def action_chart(self, name: str, *arguments: int) -> None:
        """One of the chart's actions, wherever the focus is."""
        self._seen()
        getattr(self.place.query_one(Chart), f"action_{name}")(*arguments)

    def others(self) -> list[Overlaid]:
        """The overlaid runs but the chosen one."""
        return [item for key, item in self.overlaid.items() if key != self._run.artifact]

    @property
    def held(self) -> bool:
        """Whether the chart does not follow its newest point."""
        return self.place.query_one(Chart).view.right is not None

    # --- other runs in the chart -------------------------------------------------------------

    def action_overlay(self) -> None:
        """Lay the chosen run's curves over the others', or take them away."""
        run = self._run.known
        if run in self.overlaid:
            self.overlay(self.overlaid.keys() - {run})
        elif len(self.overlaid) >= len(LETTERS):
            self.place.notify(f"{len(LETTERS)} runs is as many as there are letters.", markup=False)
        else:
            self.overlay([*self.overlaid, run])

    def action_overlay_none(self) -> None:
        """Remove all overlays."""
        self.overlay(())

    def overlay(self, runs: Collection[Artifact]) -> None:
        """Lay these runs, and no others, over the chart."""
        kept = {run: item for run, item in self.overlaid.items() if run in runs}
        for run in runs:
            if run not in kept:
                used = {item.letter for item in kept.values()}
                letter = next(letter for letter in LETTERS if letter not in used)
                kept[run] = Overlaid(run, letter, History.slim(*OVERLAID, most=1))
        self.overlaid = kept
        self._overlays.follow(kept)
        self._listed()
        self._changed()

    def take(self, message: OverlayRead) -> None:
        """More is known of an overlaid run."""
        item = self.overlaid.get(message.artifact)
        if item is not None:
            self.overlaid[message.artifact] = replace(item, history=message.history)

    def action_next_quantity(self) -> None:
        """Another quantity's chart."""
        self._seen()
        self.monitor.next_quantity()

    def action_export(self) -> None:
        """Write the chart as it is to files."""
        run = self._run.known.name
        if self._run.coming is not None:
            said = "The run is still loading: try again in a moment"
            self.place.notify(said, severity="warning")
            return
        own, quantity = self._run.history.snapshot(), self.monitor.shown
        curves = Curves().of(run, own, quantity, self.others())
        view = replace(self.place.query_one(Chart).view, cursor=None)
        folder = self.talm.workspace.root / "charts"
        kind = "".join(letter if letter.isalnum() else "-" for letter in quantity.name)

        def write() -> list[Path]:
            from talm_tui.charts import export

            title = f"{run}: {quantity.title}"
            return export.write(folder, f"{run}-{kind}", title, curves, view)

        def written(paths: list[Path]) -> None:
            names = ", ".join(path.name for path in paths)
            self.place.app.post_message(Said(f"In {folder}: {names}"))

        def failed(error: OSError) -> str:
            return f"{folder} cannot be written: {error.strerror}"

        self.look("export", write, written, failed=failed)
