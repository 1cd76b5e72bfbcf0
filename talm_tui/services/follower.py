"""One thread's work: read what a run says and hand it to the screen in batches.

Of a long journal a sketch comes first, in a second or two: the newest of everything and every so
many steps. The whole is read behind it, and takes its place when it has been.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from talm_core.runtime import runner
from talm_core.runtime.events import Record
from talm_core.runtime.journal import FILE_NAME, JournalReader
from talm_core.runtime.runner import Status
from talm_core.runtime.skimming import JournalSkimmer
from talm_core.storage import artifact_files

BATCH_SECONDS = 0.25
BATCH_RECORDS = 250
LONG_BYTES = 4 * 1024 * 1024
"""From here on a journal takes a second and more to be read."""

_SKETCH_POINTS = 4096
_LOOK_SECONDS = 1.0
_CALM_SECONDS = 0.005
_PATIENCE_SECONDS = 0.5
_LOG_BYTES = 64 * 1024
_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Files:
    """What lies beside a journal: the end of the log, the config, checkpoints that are there."""

    log: str = ""
    config: str = ""
    checkpoints: frozenset[str] = frozenset()


class Records(Message):
    """New records of the run that is followed under `token`. `status` and `files` are None when
    nobody has looked since the last batch; `over` is true in the last one: no process works
    there any more. Those of a `sketch` come before the others and beside them, until in one of the
    others `whole` says that now all is there. Whoever gets it sets `taken` once nothing else waits
    for the screen: until then a long journal is read no further, so that it does not pile up and no
    key waits for it."""

    def __init__(
        self,
        token: int,
        directory: Path,
        records: list[Record],
        status: Status | None = None,
        files: Files | None = None,
        *,
        over: bool = False,
        sketch: bool = False,
        whole: bool = False,
    ) -> None:
        super().__init__()
        self.token = token
        self.directory = directory
        self.records = records
        self.status = status
        self.files = files
        self.over = over
        self.sketch = sketch
        self.whole = whole
        self.taken = threading.Event()


def _never() -> bool:
    return False


class Follower:
    """Follows a directory until its job has ended or `cancelled` says so. A long journal is
    sketched first, and then read while nobody is `busy`."""

    def __init__(
        self,
        token: int,
        directory: Path,
        post: Callable[[Records], object],
        cancelled: Callable[[], bool],
        busy: Callable[[], bool] = _never,
    ) -> None:
        self._token = token
        self._directory = directory
        self._post = post
        self._cancelled = cancelled
        self._busy = busy
        self._reader = JournalReader(directory)
        self._sketch: JournalSkimmer | None = None
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
        if self._size() >= LONG_BYTES:
            self._sketch = JournalSkimmer(self._directory, _SKETCH_POINTS)
            self._draw_on()
            self._catch_up()
        for record in runner.follow(self._directory, cancelled=self._between, reader=self._reader):
            self._add(record)
        if not self._cancelled():
            self._look()
            self._flush(over=True)

    def _size(self) -> int:
        try:
            return (self._directory / FILE_NAME).lstat().st_size
        except OSError:
            return 0

    def _draw_on(self) -> None:
        """Post what the sketch does not have yet."""
        assert self._sketch is not None
        records: list[Record] = []
        while not self._cancelled() and (new := self._sketch.read_new()):
            records += new
            if len(records) >= BATCH_RECORDS:
                self._post_sketch(records)
                records = []
        if records:
            self._post_sketch(records)

    def _post_sketch(self, records: list[Record]) -> None:
        message = Records(self._token, self._directory, records, sketch=True)
        self._post(message)
        if len(records) >= BATCH_RECORDS:
            message.taken.wait(_PATIENCE_SECONDS)

    def _catch_up(self) -> None:
        """Read the whole up to its end."""
        while not self._cancelled():
            self._wait_until_calm()
            records = self._reader.read_new()
            if not records:
                self._sketch = None
                self._flush(whole=True)
                return
            for record in records:
                if self._between():
                    return
                self._add(record)

    def _wait_until_calm(self) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._busy() and time.monotonic() < deadline and not self._cancelled():
            time.sleep(_CALM_SECONDS)

    def _add(self, record: Record) -> None:
        self._batch.append(record)
        if len(self._batch) >= BATCH_RECORDS:
            self._flush()

    def _between(self) -> bool:
        """Asked for each record and ten times a second while there are none: the moments at
        which a batch may be due."""
        now = time.monotonic()
        if now - self._posted >= BATCH_SECONDS:
            if now - self._looked >= _LOOK_SECONDS:
                self._look()
            if self._batch or self._status or self._files:
                self._flush()
            if self._sketch is not None:
                self._draw_on()
            self._posted = now
        return self._cancelled()

    def _flush(self, *, over: bool = False, whole: bool = False) -> None:
        message = Records(
            self._token,
            self._directory,
            self._batch,
            self._status,
            self._files,
            over=over,
            whole=whole,
        )
        self._post(message)
        if len(self._batch) >= BATCH_RECORDS:
            # Reading on would take the interpreter from the thread that draws.
            message.taken.wait(_PATIENCE_SECONDS)
        self._batch, self._status, self._files = [], None, None
        self._posted = time.monotonic()

    def _look(self) -> None:
        self._status = runner.status(self._directory)
        self._files = Files(
            log=self._read_log(),
            config=_text(self._directory / runner.CONFIG_FILE),
            checkpoints=frozenset(_checkpoints(self._directory)),
        )
        self._looked = time.monotonic()

    def _read_log(self) -> str:
        path = self._directory / runner.LOG_FILE
        try:
            state = path.lstat()
        except OSError:
            return ""
        sign = (state.st_mtime, state.st_size, state.st_ino)
        if sign != self._log_sign:
            self._log_sign, self._log = sign, _text(path, tail=_LOG_BYTES)
        return self._log


def _checkpoints(directory: Path) -> list[str]:
    try:
        return [
            entry.name
            for entry in os.scandir(directory)
            if entry.name.startswith("checkpoint-") and entry.is_dir(follow_symlinks=False)
        ]
    except OSError:
        return []


def _text(path: Path, *, tail: int | None = None) -> str:
    """A file's text, or its last `tail` bytes from the first whole line on; empty if unreadable."""
    try:
        with artifact_files.reading(path) as file:
            if tail is None:
                return file.read(_CONFIG_BYTES).decode("utf-8", "replace")
            begin = max(0, file.seek(0, os.SEEK_END) - tail)
            file.seek(begin)
            data = file.read()
    except OSError:
        return ""
    text = data.decode("utf-8", "replace")
    return text[text.find("\n") + 1 :] if begin else text
