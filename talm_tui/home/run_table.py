"""The recent runs, one a line, with a line to choose one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import RenderOptions

from talm_tui.charts.sparkline import sparkline
from talm_tui.host import host
from talm_tui.widgets.cells import left, right
from talm_tui.widgets.format import ago, brief_loss, brief_rate, count, duration, percent
from talm_tui.widgets.status import colour

if TYPE_CHECKING:
    from talm_core.runtime.overview import Overview


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths of the columns for a width of the table; 0 leaves a column out."""

    name: int
    state: int
    step: int
    loss: int
    bits: int
    rate: int
    spark: int
    end: int

    @classmethod
    def of(cls, width: int) -> Columns:
        """Shares of `width`, of which two cells are the glyph's."""
        room = width - 2
        end = 10 if room >= 44 else 0
        step = 12 if room >= 56 else 0
        loss = 10 if room >= 98 else 7 if room >= 64 else 0
        bits = 10 if room >= 98 else 6 if room >= 74 else 0
        rate = 9 if room >= 98 else 7 if room >= 74 else 0
        # Two cells stand between the numbers, the line and the end.
        rest = room - 12 - end - step - loss - bits - rate - 2
        name = max(6, min(40, rest if rest < 18 else rest * 55 // 100))
        # An overview has forty points of the loss, two for a cell.
        spark = min(20, rest - name) if rest - name >= 4 else 0
        if end:
            end += max(0, rest - name - spark)
        return cls(name, 12, step, loss, bits, rate, spark, end)


class RunTable(ScrollView):
    """Runs with a cursor. The screen moves it: the table takes no focus, so that letters are
    always actions. A click chooses, a second one opens."""

    ALLOW_SELECT = False

    class Opened(Message):
        """A run was clicked twice."""

    class Moved(Message):
        """The cursor is at another run."""

    def __init__(self) -> None:
        super().__init__(id="runs")
        self.can_focus = False
        self._rows: tuple[Overview, ...] = ()
        self._cursor = 0

    @property
    def selected(self) -> Overview | None:
        """The run under the cursor."""
        return self._rows[self._cursor] if self._cursor < len(self._rows) else None

    def show(self, rows: Sequence[Overview], *, stay: bool = True) -> None:
        """Show these; the cursor stays with its run, wherever that is now, or goes to the first."""
        chosen, before = self.selected if stay else None, self._rows
        self._rows = tuple(rows)
        if not stay:
            self._cursor = 0
        if chosen is not None:
            self.select(chosen.artifact.directory.as_posix())
        self._cursor = min(self._cursor, max(0, len(self._rows) - 1))
        if len(before) != len(self._rows):
            self.virtual_size = Size(0, len(self._rows) + 1)
            self.refresh()
            return
        # A second of a run changes its line only: over a slow line the rest is not sent again.
        for index, (old, new) in enumerate(zip(before, self._rows, strict=True)):
            if old != new:
                self.refresh_line(index + 1)

    def select(self, directory: str) -> None:
        """Put the cursor on the run in `directory`, if it is there."""
        for index, row in enumerate(self._rows):
            if row.artifact.directory.as_posix() == directory:
                self._go(index)
                return

    def move(self, by: int) -> None:
        """Move the cursor, as far as there are runs."""
        self._go(max(0, min(len(self._rows) - 1, self._cursor + by)))

    def _go(self, index: int) -> None:
        if index == self._cursor:
            return
        self.refresh_line(self._cursor + 1)
        self._cursor = index
        self.refresh_line(index + 1)
        self.scroll_to_region(
            Region(0, index + 1, 1, 1) if index else Region(0, 0, 1, 2),
            animate=False,
            force=True,
        )
        self.post_message(self.Moved())

    def on_resize(self) -> None:
        self.virtual_size = Size(0, len(self._rows) + 1)

    def on_click(self, event: events.Click) -> None:
        """Choose; twice: open."""
        index = int(event.y + self.scroll_y) - 1
        if 0 <= index < len(self._rows):
            self._go(index)
            if event.chain > 1:
                self.post_message(self.Opened())

    def render_line(self, y: int) -> Strip:
        index = int(self.scroll_y) + y - 1
        width = self.scrollable_content_region.width
        if not self._rows or not -1 <= index < len(self._rows):
            return Strip.blank(width, self.rich_style)
        columns = Columns.of(width)
        if index < 0:
            content = Content.styled(_head(columns), "$secondary bold")
        else:
            content = _row(self._rows[index], columns, host(self).key)
            if index == self._cursor:
                content = content.stylize_before("bold on $primary 18%")
        return self._strip(content, width)

    def _strip(self, content: Content, width: int) -> Strip:
        strips = content.render_strips(
            width, 1, self.visual_style, RenderOptions(self._get_style, {})
        )
        strip = strips[0] if strips else Strip([Segment(" " * width, Style())])
        return strip.adjust_cell_length(width, self.rich_style)


def _head(columns: Columns) -> str:
    return "".join(
        (
            "  ",
            left("Recent runs", columns.name + columns.state),
            right("step", columns.step),
            right("val loss" if columns.loss > 8 else "val", columns.loss),
            right("bits/byte" if columns.bits > 9 else "b/B", columns.bits),
            right("tokens/s" if columns.rate > 8 else "tok/s", columns.rate),
            " ",
            left("loss" if columns.spark > 4 else "", columns.spark),
        )
    )


def _row(run: Overview, columns: Columns, key: Callable[[str], str]) -> Content:
    style = colour(run.status.value)
    middle = columns.step + columns.loss + columns.bits + columns.rate + columns.spark + 2
    numbers: Content
    if run.status.value in ("failed", "damaged") and run.message:
        numbers = Content.styled(" " + left(run.message[:1000], middle - 1), "$text-error")
    else:
        numbers = _numbers(run, columns)
    return Content.assemble(
        (run.status.glyph, style),
        " ",
        left(run.name, columns.name - 1),
        " ",
        (left(run.status.value, columns.state), style),
        numbers,
        (right(_end(run, key), columns.end), "$secondary"),
    )


def _numbers(run: Overview, columns: Columns) -> Content:
    metrics = run.metrics
    step = rate = ""
    if metrics is not None:
        step = f"{metrics.step:,}/{metrics.max_steps:,}"
        if len(step) >= columns.step:
            step = f"{count(metrics.step)}/{count(metrics.max_steps)}"
        if len(step) >= columns.step:
            step = percent(run.fraction)
        rate = brief_rate(metrics.tokens_per_second)
    elif run.status.active:
        step = percent(run.fraction)
    loss, bits = brief_loss(run.val_loss), brief_loss(run.bits_per_byte)
    return Content.assemble(
        right(step, columns.step),
        right(loss, columns.loss),
        right(bits, columns.bits),
        right(rate, columns.rate),
        " ",
        (left(sparkline(run.spark, columns.spark), columns.spark), "$series-1"),
        " ",
    )


def _end(run: Overview, key: Callable[[str], str]) -> str:
    match run.status.value:
        case "running":
            return f"{duration(run.eta)} left" if run.eta is not None else run.phase
        case "paused":
            return "paused"
        case "stopped" | "interrupted":
            return f"{key('home.resume')}  resume"
        case "failed":
            return f"{key('home.log')}  log"
    return ago(run.updated) if run.updated else ""
