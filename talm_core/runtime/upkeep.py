"""Rename and delete artifacts: what a file manager would do, without breaking what holds.

Both take the artifact's lock: nobody renames or deletes what a process works in.
"""

from __future__ import annotations

import contextlib
import errno
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from talm_core.errors import ArtifactError, BusyError, InputError, Problem, WorkspaceError
from talm_core.jobs.registry import artifact_kinds, artifact_of, spec_of, specs
from talm_core.runtime import lock, runner
from talm_core.runtime.lock import Lock
from talm_core.runtime.opening import CONFIG_FILE
from talm_core.settings.schema import build, settings_of
from talm_core.settings.toml import dumps
from talm_core.storage import artifact_files, atomic, unfinished
from talm_core.storage.artifact_files import UnsafeFileError
from talm_core.storage.workspace import Artifact, Workspace, name_key


def size(directory: Path) -> int:
    """Bytes that deleting an artifact frees; none for a link to where it lies."""
    return 0 if directory.is_symlink() else artifact_files.size(directory)


@dataclass(frozen=True, slots=True)
class Deleted:
    """What came of a deletion: the bytes it freed and, where only a link to the artifact was
    removed, the directory in which its data still lies."""

    freed: int
    kept_in: Path | None = None


def rename(workspace: Workspace, kind: str, name: str, new: str) -> Path:
    """Give an artifact another name; returns its directory.

    Raises:
        ArtifactError: there is no such artifact.
        WorkspaceError: the new name is none, is taken, or the disk refuses.
        BusyError: a process works in it.
    """
    assert artifact_of(kind).renamable
    directory = _existing(workspace, kind, name)
    target = workspace.directory(kind, new, key=name_key(kind))
    if artifact_files.occupied(target):
        raise WorkspaceError(Problem(name_key(kind), "exists already", new, "choose another name"))
    _refuse_half_of_a_quickstart(workspace, name)
    with _held(directory):
        try:
            config = runner.read_config(directory)
            text = dumps(build(type(config), config.model_dump() | {name_key(kind): new}))
        except InputError:
            text = None  # Copied here by hand, or not to be understood: left as it is.
        try:
            atomic.sweep(directory)
            directory.rename(target)
        except OSError as error:
            raise _refused(target, error) from None
        if text is not None:
            # Only for whoever reads the file: the directory is the name, and it has been renamed.
            with contextlib.suppress(OSError):
                atomic.write_text(target / CONFIG_FILE, text)
    _rename_in_others(workspace, kind, name, new)
    return target


def _rename_in_others(workspace: Workspace, kind: str, name: str, new: str) -> None:
    """Let the settings that name an artifact name it as it is called now, where that is no change
    to what a job goes on with. A config that cannot be read or written keeps the old name."""
    noun = artifact_of(kind).noun
    for user in (item for other in artifact_kinds() for item in workspace.artifacts(other)):
        with contextlib.suppress(InputError, OSError):
            config = runner.read_config(user.directory)
            changed = {
                item.key: new + value[len(name) :]
                for item in settings_of(type(config))
                if noun in (item.setting.picks, item.setting.names)
                and (item.setting.resume or not spec_of(config.kind).resumable)
                and isinstance(value := getattr(config, item.key), str)
                and (value == name or value.startswith(f"{name}/"))
            }
            if changed:
                text = dumps(build(type(config), config.model_dump() | changed))
                atomic.write_text(user.directory / CONFIG_FILE, text)


def users(workspace: Workspace, kind: str, name: str) -> list[str]:
    """What has a setting that names the artifact, such as the runs that learn from a dataset."""
    found = []
    noun = artifact_of(kind).noun
    for user in (item for other in artifact_kinds() for item in workspace.artifacts(other)):
        with contextlib.suppress(InputError):
            config = runner.read_config(user.directory)
            named = [
                getattr(config, item.key)
                for item in settings_of(type(config))
                if noun in (item.setting.picks, item.setting.names)
            ]
            if any(value == name or str(value).startswith(f"{name}/") for value in named):
                found.append(user.name)
    return found


def _refuse_half_of_a_quickstart(workspace: Workspace, name: str) -> None:
    for spec in specs():
        whole = workspace.directory(spec.kind, name) if spec.delegates else None
        if whole and whole.is_dir() and runner.status(whole) is not runner.Status.DONE:
            message = "belongs to a quick start that is not finished, which would not find it again"
            raise WorkspaceError(Problem("name", message, name, "finish or delete the quick start"))


def delete(workspace: Workspace, kind: str, name: str) -> Deleted:
    """Delete an artifact for good. Of one that is a link the link alone is removed.

    Raises:
        ArtifactError: there is no such artifact.
        WorkspaceError: the disk refuses, or something could not be removed (says what is left).
        BusyError: a process works in it, or a run learns from it.
    """
    unfinished.sweep(workspace.root)
    directory = _existing(workspace, kind, name)
    if artifact_of(kind).kept_open:
        _refuse_what_is_read(workspace, kind, directory)
    kept_in = directory.resolve() if directory.is_symlink() else None
    folders = {directory.parent, workspace.folder(kind)}
    left = [path for folder in folders for path in atomic.deleted(folder)]
    with _held(directory):
        before = size(directory)
        try:
            if kept_in is None:
                left.append(atomic.set_aside(directory))
            else:
                directory.unlink()
        except OSError as error:
            raise _refused(directory, error) from None
    refused = [error for path in left for error in artifact_files.remove(path)]
    if refused:
        raise _remains(name, left, refused[0])
    parent = directory.parent
    if parent != workspace.folder(kind):
        # Refused where others lie there; and somebody else may have done it.
        with contextlib.suppress(OSError):
            parent.rmdir()
    return Deleted(before, kept_in)


def _remains(name: str, left: list[Path], error: OSError) -> WorkspaceError:
    places = [path for path in left if artifact_files.occupied(path)]
    size = sum(map(artifact_files.size, places))
    message = (
        f"{size:,} bytes of {name} could not be removed"
        f" ({error.filename}: {error.strerror or error})"
    )
    hint = "mend that and remove this folder; it is tried again with the next deletion"
    return WorkspaceError(Problem(str(places[0] if places else error.filename), message, hint=hint))


def _refuse_what_is_read(workspace: Workspace, kind: str, directory: Path) -> None:
    """A run opens shards as it comes to them."""
    for user in (item for other in artifact_kinds() for item in workspace.artifacts(other)):
        if lock.held(user.directory) and _uses(workspace, user, kind, directory):
            message = f"is what {user.name} learns from: stop that first"
            raise BusyError(Problem(directory.name, message))


def _uses(workspace: Workspace, user: Artifact, kind: str, directory: Path) -> bool:
    """Whether a setting of a job that runs names the artifact."""
    try:
        config = runner.read_config(user.directory)
    except InputError:
        return False
    if config.kind != user.kind:
        # Edited while it runs: what the run learns from is not known.
        message = f"is the config of a {config.kind} job, and the run beside it goes on"
        hint = f'write job = "{user.kind}" with its settings again, or stop {user.name}'
        raise ArtifactError(Problem(str(user.directory / CONFIG_FILE), message, hint=hint))
    for item in settings_of(type(config)):
        value = getattr(config, item.key)
        if item.setting.picks == artifact_of(kind).noun and value:
            with contextlib.suppress(InputError):
                if workspace.locate(kind, value, key=item.key) == directory:
                    return True
    return False


def _existing(workspace: Workspace, kind: str, name: str) -> Path:
    directory = workspace.directory(kind, name)
    if not directory.is_dir():
        message = f"there is no such {artifact_of(kind).noun}"
        raise ArtifactError(Problem(name_key(kind), message, name))
    return directory


def _held(directory: Path) -> AbstractContextManager[object]:
    try:
        return Lock.acquire(directory)
    except UnsafeFileError:
        # What no process can have locked needs no lock to be put away.
        return contextlib.nullcontext()
    except BusyError:
        raise BusyError(Problem(directory.name, "is running: stop it first")) from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full and not artifact_files.occupied(directory / lock.FILE_NAME):
            # Nobody can have locked it, and to put it away may be what makes room.
            return contextlib.nullcontext()
        raise _refused(directory, error) from None


def _refused(directory: Path, error: OSError) -> WorkspaceError:
    message = f"cannot be changed: {error.strerror or error}"
    return WorkspaceError(Problem("workspace", message, str(directory)))
