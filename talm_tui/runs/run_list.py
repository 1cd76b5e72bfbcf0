"""The runs of a workspace, one a line: a table to choose from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive

from talm_core.jobs.registry import spec_of
from talm_core.runtime.overview import Overview
from talm_core.runtime.runner import Status
from talm_core.storage.workspace import Artifact
from talm_core.system.foreign_text import line
from talm_tui.charts.sparkline import sparkline
from talm_tui.runs.query import Heading, Query, shown, value_of
from talm_tui.widgets import cells
from talm_tui.widgets.cells import left, right
from talm_tui.widgets.format import ago, elapsed, percent, short_number
from talm_tui.widgets.status import colour, in_words, steps
from talm_tui.widgets.table import Table

_QUIET = "$foreground 70%"
Row = Overview | Heading
"""A run, or the heading of a group."""

_ALL = Query()
_NONE: Mapping[Artifact, tuple[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: what it is sorted by, its head, its cells."""

    key: str
    head: str
    width: int


def columns(width: int, names: Sequence[str], extra: Sequence[str]) -> list[Column]:
    """The columns for a table of `width` cells; `extra` are keys a query is about."""
    longest = max((len(line(name)) for name in names), default=0)
    name = max(8, min(longest, 14 if width < 100 else 28))
    found = [Column("name", "run", name), Column("status", "status", 11)]
    own = [key for key in extra if key not in ("name", "status", "step", "val_loss", "updated")]
    wanted = [
        Column("step", "step", 13),
        Column("val_loss", "val loss", 8),
        *(Column(key, key, max(7, min(16, len(key)))) for key in own),
        Column("bits_per_byte", "bits/byte", 9),
        Column("tokens_per_second", "tokens/s", 8),
        Column("loss", "loss", 12),
    ]
    end = 14
    room = width - 4 - sum(column.width + 2 for column in found) - end
    for column in wanted:
        if column.key in {known.key for known in found} or room < column.width + 2:
            continue
        room -= column.width + 2
        found.append(column)
    return [*found, Column("-updated", "", end + max(0, room))]


class RunLook:
    """Runs and the headings of their groups. Runs whose curves lie in the chart have their letter
    in front."""

    def __init__(self) -> None:
        self.query = Query()
        self.letters: dict[Artifact, tuple[str, str]] = {}
        self.columns: list[Column] = []
        self._width = 0

    def fit(self, rows: Sequence[Row], width: int) -> bool:
        names = [row.name for row in rows if isinstance(row, Overview)]
        before, self._width = self.columns, width
        self.columns = columns(width, names, self.query.keys)
        return before != self.columns

    def head(self) -> Content:
        return _head(self.columns, self.query)

    def line(self, row: Row) -> Content:
        if isinstance(row, Heading):
            return Content.styled(left(f" ▾ {line(row.text)}", self._width), "$secondary bold")
        letter, ink = self.letters.get(row.artifact, (" ", ""))
        tint = colour(row.status.value)
        parts: list[Content | str | tuple[str, str]] = [
            (f"{letter} ", f"bold {ink}" if ink else ""),
            (row.status.glyph, tint),
            " ",
        ]
        said, ink = line(row.message) if not row.status.active else "", "$text-error"
        columns = self.columns
        if not said and row.metrics is None and not spec_of(row.artifact.kind).makes_model:
            said, ink, columns = in_words(row), "", columns[:-1]
        for column in self.columns:
            if said and column.key not in ("name", "status"):
                break
            parts.append(_cell(row, column))
        if said:
            room = sum(column.width + 2 for column in columns[2:]) - 2
            parts.append((left(said[:1000], max(0, room)), ink))
            parts += ["  ", *(_cell(row, column) for column in self.columns[len(columns) :])]
        return Content.assemble(*parts)

    def chosen(self, *, focused: bool) -> str:
        return "bold on $primary 25%" if focused else "bold on $panel"


class RunList(Table[Row], can_focus=True, inherit_bindings=False):
    """Putting the cursor on a run chooses it."""

    DEFAULT_CSS = """
    RunList { height: auto; max-height: 4; background: $background; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Previous run", id="runs.previous", show=False),
        Binding("down,j", "move(1)", "Next run", id="runs.next", show=False),
        Binding("home", "move(-1000000)", "First run", show=False, id="runs.first"),
        Binding("end", "move(1000000)", "Last run", show=False, id="runs.last"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="runs.page_up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="runs.page_down"),
    ]

    class Sorted(Message):
        """A column's head was clicked."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    picked: reactive[Artifact | None] = reactive(
        None, init=False, repaint=False, always_update=True
    )
    """The run that somebody has put the cursor on. To be watched: a message would come after the
    next key, which may be about this run already."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        self._look = RunLook()
        super().__init__(self._look, id=id)

    @property
    def chosen(self) -> Artifact | None:
        """The run under the cursor."""
        return self.row.artifact if isinstance(self.row, Overview) else None

    @property
    def artifacts(self) -> list[Artifact]:
        """The runs in the order they are shown in."""
        return [row.artifact for row in self.rows if isinstance(row, Overview)]

    def can_choose(self, row: Row) -> bool:
        return isinstance(row, Overview)

    def show(
        self,
        rows: Sequence[Row],
        query: Query = _ALL,
        letters: Mapping[Artifact, tuple[str, str]] = _NONE,
    ) -> None:
        """Show these rows; the cursor stays with its run, wherever that is now. `letters` are
        letter and colour of the runs that lie in the chart."""
        chosen, look = self.chosen, self._look
        # Asked otherwise, somebody looks at the beginning of the answer.
        follow = query == look.query
        anew = query != look.query or dict(letters) != look.letters
        look.query, look.letters = query, dict(letters)
        cursor = -1 if chosen is None else _place_of(rows, chosen)
        self.put(rows, cursor, anew=anew, follow=follow)

    def choose_run(self, artifact: Artifact) -> None:
        """Put the cursor on a run, if it is there; says nothing about it."""
        place = _place_of(self.rows, artifact)
        if place >= 0:
            self.go(place)

    def chose(self) -> None:
        assert self.chosen is not None
        self.picked = self.chosen

    def action_move(self, by: int) -> None:
        """Move the cursor, as far as there are runs."""
        self.move(by)

    def action_page(self, direction: int) -> None:
        """Move the cursor by what is visible."""
        self.move(direction * max(1, self.size.height - 2))

    def on_table_head_clicked(self, message: Table.HeadClicked) -> None:
        """Sort by the column there."""
        message.stop()
        position = 4
        for column in self._look.columns:
            if position <= message.x < position + column.width + 2:
                self.post_message(self.Sorted(column.key))
            position += column.width + 2


def _place_of(rows: Sequence[Row], artifact: Artifact) -> int:
    places = (n for n, row in enumerate(rows) if getattr(row, "artifact", None) == artifact)
    return next(places, -1)


def _head(shown_columns: Sequence[Column], query: Query) -> Content:
    cells = []
    for column in shown_columns:
        mark = ""
        if query.sort.lstrip("-") == column.key.lstrip("-"):
            mark = "▾" if query.sort.startswith("-") else "▴"
        head = f"{mark}{column.head}"
        put = left if column.key in ("name", "status", "loss") else right
        cells.append(put(head, column.width) + "  ")
    return Content.styled("    " + "".join(cells), "$secondary bold")


def _cell(run: Overview, column: Column) -> Content:
    width = column.width
    style = ""
    match column.key:
        case "name":
            text = cells.name(run.name, width)
        case "status":
            text, style = left(run.status.value, width), colour(run.status.value)
        case "step":
            text = right(_step(run, width), width)
        case "loss":
            text, style = left(sparkline(run.spark, width), width), "$series-1"
        case "-updated":
            text, style = right(_end(run), width), _QUIET
        case "tokens_per_second":
            speed = run.metrics.tokens_per_second if run.metrics else None
            text = right("" if speed is None else short_number(speed), width)
        case key:
            value = value_of(run, key)
            short = (
                f"{value:.3f}" if key in ("val_loss", "bits_per_byte") and _is_small(value) else ""
            )
            text = right(short or ("" if value is None else shown(value)), width)
    return Content.assemble((text, style), "  ")


def _is_small(value: object) -> bool:
    return isinstance(value, float) and abs(value) < 1000


def _step(run: Overview, width: int) -> str:
    if run.extent is None:
        return f"{run.phase} {percent(run.fraction)}".strip() if run.status.active else ""
    text = steps(run)
    return text if len(text) <= width else percent(run.fraction)


def _end(run: Overview) -> str:
    if run.status.active and run.eta is not None:
        return f"{elapsed(run.eta)} left"
    if run.status.active:
        return "paused" if run.status is Status.PAUSED else ""
    return ago(run.updated) if run.updated else ""
