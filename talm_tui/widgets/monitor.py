"""The monitor of one run: how far it is, its losses, numbers, memory, samples and files."""

from __future__ import annotations

from array import array
from bisect import bisect_right

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from talm_core.history import History
from talm_core.jobs import Status
from talm_tui.following import Files
from talm_tui.widgets import run_text, status
from talm_tui.widgets.chart import Chart, XAxis
from talm_tui.widgets.memory import MemoryPanel
from talm_tui.widgets.plot import Curve
from talm_tui.widgets.sample_view import SampleView
from talm_tui.widgets.tile import Tile

VIEWS = ("chart", "sample", "log", "config", "checkpoints")
_PAGES = ("log", "config", "checkpoints")


def curves(history: History) -> list[Curve]:
    """The losses over steps, tokens and seconds of training."""
    metrics, evaluations = history.metrics, history.evaluations
    xs = {"step": metrics["step"], "tokens": metrics["tokens"], "time": metrics["elapsed"]}
    marks = {"step": evaluations["step"]}
    # An evaluation says its step only: the rest is looked up where training was then.
    places = [bisect_right(metrics["step"], step) - 1 for step in evaluations["step"]]
    for name in ("tokens", "time"):
        known = xs[name]
        marks[name] = array("d", (known[i] if i >= 0 else 0.0 for i in places))
    return [
        Curve("loss", xs, metrics["loss"]),
        Curve("validation", marks, evaluations["val_loss"], "◆"),
    ]


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

    def mark(self, view: str) -> None:
        """Show which view is open."""
        parts: list[str | tuple[str, str]] = []
        for name in VIEWS:
            shown = "bold $background on $primary" if name == view else "$foreground 75%"
            parts += [(f" {name} ", shown), " "]
        parts.append(("v next view", "$foreground 50%"))
        self.update(Content.assemble(*parts))

    def on_click(self, event: events.Click) -> None:
        """A click on a name opens its view."""
        start = 0
        for name in VIEWS:
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
        self.history = History()
        self.files = Files()

    def compose(self) -> ComposeResult:
        yield Static("", id="run-head", markup=False)
        yield ViewStrip("", id="run-views", markup=False)
        with Horizontal(id="run-body"):
            with Vertical(id="run-main"):
                yield Chart(
                    "loss (nats/token)",
                    (XAxis("step", "whole"), XAxis("tokens"), XAxis("time", "clock")),
                    empty="no step has been said yet",
                    id="run-chart",
                )
                with Horizontal(id="run-tiles"):
                    yield Tile("lr", id="tile-lr")
                    yield Tile("grad norm", id="tile-grad")
                    yield Tile("tokens/s", id="tile-speed")
                    yield Tile("bits/byte", id="tile-bits")
            with VerticalScroll(id="run-page"):
                yield Static("", id="run-text", markup=False)
            with Vertical(id="run-side"):
                yield MemoryPanel(id="run-memory")
                yield SampleView(id="run-sample")
        yield Static("", id="run-numbers", markup=False)
        yield MemoryPanel(id="run-memory-line", classes="-line")

    def on_mount(self) -> None:
        self.open_view(self.view)

    def begin(self) -> None:
        """Get ready for another run: everything visible, the newest sample."""
        self.query_one(SampleView).follow()
        self.query_one(Chart).action_whole()

    def draw(self, name: str, state: Status, history: History, files: Files) -> None:
        """Show a run as it is now."""
        self.history, self.files = history, files
        head, numbers = self.query_one("#run-head", Static), self.query_one("#run-numbers", Static)
        now = status.now()
        head.update(
            run_text.headline(name, state, history, head.size.width, now),
            layout=False,
        )
        tiles = self.query_one("#run-tiles").display
        numbers.update(run_text.numbers(history, numbers.size.width, short=tiles), layout=False)
        self.query_one(Chart).show(curves(history))
        if tiles:
            metrics = history.metrics
            self.query_one("#tile-lr", Tile).show(metrics["learning_rate"])
            self.query_one("#tile-grad", Tile).show(metrics["grad_norm"])
            self.query_one("#tile-speed", Tile).show(metrics["tokens_per_second"])
            self.query_one("#tile-bits", Tile).show(history.evaluations["bits_per_byte"])
        for panel in self.query(MemoryPanel):
            if panel.display:
                panel.show(history.telemetry)
        self.query_one(SampleView).show(history.samples)
        self._fill_page()

    def _fill_page(self) -> None:
        if self.view == "log":
            page = run_text.log_page(self.history, self.files.log)
        elif self.view == "config":
            page = run_text.config_page(self.files.config)
        elif self.view == "checkpoints":
            page = run_text.checkpoint_page(
                self.history.checkpoints, self.files.checkpoints, self.history
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
        self.query_one(ViewStrip).mark(view)
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
