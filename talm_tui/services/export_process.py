"""`talm export` as a process of its own.

It writes its events to a file that only this process reads, so that it goes on when the terminal
is closed: what it makes appears complete in the workspace, or not at all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from talm_core.jobs.export.config import ExportConfig
from talm_core.runtime.events import Event, decode
from talm_core.settings.command_line import command_line

_LOOK_SECONDS = 0.1


class ExportProcess:
    """One export. Started and followed in one thread, stopped from any."""

    def __init__(
        self, config: ExportConfig, workspace: Path, *, command: Sequence[str] | None = None
    ) -> None:
        """`command` is what is run instead of talm's own."""
        words = command_line(config, workspace=str(workspace))
        self._command = command or (
            *(sys.executable, "-P", "-m", "talm_core.cli"),
            *(*words[1:], "--json"),
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._asked = threading.Event()
        self._problem = ""

    def start(self) -> None:
        """Start the process.

        Raises:
            OSError: it cannot be started.
        """
        with tempfile.NamedTemporaryFile() as said:
            # Opened twice: what is read here must not move the place where it writes.
            self._said = open(said.name, "rb")  # noqa: SIM115
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=self._errors,
                    start_new_session=True,
                )
            except OSError:
                self._said.close()
                self._errors.close()
                raise
        if self._asked.is_set():
            self.stop()

    def events(self, cancelled: Callable[[], bool]) -> Iterator[Event]:
        """What it says, until it has ended; the process goes on when `cancelled` is true."""
        assert self._process is not None
        assert self._said is not None
        assert self._errors is not None
        pause = threading.Event()
        with self._said, self._errors:
            rest = b""
            over = False
            while not over and not cancelled():
                # Asked first: what it wrote before its end is still read.
                over = self._process.poll() is not None
                *lines, rest = (rest + self._said.read()).split(b"\n")
                for line in lines:
                    record = decode(line)
                    if record is not None:
                        yield record.event
                if not over:
                    pause.wait(_LOOK_SECONDS)
            if over and self._process.returncode and not self._asked.is_set():
                self._problem = self._last_words()

    @property
    def problem(self) -> str:
        """Why it has failed; empty for one that has not, or was stopped."""
        return self._problem

    def stop(self) -> None:
        """Ask it to end without having written anything."""
        self._asked.set()
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGINT)

    def _last_words(self) -> str:
        assert self._errors is not None
        assert self._process is not None
        self._errors.seek(0)
        text = self._errors.read().decode("utf-8", "replace").strip()
        lines = [line.strip().removeprefix("talm: ") for line in text.splitlines()]
        code = self._process.returncode
        return lines[-1] if lines else f"it ended with code {code}"
