"""Start, drive, follow, command and find jobs: the directory protocol.

    for event in run(config, workspace):              # in this process
    for record in follow(start(config, workspace)):   # as a detached process

A job is a generator of events that knows nothing of journals, locks or signals. `run` drives one:
it takes the artifact's lock, writes `config.toml`, appends every event to `events.jsonl`, listens
for commands and turns errors into a `Failed`. `start` does the same in a process of its own that
outlives this one. Status is never stored: it is read off the lock and the last event.

Pausing is not asking the job for its next event. Stopping is closing the generator, which saves
what it has in its `finally`; a job that accepts `Stop` is told instead, so that it can still say
what it saved.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib import import_module, metadata
from pathlib import Path
from typing import cast

from talm_core import journal, lock, publish
from talm_core.config import JobConfig, build, dumps, loads, settings_of
from talm_core.errors import (
    ArtifactError,
    ConfigError,
    InputError,
    Problem,
    TalmError,
    WorkspaceError,
)
from talm_core.events import (
    ENDS,
    Checkpoint,
    Command,
    Event,
    Failed,
    Finished,
    Notice,
    Pause,
    Paused,
    Record,
    Sample,
    Started,
    Stop,
    Stopped,
    Unpause,
    Unpaused,
    decode_command,
    to_json,
)
from talm_core.lock import Lock
from talm_core.preflight import check, settle
from talm_core.workspace import FOLDERS, MAIN_FILES, Artifact, Workspace

Job = Generator[Event, Command | None, None]

CONFIG_FILE = "config.toml"
LOG_FILE = "log.txt"
COMMANDS = "commands"
_OWN = {CONFIG_FILE, LOG_FILE, COMMANDS, journal.FILE_NAME, lock.FILE_NAME}
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class JobKind:
    """Where a job's generator lives, and which commands it takes besides pause and stop."""

    entry: str
    commands: frozenset[type[Command]] = frozenset()
    resumable: bool = False

    def open(self, config: JobConfig, workspace: Workspace) -> Job:
        """The job's generator; imports what the job needs."""
        module, name = self.entry.split(":")
        return cast(Job, getattr(import_module(module), name)(config, workspace))


KINDS: dict[str, JobKind] = {
    "tokenizer": JobKind("talm_core.tokenizer.training:train_tokenizer"),
    "data": JobKind("talm_core.data.preparation:prepare_data"),
    "pretrain": JobKind(
        "talm_core.training.pretrain:pretrain",
        commands=frozenset({Checkpoint, Sample, Stop}),
        resumable=True,
    ),
    "quickstart": JobKind("talm_core.quickstart:quickstart", resumable=True),
}


class Status(StrEnum):
    """What a look at an artifact's directory tells."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def glyph(self) -> str:
        return _GLYPHS[self]

    @property
    def active(self) -> bool:
        """A process works there now."""
        return self in (Status.RUNNING, Status.PAUSED)


_GLYPHS = {
    Status.RUNNING: "▶",
    Status.PAUSED: "‖",
    Status.DONE: "●",
    Status.STOPPED: "◐",
    Status.INTERRUPTED: "◐",
    Status.FAILED: "✕",
}


def status(directory: Path) -> Status:
    """The status of the artifact in `directory`."""
    record = journal.last_record(directory)
    event = record.event if record else None
    if isinstance(event, Finished):
        return Status.DONE
    if lock.held(directory):
        return Status.PAUSED if isinstance(event, Paused) else Status.RUNNING
    if isinstance(event, Stopped):
        return Status.STOPPED
    if isinstance(event, Failed):
        return Status.FAILED
    # Without a journal it was copied here by hand, complete.
    return Status.INTERRUPTED if record or _is_job_directory(directory) else Status.DONE


def _is_job_directory(directory: Path) -> bool:
    return (directory / journal.FILE_NAME).exists() or (directory / lock.FILE_NAME).exists()


def find(workspace: Workspace, *kinds: str) -> list[tuple[Artifact, Status]]:
    """Every artifact of these kinds (default: all) with its status."""
    return [
        (artifact, status(artifact.directory))
        for kind in kinds or FOLDERS
        for artifact in workspace.artifacts(kind)
    ]


_stop_reason: list[str] = []
_stop_requested = threading.Event()


def request_stop(reason: str) -> None:
    """Ask every job this process drives to save and end. Safe in a signal handler."""
    _stop_reason[:] = [reason]
    _stop_requested.set()


# --- driving ---------------------------------------------------------------------------------


def run(
    config: JobConfig,
    workspace: Workspace,
    *,
    resume: bool = False,
    held: Lock | None = None,
    listen: Sequence[Path] = (),
) -> Generator[Event, None, None]:
    """Run a job in this process, with journal, lock and commands.

    Every event is in the journal before it is yielded. Closing this generator stops the job.
    `held` is a lock taken before (by `start`); `listen` names directories whose commands count
    here too (quick start passes its own to its stages).

    Raises:
        InputError: what was asked cannot be done; nothing half-made is left behind.
        BusyError: another process works in this artifact (an InputError, too).
        RunError: the job could not go on; what it had is kept.
    """
    fresh = None
    if held is None:
        config, held, fresh = _open(config, workspace, resume=resume)
    directory = held.directory
    writer = journal.JournalWriter(directory)
    inbox = _Inbox([directory, *listen])
    job = KINDS[config.kind].open(config, workspace)
    failure: BaseException | None = None
    try:
        yield from _drive(job, config, writer, inbox)
    except TalmError as error:
        failure = error
        failed = Failed(message=str(error), kind=type(error).__name__)
        writer.write(failed)
        yield failed
        raise
    except Exception as error:
        failure = error
        _log_traceback(directory, error)
        failed = Failed(message=f"{type(error).__name__}: {error}", kind="bug")
        writer.write(failed)
        yield failed
        raise
    finally:
        job.close()
        writer.close()
        if isinstance(failure, InputError) and fresh:
            _discard(fresh, workspace)
        held.release()


def _drive(
    job: Job, config: JobConfig, writer: journal.JournalWriter, inbox: _Inbox
) -> Iterator[Event]:
    def said(event: Event) -> Event:
        writer.write(event)
        return event

    commands = KINDS[config.kind].commands
    command: Command | None = None
    paused = finished = False
    try:
        while True:
            try:
                event = job.send(command)
            except StopIteration:
                break
            if isinstance(event, Started):
                event = replace(event, pid=os.getpid(), version=metadata.version("talm"))
            finished = isinstance(event, Finished)
            yield said(event)
            command = inbox.next()
            if paused or isinstance(command, Pause):
                paused = True
                # Said again after each command a paused job obeyed: the last event is its status.
                yield said(Paused())
                command = inbox.wait()
            if isinstance(command, Unpause):
                command, paused = None, False
                yield said(Unpaused())
            if isinstance(command, Stop) and Stop not in commands:
                break
            if command is not None and type(command) not in commands:
                yield said(Notice(message=f"{config.kind} has no {type(command).__name__}"))
                command = None
    except GeneratorExit:
        job.close()
        if not finished:
            said(Stopped(reason=_reason("closed")))
        raise
    job.close()
    if not finished:
        yield said(Stopped(reason=_reason("asked to stop")))


def _reason(default: str) -> str:
    return _stop_reason[0] if _stop_reason else default


class _Inbox:
    """Commands left as files by whoever wants something; oldest first."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self._folders = [directory / COMMANDS for directory in directories]
        # What was said to a process that has died is not meant for this one.
        for folder in self._folders[:1]:
            for file in _files(folder):
                file.unlink(missing_ok=True)
        self._next_look = 0.0

    def next(self) -> Command | None:
        if _stop_requested.is_set():
            return Stop()
        now = time.monotonic()
        if now < self._next_look:
            return None
        self._next_look = now + _POLL_SECONDS / 2
        for folder in self._folders:
            for file in _files(folder):
                with contextlib.suppress(FileNotFoundError):
                    command = decode_command(file.read_bytes())
                    file.unlink()
                    if command is not None:
                        self._next_look = 0.0
                        return command
        return None

    def wait(self) -> Command:
        """The next command that ends a pause."""
        while True:
            command = self.next()
            if command is not None and not isinstance(command, Pause):
                return command
            _stop_requested.wait(_POLL_SECONDS)


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    except OSError:
        return []


def _log_traceback(directory: Path, error: BaseException) -> None:
    with (directory / LOG_FILE).open("a", encoding="utf-8") as file:
        file.write("".join(traceback.format_exception(error)))


def _discard(directory: Path, workspace: Workspace) -> None:
    """Remove a directory that this run created and in which nothing was made."""
    with contextlib.suppress(OSError):
        publish.sweep(directory)
        if {entry.name for entry in directory.iterdir()} <= _OWN:
            shutil.rmtree(directory)
            parent = directory.parent
            while parent != workspace.root and not any(parent.iterdir()):
                parent.rmdir()
                parent = parent.parent


# --- opening an artifact ---------------------------------------------------------------------


def _open(
    config: JobConfig, workspace: Workspace, *, resume: bool
) -> tuple[JobConfig, Lock, Path | None]:
    """The config with its paths made absolute, the lock of the job's directory with that config
    in it, and the directory again if it did not exist before."""
    config = settle(config, workspace)
    directory = workspace.directory_of(config)
    existed = directory.is_dir()
    problems = check(config, workspace)
    if problems:
        raise InputError(*problems)
    workspace.require_writable()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        held = Lock.acquire(directory)
    except OSError as error:
        problem = Problem("workspace", f"cannot be written: {error.strerror}", str(directory))
        raise WorkspaceError(problem) from None
    try:
        if existed:
            _check_existing(config, directory, resume=resume)
        elif resume:
            raise ArtifactError(Problem(_name_key(config), "there is nothing to resume"))
        publish.sweep(directory)
        publish.write_text(directory / CONFIG_FILE, dumps(config))
    except BaseException:
        if not existed:
            _discard(directory, workspace)
        held.release()
        raise
    return config, held, None if existed else directory


def _name_key(config: JobConfig) -> str:
    return {"pretrain": "model_name", "data": "ds_sample"}.get(config.kind, "name")


def _check_existing(config: JobConfig, directory: Path, *, resume: bool) -> None:
    """Refuse to work over something that exists, unless it is to be gone on with or nothing
    came of it."""
    name, key = config.artifact, _name_key(config)
    record = journal.last_record(directory)
    kind = KINDS[config.kind]
    if isinstance(record.event if record else None, Finished):
        hint = "choose another name" + ("; it is finished" if resume else "")
        raise WorkspaceError(Problem(key, "exists already", name, hint))
    made = {entry.name for entry in directory.iterdir() if not entry.name.startswith(".")} - _OWN
    if not resume and made and kind.resumable:
        raise WorkspaceError(
            Problem(key, "exists already and is not finished", name, "go on with it by --resume")
        )
    main_file = MAIN_FILES[config.kind]
    if record is None and main_file != CONFIG_FILE and main_file in made:
        raise WorkspaceError(Problem(key, "exists already", name, "choose another name"))
    if resume and (directory / CONFIG_FILE).exists():
        _check_same(config, read_config(directory))


def _check_same(new: JobConfig, old: JobConfig) -> None:
    problems = [
        Problem(
            item.key,
            f"the run was started with {getattr(old, item.key)!r}",
            getattr(new, item.key),
            "a resumed run keeps its settings",
        )
        for item in settings_of(type(new))
        if not item.setting.resume
        and getattr(new, item.key) != getattr(old, item.key, getattr(new, item.key))
    ]
    if type(new) is not type(old):
        problems = [Problem("job", f"this is a {old.kind}", new.kind)]
    if problems:
        raise ConfigError(*problems)


def read_config(directory: Path) -> JobConfig:
    """What a job was asked.

    Raises:
        ArtifactError: there is no config.
        ConfigError: it cannot be understood.
    """
    path = directory / CONFIG_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(Problem(str(path), f"cannot be read: {error}")) from None
    return loads(text, where=str(path))


def resumed_config(directory: Path, changes: dict[str, object]) -> JobConfig:
    """The stored config with the settings that may change at a resume; `run(resume=True)`
    refuses the others by name."""
    stored = read_config(directory)
    values = {key: value for key, value in stored.model_dump().items() if value is not None}
    return build(type(stored), values | changes)


# --- detached processes ----------------------------------------------------------------------


def start(config: JobConfig, workspace: Workspace, *, resume: bool = False) -> Path:
    """Run a job as a process of its own that outlives this one; returns its directory at once.

    The lock is taken here and handed over, so that the job counts as running from this moment.

    Raises:
        InputError: what was asked cannot be done.
        BusyError: another process works in this artifact.
    """
    _, held, _ = _open(config, workspace, resume=resume)
    with held:
        spawn(workspace, held)
    return held.directory


def spawn(workspace: Workspace, held: Lock) -> int:
    """Start `python -m talm_core` on a locked directory; returns the process id."""
    with (held.directory / LOG_FILE).open("ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "talm_core", str(held.directory)),
                *("--workspace", str(workspace.root), "--lock-fd", str(held.descriptor)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[held.descriptor],
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    # The child is nobody's to wait for; a thread reaps it, should it end before this process.
    threading.Thread(target=process.wait, daemon=True).start()
    return process.pid


def follow(
    directory: Path,
    *,
    live: bool = True,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Record]:
    """Past records of a job, then new ones as they come, until nobody works there any more.

    With `live` False only what there is. `cancelled` is asked about ten times a second.
    """
    reader = journal.JournalReader(directory)
    while True:
        # Asked before reading: what a process wrote before it let go is read below.
        running = live and lock.held(directory)
        records = reader.read_new()
        for record in records:
            if cancelled():
                return
            yield record
        if not records:
            if not running or cancelled():
                return
            time.sleep(_POLL_SECONDS)


def send(directory: Path, command: Command) -> None:
    """Leave a command for the job that works in `directory`, whoever started it.

    Raises:
        ArtifactError: no job is running there.
    """
    if not lock.held(directory):
        raise ArtifactError(Problem(directory.name, "is not running"))
    folder = directory / COMMANDS
    folder.mkdir(exist_ok=True)
    publish.write_text(folder / f"{time.time_ns()}-{os.getpid()}.json", to_json(command))


def ended(record: Record) -> bool:
    """Whether nothing more comes from the process that said this."""
    return isinstance(record.event, ENDS)
