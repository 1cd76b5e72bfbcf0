"""What can be done with what a form has made: it is renamed and deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType

from talm_core.jobs.registry import artifact_of
from talm_core.runtime.overview import Overview
from talm_tui.forms.picker import PickScreen
from talm_tui.shell.screen import Part, Place
from talm_tui.shell.upkeep import Upkeep
from talm_tui.widgets.status import figure


class ArtifactKeys(Part):
    """The keys for it. Which one is meant is asked for."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "N",
            "rename",
            "Rename",
            id="form.rename",
            show=False,
            tooltip="Rename one from the list",
        ),
        Binding(
            "delete",
            "delete",
            "Delete",
            id="form.delete",
            show=False,
            tooltip="Delete one from the list",
        ),
    ]

    def __init__(self, place: Place, kind: str) -> None:
        super().__init__(place)
        self._kind = kind
        self._upkeep = Upkeep(place, lambda _, __: None)

    @property
    def _there(self) -> list[Overview]:
        return [item for item in self.talm.snapshot.of(self._kind) if not item.status.active]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Only where there is one."""
        return bool(self._there) and (action == "delete" or artifact_of(self._kind).renamable)

    def why_not(self, action: str) -> str:
        """Why none can be renamed or deleted."""
        noun = artifact_of(self._kind).noun
        if action == "rename" and not artifact_of(self._kind).renamable:
            return f"A {noun} keeps the name of what it was made of"
        return f"There is no {noun} to {action}"

    def _with(self, question: str, then: Callable[[Overview], object]) -> None:
        there = {item.name: item for item in self._there}

        def answered(name: str | None) -> None:
            if name is not None:
                then(there[name])

        options = [(name, figure(item)) for name, item in there.items()]
        self.place.app.push_screen(PickScreen(question, options), answered)

    def action_rename(self) -> None:
        """Ask which, and for its new name."""
        noun = artifact_of(self._kind).noun
        self._with(f"Rename which {noun}?", lambda item: self._upkeep.rename(item.artifact))

    def action_delete(self) -> None:
        """Ask which, and whether that is meant."""

        def delete(item: Overview) -> None:
            self._upkeep.delete(item.artifact, "all that was made and its log", lambda: True)

        self._with(f"Delete which {artifact_of(self._kind).noun}?", delete)
