"""What a value is edited with: a line of text, a row of choices, or a pick from a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.suggester import Suggester
from textual.validation import ValidationResult
from textual.widget import Widget
from textual.widgets import Input

from talm_core.system.foreign_text import plain


class Edited(Message):
    """Somebody gave the setting `key` another value."""

    def __init__(self, key: str, text: str) -> None:
        self.key = key
        self.text = text
        super().__init__()


class EditorDone(Message):
    """The editor is done with; the form goes to the next field."""


class BrowseWanted(Message):
    """Somebody wants to look for files for the setting `key`."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__()


class TextEditor(Input):
    """One line of text."""

    def __init__(
        self, key: str, text: str, *, placeholder: str = "", suggester: Suggester | None = None
    ) -> None:
        super().__init__(
            plain(text),
            placeholder=placeholder,
            suggester=suggester,
            id=f"edit-{key}",
        )
        self.key = key

    def validate(self, value: str) -> ValidationResult | None:  # noqa: ARG002
        """The form judges. Input's own way gives every editor another class, and with it every
        style anew, which is a good part of the time a form takes to open."""
        return None

    def show_text(self, text: str) -> None:
        """Show a text that did not come from the keyboard."""
        if self.value != text:
            with self.prevent(Input.Changed):
                self.value = plain(text)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(Edited(self.key, event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.entered())

    def entered(self) -> Message:
        """What the enter key means here."""
        return EditorDone()


class PathEditor(TextEditor):
    """Paths, typed or looked for: enter opens the directories."""

    def entered(self) -> Message:
        return BrowseWanted(self.key)


class ChoiceEditor(Widget, can_focus=True):
    """A few choices side by side; where they do not fit, only the chosen one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", "Previous", show=False, id="choice.previous"),
        Binding("right,space", "step(1)", "Next", show=False, id="choice.next"),
        Binding("enter", "done", "Next field", show=False, id="choice.done"),
    ]

    value: reactive[str] = reactive("", init=False)

    def __init__(self, key: str, text: str, choices: Sequence[str]) -> None:
        super().__init__(id=f"edit-{key}")
        self.key = key
        self.choices = tuple(choices)
        self.set_reactive(ChoiceEditor.value, text)

    def show_text(self, text: str) -> None:
        """Show a text that did not come from the keyboard."""
        self.value = text

    def _spans(self) -> list[tuple[int, int, str]]:
        """Where each choice stands: first column, width, choice."""
        spans, column = [], 0
        for choice in self.choices:
            width = len(choice) + 2
            spans.append((column, width, choice))
            column += width + 2
        return spans

    @property
    def _fits(self) -> bool:
        column, width, _ = self._spans()[-1]
        return column + width <= self.size.width

    def render(self) -> Content:
        if not self._fits:
            return Content(f"‹ {self.value} ›")
        parts = [
            ("● " + choice, "$accent bold" if self.has_focus else "bold")
            if choice == self.value
            else ("○ " + choice, "dim")
            for choice in self.choices
        ]
        joined: list[tuple[str, str] | str] = []
        for part in parts:
            joined += [part, "  "]
        return Content.assemble(*joined[:-1])

    def action_step(self, step: int) -> None:
        """Choose the next or the previous one; the ends meet."""
        index = self.choices.index(self.value) if self.value in self.choices else -1
        self._choose(self.choices[(index + step) % len(self.choices)])

    def action_done(self) -> None:
        """Go on to the next field."""
        self.post_message(EditorDone())

    def on_click(self, event: events.Click) -> None:
        if not self._fits:
            self.action_step(1)
        for column, width, choice in self._spans():
            if self._fits and column <= event.x < column + width + 1:
                self._choose(choice)

    def _choose(self, choice: str) -> None:
        if choice != self.value:
            self.value = choice
            self.post_message(Edited(self.key, choice))


class PickEditor(Widget, can_focus=True):
    """One of the artifacts there are. Enter, space or a click opens the list, a letter opens it
    filtered, left and right go through it in place."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "step(-1)", "Previous", show=False, id="list.previous"),
        Binding("right", "step(1)", "Next", show=False, id="list.next"),
        Binding("enter,space", "open", "Choose", show=False, id="list.open"),
    ]

    class Opened(Message):
        """The list is wanted, filtered by `text`."""

        def __init__(self, editor: PickEditor, text: str = "") -> None:
            self.editor = editor
            self.text = text
            super().__init__()

    value: reactive[str] = reactive("", init=False)

    def __init__(
        self,
        key: str,
        text: str,
        options: Callable[[], Sequence[tuple[str, str]]],
        *,
        placeholder: str = "",
    ) -> None:
        """`options` gives (value, what is said beside it) each time it is asked."""
        super().__init__(id=f"edit-{key}")
        self.key = key
        self.options = options
        self.placeholder = placeholder
        self.set_reactive(PickEditor.value, text)

    def show_text(self, text: str) -> None:
        """Show a text that did not come from the keyboard."""
        self.value = text

    def render(self) -> Content:
        note = dict(self.options()).get(self.value, "")
        shown = plain(self.value) or self.placeholder
        room = max(1, self.size.width - 2)
        line = Content.assemble(
            (shown, "" if self.value else "$foreground 65%"),
            (f" · {plain(note)}" if note else "", "dim"),
        ).truncate(room, ellipsis=True)
        return Content.assemble(
            line.pad_right(room - line.cell_length), ("▾", "$accent" if self.has_focus else "dim")
        )

    def check_consume_key(self, key: str, character: str | None) -> bool:  # noqa: ARG002
        """Letters are for the list's filter while this has the focus; digits switch places."""
        return character is not None and (character.isalpha() or character in "~_")

    def on_key(self, event: events.Key) -> None:
        if self.check_consume_key(event.key, event.character) and event.character:
            event.stop()
            event.prevent_default()
            self.post_message(self.Opened(self, event.character))

    def on_click(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        """Ask for the list."""
        self.post_message(self.Opened(self))

    def action_step(self, step: int) -> None:
        """Choose the next or the previous of the list."""
        names = [name for name, _ in self.options()]
        if names:
            index = names.index(self.value) if self.value in names else (-1 if step > 0 else 0)
            self.choose(names[(index + step) % len(names)])

    def choose(self, value: str) -> None:
        """Take `value`."""
        if value != self.value:
            self.value = value
            self.post_message(Edited(self.key, value))
