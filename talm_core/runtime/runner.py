"""Start, drive, follow, command and find jobs: the directory protocol.

    run(config, workspace, on_event=print)            # in this process
    for record in follow(start(config, workspace)):   # as a detached process

A job is a function that knows nothing of journals, locks or signals. `run` drives one: it takes the
artifact's lock, writes `config.toml`, appends every event to `events.jsonl`, listens for commands
and turns errors into a `Failed`. `start` does the same in a process of its own that
outlives this one. Status is never stored: it is read off the lock and the last event.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from talm_core.errors import ArtifactError, InputError, Problem, RunError, WorkspaceError
from talm_core.jobs.registry import artifact_kinds
from talm_core.runtime import control, holder, journal, lock
from talm_core.runtime.control import Inbox, request_stop
from talm_core.runtime.driver import LOG_FILE, Driver, Listener
from talm_core.runtime.entry import open_job
from talm_core.runtime.events import (
    ENDS,
    Command,
    Event,
    Failed,
    Paused,
    Record,
    Stop,
    Stopped,
    done,
)
from talm_core.runtime.lock import Lock
from talm_core.runtime.opening import (
    CONFIG_FILE,
    FINISHED_FILE,
    discard,
    grows,
    open_artifact,
    read_config,
    resumed_config,
    unwritable,
)
from talm_core.settings.schema import JobConfig
from talm_core.storage import artifact_files
from talm_core.storage.workspace import Artifact, Workspace

__all__ = [
    "CONFIG_FILE",
    "LOG_FILE",
    "Status",
    "ended",
    "find",
    "follow",
    "read_config",
    "request_stop",
    "resumed_config",
    "run",
    "send",
    "spawn",
    "start",
    "status",
]

_POLL_SECONDS = 0.1


class Status(StrEnum):
    """What a look at an artifact's directory tells."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    DAMAGED = "damaged"

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
    Status.DAMAGED: "!",
}


def status(directory: Path) -> Status:
    """The status of the artifact in `directory`."""
    # The lock first: a job that ends in between has then said so when the journal is read.
    held = lock.held(directory)
    if not held and artifact_files.damage(directory):
        return Status.DAMAGED
    record = journal.last_record(directory)
    event = record.event if record else None
    if record is not None and done(event) and not grows(directory, record):
        return Status.DONE
    # And again, for one that began in between.
    if held or (not isinstance(event, ENDS) and lock.held(directory)):
        return Status.PAUSED if isinstance(event, Paused) else Status.RUNNING
    if isinstance(event, Stopped):
        return Status.STOPPED
    if isinstance(event, Failed):
        return Status.FAILED
    # Without a journal it was copied here by hand, complete.
    return Status.INTERRUPTED if record or _is_job_directory(directory) else Status.DONE


def _is_job_directory(directory: Path) -> bool:
    """Whether a job was at work here, or is asked for and has not begun."""
    if any(
        map(artifact_files.occupied, (directory / journal.FILE_NAME, directory / lock.FILE_NAME))
    ):
        return True
    try:
        return [entry.name for entry in os.scandir(directory)] == [CONFIG_FILE]
    except OSError:
        return False


def find(workspace: Workspace, *kinds: str) -> list[tuple[Artifact, Status]]:
    """Every artifact of these kinds (default: all) with its status."""
    return [
        (artifact, status(artifact.directory))
        for kind in kinds or artifact_kinds()
        for artifact in workspace.artifacts(kind)
    ]


# --- driving ---------------------------------------------------------------------------------


def run(
    config: JobConfig,
    workspace: Workspace,
    *,
    resume: bool = False,
    override: bool = False,
    held: Lock | None = None,
    listen: Sequence[Path] = (),
    on_event: Listener = lambda _: None,
) -> Event | None:
    """Run a job in this process, with journal, lock and commands; returns the last event, which
    says how it ended.

    `on_event` is called with every event once it is in the journal. What it raises stops the job,
    which saves what it has, and is raised here then. `override` lets a resumed run take settings
    that were changed. `held` is a lock taken before (by `start`); `listen` names directories whose
    commands count here too (quick start passes its own to its stages).

    Raises:
        InputError: what was asked cannot be done; nothing half-made is left behind.
        BusyError: another process works in this artifact (an InputError, too).
        RunError: the job could not go on; what it had is kept.
    """
    fresh = False
    if held is None:
        opened = open_artifact(config, workspace, resume=resume, override=override)
        config, held, fresh = opened.config, opened.held, opened.fresh
    directory = held.directory
    finished = directory / FINISHED_FILE
    driver = None
    try:
        job = open_job(config)
        heard = Inbox([directory, *listen])
        try:
            driver = Driver(config, workspace, directory, heard, on_event, grows=finished.exists)
        except OSError as error:
            raise unwritable(directory, error) from None
        driver.drive(job)
        if finished.exists() and status(directory) is Status.DONE:
            # Where it stays, it is older than what was said last, and counts no more.
            with contextlib.suppress(OSError):
                finished.unlink(missing_ok=True)
        return driver.last
    except InputError:
        # What some jobs of several have made is gone on with.
        if fresh and not (driver and driver.stages):
            discard(directory, workspace)
        if finished.exists():
            with contextlib.suppress(OSError):
                finished.replace(directory / CONFIG_FILE)
        raise
    finally:
        held.release()


# --- detached processes ----------------------------------------------------------------------


def start(
    config: JobConfig, workspace: Workspace, *, resume: bool = False, override: bool = False
) -> Path:
    """Run a job as a process of its own that outlives this one; returns its directory at once.

    The lock is taken here and handed over, so that the job counts as running from this moment.

    Raises:
        InputError: what was asked cannot be done.
        BusyError: another process works in this artifact.
        RunError: no process could be started.
    """
    opened = open_artifact(config, workspace, resume=resume, override=override)
    with opened.held:
        try:
            spawn(workspace, opened.held)
        except OSError as error:
            if opened.fresh:
                discard(opened.directory, workspace)
            raise RunError(f"no process could be started: {error}") from None
    return opened.directory


def spawn(workspace: Workspace, held: Lock) -> int:
    """Start `python -m talm_core` on a locked directory; returns the process id."""
    with artifact_files.appending(held.directory / LOG_FILE) as log:
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
    reader: journal.JournalReader | None = None,
) -> Iterator[Record]:
    """Past records of a job, then new ones as they come, until nobody works there any more.

    With `live` False only what there is. `cancelled` is asked about ten times a second. `reader`
    is one that has read a part already.
    """
    reader = reader or journal.JournalReader(directory)
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
    """Leave a command for the job that works in `directory`, whoever started it. A stop is heard
    where nothing can be written, such as on a full disk, and by a job that is suspended, too.

    Raises:
        ArtifactError: no job is running there.
        WorkspaceError: the directory cannot be written.
    """
    if not lock.held(directory):
        raise ArtifactError(Problem(directory.name, "is not running"))
    try:
        control.leave(directory, command)
    except WorkspaceError:
        if not isinstance(command, Stop) or not holder.end(directory):
            raise
    if isinstance(command, Stop):
        holder.wake(directory)


def ended(record: Record) -> bool:
    """Whether nothing more comes from the process that said this."""
    return isinstance(record.event, ENDS)
