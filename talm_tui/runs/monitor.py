"""The monitor of one run: how far it is, its losses, numbers, memory, samples and files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from talm_core.jobs.spec import JobSpec
from talm_core.runtime.history import History
from talm_core.runtime.runner import Status
from talm_tui.charts.chart import Chart, XAxis
from talm_tui.charts.curves import LOSS, QUANTITIES, Curves, Overlaid, Quantity, quantities
from talm_tui.forms.job_lines import phases, summary
from talm_tui.runs import text as run_text
from talm_tui.runs.checkpoint_list import CheckpointList
from talm_tui.runs.memory import MemoryPanel
from talm_tui.runs.sample_view import SampleView
from talm_tui.runs.tile import Tile
from talm_tui.services.follower import Files
from talm_tui.widgets import format as formats
from talm_tui.widgets.hint import plain_keys, with_keys

if TYPE_CHECKING:
    from talm_core.settings.schema import JobConfig

_NO_CONFIGS: Mapping[str, JobConfig | None] = {}
VIEWS = ("chart", "sample", "log", "config", "checkpoints")
_OF_A_MODEL = ("sample", "checkpoints")
_FIVE_TILES = 75
_PAGES = ("log", "config", "checkpoints")
_TILES = {
    "tile-lr": "learning_rate",
    "tile-grad": "grad_norm",
    "tile-speed": "tokens_per_second",
}


class ViewStrip(Static):
    """The names of the views in one line; a click opens one."""

    DEFAULT_CSS = """
    ViewStrip { height: 1; }
    """
    ALLOW_SELECT = False

    class Chosen(Message):
        """A name was clicked."""

        def __init__(self, view: str) -> None:
            super().__init__()
            self.view = view

    views: tuple[str, ...] = VIEWS

    def mark(self, view: str, views: tuple[str, ...]) -> None:
        """Show which of these views is open."""
        self.views = views
        parts: list[str | tuple[str, str]] = []
        for name in views:
            shown = "bold $background on $primary" if name == view else "$foreground 75%"
            parts += [(f" {name} ", shown), " "]
        key = plain_keys(self.app, "{runs.view}")
        parts.append((f"{key} next view", "$foreground 65%"))
        self.update(Content.assemble(*parts))

    def on_click(self, event: events.Click) -> None:
        """A click on a name opens its view."""
        start = 0
        for name in self.views:
            end = start + len(name) + 2
            if start <= event.x < end:
                self.post_message(self.Chosen(name))
            start = end + 1


class Monitor(Vertical):
    """Draws what it is given when it is told to; it reads nothing and has no timer."""

    class ViewOpened(Message):
        """Another view is open; what it shows has to be drawn."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.view = VIEWS[0]
        self.views: tuple[str, ...] = VIEWS
        self.history = History()
        self.files = Files()
        self.quantity = LOSS
        self.sketch = False
        self.others: Sequence[Overlaid] = ()
        self._name: str = ""
        self._turn = False
        self._curves = Curves()
        self._configs: Mapping[str, JobConfig | None] = {}

    def compose(self) -> ComposeResult:
        yield Static("", id="run-head", markup=False)
        yield ViewStrip("", id="run-views", markup=False)
        with Horizontal(id="run-body"):
            with Vertical(id="run-main"):
                yield Static("", id="run-phases", markup=False)
                yield Chart(
                    LOSS.title,
                    (XAxis("step", "whole"), XAxis("tokens"), XAxis("time", "clock")),
                    empty="no steps yet",
                    id="run-chart",
                )
                with Horizontal(id="run-tiles"):
                    yield Tile("lr", id="tile-lr")
                    yield Tile("grad norm", id="tile-grad")
                    yield Tile("tokens/s", id="tile-speed")
                    yield Tile("MFU %", id="tile-mfu")
                    yield Tile("bits/byte", id="tile-bits")
            with VerticalScroll(id="run-page"):
                yield Static("", id="run-text", markup=False)
            yield CheckpointList(id="run-checkpoints")
            with Vertical(id="run-side"):
                yield MemoryPanel(id="run-memory")
                yield SampleView(id="run-sample")
        yield Static("", id="run-numbers", markup=False)
        yield MemoryPanel(id="run-memory-line", classes="-line")

    def on_mount(self) -> None:
        self.open_view(self.view)

    def begin(self, spec: JobSpec) -> None:
        """Get ready for another run: everything visible, the newest sample. Where no model is made,
        there are no samples, no checkpoints and no tiles of training."""
        self.views = tuple(v for v in VIEWS if spec.makes_model or v not in _OF_A_MODEL)
        self.set_class(not spec.makes_model, "-plain")
        self.open_view(self.view if self.view in self.views else VIEWS[0])
        self.query_one(SampleView).follow()
        self.query_one(CheckpointList).follow()
        self.query_one(Chart).action_whole()

    def draw(
        self,
        name: str,
        state: Status,
        history: History,
        files: Files,
        others: Sequence[Overlaid] = (),
        configs: Mapping[str, JobConfig | None] = _NO_CONFIGS,
    ) -> None:
        """Show a run as it is now, with others in its chart. `configs` are by letter, the empty one
        for its own."""
        self._name, self._configs = name, configs
        self.history, self.files, self.others = history, files, others
        head, numbers = self.query_one("#run-head", Static), self.query_one("#run-numbers", Static)
        now = formats.now()
        head.update(
            run_text.headline(name, state, history, head.size.width, now, self._key),
            layout=False,
        )
        tiles = self.query_one("#run-tiles").display
        numbers.update(run_text.numbers(history, numbers.size.width, short=tiles), layout=False)
        self.query_one(Chart).caption = self._title()
        self.query_one(Chart).show(self._curves.of(name, history, self.shown, others))
        self._draw_phases(history)
        if tiles:
            self._draw_tiles(history, all_of_them=not state.active)
        for place in ("#run-memory", "#run-memory-line"):
            panel = self.query_one(place, MemoryPanel)
            if panel.display:
                panel.show(history.telemetry, over=not state.active)
        self.query_one(SampleView).show(history.samples)
        self._fill_page()

    def _draw_phases(self, history: History) -> None:
        """How far each phase is, in the chart's place while there is nothing to draw."""
        bare = not (len(history.metrics) or len(history.evaluations) or history.measured)
        width = self.query_one("#run-main").size.width - 2
        told = [*phases(history, width), summary(history, width)] if bare else []
        self.set_class(any(told), "-bare")
        self.query_one("#run-phases", Static).update("\n".join(filter(None, told)))

    @property
    def shown(self) -> Quantity:
        """What the chart shows: what was chosen, as far as this run says anything of it."""
        known = quantities(self.history)
        return self.quantity if self.quantity in known else known[0]

    def _key(self, action: str) -> str:
        return plain_keys(self.app, f"{{{action}}}")

    @property
    def checkpoint(self) -> str | None:
        """The checkpoint that is chosen in the view that lists them; None in any other."""
        return self.query_one(CheckpointList).chosen if self.view == "checkpoints" else None

    def leaf(self, direction: int) -> None:
        """To an older (-1) or newer (1) checkpoint where these are listed, else sample."""
        if self.view == "checkpoints":
            self.query_one(CheckpointList).leaf(direction)
        else:
            self.query_one(SampleView).action_leaf(direction)

    def _draw_tiles(self, history: History, *, all_of_them: bool) -> None:
        """The tiles' numbers and pictures. Of a run that goes on, each picture every second time
        only: together they cost as much as the chart."""
        metrics, evaluations = history.metrics, history.evaluations
        sign = (history.key, metrics.version)
        self._turn = not self._turn
        for place, (tile, column) in enumerate(_TILES.items()):
            later = not all_of_them and place % 2 == self._turn
            self.query_one(f"#{tile}", Tile).show(
                metrics[column], metrics["step"], sign, number_only=later
            )
        mfu = self.query_one("#tile-mfu", Tile)
        # Five names need room; the line above says this one, too.
        roomy = self.query_one("#run-tiles").size.width >= _FIVE_TILES
        mfu.display = roomy and QUANTITIES[-1].known(history)
        if mfu.display:
            later = not all_of_them and self._turn
            mfu.show(metrics["mfu_percent"], metrics["step"], sign, number_only=later)
        sign = (history.key, evaluations.version)
        bits = self.query_one("#tile-bits", Tile)
        bits.show(evaluations["bits_per_byte"], evaluations["step"], sign)

    def next_quantity(self) -> None:
        """Let the chart show the next quantity this run has said something of."""
        known = quantities(self.history)
        self.quantity = known[(known.index(self.shown) + 1) % len(known)]
        self.query_one(Chart).caption = self._title()
        self.post_message(self.ViewOpened())

    def _title(self) -> str:
        return self.shown.title + ("  preview, still loading" if self.sketch else "")

    def _fill_page(self) -> None:
        if self.view == "log":
            page = run_text.log_page(self.history, self.files.log)
        elif self.view == "config":
            names = {"": self._name} | {item.letter: item.name for item in self.others}
            width = self.query_one("#run-page").scrollable_content_region.width
            page = run_text.config_page(self.files.config, self._configs, names, width)
        elif self.view == "checkpoints":
            rows = run_text.checkpoint_rows(self.files.checkpoints, self.history)
            self.query_one(CheckpointList).show(rows)
            self.query_one("#run-body").set_class(bool(rows), "-listed")
            page = with_keys(
                self.app, "There is no checkpoint yet: {runs.checkpoint} writes one now."
            )
        else:
            return
        scroll = self.query_one("#run-page", VerticalScroll)
        at_end = scroll.is_vertical_scroll_end
        self.query_one("#run-text", Static).update(page)
        if self.view == "log" and at_end:
            scroll.scroll_end(animate=False)

    def open_view(self, view: str) -> None:
        """Open one of `VIEWS`."""
        self.view = view
        body = self.query_one("#run-body")
        for name in VIEWS:
            body.set_class(name == view, f"-view-{name}")
        body.set_class(view in _PAGES, "-page")
        self.query_one(ViewStrip).mark(view, self.views)
        if view in _PAGES:
            page = self.query_one("#run-page", VerticalScroll)
            page.border_title = view
            page.scroll_home(animate=False)
            if view == "log":
                self._fill_page()
                page.scroll_end(animate=False)
        self.post_message(self.ViewOpened())

    def on_view_strip_chosen(self, message: ViewStrip.Chosen) -> None:
        message.stop()
        self.open_view(message.view)
