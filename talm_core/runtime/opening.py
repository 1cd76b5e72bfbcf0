"""Open an artifact for a job: check what is asked, take the lock, write `config.toml`.

Nothing half-made is left behind when something is wrong: a directory that was made for a job that
could not begin is removed again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talm_core.errors import (
    ArtifactError,
    BusyError,
    ConfigError,
    DoneError,
    InputError,
    Problem,
    WorkspaceError,
)
from talm_core.jobs.registry import artifact_of, known, spec_of
from talm_core.jobs.spec import load
from talm_core.runtime import control, journal, lock
from talm_core.runtime.driver import LOG_FILE
from talm_core.runtime.events import Record, Started, done
from talm_core.runtime.lock import Lock
from talm_core.runtime.preflight import check, check_resumed, settle
from talm_core.settings.schema import JobConfig, build, settings_of
from talm_core.settings.toml import config_class, dumps, loads
from talm_core.storage import artifact_files, atomic
from talm_core.storage.artifact_files import UnsafeFileError
from talm_core.storage.workspace import Workspace, name_key

CONFIG_FILE = "config.toml"
FINISHED_FILE = "config-finished.toml"
"""What a finished artifact was asked while it is being made longer: taken back when that is
refused."""
# What ten thousands of paths take; and no text of that size may take seconds to be parsed.
_MOST_CONFIG = 4 << 20
_MOST_VALUES = 100_000
_OWN = {CONFIG_FILE, FINISHED_FILE, LOG_FILE, control.FOLDER, journal.FILE_NAME, lock.FILE_NAME}


@dataclass(frozen=True, slots=True)
class Opened:
    """An artifact that is ours to work in. `config` has its paths made absolute; `fresh` tells
    that the directory did not exist before."""

    config: JobConfig
    held: Lock
    fresh: bool

    @property
    def directory(self) -> Path:
        return self.held.directory


def open_artifact(
    config: JobConfig, workspace: Workspace, *, resume: bool, override: bool = False
) -> Opened:
    """Check, lock and prepare the directory of a job. With `override`, a run that is resumed takes
    settings that were changed.

    Raises:
        InputError: what was asked cannot be done.
        BusyError: another process works there.
    """
    config = settle(config, workspace)
    problems = check(config, workspace)
    if problems:
        raise InputError(*problems)
    directory = workspace.directory_of(config)
    fresh = artifact_files.vacant(directory)
    if fresh and resume:
        problem = Problem(name_key(config.kind), "there is nothing to resume", config.artifact)
        raise ArtifactError(problem)
    workspace.require_writable()
    require_own_files(directory)
    held = _lock(config, directory, workspace, fresh=fresh)
    # Looked at again: somebody may have begun, and even finished, until the lock was ours.
    fresh = artifact_files.vacant(directory)
    try:
        for left in atomic.deleted(directory.parent):
            artifact_files.remove(left)
        atomic.sweep(directory)
        if not fresh:
            if resume and (others := check_resumed(config, workspace)):
                raise ArtifactError(*others)
            _check_existing(config, directory, resume=resume, override=override)
            _remember_finished(directory)
        control.forget(directory)
        atomic.write_text(directory / CONFIG_FILE, dumps(config))
    except BaseException as error:
        if fresh:
            discard(directory, workspace)
        held.release()
        if isinstance(error, OSError):
            raise unwritable(directory, error) from None
        raise
    return Opened(config, held, fresh)


def require_own_files(directory: Path) -> None:
    """Refuse a directory in which something else lies in the place of a job's files.

    Raises:
        ArtifactError: says what.
    """
    if said := artifact_files.damage(directory):
        raise ArtifactError(Problem(str(directory), f"is damaged: {said}"))


def _lock(config: JobConfig, directory: Path, workspace: Workspace, *, fresh: bool) -> Lock:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return Lock.acquire(directory)
    except BusyError as error:
        (problem,) = error.problems
        hint = f"stop it with: talm stop {config.artifact}"
        key = name_key(config.kind)
        raise BusyError(Problem(key, problem.message, config.artifact, hint)) from None
    except OSError as error:
        if fresh:
            discard(directory, workspace)
        raise unwritable(directory, error) from None


def unwritable(directory: Path, error: OSError) -> InputError:
    """That a directory, or one of its files, cannot be written."""
    if isinstance(error, UnsafeFileError):
        return ArtifactError(Problem(str(error.filename), str(error.strerror)))
    message = f"cannot be written: {error.strerror or error}"
    return WorkspaceError(Problem("workspace", message, str(directory)))


def discard(directory: Path, workspace: Workspace) -> None:
    """Remove a directory in which nothing was made, and folders it leaves empty."""
    with contextlib.suppress(OSError):
        atomic.sweep(directory)
        if directory.is_symlink():
            return
        if {entry.name for entry in directory.iterdir()} <= _OWN:
            artifact_files.remove(directory)
            parent = directory.parent
            while parent != workspace.root and not any(parent.iterdir()):
                parent.rmdir()
                parent = parent.parent


def _check_existing(config: JobConfig, directory: Path, *, resume: bool, override: bool) -> None:
    """Refuse to work over something that exists, unless it is to be gone on with or nothing
    came of it."""
    name, key = config.artifact, name_key(config.kind)
    record = journal.last_record(directory)
    spec = spec_of(config.kind)
    if record is not None and done(record.event):
        # What is made longer by the same command again needs no --resume.
        if (resume or not spec.goes_on) and _extends(config, directory, record):
            if spec.goes_on:
                check_unchanged(config, directory, override=override)
            return
        message = "is finished, nothing is left to resume" if resume else "exists already"
        problem = Problem(key, message, name, f"{config.to_extend(directory)}choose another name")
        if not resume and _as_asked(config, directory):
            raise DoneError(problem)
        raise WorkspaceError(problem)
    made = {entry.name for entry in directory.iterdir() if not entry.name.startswith(".")} - _OWN
    if not resume and made and spec.resumable:
        hint = "go on with it by --resume, or choose another name"
        raise WorkspaceError(Problem(key, "exists already and is not finished", name, hint))
    main_file = artifact_of(config.kind).main_file
    if record is None and main_file != CONFIG_FILE and main_file in made:
        raise WorkspaceError(Problem(key, "exists already", name, "choose another name"))
    # What delegates goes on by itself, and must not go on with something else.
    if resume or spec.delegates:
        check_unchanged(config, directory, override=override)


def grows(directory: Path, last: Record) -> bool:
    """Whether a finished artifact was to be made longer by a process that ended before it had
    said a word: `last` is from before that."""
    try:
        return (directory / FINISHED_FILE).lstat().st_mtime > last.time
    except OSError:
        return False


def _remember_finished(directory: Path) -> None:
    record = journal.last_record(directory)
    if record is not None and done(record.event) and not grows(directory, record):
        text = artifact_files.read_text(directory / CONFIG_FILE, most=_MOST_CONFIG)
        atomic.write_text(directory / FINISHED_FILE, text)


def begun(directory: Path) -> None:
    """What a finished artifact is made longer by has been begun: from here on there is no way back
    to what it was asked before."""
    artifact_files.remove(directory / FINISHED_FILE)


def _as_asked(config: JobConfig, directory: Path) -> bool:
    """Whether what is finished is what is asked for: its command was given again, perhaps because
    its process was killed before it could say so."""
    try:
        return read_config(directory) == config
    except InputError:
        return False


def _extends(config: JobConfig, directory: Path, last: Record) -> bool:
    """Whether a finished artifact is to be made longer than it is: what `config.toml` asks for is
    not there before it has been made."""
    name = FINISHED_FILE if grows(directory, last) else CONFIG_FILE
    try:
        finished = read_config(directory, name)
    except InputError:
        return False
    return type(config) is type(finished) and config.extends(finished, directory)


def check_unchanged(new: JobConfig, directory: Path, *, override: bool = False) -> None:
    """Compare the config of a run that is to be gone on with to the one it was trained with so
    far: as the last checkpoint remembers it, or the journal where there is none yet, for
    `config.toml` may have been edited since.

    Raises:
        ConfigError: every setting that may not differ; with `override` only those with which what
            was saved could not be loaded.
    """
    saved = _saved_with(new.kind, directory)
    old = saved or _begun_with(directory)
    if old is None:
        return
    if type(new) is not type(old):
        raise ConfigError(Problem("job", f"this is a {old.kind}", new.kind))
    longer = new.extends(old, directory)
    problems = [
        Problem(
            item.key,
            f"the run was started with {getattr(old, item.key)!r}",
            getattr(new, item.key),
            _NEVER if saved and item.setting.shape else _ONLY_BY_OVERRIDE,
        )
        for item in settings_of(type(new))
        # The directory is the name: what is compared lies in it.
        if not item.setting.resume
        and not (longer and item.setting.length)
        and item.key != name_key(new.kind)
        and getattr(new, item.key) != getattr(old, item.key)
        and not (override and not (saved and item.setting.shape))
    ]
    if problems:
        raise ConfigError(*problems)


_NEVER = "what was saved cannot be loaded with another; start a new run"
_ONLY_BY_OVERRIDE = "a resumed run keeps its settings, unless --override is given"


def _saved_with(kind: str, directory: Path) -> JobConfig | None:
    hook = spec_of(kind).saved
    text = load(hook)(directory) if hook else None
    if text is not None:
        # One that another version wrote may have settings that are none here.
        with contextlib.suppress(ConfigError):
            return loads(text, where="checkpoint.json")
    return None


def _begun_with(directory: Path) -> JobConfig | None:
    started = journal.last_of(directory, Started, most=None)
    if started is not None and started.settings and known(started.job):
        with contextlib.suppress(ConfigError):
            return build(config_class(started.job), started.settings)
    return read_config(directory) if artifact_files.occupied(directory / CONFIG_FILE) else None


def read_config(directory: Path, name: str = CONFIG_FILE) -> JobConfig:
    """What a job was asked, under the name its directory has now: one that was moved or copied
    is worked in as what it is. A dataset keeps the name it was made by.

    Raises:
        ArtifactError: there is no config.
        ConfigError: it cannot be understood.
    """
    path = directory / name
    try:
        text = artifact_files.read_text(path, most=_MOST_CONFIG)
    except UnsafeFileError as error:
        raise ArtifactError(Problem(str(path), str(error.strerror))) from None
    except UnicodeDecodeError as error:
        message = f"is no UTF-8 text (byte {error.start + 1:,})"
        raise ArtifactError(Problem(str(path), message)) from None
    except OSError as error:
        raise ArtifactError(Problem(str(path), f"cannot be read: {error.strerror}")) from None
    values = sum(map(text.count, ",\n[{"))
    if values > _MOST_VALUES:
        message = f"has {values:,} values, no job has more than {_MOST_VALUES:,}"
        raise ArtifactError(Problem(str(path), message))
    config = loads(text, where=str(path))
    artifact = spec_of(config.kind).artifact
    if artifact is None or artifact.parts > 1:
        return config
    return config.model_copy(update={name_key(config.kind): directory.name})


def resumed_config(directory: Path, changes: Mapping[str, Any]) -> JobConfig:
    """The stored config with changed settings; opening it with `resume` refuses, by name, those
    that may not change.

    Raises:
        InputError: the stored config cannot be read, or a change is wrong in itself.
    """
    stored = read_config(directory)
    return build(type(stored), stored.model_dump() | dict(changes))
