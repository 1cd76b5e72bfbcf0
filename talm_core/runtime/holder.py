"""The process that holds an artifact's lock, as the system knows it: to end it where no command can
be left for it, and to wake it where it was suspended.

What a lock says of its owner is data: a number that came with a copied directory may be anybody's.
A process is the holder only if it has this very file open.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from pathlib import Path

from talm_core.runtime import lock


def pid_of(directory: Path) -> int | None:
    """The process of this machine and this user that holds the lock of `directory`; None where
    there is none or it cannot be known."""
    # Not at the top: lists have no use for it.
    import psutil

    owner = lock.owner(directory)
    if owner is None or owner.host != socket.gethostname() or not lock.held(directory):
        return None
    path = directory / lock.FILE_NAME
    try:
        process = psutil.Process(owner.pid)
        opened = [Path(file.path) for file in process.open_files()]
        if any(file.samefile(path) for file in opened if file.name == path.name):
            return owner.pid
    except (psutil.Error, OSError, ValueError, OverflowError):
        return None
    return None


def suspended(pid: int) -> bool:
    """Whether a process was stopped, by ctrl-z for one, and hears nothing until it goes on."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    return False


def end(directory: Path) -> bool:
    """Ask the holder to save and end, by a signal; whether there was one to ask."""
    pid = pid_of(directory)
    if pid is None:
        return False
    try:
        os.kill(pid, signal.SIGTERM)
    except OSError:
        return False
    wake(directory)
    return True


def wake(directory: Path) -> bool:
    """Have the holder go on, and the processes it started, if they were suspended; whether the
    holder was."""
    import psutil

    pid = pid_of(directory)
    if pid is None or not suspended(pid):
        return False
    with contextlib.suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        for each in (*process.children(), process):
            each.resume()
        return True
    return False
