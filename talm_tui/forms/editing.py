"""What keys do to a form."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType

from talm_tui.forms.form import Form
from talm_tui.shell.screen import Part, Place


class FormKeys(Part):
    """The keys of a place with a form, wherever the focus is."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "find", "find", id="form.find", tooltip="Find a setting"),
        # The same from inside a field, where a slash is a slash.
        Binding("ctrl+f", "find", "find", id="form.find_anywhere", priority=True),
        Binding("down,enter", "move(1)", "Next field", show=False, id="form.next"),
        Binding("up", "move(-1)", "Previous field", show=False, id="form.previous"),
        Binding("pagedown", "move(8)", "Eight fields down", show=False, id="form.page_down"),
        Binding("pageup", "move(-8)", "Eight fields up", show=False, id="form.page_up"),
        Binding(
            "f4",
            "fold",
            "Advanced",
            show=False,
            id="form.advanced",
            tooltip="Show or hide the advanced settings",
        ),
        Binding(
            "ctrl+z", "undo", "Undo", show=False, id="form.undo", tooltip="Undo the last change"
        ),
        Binding("ctrl+y", "redo", "Redo", show=False, id="form.redo", tooltip="Redo it"),
        Binding(
            "f5",
            "reset",
            "Reset",
            show=False,
            id="form.reset",
            tooltip="Reset the field to its default; with no field focused, all of them",
        ),
    ]

    def __init__(self, place: Place, form: Callable[[], Form]) -> None:
        super().__init__(place)
        self._form = form

    def action_move(self, step: int) -> None:
        """Go to the next or the previous field."""
        self._form().move(step)

    def action_fold(self) -> None:
        """Show or hide the advanced settings."""
        self._form().fold()

    def action_undo(self) -> None:
        """Take the last change back."""
        if self._form().undo() is None:
            self.place.app.bell()

    def action_redo(self) -> None:
        """Make the change that was taken back again."""
        if self._form().redo() is None:
            self.place.app.bell()

    def action_reset(self) -> None:
        """Give the focused field its default back; with none focused, every field."""
        self._form().reset()

    def action_find(self) -> None:
        """Find a setting by its name or its help."""
        self._form().find()
