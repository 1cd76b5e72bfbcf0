"""Rows with a head that stays in sight and, where somebody moves one, a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import RenderOptions

AGO_SECONDS = 30
R = TypeVar("R")
Shown = TypeVar("Shown", contravariant=True)


class Look(Protocol[Shown]):
    """How the rows of a table look. It lays out its columns when it is told what they hold."""

    def fit(self, rows: Sequence[Shown], width: int) -> bool:
        """Lay columns out in `width` cells; whether they are others than before."""

    def head(self) -> Content:
        """The line above all rows."""

    def line(self, row: Shown) -> Content:
        """A row."""

    def chosen(self, *, focused: bool) -> str:
        """The style of the line under the cursor."""


class Table(ScrollView, Generic[R]):
    """Lines drawn by a `Look`. What changes is painted alone: over a slow line the rest is not
    sent again."""

    DEFAULT_CSS = "Table { overflow-x: hidden; scrollbar-size-vertical: 1; }"
    ALLOW_SELECT = False

    class Moved(Message):
        """The cursor is at another row, by a key or a click."""

    class Opened(Message):
        """A row was clicked twice."""

    class HeadClicked(Message):
        """The head was clicked, in this cell."""

        def __init__(self, x: int) -> None:
            super().__init__()
            self.x = x

    def __init__(self, look: Look[R], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.look = look
        self.rows: tuple[R, ...] = ()
        self.cursor = -1

    def can_choose(self, row: R) -> bool:  # noqa: ARG002
        """Whether the cursor can be on a row."""
        return True

    @property
    def row(self) -> R | None:
        """What is under the cursor."""
        return self.rows[self.cursor] if 0 <= self.cursor < len(self.rows) else None

    def put(
        self, rows: Sequence[R], cursor: int, *, anew: bool = False, follow: bool = True
    ) -> None:
        """Show these rows, with the cursor on one of them; `anew` draws them all. A cursor that was
        in sight stays so, if it is to `follow`; where somebody has scrolled away, that stays."""
        seen, moved = self.in_sight(self.cursor), cursor != self.cursor
        before, self.rows, self.cursor = self.rows, tuple(rows), cursor
        self.lay_out()
        if seen and follow and (moved or len(before) != len(self.rows)):
            self.call_after_refresh(self.bring_into_sight)
        if len(before) != len(self.rows):
            self._set_size()
            self.refresh(layout=True)
            return
        for index, (old, new) in enumerate(zip(before, self.rows, strict=True)):
            if old != new or anew:
                self.refresh_line(index + 1)
        if anew:
            self.refresh_line(0)

    def lay_out(self) -> None:
        """Fit the columns to what they hold and to the width."""
        if self.look.fit(self.rows, self.scrollable_content_region.width):
            self.refresh()

    def _set_size(self) -> None:
        self.virtual_size = Size(self.size.width, len(self.rows) + 1)

    def on_resize(self) -> None:
        self._set_size()
        self.lay_out()

    def on_mount(self) -> None:
        # When something was is another thing to say as time goes by.
        self.set_interval(AGO_SECONDS, self.refresh)

    def on_focus(self) -> None:
        self.refresh_line(self.cursor + 1)

    def on_blur(self) -> None:
        self.refresh_line(self.cursor + 1)

    # --- the cursor --------------------------------------------------------------------------

    def move(self, by: int) -> None:
        """Move the cursor, as far as there are rows."""
        places = [index for index, row in enumerate(self.rows) if self.can_choose(row)]
        if not places:
            return
        now = places.index(self.cursor) if self.cursor in places else -1 if by > 0 else 0
        self.choose(places[max(0, min(len(places) - 1, now + by))])

    def choose(self, index: int) -> None:
        """Put the cursor on a row for somebody."""
        if index != self.cursor:
            self.go(index)
            self.chose()

    def chose(self) -> None:
        """Say that somebody has moved the cursor."""
        self.post_message(self.Moved())

    def go(self, index: int) -> None:
        """Put the cursor on a row and bring it into sight; says nothing about it."""
        if index != self.cursor:
            self.refresh_line(self.cursor + 1)
            self.cursor = index
            self.refresh_line(index + 1)
        self.bring_into_sight()

    def in_sight(self, index: int) -> bool:
        """Whether a row can be seen: the head stands in the first line and does not scroll."""
        top = self.scroll_offset.y
        return top <= index < top + self.size.height - 1

    def bring_into_sight(self) -> None:
        """Scroll as far as is needed to see the row under the cursor."""
        index, visible = self.cursor, self.size.height - 1
        if visible > 0 and index >= 0 and not self.in_sight(index):
            target = index if index < self.scroll_offset.y else index - visible + 1
            self.scroll_to(y=max(0, target), animate=False, force=True)

    def on_click(self, event: events.Click) -> None:
        """Choose; twice: open."""
        if event.y == 0:
            self.post_message(self.HeadClicked(int(event.x)))
            return
        index = int(event.y + self.scroll_offset.y) - 1
        if 0 <= index < len(self.rows) and self.can_choose(self.rows[index]):
            self.choose(index)
            if event.chain > 1:
                self.post_message(self.Opened())

    # --- drawing -----------------------------------------------------------------------------

    def refresh_line(self, y: int) -> None:
        """Paint a line of the table again; 0 is the head."""
        shown_at = y - self.scroll_offset.y if y else 0
        self.refresh(Region(0, shown_at, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        index = self.scroll_offset.y + y - 1
        if y == 0 and self.rows:
            content = self.look.head()
        elif 0 <= index < len(self.rows):
            content = self.look.line(self.rows[index])
            if index == self.cursor:
                content = content.stylize_before(self.look.chosen(focused=self.has_focus))
        else:
            return Strip.blank(width, self.rich_style)
        strips = content.render_strips(
            width, 1, self.visual_style, RenderOptions(self._get_style, {})
        )
        strip = strips[0] if strips else Strip([Segment(" " * width, Style())])
        return strip.adjust_cell_length(width, self.rich_style)
