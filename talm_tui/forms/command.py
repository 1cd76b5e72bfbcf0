"""The command a form stands for: shown below it, and kept in a file."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textual.content import Content

from talm_core.errors import WorkspaceError
from talm_core.jobs.registry import spec_of
from talm_core.settings.command_line import shell, words
from talm_core.settings.schema import JobConfig
from talm_core.storage import atomic
from talm_core.storage.workspace import Workspace
from talm_core.system.foreign_text import plain
from talm_tui.widgets.hint import plain_keys
from talm_tui.widgets.sheet import Sheet


def words_of(
    model: type[JobConfig],
    values: Mapping[str, Any],
    defaults: Mapping[str, Any] | None,
    *,
    preset: str | None,
    workspace: Workspace,
) -> list[str]:
    """The words of the command for these values, with those of a preset as `defaults`; the
    workspace is named where it is not the usual one."""
    usual = False
    with contextlib.suppress(WorkspaceError):
        usual = str(workspace.root) == str(Workspace().root)
    root = None if usual else str(workspace.root)
    return words(model, values, defaults, preset=preset, workspace=root)


def keep(command: str, workspace: Workspace, kind: str, artifact: str | None) -> Path:
    """Write the command to `commands/` in the workspace, over an older one for the same
    artifact, or for none while there is none to name; returns the file.

    Raises:
        OSError: it cannot be written.
        WorkspaceError: the artifact's name is no name for a file.
    """
    name = "draft"
    if artifact is not None:
        workspace.directory(kind, artifact)
        name = artifact.replace("/", "-")
    path = workspace.root / "commands" / f"{spec_of(kind).command}-{name}.sh"
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, f"#!/bin/sh\n{command}\n")
    return path


class CommandPreview(Sheet):
    """The equivalent command, two lines of it at most and which key copies all; `command` is the
    whole."""

    LINES = 2

    def __init__(self) -> None:
        super().__init__("", id="command", markup=False)
        self.command = ""

    def show(self, words: Sequence[str]) -> None:
        """Show another command."""
        command = shell(words)
        if command != self.command:
            self.command = command
            self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        width = self.content_size.width
        if not width:
            return
        lines = Content.assemble(("$ ", "dim"), plain(self.command)).wrap(width)
        if len(lines) > self.LINES:
            more = plain_keys(self.app, " … {form.command} copies it all")
            last = lines[self.LINES - 1].truncate(max(0, width - len(more)))
            lines[self.LINES - 1 :] = [Content.assemble(last, (more, "dim"))]
        self.update(Content("\n").join(lines))
