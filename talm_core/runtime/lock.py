"""One writer per artifact.

The lock is `flock` on `<directory>/lock`. The kernel drops it when its last holder dies, however
it dies, so a killed job never leaves its artifact locked. It belongs to the open file and not to
the process: `jobs.start` takes it and hands the descriptor to the child, and at no moment in
between could somebody else take it or see the job as dead.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from talm_core.errors import BusyError, Problem
from talm_core.storage import artifact_files

FILE_NAME = "lock"

# `held` asks by taking the lock for an instant; a writer waits longer than such an instant.
_PATIENCE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Owner:
    """Who took a lock last."""

    pid: int
    host: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Lock:
    """A held lock. Releases when closed or when the process ends."""

    def __init__(self, directory: Path, descriptor: int) -> None:
        self.directory = directory
        self.descriptor = descriptor

    @classmethod
    def acquire(cls, directory: Path) -> Self:
        """Take the lock of an existing directory.

        Raises:
            BusyError: another process has it.
        OSError: it cannot be opened, or something else lies under its name.
        """
        path = directory / FILE_NAME
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            descriptor = artifact_files.open_own(path, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                if time.monotonic() < deadline:
                    time.sleep(0.01)
                    continue
                who = owner(directory) or "another process"
                hint = f"stop it with: talm stop {directory.name}"
                raise BusyError(
                    Problem("name", f"is in use by {who}", directory.name, hint)
                ) from None
            except OSError:
                os.close(descriptor)
                raise
            if _same_file(descriptor, path):
                lock = cls(directory, descriptor)
                lock.sign()
                return lock
            # Its last holder removed the directory, and somebody made it anew.
            os.close(descriptor)

    @classmethod
    def inherit(cls, directory: Path, descriptor: int) -> Self:
        """The lock a parent process took and passed on."""
        os.set_inheritable(descriptor, False)
        lock = cls(directory, descriptor)
        lock.sign()
        return lock

    def sign(self) -> None:
        """Write who holds the lock into it."""
        text = json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()
        try:
            os.pwrite(self.descriptor, text, 0)
            os.ftruncate(self.descriptor, len(text))
        except OSError as error:
            # It is held all the same, and to delete something may be what makes room.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise

    def release(self) -> None:
        """Give the lock back; twice is harmless."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def held(directory: Path) -> bool:
    """Whether a process works in this directory now."""
    try:
        descriptor = artifact_files.open_own(directory / FILE_NAME)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def owner(directory: Path) -> Owner | None:
    """Who took the lock last; None where nobody did or it cannot be read."""
    try:
        values = json.loads(artifact_files.read_bytes(directory / FILE_NAME))
        return Owner(int(values["pid"]), str(values["host"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
