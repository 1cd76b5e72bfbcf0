"""One thread's work: read what a run says and hand it to the screen in batches."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from talm_core import jobs
from talm_core.events import Record
from talm_core.jobs import Status

BATCH_SECONDS = 0.25
BATCH_RECORDS = 250
_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 0.5
_LOG_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Files:
    """What lies beside a journal: the end of the log, the config, checkpoints that are there."""

    log: str = ""
    config: str = ""
    checkpoints: frozenset[str] = frozenset()


class Records(Message):
    """New records of the run that is followed under `token`. `status` and `files` are None when
    nobody has looked since the last batch; `over` is true in the last one: no process works
    there any more. Whoever gets it sets `taken` once nothing else waits for the screen: until then
    a long journal is read no further, so that it does not pile up and no key waits for it."""

    def __init__(
        self,
        token: int,
        directory: Path,
        records: list[Record],
        status: Status | None = None,
        files: Files | None = None,
        *,
        over: bool = False,
    ) -> None:
        super().__init__()
        self.token = token
        self.directory = directory
        self.records = records
        self.status = status
        self.files = files
        self.over = over
        self.taken = threading.Event()


class Follower:
    """Follows a directory until its job has ended or `cancelled` says so."""

    def __init__(
        self,
        token: int,
        directory: Path,
        post: Callable[[Records], object],
        cancelled: Callable[[], bool],
    ) -> None:
        self._token = token
        self._directory = directory
        self._post = post
        self._cancelled = cancelled
        self._batch: list[Record] = []
        self._posted = self._looked = 0.0
        self._status: Status | None = None
        self._files: Files | None = None
        self._log_sign: tuple[float, ...] = ()
        self._log = ""

    def run(self) -> None:
        """Read and post; returns when there is no more to come."""
        self._look()
        self._flush()
        for record in jobs.follow(self._directory, cancelled=self._between):
            self._batch.append(record)
            if len(self._batch) >= BATCH_RECORDS:
                self._flush()
        if not self._cancelled():
            self._look()
            self._flush(over=True)

    def _between(self) -> bool:
        """Asked for each record and ten times a second while there are none: the moments at
        which a batch may be due."""
        now = time.monotonic()
        if now - self._posted >= BATCH_SECONDS:
            if now - self._looked >= _LOOK_SECONDS:
                self._look()
            if self._batch or self._status or self._files:
                self._flush()
            self._posted = now
        return self._cancelled()

    def _flush(self, *, over: bool = False) -> None:
        message = Records(
            self._token, self._directory, self._batch, self._status, self._files, over=over
        )
        self._post(message)
        if len(self._batch) >= BATCH_RECORDS:
            # Reading on would take the interpreter from the thread that draws.
            message.taken.wait(_PATIENCE_SECONDS)
        self._batch, self._status, self._files = [], None, None
        self._posted = time.monotonic()

    def _look(self) -> None:
        self._status = jobs.status(self._directory)
        self._files = Files(
            log=self._read_log(),
            config=_text(self._directory / jobs.CONFIG_FILE),
            checkpoints=frozenset(_checkpoints(self._directory)),
        )
        self._looked = time.monotonic()

    def _read_log(self) -> str:
        path = self._directory / jobs.LOG_FILE
        try:
            state = path.stat()
        except OSError:
            return ""
        sign = (state.st_mtime, state.st_size, state.st_ino)
        if sign != self._log_sign:
            self._log_sign, self._log = sign, _text(path, tail=_LOG_BYTES)
        return self._log


def has_checkpoint(directory: Path) -> bool:
    """Whether a model that can be prompted lies in a run's directory."""
    return bool(_checkpoints(directory))


def _checkpoints(directory: Path) -> list[str]:
    try:
        return [
            entry.name
            for entry in os.scandir(directory)
            if entry.name.startswith("checkpoint-") and entry.is_dir()
        ]
    except OSError:
        return []


def _text(path: Path, *, tail: int | None = None) -> str:
    """A file's text, or its last `tail` bytes from the first whole line on; empty if unreadable."""
    try:
        with path.open("rb") as file:
            if tail is None:
                return file.read().decode("utf-8", "replace")
            begin = max(0, file.seek(0, os.SEEK_END) - tail)
            file.seek(begin)
            data = file.read()
    except OSError:
        return ""
    text = data.decode("utf-8", "replace")
    return text[text.find("\n") + 1 :] if begin else text
