"""A list to pick from: type to filter, enter to take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from talm_core.system.foreign_text import plain
from talm_tui.forms.suggest import PathSuggester
from talm_tui.widgets.hint import plain_keys


class PickScreen(ModalScreen[str | None]):
    """Answers with the value picked, None when it was left by escape. Where `free` is set, a
    text that is in no option can be taken, too: a path."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Close", show=False, id="pick.close"),
        Binding("down", "move('down')", "Next", show=False, id="pick.next"),
        Binding("up", "move('up')", "Previous", show=False, id="pick.previous"),
        Binding("pagedown", "move('page_down')", "Page down", show=False, id="pick.page_down"),
        Binding("pageup", "move('page_up')", "Page up", show=False, id="pick.page_up"),
    ]

    KEYS = "{pick.previous}{pick.next} enter {pick.close}"
    """What can be done here, in the lower edge."""

    def __init__(
        self,
        title: str,
        options: Sequence[tuple[str, str]],
        *,
        text: str = "",
        current: str = "",
        free: str = "",
    ) -> None:
        """`options` are (value, what is said beside it); `text` filters from the start;
        `free` says what else can be typed, such as `a directory`."""
        super().__init__()
        self._title = title
        self._options = tuple(options)
        self._text = text
        self._current = current
        self._free = free
        self._shown: list[str] = []

    def compose(self) -> ComposeResult:
        hint = f"type to filter, or {self._free}" if self._free else "type to filter"
        suggester = PathSuggester(only_paths=True) if self._free else None
        with Vertical(id="pick") as box:
            box.border_title = Content(plain(self._title))
            box.border_subtitle = Content(plain_keys(self.app, self.KEYS))
            yield Input(
                self._text,
                placeholder=hint,
                compact=True,
                id="pick-text",
                suggester=suggester,
                select_on_focus=False,
            )
            yield OptionList(id="pick-list", compact=True, markup=False)
            yield Static("", id="pick-empty", markup=False)

    def on_mount(self) -> None:
        self._filter(self._text)

    @property
    def highlighted(self) -> str | None:
        """The value under the cursor, None where no match."""
        index = self.query_one(OptionList).highlighted
        return self._shown[index] if index is not None and index < len(self._shown) else None

    def take_out(self, value: str) -> None:
        """Take an option out of the list."""
        self._options = tuple(option for option in self._options if option[0] != value)
        self._filter(self.query_one(Input).value)

    def offer(self, options: Sequence[tuple[str, str]]) -> None:
        """Offer these instead, as far as they fit what is typed; the cursor stays where it can."""
        if tuple(options) == self._options:
            return
        chosen = self.highlighted
        self._options = tuple(options)
        self._filter(self.query_one(Input).value)
        if chosen in self._shown:
            self.query_one(OptionList).highlighted = self._shown.index(chosen)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._filter(event.value)

    def _filter(self, text: str) -> None:
        listed = self.query_one(OptionList)
        words = text.lower().split()
        fitting = [
            (value, note)
            for value, note in self._options
            if all(word in f"{value} {note}".lower() for word in words)
        ]
        # What begins with the text comes first.
        fitting.sort(key=lambda option: not option[0].lower().startswith(text.lower()))
        width = max((len(value) for value, _ in fitting), default=0) + 2
        self._shown = [value for value, _ in fitting]
        listed.clear_options()
        listed.add_options(
            Option(Content.assemble(plain(value).ljust(width), (plain(note), "dim")))
            for value, note in fitting
        )
        if fitting:
            current = self._current if not text else ""
            listed.highlighted = self._shown.index(current) if current in self._shown else 0
        empty = self.query_one("#pick-empty", Static)
        listed.display = bool(fitting)
        empty.display = not fitting
        empty.update("no match: enter uses what you typed" if self._free else "no match")

    def action_move(self, direction: str) -> None:
        """Move the highlight while the text keeps the focus."""
        listed = self.query_one(OptionList)
        getattr(listed, f"action_{direction if 'page' in direction else 'cursor_' + direction}")()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self.highlighted is not None:
            self.dismiss(self.highlighted)
        elif self._free and event.value.strip():
            self.dismiss(event.value.strip())

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self._shown[event.option_index])
