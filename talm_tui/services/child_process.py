"""A process of talm's own that the screen starts: what it is told, what it says, why it died.

What it prints to stderr goes to a temporary file, whose last line tells why it died: a pipe that
nobody reads would stop it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import IO

_TAIL_BYTES = 8192
_READ_BYTES = 1 << 16


def talm(*words: str, module: str = "talm_core") -> tuple[str, ...]:
    """The command that runs talm's own code, whatever lies in the current directory."""
    return (sys.executable, "-P", "-m", module, *words)


class ChildProcess:
    """Lines go in and come out. It ends when it is hung up on."""

    def __init__(self, command: Sequence[str]) -> None:
        """
        Raises:
            OSError: it cannot be started.
        """
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
            )
        except OSError:
            self._errors.close()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def write(self, data: bytes) -> None:
        """Tell it something.

        Raises:
            OSError: it is gone.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except ValueError as error:
            # Whoever reads it has closed what is left of it a moment ago.
            raise BrokenPipeError(f"it is gone: {error}") from error

    def read_line(self) -> bytes:
        """The next line it says; empty once it is gone."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def read(self) -> bytes:
        """What it has said, as soon as there is something; empty once it is gone. Not to be mixed
        with `read_line`."""
        assert self._process.stdout is not None
        return os.read(self._process.stdout.fileno(), _READ_BYTES)

    def terminate(self) -> None:
        """Have it end in the middle of what it does; returns at once."""
        with contextlib.suppress(OSError):
            self._process.terminate()

    def hang_up(self) -> None:
        """Tell it that no more is asked; returns at once."""
        assert self._process.stdin is not None
        # What could not be written to a child that is gone is of no interest.
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def end(self) -> str:
        """Have it end and wait for that; the last line it has printed, empty where it did not."""
        self.terminate()
        return self.wait()[1]

    def wait(self) -> tuple[int, str]:
        """Wait until it has ended; its exit code and the last line it has printed. To be called
        once, last, by whoever reads what it says."""
        assert self._process.stdout is not None
        code = self._process.wait()
        self.hang_up()
        self._process.stdout.close()
        with self._errors:
            return code, last_line(self._errors)


class DetachedProcess:
    """A process in its own session that goes on when the terminal is closed. It writes to a file
    that only this process reads."""

    def __init__(self, command: Sequence[str]) -> None:
        """
        Raises:
            OSError: it cannot be started.
        """
        with contextlib.ExitStack() as opened, tempfile.NamedTemporaryFile() as said:
            # Opened twice: what is read here must not move the place where it writes.
            self._said = opened.enter_context(open(said.name, "rb"))
            self._errors = opened.enter_context(tempfile.TemporaryFile())
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=self._errors,
                start_new_session=True,
            )
            self._opened = opened.pop_all()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    @property
    def failed(self) -> bool:
        """Whether it has ended otherwise than well."""
        return bool(self._process.poll())

    def read(self) -> bytes:
        """What it has said since the last time."""
        return self._said.read()

    def interrupt(self) -> None:
        """Ask it to end."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGINT)

    def last_words(self) -> str:
        """The last line it has printed, or its exit code."""
        return last_line(self._errors) or f"it ended with code {self._process.poll()}"

    def close(self) -> None:
        """Hear no more of it; it goes on."""
        self._opened.close()


def last_line(errors: IO[bytes]) -> str:
    """The last complaint in a file, without the program's name."""
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - _TAIL_BYTES))
    return complaint(errors.read())


def complaint(printed: bytes) -> str:
    """The last line of what a process printed, without the program's name."""
    lines = printed.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip().removeprefix("talm: ") if lines else ""
