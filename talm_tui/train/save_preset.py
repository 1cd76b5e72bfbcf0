"""The question under which name a preset is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from talm_core.errors import InputError
from talm_core.jobs.pretrain.presets import save_preset
from talm_core.jobs.pretrain.recipes import Preset
from talm_core.storage.workspace import Workspace
from talm_core.system.foreign_text import plain
from talm_tui.forms.field import reason
from talm_tui.widgets.hint import plain_keys


class SavePresetScreen(ModalScreen[Preset | None]):
    """Asks for name and description, and answers with the preset once it is kept."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Close", show=False, id="save.close"),
        Binding("down", "app.focus_next", "Next field", show=False, id="save.next"),
        Binding("up", "app.focus_previous", "Previous field", show=False, id="save.previous"),
    ]

    def __init__(self, workspace: Workspace, values: Mapping[str, Any]) -> None:
        super().__init__()
        self._workspace = workspace
        self._values = dict(values)

    def compose(self) -> ComposeResult:
        with Vertical(id="save") as box:
            box.border_title = Content("Save preset")
            box.border_subtitle = Content(plain_keys(self.app, "enter saves, {save.close} leaves"))
            yield Input(placeholder="name", compact=True, id="save-name")
            yield Input(placeholder="what it is good for", compact=True, id="save-about")
            names = ", ".join(self._values) or "nothing: all values are the defaults"
            yield Static(f"Holds {names}.", id="save-holds", markup=False)
            yield Static("", id="save-wrong", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        name = self.query_one("#save-name", Input).value.strip()
        if event.input.id == "save-name" and name:
            self.query_one("#save-about", Input).focus()
            return
        about = self.query_one("#save-about", Input).value.strip()
        try:
            preset = save_preset(self._workspace, name, self._values, about)
        except InputError as error:
            wrong = self.query_one("#save-wrong", Static)
            text = "\n".join(f"✕ {plain(item.key)}: {reason(item)}" for item in error.problems)
            wrong.update(Content.styled(text, "$text-error"))
            self.query_one("#save-name", Input).focus()
            return
        self.dismiss(preset)
