"""What is said to a running job: commands left as files in its directory, and signals.

A command is one JSON object in `<directory>/commands/<time>-<pid>.json`, taken and removed by the
job between two events. Whoever opens an artifact for a job forgets what was said to the one
before (`forget`), while holding its lock and before the job starts: nothing said to the new job
can be lost.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from talm_core.errors import Problem, WorkspaceError
from talm_core.runtime.event_json import decode_command, to_json
from talm_core.runtime.events import Command, Pause, Stop
from talm_core.storage import atomic
from talm_core.storage.artifact_files import Folder

FOLDER = "commands"
_POLL_SECONDS = 0.1

# A plain list: a signal handler may run between any two instructions, where a lock could be held.
_stop: list[str] = []


def request_stop(reason: str) -> None:
    """Ask every job this process drives to save and end. Safe in a signal handler."""
    _stop[:] = [reason]


_HURRIED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Sent by somebody who, sending it again, does not want to wait."""

_WARNINGS = tuple(
    getattr(signal, name)
    for name in ("SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGPWR")
    if hasattr(signal, name)
)
"""Sent by batch systems, limits and timers before the end comes, some of them every second."""


def stop_on_signals() -> None:
    """Turn every signal that would end the process, and can be caught, into a stop that saves. A
    second one of those that people send ends at once."""

    def handle(number: int, _: FrameType | None) -> None:
        request_stop(signal.Signals(number).name)
        if number in _HURRIED:
            signal.signal(number, signal.SIG_DFL)

    for number in (*_HURRIED, *_WARNINGS):
        # `nohup` and batch systems ignore a signal on purpose.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handle)


def stop_reason() -> str | None:
    """Why this process was asked to stop; None while it was not."""
    return _stop[0] if _stop else None


def leave(directory: Path, command: Command) -> None:
    """Put a command where the job in `directory` finds it.

    Raises:
        WorkspaceError: the directory cannot be written.
    """
    folder = directory / FOLDER
    try:
        with Folder.made(folder) as there:
            # After what waits there already, even when the clock was set back meanwhile.
            newest = max(map(_number, there.names()), default=0)
            number = max(time.time_ns(), newest + 1)
            atomic.write_text(folder / f"{number}-{os.getpid()}.json", to_json(command))
    except OSError as error:
        reason = error.strerror or error
        problem = Problem("workspace", f"cannot be written: {reason}", str(directory))
        raise WorkspaceError(problem) from None


def forget(directory: Path) -> None:
    """Remove what was said to a job that has ended. Call it only while holding the lock.

    Raises:
        OSError: there is something else in the place of the folder.
    """
    with contextlib.suppress(FileNotFoundError), Folder(directory / FOLDER) as folder:
        atomic.clear(folder.path)
        for name in folder.names():
            folder.remove(name)


def stop_waits(directory: Path) -> bool:
    """Whether a stop was said to the job in `directory` that it has not taken yet."""
    with contextlib.suppress(OSError), Folder(directory / FOLDER) as folder:
        for name in folder.names():
            with contextlib.suppress(OSError):
                if isinstance(decode_command(folder.read(name)), Stop):
                    return True
    return False


class Inbox:
    """The commands for one job, oldest first, from one or several directories."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self._folders = [directory / FOLDER for directory in directories]
        self._next_look = 0.0

    def next(self) -> Command | None:
        """The next command, if one was left; looks at the disk about twenty times a second."""
        if _stop:
            return Stop()
        now = time.monotonic()
        if now < self._next_look:
            return None
        for folder in self._folders:
            command = _take(folder)
            if command is not None:
                return command
        self._next_look = now + _POLL_SECONDS / 2
        return None

    def wait(self) -> Command:
        """The next command that ends a pause or wants something meanwhile."""
        while True:
            command = self.next()
            if command is not None and not isinstance(command, Pause):
                return command
            if command is None:
                time.sleep(_POLL_SECONDS)


def _take(path: Path) -> Command | None:
    """The first command in a folder that can be read."""
    with contextlib.suppress(OSError), Folder(path) as folder:
        for name in folder.names():
            with contextlib.suppress(OSError):
                command = decode_command(folder.read(name))
                folder.remove(name)
                if command is not None:
                    return command
    return None


def _number(name: str) -> int:
    digits = name.split("-", 1)[0]
    return int(digits) if digits.isdecimal() and len(digits) < 30 else 0
