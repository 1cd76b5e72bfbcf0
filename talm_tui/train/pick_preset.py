"""The list of presets, and of earlier runs to begin with the settings of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from talm_core.errors import InputError
from talm_core.jobs.pretrain.presets import delete_preset
from talm_core.jobs.pretrain.recipes import Preset
from talm_core.storage.workspace import Workspace
from talm_core.system.foreign_text import line, plain
from talm_tui.forms.picker import PickScreen
from talm_tui.shell.dialogs import ConfirmScreen

OF_RUN = "run "
"""What stands before the name of an earlier run; no preset's name has a space."""


class PickPresetScreen(PickScreen):
    """Answers with the name of a preset, or with `run NAME`. Presets of somebody's own can be
    deleted here; their names are then in `deleted`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f8", "delete", "Delete", id="preset.delete", tooltip="Delete the preset"),
    ]

    KEYS = "{pick.previous}{pick.next} enter · {preset.delete} deletes your own · {pick.close}"

    def __init__(
        self,
        workspace: Workspace,
        presets: Sequence[Preset],
        runs: Sequence[tuple[str, str]],
        *,
        text: str = "",
        current: str = "",
    ) -> None:
        """`runs` are (name, what is said beside it)."""
        super().__init__(
            "Load a preset, or the settings of an earlier run",
            [(preset.name, preset.description) for preset in presets]
            + [(f"{OF_RUN}{name}", note) for name, note in runs],
            text=text,
            current=current,
            free="d1 to d48",
        )
        self._workspace = workspace
        self._own = {preset.name for preset in presets if preset.path is not None}
        self.deleted: list[str] = []

    def action_delete(self) -> None:
        """Delete the preset under the cursor, if it is somebody's own and that is meant."""
        name = self.highlighted
        if name not in self._own or name is None:
            self.notify("Only presets of your own can be deleted here.", markup=False)
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._delete(name)

        question = f"Delete the preset {line(name)}?"
        detail = "Runs started with it keep their settings."
        self.app.push_screen(ConfirmScreen(question, detail, yes="delete", no="keep"), answered)

    def _delete(self, name: str) -> None:
        try:
            delete_preset(self._workspace, name)
        except InputError as error:
            self.notify(plain(str(error)), severity="error", markup=False)
            return
        self._own.discard(name)
        self.deleted.append(name)
        self.take_out(name)
