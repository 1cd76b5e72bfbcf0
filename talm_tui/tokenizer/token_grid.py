"""A text cut into its tokens, each with its id below."""

from __future__ import annotations

import unicodedata
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from talm_core.system.foreign_text import plain
from talm_core.tokenizer.playground import Answer, Token
from talm_tui.shell.theme import SERIES

_MARGIN = 60
_ROW = 2
_LONGEST = 200


def shown(token: Token, text: str) -> str:
    """A token so that each of its characters takes room of its own and none acts on others: white
    space has signs, marks that would sit on the letter before are named. `text` is what was cut."""
    found = token.text
    if len(found) > _LONGEST:
        found = found[:_LONGEST] + "…"
    piece = text[token.start : token.stop]
    for character, written, sign in (("\n", "\\n", "⏎"), ("\t", "\\t", "⇥")):
        # A backslash and a letter that are there as such are left as they are.
        if character in piece and written not in piece:
            found = found.replace(written, sign)
    if found.isascii():
        return found
    return "".join(
        character
        if cell_len(character) and not unicodedata.combining(character)
        else character.encode("unicode_escape").decode()
        for character in plain(found)
    )


class TokenGrid(Widget, can_focus=True):
    """Tokens in a row, a gap between them, their ids below; a token that ends a line ends the row.

    Only a part of a long text is here. `Moved` tells which token is under the cursor and whether
    that needs another part; whoever hears it has it cut and calls `show`.
    """

    DEFAULT_CSS = """
    TokenGrid {
        border: round $foreground 25%;
        border-title-color: $foreground;
        border-subtitle-color: $foreground 70%;
        padding: 0 1;
        &:focus { border: round $primary; }
        .grid--0 { background: $series-1 28%; }
        .grid--1 { background: $series-2 28%; }
        .grid--2 { background: $series-3 28%; }
        .grid--3 { background: $series-4 28%; }
        .grid--4 { background: $series-5 22%; }
        .grid--5 { background: $series-6 28%; }
        .grid--id { color: $foreground 55%; }
        .grid--cursor { text-style: bold reverse; }
        .grid--cursor-id { color: $foreground; text-style: bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "grid--id",
        "grid--cursor",
        "grid--cursor-id",
        *(f"grid--{number}" for number in range(SERIES)),
    }
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", "token by token", id="grid.previous", key_display="← →"),
        Binding("right", "move(1)", "Next token", id="grid.next", show=False),
        Binding("up", "row(-1)", "The token above", id="grid.up", show=False),
        Binding("down", "row(1)", "The token below", id="grid.down", show=False),
        Binding("pageup", "page(-1)", "A page of tokens up", id="grid.page_up", show=False),
        Binding("pagedown", "page(1)", "A page of tokens down", id="grid.page_down", show=False),
        Binding("home", "end(0)", "First token", id="grid.first", show=False),
        Binding("end", "end(1)", "Last token", id="grid.last", show=False),
    ]

    class Moved(Message):
        """Token number `at` is under the cursor; `enough` of what is around it is here."""

        def __init__(self, at: int, *, enough: bool) -> None:
            super().__init__()
            self.at = at
            self.enough = enough

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.answer: Answer | None = None
        self.cursor = 0
        self._text = ""
        self._rows: list[list[tuple[int, str, int]]] = []
        self._row_of: dict[int, int] = {}
        self._laid: tuple[object, int] | None = None
        self._top = 0

    def show(self, answer: Answer | None, text: str, cursor: int) -> None:
        """Show the tokens of a part of `text`, with the cursor on one of them."""
        self.answer, self._text, self.cursor = answer, text, cursor
        self._lay()
        self._follow()
        self.refresh()

    @property
    def current(self) -> Token | None:
        """The token under the cursor, if it is here."""
        answer = self.answer
        if answer is None or not answer.first <= self.cursor < answer.first + len(answer.part):
            return None
        return answer.part[self.cursor - answer.first]

    # --- layout ------------------------------------------------------------------------------

    @property
    def _height(self) -> int:
        """How many rows of tokens fit."""
        return max(1, (self.content_size.height + 1) // _ROW)

    def _lay(self) -> None:
        width = self.content_size.width
        answer = self.answer
        if self._laid == (answer, width):
            return
        self._laid = answer, width
        self._rows, self._row_of = [], {}
        if width <= 0 or answer is None:
            return
        row: list[tuple[int, str, int]] = []
        column = 0
        for index, token in enumerate(answer.part, answer.first):
            text = shown(token, self._text)
            cells = min(width, max(cell_len(text), len(str(token.id))))
            if row and column + cells > width:
                self._rows.append(row)
                row, column = [], 0
            row.append((index, text, cells))
            self._row_of[index] = len(self._rows)
            column += cells + 1
            if text.endswith("⏎"):
                self._rows.append(row)
                row, column = [], 0
        if row:
            self._rows.append(row)

    def _follow(self) -> None:
        """Scroll so that the cursor's row is in sight."""
        row = self._row_of.get(self.cursor, 0)
        self._top = max(0, min(self._top, len(self._rows) - self._height))
        if row < self._top:
            self._top = row
        elif row >= self._top + self._height:
            self._top = row - self._height + 1

    def on_resize(self) -> None:
        self._lay()
        self._follow()
        self.refresh()

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _: self.refresh())

    # --- drawing -----------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        width, base = self.content_size.width, self.rich_style
        place = self._top + y // _ROW
        if place >= len(self._rows):
            return Strip.blank(width, base)
        segments = []
        for index, text, cells in self._rows[place]:
            if y % _ROW:
                segments.append(Segment(self._number(index, cells), self._id_style(index)))
            else:
                style = self.get_component_rich_style(f"grid--{index % SERIES}")
                if index == self.cursor:
                    style += self.get_component_rich_style("grid--cursor", partial=True)
                fitted = set_cell_size(text, cells - 1) + "…" if cell_len(text) > cells else text
                segments.append(Segment(fitted, style))
                segments.append(Segment(" " * (cells - cell_len(fitted)), base))
            segments.append(Segment(" ", base))
        return Strip(segments).adjust_cell_length(width, base)

    def _number(self, index: int, cells: int) -> str:
        assert self.answer is not None
        return str(self.answer.part[index - self.answer.first].id).ljust(cells)[:cells]

    def _id_style(self, index: int) -> Style:
        return self.get_component_rich_style(
            "grid--cursor-id" if index == self.cursor else "grid--id"
        )

    # --- the cursor --------------------------------------------------------------------------

    def go_to(self, index: int) -> None:
        """Put the cursor on a token, whether it is here or in another part."""
        answer = self.answer
        if answer is None or not answer.tokens:
            return
        index = max(0, min(answer.tokens - 1, index))
        if index == self.cursor:
            return
        self.cursor = index
        last = answer.first + len(answer.part)
        enough = (answer.first == 0 or index >= answer.first + _MARGIN) and (
            last == answer.tokens or index < last - _MARGIN
        )
        self._follow()
        self.refresh()
        self.post_message(self.Moved(index, enough=enough))

    def action_move(self, step: int) -> None:
        """To the next token that way."""
        self.go_to(self.cursor + step)

    def action_row(self, rows: int) -> None:
        """To the token above or below."""
        place = self._row_of.get(self.cursor)
        if place is None:
            return
        wanted = max(0, min(len(self._rows) - 1, place + rows))
        if wanted == place:
            # Beyond the first or the last row: to its end.
            self.go_to(self._rows[place][-1 if rows > 0 else 0][0])
            return
        column = 0
        for index, _, cells in self._rows[place]:
            if index == self.cursor:
                break
            column += cells + 1
        self.go_to(self._at(wanted, column))

    def action_page(self, pages: int) -> None:
        """A screen up or down."""
        self.action_row(pages * max(1, self._height - 1))

    def action_end(self, end: int) -> None:
        """To the first or the last token of the text."""
        if self.answer is not None:
            self.go_to(self.answer.tokens - 1 if end else 0)

    def _at(self, place: int, column: int) -> int:
        """The token at a column of a row, or the last before it."""
        found, start = self._rows[place][0][0], 0
        for index, _, cells in self._rows[place]:
            if start > column:
                break
            found = index
            start += cells + 1
        return found

    def on_click(self, event: events.Click) -> None:
        """The token that was clicked."""
        offset = event.get_content_offset(self)
        if offset is not None:
            place = self._top + offset.y // _ROW
            if place < len(self._rows):
                self.go_to(self._at(place, offset.x))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_row(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_row(-1)
