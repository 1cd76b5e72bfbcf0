"""Generated text, a token at a time, with how likely each was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from talm_core.system.foreign_text import plain

PROMPT = -1
LEVELS = (0.03, 0.15, 0.4, 0.75)
"""Probabilities at which a token's colour changes."""

_TAB = 4


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text, the probability the model gave it, and what else it thought of."""

    text: str
    probability: float
    alternatives: Sequence[tuple[str, float]] = ()


def level(probability: float) -> int:
    """0 for a token nobody expected up to 4 for one that went without saying."""
    return sum(probability >= bound for bound in LEVELS)


def visible(text: str) -> str:
    """A token's text with its white space to be seen, in quotes."""
    shown = plain(text).replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
    return f'"{shown}"'


class TokenView(ScrollView, can_focus=True, inherit_bindings=False):
    """The text so far. With the focus, arrow keys move over its tokens; the view follows the
    newest token until somebody does that."""

    DEFAULT_CSS = """
    TokenView {
        border: round $foreground 25%;
        border-title-color: $foreground;
        border-subtitle-color: $foreground 70%;
        padding: 0 1;
        scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        &:focus { border: round $primary; }
        .tokens--prompt { color: $foreground 60%; }
        .tokens--0 { color: $accent; text-style: bold underline; }
        .tokens--1 { color: $accent; text-style: underline; }
        .tokens--2 { color: $foreground; }
        .tokens--3 { color: $primary; }
        .tokens--4 { color: $primary 85%; }
        .tokens--cursor { text-style: reverse bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "tokens--prompt",
        "tokens--cursor",
        *(f"tokens--{i}" for i in range(len(LEVELS) + 1)),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", "token by token", id="tokens.previous", key_display="← →"),
        Binding("right", "move(1)", "Next token", id="tokens.next", show=False),
        Binding("up", "row(-1)", "Line up", show=False, id="tokens.up"),
        Binding("down", "row(1)", "Line down", show=False, id="tokens.down"),
        Binding("home", "to_start", "First token", show=False, id="tokens.first"),
        Binding("end", "follow", "Newest token", show=False, id="tokens.last"),
        Binding("pageup", "page(-1)", "A page up", show=False, id="tokens.page_up"),
        Binding("pagedown", "page(1)", "A page down", show=False, id="tokens.page_down"),
    ]

    class Moved(Message):
        """Another token is under the cursor."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.tokens: list[Token] = []
        self.cursor: int | None = None
        self._prompt = ""
        self._lines: list[list[tuple[int, str]]] = [[]]
        self._column = 0
        self._laid_width = 0

    # --- what is shown -----------------------------------------------------------------------

    def begin(self, prompt: str) -> None:
        """Start over with a prompt."""
        self._prompt = prompt
        self.tokens, self.cursor = [], None
        self._lay_all()
        self.post_message(self.Moved())

    def add(self, tokens: Sequence[Token]) -> None:
        """Append tokens."""
        first_changed = len(self._lines) - 1
        for token in tokens:
            self.tokens.append(token)
            self._lay(len(self.tokens) - 1, token.text)
        self._grown(first_changed)
        if self.cursor is None:
            self.post_message(self.Moved())

    @property
    def current(self) -> Token | None:
        """The token under the cursor, else the newest."""
        if not self.tokens:
            return None
        return self.tokens[-1 if self.cursor is None else self.cursor]

    @property
    def content(self) -> str:
        """The prompt and what was written after it."""
        return self._prompt + "".join(token.text for token in self.tokens)

    @property
    def text(self) -> str:
        """The lines as they are shown."""
        return "\n".join("".join(piece for _, piece in line) for line in self._lines)

    # --- layout ------------------------------------------------------------------------------

    @property
    def _width(self) -> int:
        return max(1, self.scrollable_content_region.width)

    def _lay_all(self) -> None:
        self._lines, self._column = [[]], 0
        self._laid_width = self._width
        self._lay(PROMPT, self._prompt)
        for index, token in enumerate(self.tokens):
            self._lay(index, token.text)
        self._grown(0)

    def _lay(self, index: int, text: str) -> None:
        """Put a piece of text behind what is there. A piece that fits on a line of its own is
        not broken."""
        width = self._width
        safe = plain(text)
        cells = cell_len(safe)
        whole = "\n" not in safe and index != PROMPT and cells <= width
        if whole and self._column and self._column + cells > width:
            self._lines.append([])
            self._column = 0
        piece = ""
        for character in safe:
            if character == "\n":
                # The end of a line is a place for the cursor, too.
                self._put(index, piece + " ")
                self._lines.append([])
                self._column, piece = 0, ""
                continue
            shown = " " * (_TAB - self._column % _TAB) if character == "\t" else character
            cells = cell_len(shown)
            if self._column + cells > width:
                self._put(index, piece)
                self._lines.append([])
                self._column, piece = 0, ""
            piece += shown
            self._column += cells
        self._put(index, piece)

    def _put(self, index: int, piece: str) -> None:
        if piece:
            self._lines[-1].append((index, piece))

    def _grown(self, first_changed: int) -> None:
        at_end = self.cursor is None
        self.virtual_size = Size(self._width, len(self._lines))
        if first_changed == 0 or len(self._lines) > self.size.height:
            self.refresh()
        else:
            self.refresh_lines(first_changed, len(self._lines) - first_changed)
        if at_end:
            self.scroll_end(animate=False, immediate=True)

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002
        if self._width != self._laid_width:
            self._lay_all()
            self._show_cursor()

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _: self.refresh())

    def render_line(self, y: int) -> Strip:
        row = y + self.scroll_offset.y
        base = self.rich_style
        if row >= len(self._lines):
            return Strip.blank(self._width, base)
        segments = []
        for index, piece in self._lines[row]:
            style = self._style_of(index)
            if index == self.cursor and self.has_focus:
                style += Style(reverse=True, bold=True)
            segments.append(Segment(piece, style))
        return Strip(segments).adjust_cell_length(self._width, base)

    def _style_of(self, index: int) -> Style:
        if index == PROMPT:
            return self.get_component_rich_style("tokens--prompt")
        return self.get_component_rich_style(f"tokens--{level(self.tokens[index].probability)}")

    # --- the cursor --------------------------------------------------------------------------

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def _row_of(self, index: int) -> int:
        for row, line in enumerate(self._lines):
            if any(at == index for at, _ in line):
                return row
        return len(self._lines) - 1

    def _select(self, index: int | None) -> None:
        self.cursor = index
        self._show_cursor()
        self.refresh()
        self.post_message(self.Moved())

    def _show_cursor(self) -> None:
        if self.cursor is None:
            self.scroll_end(animate=False)
            return
        row, top, height = self._row_of(self.cursor), self.scroll_offset.y, self.size.height
        if row < top:
            self.scroll_to(y=row, animate=False)
        elif row >= top + height:
            self.scroll_to(y=row - height + 1, animate=False)

    def action_move(self, direction: int) -> None:
        """To the next token that way; from the newest one on the view follows again."""
        if not self.tokens:
            return
        last = len(self.tokens) - 1
        index = last if self.cursor is None else self.cursor
        self._select(max(0, min(last, index + direction)))

    def action_row(self, rows: int) -> None:
        """To the token above or below."""
        if not self.tokens:
            return
        index = len(self.tokens) - 1 if self.cursor is None else self.cursor
        row = self._row_of(index)
        column = 0
        for at, piece in self._lines[row]:
            if at == index:
                break
            column += cell_len(piece)
        wanted = max(0, min(len(self._lines) - 1, row + rows))
        found = self._at(wanted, column)
        # Above the first token there may be a long prompt, on whose lines nothing can be chosen.
        self._select(0 if found is None else found)

    def action_page(self, pages: int) -> None:
        """A screen up or down."""
        self.action_row(pages * max(1, self.size.height - 1))

    def action_to_start(self) -> None:
        """To the first token."""
        if self.tokens:
            self._select(0)

    def action_follow(self) -> None:
        """To the newest token, wherever that will be."""
        self._select(None)

    def _at(self, row: int, column: int) -> int | None:
        """The token at or before a column; none where only the prompt is."""
        if not 0 <= row < len(self._lines):
            return None
        found, position = None, 0
        for index, piece in self._lines[row]:
            if index != PROMPT and (found is None or position <= column):
                found = index
            position += cell_len(piece)
        return found

    def on_click(self, event: events.Click) -> None:
        """The token that was clicked."""
        offset = event.get_content_offset(self)
        if offset is not None:
            found = self._at(offset.y + self.scroll_offset.y, offset.x)
            if found is not None:
                self._select(found)
