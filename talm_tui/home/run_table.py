"""The recent runs, one a line, with a line to choose one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content

from talm_core.jobs.registry import spec_of
from talm_tui.charts.sparkline import sparkline
from talm_tui.host import host
from talm_tui.widgets.cells import left, name, right
from talm_tui.widgets.format import ago, brief_loss, brief_rate, count, duration, percent
from talm_tui.widgets.status import colour, in_words, steps
from talm_tui.widgets.table import Table

if TYPE_CHECKING:
    from pathlib import Path

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


class RunLook:
    """The recent runs, one a line."""

    def __init__(self, key: Callable[[str], str]) -> None:
        """`key` tells the key of an action."""
        self._key = key
        self._columns = Columns.of(80)

    def fit(self, rows: Sequence[Overview], width: int) -> bool:  # noqa: ARG002
        before, self._columns = self._columns, Columns.of(width)
        return before != self._columns

    def head(self) -> Content:
        return Content.styled(_head(self._columns), "$secondary bold")

    def line(self, row: Overview) -> Content:
        return _row(row, self._columns, self._key)

    def chosen(self, *, focused: bool) -> str:  # noqa: ARG002
        return "bold on $primary 18%"


class RunTable(Table["Overview"]):
    """The recent runs. The screen moves the cursor: the table takes no focus, so that letters are
    always actions."""

    def __init__(self) -> None:
        super().__init__(RunLook(lambda action: host(self).key(action)), id="runs")
        self.can_focus = False

    def show(self, rows: Sequence[Overview], *, stay: bool = True) -> None:
        """Show these; the cursor stays with its run, wherever that is now, or goes to the first."""
        chosen = self.row if stay else None
        cursor = self.cursor if stay else 0
        if chosen is not None:
            cursor = _place_of(rows, chosen.artifact.directory, cursor)
        moved = cursor != self.cursor
        self.put(rows, max(0, min(cursor, len(rows) - 1)), anew=moved)

    def select(self, directory: Path) -> None:
        """Put the cursor on the run in `directory`, if it is there."""
        self.choose(_place_of(self.rows, directory, self.cursor))


def _place_of(rows: Sequence[Overview], directory: Path, default: int) -> int:
    places = (place for place, row in enumerate(rows) if row.artifact.directory == directory)
    return next(places, default)


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
        name(run.name, columns.name - 1),
        " ",
        (left(run.status.value, columns.state), style),
        numbers,
        (right(_end(run, key), columns.end), "$secondary"),
    )


def _numbers(run: Overview, columns: Columns) -> Content:
    metrics = run.metrics
    spec = spec_of(run.artifact.kind)
    if metrics is None and spec.is_run and not spec.makes_model:
        room = columns.step + columns.loss + columns.bits + columns.rate + columns.spark + 2
        return Content(" " + left(in_words(run), room - 1))
    step = rate = ""
    if metrics is not None:
        step = steps(run)
        if len(step) >= columns.step:
            step = steps(run, count)
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
