"""A place's form as it is filled in: what its fields open, and what keys do to it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from talm_core.settings.schema import JobConfig
from talm_tui.forms.browser import BrowseScreen
from talm_tui.forms.editors import BrowseWanted, PickEditor
from talm_tui.forms.folder import expanded
from talm_tui.forms.form import Form
from talm_tui.forms.picker import PickScreen
from talm_tui.forms.setting_help import SettingHelp
from talm_tui.forms.state import FormState
from talm_tui.shell.screen import Place


class FormEditing(Place):
    """A place with a form and the help of its focused field."""

    MODEL: ClassVar[type[JobConfig]]

    def __init__(self) -> None:
        super().__init__()
        self.state = FormState(self.MODEL)
        self._form: Form | None = None
        self._folder: Path | None = None

    @property
    def form(self) -> Form:
        """The form's fields."""
        assert self._form is not None, "the place is not composed yet"
        return self._form

    def judge(self) -> None:
        """Show everything that follows from the present values."""
        self.form.sync()

    # --- events of the form ----------------------------------------------------------------

    def on_form_focused(self, event: Form.Focused) -> None:
        event.stop()
        default = self.state.defaults.get(event.item.key) if event.item else None
        self.query_one(SettingHelp).explain(event.item, default)

    def on_pick_editor_opened(self, event: PickEditor.Opened) -> None:
        event.stop()
        editor = event.editor
        item = self.state.by_key[editor.key]

        def take(value: str | None) -> None:
            if value is not None:
                editor.choose(value)
                self.form.move(1)

        self.app.push_screen(
            PickScreen(
                item.setting.help,
                editor.options(),
                text=event.text,
                current=editor.value,
                free=self.free_text(editor.key),
            ),
            take,
        )

    def on_browse_wanted(self, event: BrowseWanted) -> None:
        event.stop()
        item = self.state.by_key[event.key]
        chosen = self.state.values.get(event.key, ())

        def take(paths: tuple[str, ...] | None) -> None:
            if paths is not None:
                self._folder = expanded(paths[-1]).parent if paths else self._folder
                self.state.set_value(event.key, paths)
                self.judge()

        self.app.push_screen(BrowseScreen(item.setting.help, chosen, self._folder), take)

    def free_text(self, key: str) -> str:
        """What can be typed for a field instead of picking from its list; empty: nothing."""
        item = self.state.by_key.get(key)
        return "the path of one" if item is not None and not item.choices else ""

    # --- actions ---------------------------------------------------------------------------

    def action_move(self, step: int) -> None:
        """Go to the next or the previous field."""
        self.form.move(step)

    def action_fold(self) -> None:
        """Show or hide the advanced settings."""
        self.form.fold()

    def action_undo(self) -> None:
        """Take the last change back."""
        if self.form.undo() is None:
            self.app.bell()

    def action_redo(self) -> None:
        """Make the change that was taken back again."""
        if self.form.redo() is None:
            self.app.bell()

    def action_reset(self) -> None:
        """Give the focused field its default back; with none focused, every field."""
        self.form.reset()

    def action_find(self) -> None:
        """Find a setting by its name or its help."""
        options = [
            (item.key, f"{item.setting.section.lower()} · {item.setting.help}")
            for item in self.state.items
        ]

        def go(key: str | None) -> None:
            if key is not None:
                self.form.go_to(key)

        self.app.push_screen(PickScreen("Find a setting", options), go)
