"""A child process that keeps a model loaded and answers prompts.

`python -m talm_core --play` reads requests and writes events, each with the lane it is about
(`talm_core.jobs.sample.service`). It is this process's own child in its own session: it has nothing
to save and ends with the terminal. What it prints to stderr goes to a temporary file, whose last
line tells why it died.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from textual.message import Message

from talm_core.jobs.sample.config import SampleConfig
from talm_core.runtime.events import Record, decode

_BATCH_SECONDS = 0.04
_READ_BYTES = 1 << 16


class Heard(Message):
    """What the child said since the last time; `died` says why there will be no more."""

    def __init__(self, records: list[Record], died: str | None = None) -> None:
        super().__init__()
        self.records = records
        self.died = died


class PlaySession:
    """Prompts go in by `ask`; `tell` gets `Heard` from a thread of the session's own. For the
    child a process is started with the first prompt, and a new one after one has died."""

    def __init__(
        self,
        workspace: Path,
        tell: Callable[[Heard], object],
        *,
        command: Sequence[str] | None = None,
    ) -> None:
        """`command` is what is run instead of talm's own."""
        self._command = command or (
            *(sys.executable, "-P", "-m", "talm_core"),
            *("--play", "--workspace", str(workspace)),
        )
        self._tell = tell
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """A child is there to answer."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._process.pid if self._process is not None else None

    def ask(self, lanes: Mapping[int, SampleConfig]) -> None:
        """Continue these prompts, all at once; what is being written is ended. What comes back
        carries the number each has here: give every text one of its own, above 0, and nothing
        that comes late can be taken for another's.

        Raises:
            OSError: no child can be started.
        """
        if not self.alive:
            self._start()
        request = [
            {"lane": lane, "settings": config.model_dump(mode="json")}
            for lane, config in lanes.items()
        ]
        line = json.dumps(request).encode() + b"\n"
        try:
            self._write(line)
        except OSError:
            # It died between the look and the write.
            self._start()
            self._write(line)

    def stop(self) -> None:
        """End what is being written; the model stays loaded."""
        if self.alive:
            with contextlib.suppress(OSError):
                self._write(b"\n")

    def close(self) -> None:
        """End the child."""
        process, self._process = self._process, None
        if process is None:
            return
        _hang_up(process)
        # It may be in the middle of a long text.
        with contextlib.suppress(OSError):
            process.terminate()

    def _write(self, data: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def _start(self) -> None:
        self.close()
        errors = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        except OSError:
            errors.close()
            raise
        threading.Thread(
            target=self._listen, args=(self._process, errors), name="play", daemon=True
        ).start()

    def _listen(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        assert process.stdout is not None
        rest = b""
        with process.stdout, errors:
            descriptor = process.stdout.fileno()
            while chunk := os.read(descriptor, _READ_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                records = [record for line in lines if (record := decode(line)) is not None]
                if records and process is self._process:
                    self._tell(Heard(records))
                # What comes meanwhile is read at once afterwards: a batch, not a message a token.
                time.sleep(_BATCH_SECONDS)
            code = process.wait()
            _hang_up(process)
            if process is self._process:
                self._process = None
                self._tell(Heard([], died=_last_line(errors) or f"it ended with code {code}"))


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    # What could not be written to a child that is gone is of no interest.
    with contextlib.suppress(OSError):
        process.stdin.close()


def _last_line(errors: IO[bytes]) -> str:
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - 8192))
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
