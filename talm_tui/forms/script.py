"""A form's command, kept as a file that can be run."""

from __future__ import annotations

from pathlib import Path

from talm_core.jobs.registry import spec_of
from talm_core.storage import atomic
from talm_core.storage.workspace import Workspace


def keep(command: str, workspace: Workspace, kind: str, artifact: str) -> Path:
    """Write the command to `commands/` in the workspace, over an older one for the same
    artifact; returns the file.

    Raises:
        OSError: it cannot be written.
        WorkspaceError: the artifact's name is no name for a file.
    """
    name = artifact.replace("/", "-")
    workspace.directory("tokenizer", name)
    path = workspace.root / "commands" / f"{spec_of(kind).command}-{name}.sh"
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, f"#!/bin/sh\n{command}\n")
    return path
