"""A file on the network as far as it was read, kept on the disk.

A parquet file of the Hub has up to several gigabytes; a job that wants a hundred million tokens,
or resumes in the middle, needs a part of it. Files are therefore fetched in blocks, each when it
is read or a little before, into a sparse file beside a map of which blocks are there. What was
fetched once is not fetched again: not after a kill, not by the next job that reads the same.
"""

from __future__ import annotations

import fcntl
import io
import os
import stat
import struct
import threading
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from talm_core.data.hub.network import Network, Workers, wait_for

BLOCK_BYTES = 8 << 20

_WAIT_SECONDS = 0.1

_ETAG_BYTES = 256

# Blocks that are fetched before they are read.
_AHEAD = 4


class ChangedError(Exception):
    """The file is another than the one whose blocks are here: `before` and `now` are the etags."""

    def __init__(self, before: str, now: str) -> None:
        self.before, self.now = before, now
        super().__init__(f"{before} became {now}")


class Blocks:
    """The blocks of one file of `size` bytes at `path`; `fetch(start, stop)` gets its bytes, and
    the etag of the file that they are of.

    Threads may ask for the same block: one fetches it, the others wait. All blocks are of one etag.
    Beside the file lies a map: that etag, then the checksum of each block that is here.
    """

    def __init__(
        self,
        path: Path,
        size: int,
        fetch: Callable[[int, int], tuple[bytes, str]],
        network: Network,
        workers: Workers,
    ) -> None:
        self._open: list[int] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self.size = size
        self.count = -(-size // BLOCK_BYTES)
        self._fetch = fetch
        self._network = network
        self._workers = workers
        # Another size of blocks is another map.
        self._paths = path, path.with_name(f"{path.name}.{BLOCK_BYTES}.map")
        self._file, self._map = self._opened()
        self.etag, self._sums = self._kept()
        if not self.etag or os.fstat(self._file).st_size != size:
            # Nothing tells of what these are. Another process may read them: they are replaced.
            self.remove()
            self._file, self._map = self._opened()
            os.ftruncate(self._file, size)
            self.etag, self._sums = "", [0] * self.count
        self._agreed = bool(self.etag)
        self._here = bytearray(self.count)
        self._coming: dict[int, threading.Event] = {}
        self._lock = threading.Lock()

    def _opened(self) -> tuple[int, int]:
        """The file and its map, which are ours alone: what else lies there makes way."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        for path in self._paths:
            with suppress(FileNotFoundError):
                found = path.lstat()
                if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                    path.unlink()
            self._open.append(os.open(path, flags, 0o644))
        return self._open[-2], self._open[-1]

    def _kept(self) -> tuple[str, list[int]]:
        """The etag and the checksums of the map; 0 is a block that is not here."""
        data = os.pread(self._map, _ETAG_BYTES + 4 * self.count, 0)
        sums = data[_ETAG_BYTES:].ljust(4 * self.count, b"\0")
        etag = data[:_ETAG_BYTES].rstrip(b"\0").decode("utf-8", "replace")
        return etag, list(struct.unpack(f"<{self.count}I", sums))

    @property
    def missing(self) -> int:
        """How many bytes were not fetched yet."""
        return self.size - sum(
            min(BLOCK_BYTES, self.size - index * BLOCK_BYTES)
            for index in range(self.count)
            if self._sums[index]
        )

    def need(self, index: int) -> None:
        """See to it that a block is here.

        Raises:
            ChangedError: the file is another than the one whose blocks are here.
        """
        while not self._here[index]:
            with self._lock:
                coming = self._coming.get(index)
                mine = coming is None
                if mine:
                    coming = self._coming[index] = threading.Event()
            assert coming is not None
            if mine:
                try:
                    self._get(index)
                finally:
                    with self._lock:
                        del self._coming[index]
                    coming.set()
            while not coming.wait(_WAIT_SECONDS):
                self._network.check()

    def _get(self, index: int) -> None:
        start = index * BLOCK_BYTES
        stop = min(start + BLOCK_BYTES, self.size)
        # What an earlier process left may have been damaged since.
        if (
            self._sums[index]
            and _sum(os.pread(self._file, stop - start, start)) == self._sums[index]
        ):
            self._here[index] = 1
            return
        data, etag = self._fetch(start, stop)
        self._agree(etag)
        _write(self._file, data, start)
        # In this order also on the disk: no block is in the map that is not in the file.
        os.fdatasync(self._file) if hasattr(os, "fdatasync") else os.fsync(self._file)
        self._sums[index] = _sum(data)
        _write(self._map, struct.pack("<I", self._sums[index]), _ETAG_BYTES + 4 * index)
        self._here[index] = 1

    def _agree(self, etag: str) -> None:
        """Take a block of this etag as one of the file, or refuse it."""
        with self._lock:
            if not self._agreed:
                # Another process may have come first with the same file.
                fcntl.flock(self._map, fcntl.LOCK_EX)
                self.etag = self._kept()[0] or etag
                _write(self._map, self.etag.encode().ljust(_ETAG_BYTES, b"\0"), 0)
                fcntl.flock(self._map, fcntl.LOCK_UN)
                self._agreed = True
            if etag != self.etag:
                # Whoever comes next begins anew; another process may still read what there was.
                self.remove()
                raise ChangedError(self.etag, etag)

    def _wait(self, index: int) -> None:
        """Have a block fetched by another thread: this one may be in the midst of a library's
        machine code and must not be caught there by the end of the process."""
        if not self._here[index]:
            future = self._workers.submit(partial(self.need, index))
            while not wait_for(future):
                self._network.check()
            future.result()

    def read(self, start: int, count: int) -> bytes:
        """Bytes from `start` on; fewer at the end of the file."""
        stop = min(start + count, self.size)
        if stop <= start:
            return b""
        for index in range(start // BLOCK_BYTES, (stop - 1) // BLOCK_BYTES + 1):
            self._wait(index)
        return os.pread(self._file, stop - start, start)

    def __del__(self) -> None:
        # Only now: no thread that still fetches may write into what another file has become.
        for file in self._open:
            os.close(file)

    def remove(self) -> None:
        """Give its place on the disk back."""
        for path in self._paths:
            path.unlink(missing_ok=True)


def _sum(data: bytes) -> int:
    """A checksum that is never 0."""
    return zlib.crc32(data) or 1


def _write(file: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, at)
        view, at = view[written:], at + written


class BlockReader(io.RawIOBase):
    """Blocks as a file that libraries read. `reading` is told which block is wanted now."""

    def __init__(self, blocks: Blocks, reading: Callable[[int], None] = lambda _: None) -> None:
        super().__init__()
        self._blocks = blocks
        self._reading = reading
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._blocks.size}[whence]
        self._at = base + offset
        return self._at

    def size(self) -> int:
        return self._blocks.size

    def read(self, size: int = -1, /) -> bytes:
        count = self._blocks.size - self._at if size is None or size < 0 else size
        self._reading(self._at // BLOCK_BYTES)
        data = self._blocks.read(self._at, count)
        self._at += len(data)
        return data

    def readinto(self, buffer: object, /) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)


def covering(ranges: Iterable[tuple[int, int]]) -> list[int]:
    """The blocks that hold these ranges of bytes, in order."""
    found: dict[int, None] = {}
    for start, stop in ranges:
        for index in range(start // BLOCK_BYTES, max(start, stop - 1) // BLOCK_BYTES + 1):
            found[index] = None
    return list(found)


class Window:
    """Has the blocks fetched that a reader is going to want next, then the next file's first."""

    def __init__(self, workers: Workers, blocks: Blocks, afterwards: Callable[[], None]) -> None:
        self._workers, self._blocks, self._afterwards = workers, blocks, afterwards
        self._wanted: list[int] = []
        self._places: dict[int, int] = {}
        self._asked = 0
        self._done = False

    def plan(self, wanted: list[int]) -> None:
        """Say which blocks are going to be read, in this order."""
        self._wanted = wanted
        self._places = {block: place for place, block in enumerate(wanted)}
        self.reading(wanted[0] if wanted else 0)

    def reading(self, block: int) -> None:
        """The reader has come to a block."""
        place = self._places.get(block)
        if place is None:
            return
        while self._asked < min(place + 1 + _AHEAD, len(self._wanted)):
            self._workers.submit(partial(self._blocks.need, self._wanted[self._asked]))
            self._asked += 1
        if self._asked == len(self._wanted) and not self._done:
            self._done = True
            self._workers.submit(self._afterwards)
