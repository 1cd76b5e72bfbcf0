"""Rename and delete artifacts: what a file manager would do, without breaking what holds.

Both take the artifact's lock: nobody renames or deletes what a process works in.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path

from talm_core.errors import ArtifactError, BusyError, InputError, Problem, WorkspaceError
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime import lock, runner
from talm_core.runtime.lock import Lock
from talm_core.runtime.opening import CONFIG_FILE
from talm_core.settings.schema import build
from talm_core.settings.toml import dumps
from talm_core.storage import atomic
from talm_core.storage.workspace import FOLDERS, Workspace, name_key

RENAMED = ("pretrain", "tokenizer")
"""Kinds of artifacts that can be renamed."""


def size(directory: Path) -> int:
    """Bytes of all files below a directory; what cannot be read counts nothing."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(folder) / name).lstat().st_size
    return total


def rename(workspace: Workspace, kind: str, name: str, new: str) -> Path:
    """Give an artifact another name; returns its directory.

    Raises:
        ArtifactError: there is no such artifact.
        WorkspaceError: the new name is none, is taken, or the disk refuses.
        BusyError: a process works in it.
    """
    assert kind in RENAMED
    directory = _existing(workspace, kind, name)
    target = workspace.directory(kind, new, key=name_key(kind))
    if target.exists():
        raise WorkspaceError(Problem(name_key(kind), "exists already", new, "choose another name"))
    _refuse_half_of_a_quickstart(workspace, name)
    with _held(directory):
        try:
            config = runner.read_config(directory)
            text = dumps(build(type(config), config.model_dump() | {name_key(kind): new}))
        except InputError:
            text = None  # Copied here by hand, or not to be understood: left as it is.
        try:
            directory.rename(target)
            if text is not None:
                atomic.write_text(target / CONFIG_FILE, text)
        except OSError as error:
            raise _refused(target, error) from None
    return target


def _refuse_half_of_a_quickstart(workspace: Workspace, name: str) -> None:
    whole = workspace.directory("quickstart", name)
    if whole.is_dir() and runner.status(whole) is not runner.Status.DONE:
        message = "belongs to a quick start that is not finished, which would not find it again"
        raise WorkspaceError(Problem("name", message, name, "finish or delete the quick start"))


def delete(workspace: Workspace, kind: str, name: str) -> int:
    """Delete an artifact for good; returns the bytes that were freed.

    Raises:
        ArtifactError: there is no such artifact.
        WorkspaceError: the disk refuses.
        BusyError: a process works in it, or a run learns from it.
    """
    directory = _existing(workspace, kind, name)
    if kind == "data":
        _refuse_what_is_read(workspace, directory)
    with _held(directory):
        freed = size(directory)
        # Out of sight in one step: what is half removed must not look like an artifact.
        aside = workspace.folder(kind) / f"{atomic.PREFIX}deleted-{secrets.token_hex(8)}"
        try:
            directory.rename(aside)
        except OSError as error:
            raise _refused(directory, error) from None
    for left in workspace.folder(kind).glob(f"{atomic.PREFIX}deleted-*"):
        shutil.rmtree(left, ignore_errors=True)
    parent = directory.parent
    if parent != workspace.folder(kind) and not any(parent.iterdir()):
        parent.rmdir()
    return freed


def _refuse_what_is_read(workspace: Workspace, dataset: Path) -> None:
    """A run opens shards as it comes to them."""
    for artifact in workspace.artifacts("pretrain"):
        if lock.held(artifact.directory) and _learns_from(workspace, artifact.directory, dataset):
            message = f"is what {artifact.name} learns from: stop that first"
            raise BusyError(Problem(dataset.name, message))


def _learns_from(workspace: Workspace, run: Path, dataset: Path) -> bool:
    try:
        config = runner.read_config(run)
        assert isinstance(config, PretrainConfig)
        return workspace.locate("data", config.data_dir, key="data_dir") == dataset
    except InputError:
        return False


def _existing(workspace: Workspace, kind: str, name: str) -> Path:
    directory = workspace.directory(kind, name)
    if not directory.is_dir():
        noun = FOLDERS[kind].removesuffix("s")
        raise ArtifactError(Problem(name_key(kind), f"there is no such {noun}", name))
    return directory


def _held(directory: Path) -> Lock:
    try:
        return Lock.acquire(directory)
    except BusyError:
        raise BusyError(Problem(directory.name, "is running: stop it first")) from None
    except OSError as error:
        raise _refused(directory, error) from None


def _refused(directory: Path, error: OSError) -> WorkspaceError:
    message = f"cannot be changed: {error.strerror or error}"
    return WorkspaceError(Problem("workspace", message, str(directory)))
