"""The append-only record of a job: `events.jsonl`, one event a line.

A writer appends whole lines in single writes; a process killed in the middle leaves a torn last
line, which the next writer closes off and every reader skips. A reader remembers where it is and
reads only what is new, so following a long run costs what is added, not what is there.
"""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Self, TypeVar

from talm_core.runtime.event_json import decode, to_json
from talm_core.runtime.events import Event, Record
from talm_core.storage import artifact_files

FILE_NAME = "events.jsonl"
_TAIL_BYTES = 64 * 1024
_FAR_BYTES = 1024 * 1024
# What a disk refuses now and may take later.
_REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
_READ_BYTES = 64 * 1024
_MOST_WAITING = 10_000  # events, a few megabytes
_MOST_STEP = 16 << 20

# What bounds the memory a stranger's journal can take. The longest line talm writes is a sample.
_MOST_LINE = 16 << 20
_MOST_SKIPPED = 64 << 20


class JournalWriter:
    """Appends events to a directory's journal. Only the holder of its lock may."""

    def __init__(self, directory: Path) -> None:
        path = directory / FILE_NAME
        self.failure: OSError | None = None
        """Why what was said last is not written down; nothing while all is."""
        self._descriptor = artifact_files.open_own(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        size = os.fstat(self._descriptor).st_size
        self._waiting: deque[bytes] = deque()
        self._torn = size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"

    def write(self, event: Event) -> None:
        """Append one event with the time of now. What the disk refuses, such as a full one, waits
        in memory for the next one that it takes."""
        self._waiting.append(to_json(event, time=time.time()).encode() + b"\n")
        self._write_waiting()
        if self.failure is not None and len(self._waiting) > _MOST_WAITING:
            raise self.failure

    def _write_waiting(self) -> None:
        self.failure = None
        try:
            while self._waiting:
                self._append(self._waiting[0])
                self._waiting.popleft()
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            self.failure = error

    def _append(self, line: bytes) -> None:
        if self._torn:
            line = b"\n" + line
        # Until all of it is there: on a full disk a part may be.
        self._torn = True
        while line:
            line = line[os.write(self._descriptor, line) :]
        self._torn = False

    def close(self) -> None:
        """Write what still waits and close the file; twice is harmless."""
        if self._descriptor >= 0:
            self._write_waiting()
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class JournalReader:
    """Reads a directory's journal from its start, a part at a time; with `last`, from so many bytes
    before its end."""

    part_bytes = 0  # 0: as usual

    def __init__(self, directory: Path, *, last: int | None = None) -> None:
        self.path = directory / FILE_NAME
        self._last = last
        self.fault = ""  # why nothing more is read of a file that no talm wrote
        self._offset = 0
        self._rest = bytearray()
        self._skipped = 0
        self._file: tuple[int, int] | None = None
        self._size = 0

    def read_new(self) -> list[Record]:
        """Records since the last call, at most two or three hundred at once; empty only when there
        is nothing new, or the file is gone or not there yet. A file that took the place of the one
        read before is read from its start."""
        try:
            with artifact_files.reading(self.path) as file:
                self._look(os.fstat(file.fileno()))
                file.seek(self._offset)
                while not self.fault and (chunk := file.read(self.part_bytes or _READ_BYTES)):
                    if records := self._split(chunk):
                        return records
        except OSError:
            pass
        return []

    def _look(self, stat: os.stat_result) -> None:
        identity = (stat.st_dev, stat.st_ino)
        if self._file not in (None, identity) or stat.st_size < self._offset:
            self._offset = self._skipped = 0
            self._rest.clear()
            self.fault = ""
        if self._file is None and self._last is not None:
            self._offset = max(0, stat.st_size - self._last)
        self._file = identity
        self._size = stat.st_size

    def _split(self, chunk: bytes) -> list[Record]:
        self._offset += len(chunk)
        *lines, tail = chunk.split(b"\n")
        if not lines:
            self._keep(tail)
            return []
        if self._rest:
            lines[0] = bytes(self._rest) + lines[0]
        if self._skipped:
            del lines[0]
        self._rest.clear()
        self._skipped = 0
        self._keep(tail)
        return self._decode(lines)

    def _keep(self, part: bytes) -> None:
        """Hold the beginning of a line until its end comes, unless it is none that talm wrote."""
        if self._skipped or len(self._rest) + len(part) > _MOST_LINE:
            self._skipped += len(self._rest) + len(part)
            self._rest.clear()
            if self._skipped > _MOST_SKIPPED:
                self.fault = f"{FILE_NAME} has a line of more than {_MOST_SKIPPED:,} bytes"
        else:
            self._rest += part

    def _decode(self, lines: list[bytes]) -> list[Record]:
        return [record for line in lines if (record := decode(line)) is not None]

    def read_all(self) -> list[Record]:
        """Every record up to the end of the file."""
        records: list[Record] = []
        while new := self.read_new():
            records += new
        return records


def last_record(directory: Path) -> Record | None:
    """The newest readable record, found from the end of the file."""
    return next(_backwards(directory), None)


E = TypeVar("E", bound=Event)


def last_of(directory: Path, kind: type[E], *, most: int | None = _FAR_BYTES) -> E | None:
    """The newest event of a kind, looked for in the last `most` bytes or some more; None: all."""
    for record in _backwards(directory, most=most):
        if isinstance(record.event, kind):
            return record.event
    return None


def _backwards(directory: Path, most: int | None = None) -> Iterator[Record]:
    """Readable records from the newest on, of the last `most` bytes or some more; None: of all."""
    try:
        with artifact_files.reading(directory / FILE_NAME) as file:
            end, size, rest = file.seek(0, os.SEEK_END), _TAIL_BYTES, b""
            start = end
            while start > 0 and (most is None or end - start < most):
                # A sample can be longer than the first part.
                stop, start = start, max(0, start - size)
                file.seek(start)
                rest, *lines = (file.read(stop - start) + rest).split(b"\n")
                for line in reversed(lines if start else [rest, *lines]):
                    if (record := decode(line)) is not None:
                        yield record
                if len(rest) > _MOST_LINE:
                    return
                size = min(16 * size, _MOST_STEP)
    except OSError:
        return
