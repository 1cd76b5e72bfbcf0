"""Artifacts renamed and deleted, asked for in dialogs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from talm_core.errors import InputError
from talm_core.jobs.registry import artifact_of
from talm_core.storage.workspace import Artifact
from talm_core.system.foreign_text import line
from talm_tui.services.messages import Said
from talm_tui.shell.dialogs import AskScreen, ConfirmScreen
from talm_tui.shell.screen import Part, Place
from talm_tui.widgets.format import size as in_bytes


class Upkeep(Part):
    """What a place needs to have an artifact renamed or deleted."""

    def __init__(self, place: Place, renamed: Callable[[Artifact, Artifact], object]) -> None:
        """`renamed` gets an artifact as it was and as it is now."""
        super().__init__(place)
        self._renamed = renamed
        self.moving: Artifact | None = None
        """What is being renamed: for a moment it is nowhere."""

    def rename(self, artifact: Artifact) -> None:
        """Ask for another name."""

        def answered(new: str | None) -> None:
            if new is not None:
                self.moving = artifact
                self._rename(artifact, new)

        def refused(name: str) -> str:
            try:
                directory = self.talm.workspace.directory(artifact.kind, name)
            except InputError as error:
                return error.problems[0].message
            return "exists already" if directory.exists() else ""

        detail = "The directory is renamed with everything in it."
        screen = AskScreen(f"Rename {artifact.name}", detail, artifact.name, refused, yes="renames")
        self.place.app.push_screen(screen, answered)

    def _rename(self, artifact: Artifact, new: str) -> None:
        from talm_core.runtime import upkeep

        workspace, kind = self.talm.workspace, artifact.kind
        self.look(
            "upkeep",
            lambda: upkeep.rename(workspace, kind, artifact.name, new),
            lambda directory: self._renamed(artifact, Artifact(kind, new, directory)),
            changes=True,
        )

    def delete(self, artifact: Artifact, parts: str, wanted: Callable[[], bool]) -> None:
        """Count what it takes, ask, delete. `parts` says what is lost; `wanted` whether the
        question still fits what is shown."""
        from talm_core.runtime import upkeep

        workspace = self.talm.workspace

        def weigh() -> tuple[int, Path | None, list[str]]:
            names = upkeep.users(workspace, artifact.kind, artifact.name)
            directory = artifact.directory
            linked = directory.resolve() if directory.is_symlink() else None
            return upkeep.size(directory), linked, names

        def ask(found: tuple[int, Path | None, list[str]]) -> None:
            if wanted() and len(self.place.app.screen_stack) == 1:
                self._ask(artifact, parts, *found)

        self.look("weigh", weigh, ask)

    def _ask(
        self, artifact: Artifact, parts: str, size: int, linked: Path | None, users: list[str]
    ) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self._delete(artifact)

        detail = f"Frees {in_bytes(size)}: {parts}. This cannot be undone."
        if linked is not None:
            detail = f"It is a link, which alone is removed: the data stays in {line(str(linked))}"
        if users:
            noun = artifact_of(artifact.kind).noun
            more = f" and {len(users) - 3} more" if len(users) > 3 else ""
            detail += f" This {noun} is named by {', '.join(users[:3])}{more}."
        question = f"Delete {artifact.name} for good?"
        self.place.app.push_screen(
            ConfirmScreen(question, detail, yes="delete", no="keep"), answered
        )

    def _delete(self, artifact: Artifact) -> None:
        from talm_core.runtime import upkeep

        workspace, kind, name = self.talm.workspace, artifact.kind, artifact.name

        def done(deleted: upkeep.Deleted) -> None:
            text = f"{name} is deleted, {in_bytes(deleted.freed)} are free"
            if deleted.kept_in is not None:
                text = f"{name} was a link and is removed; its data lies in {deleted.kept_in}"
            self.place.app.post_message(Said(text))

        self.look("upkeep", lambda: upkeep.delete(workspace, kind, name), done, changes=True)
