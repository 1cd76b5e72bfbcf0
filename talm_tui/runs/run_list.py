"""The runs of a workspace, one a line: a table to choose from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import RenderOptions

from talm_core.runtime.overview import Overview
from talm_core.system.foreign_text import line
from talm_tui.charts.sparkline import sparkline
from talm_tui.runs.query import Heading, Query, shown, value_of
from talm_tui.widgets.cells import left, right
from talm_tui.widgets.format import ago, elapsed, percent, short_number
from talm_tui.widgets.status import colour

_QUIET = "$foreground 70%"
_ALL = Query()
_NONE: Mapping[str, tuple[str, str]] = {}


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


class RunList(ScrollView, can_focus=True, inherit_bindings=False):
    """Putting the cursor on a run chooses it. Runs whose curves lie in the chart have their
    letter in front."""

    DEFAULT_CSS = """
    RunList {
        height: auto;
        max-height: 4;
        background: $background;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
    }
    """
    ALLOW_SELECT = False

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Previous run", id="runs.previous", show=False),
        Binding("down", "move(1)", "Next run", id="runs.next", show=False),
        Binding("home", "move(-1000000)", "First run", show=False, id="runs.first"),
        Binding("end", "move(1000000)", "Last run", show=False, id="runs.last"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="runs.page_up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="runs.page_down"),
    ]

    class Opened(Message):
        """A run was clicked twice."""

    class HeadClicked(Message):
        """A column's head was clicked."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    picked: reactive[str] = reactive("", init=False, repaint=False, always_update=True)
    """The run that somebody has put the cursor on. To be watched: a message would come after the
    next key, which may be about this run already."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.query_shown = Query()
        self._rows: tuple[Overview | Heading, ...] = ()
        self._letters: dict[str, tuple[str, str]] = {}
        self._columns: list[Column] = []
        self._cursor = -1

    # --- what is listed ----------------------------------------------------------------------

    @property
    def chosen(self) -> str | None:
        """The name of the run under the cursor."""
        row = self._rows[self._cursor] if 0 <= self._cursor < len(self._rows) else None
        return row.name if isinstance(row, Overview) else None

    @property
    def names(self) -> list[str]:
        """The runs in the order they are shown in."""
        return [row.name for row in self._rows if isinstance(row, Overview)]

    def show(
        self,
        rows: Sequence[Overview | Heading],
        query: Query = _ALL,
        letters: Mapping[str, tuple[str, str]] = _NONE,
    ) -> None:
        """Show these rows; the cursor stays with its run, wherever that is now. `letters` are
        letter and colour of the runs that lie in the chart."""
        name, before = self.chosen, self._rows
        # Asked otherwise, somebody looks at the beginning of the answer.
        follow = self._in_sight(self._cursor) and query == self.query_shown
        marks = dict(letters)
        same = query == self.query_shown and marks == self._letters
        self._rows, self.query_shown, self._letters = tuple(rows), query, marks
        self._cursor = -1
        if name is not None:
            self._cursor = self._place_of(name)
        self._lay_out()
        if len(before) != len(self._rows):
            self.virtual_size = Size(self.size.width, len(self._rows) + 1)
            self.refresh(layout=True)
            if follow:
                # Others came or went above it; where somebody has scrolled away, that stays.
                self.call_after_refresh(self._bring_into_sight)
            return
        # A second of a run changes its line only: over a slow line the rest is not sent again.
        for index, (old, new) in enumerate(zip(before, self._rows, strict=True)):
            if old != new or not same:
                self.refresh_line(index + 1)
        if not same:
            self.refresh_line(0)

    @property
    def _width(self) -> int:
        """Cells of a line, without the scroll bar."""
        return self.scrollable_content_region.width

    def _lay_out(self) -> None:
        wanted = columns(self._width, self.names, self.query_shown.keys)
        if wanted != self._columns:
            self._columns = wanted
            self.refresh()

    def _place_of(self, name: str) -> int:
        return next(
            (
                index
                for index, row in enumerate(self._rows)
                if isinstance(row, Overview) and row.name == name
            ),
            -1,
        )

    # --- choosing ----------------------------------------------------------------------------

    def choose(self, name: str) -> None:
        """Put the cursor on a run, if it is there; says nothing about it."""
        place = self._place_of(name)
        if place >= 0:
            self._go(place)

    def action_move(self, by: int) -> None:
        """Move the cursor, as far as there are runs."""
        places = [index for index, row in enumerate(self._rows) if isinstance(row, Overview)]
        if not places:
            return
        now = places.index(self._cursor) if self._cursor in places else 0 if by > 0 else 1
        now = now if self._cursor in places else now - 1
        self._choose(places[max(0, min(len(places) - 1, now + by))])

    def action_page(self, direction: int) -> None:
        """Move the cursor by what is visible."""
        self.action_move(direction * max(1, self.size.height - 2))

    def _choose(self, index: int) -> None:
        if index != self._cursor:
            self._go(index)
            name = self.chosen
            assert name is not None
            self.picked = name

    def _go(self, index: int) -> None:
        if index != self._cursor:
            self.refresh_line(self._cursor + 1)
            self._cursor = index
            self.refresh_line(index + 1)
        self._bring_into_sight()

    def _in_sight(self, index: int) -> bool:
        # The head stands in the first line and does not scroll: a run is never under it.
        top = self.scroll_offset.y
        return top <= index < top + self.size.height - 1

    def _bring_into_sight(self) -> None:
        index, visible = self._cursor, self.size.height - 1
        if visible > 0 and index >= 0 and not self._in_sight(index):
            target = index if index < self.scroll_offset.y else index - visible + 1
            self.scroll_to(y=max(0, target), animate=False, force=True)

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002
        self.virtual_size = Size(self.size.width, len(self._rows) + 1)
        self._lay_out()

    def on_focus(self) -> None:
        self.refresh_line(self._cursor + 1)

    def on_blur(self) -> None:
        self.refresh_line(self._cursor + 1)

    def on_click(self, event: events.Click) -> None:
        """Choose; twice: open. On the head: sort."""
        if event.y == 0:
            position = 4
            for column in self._columns:
                if position <= event.x < position + column.width + 2:
                    self.post_message(self.HeadClicked(column.key))
                position += column.width + 2
            return
        index = int(event.y + self.scroll_offset.y) - 1
        if 0 <= index < len(self._rows) and isinstance(self._rows[index], Overview):
            self._choose(index)
            if event.chain > 1:
                self.post_message(self.Opened())

    # --- drawing -----------------------------------------------------------------------------

    def refresh_line(self, y: int) -> None:
        """Paint a line of the table again; 0 is the head."""
        shown_at = y - self.scroll_offset.y if y else 0
        self.refresh(Region(0, shown_at, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        width = self._width
        index = self.scroll_offset.y + y - 1
        if y == 0:
            content = _head(self._columns, self.query_shown)
        elif index < len(self._rows):
            content = self._row(self._rows[index])
            if index == self._cursor:
                focused = "bold on $primary 25%" if self.has_focus else "bold on $panel"
                content = content.stylize_before(focused)
        else:
            return Strip.blank(width, self.rich_style)
        strips = content.render_strips(
            width, 1, self.visual_style, RenderOptions(self._get_style, {})
        )
        strip = strips[0] if strips else Strip([Segment(" " * width, Style())])
        return strip.adjust_cell_length(width, self.rich_style)

    def _row(self, row: Overview | Heading) -> Content:
        if isinstance(row, Heading):
            return Content.styled(left(f" ▾ {line(row.text)}", self._width), "$secondary bold")
        letter, ink = self._letters.get(row.name, (" ", ""))
        tint = colour(row.status.value)
        parts: list[Content | str | tuple[str, str]] = [
            (f"{letter} ", f"bold {ink}" if ink else ""),
            (row.status.glyph, tint),
            " ",
        ]
        said = line(row.message) if row.message and not row.status.active else ""
        for column in self._columns:
            if said and column.key not in ("name", "status"):
                break
            parts.append(_cell(row, column))
        if said:
            room = sum(c.width + 2 for c in self._columns[2:]) - 2
            parts.append((left(said[:1000], max(0, room)), "$text-error"))
        return Content.assemble(*parts)


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
            text = left(run.name, width)
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
    if run.metrics is None:
        return f"{run.phase} {percent(run.fraction)}".strip() if run.status.active else ""
    text = f"{run.metrics.step:,}/{run.metrics.max_steps:,}"
    return text if len(text) <= width else percent(run.fraction)


def _end(run: Overview) -> str:
    if run.status.active and run.eta is not None:
        return f"{elapsed(run.eta)} left"
    return ago(run.updated) if run.updated and not run.status.active else ""
