"""The terminal as the app's alone.

A library in C, a driver or a crash handler that writes to file descriptor 1 or 2 would draw over
the screen. While the app runs both lead to a log file, and only the app knows the terminal.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

LOG_FILE = "tui.log"
_KEEP_BYTES = 1_000_000


@contextlib.contextmanager
def own_terminal(directory: Path) -> Iterator[None]:
    """Lead what others write to the descriptors 1 and 2 into `tui.log` in `directory`, or nowhere
    if it cannot be written. Python's own standard streams stay on the terminal."""
    streams = (sys.__stdout__, sys.__stderr__, sys.stdout, sys.stderr)
    log = _open_log(directory)
    copies = {number: os.dup(number) for number in (1, 2)}
    opened = {
        number: os.fdopen(os.dup(copy), "w", encoding="utf-8", errors="replace", newline="")
        for number, copy in copies.items()
    }
    sys.__stdout__ = sys.stdout = opened[1]  # type: ignore[misc]
    sys.__stderr__ = sys.stderr = opened[2]  # type: ignore[misc]
    for number in copies:
        os.dup2(log, number)
    os.close(log)
    try:
        yield
    finally:
        for number, copy in copies.items():
            with contextlib.suppress(OSError):
                opened[number].close()
            os.dup2(copy, number)
            os.close(copy)
        sys.__stdout__, sys.__stderr__, sys.stdout, sys.stderr = streams  # type: ignore[misc]


def _open_log(directory: Path) -> int:
    path = directory / LOG_FILE
    try:
        directory.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        if path.exists() and path.stat().st_size > _KEEP_BYTES:
            flags |= os.O_TRUNC
        return os.open(path, flags, 0o666)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
