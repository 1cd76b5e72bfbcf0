"""A file on the network as far as it was read, kept on the disk.

A parquet file of the Hub has up to several gigabytes; a job that wants a hundred million tokens,
or resumes in the middle, needs a part of it. Files are therefore fetched in blocks, each when it
is read or a little before, into a sparse file beside a map of which blocks are there. What was
fetched once is not fetched again: not after a kill, not by the next job that reads the same.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from talm_core.data.hub.network import Network, Workers, wait_for

BLOCK_BYTES = 8 << 20

_WAIT_SECONDS = 0.1


class Blocks:
    """The blocks of one file of `size` bytes at `path`; `fetch(start, stop)` gets its bytes.

    Threads may ask for the same block: one fetches it, the others wait.
    """

    def __init__(
        self,
        path: Path,
        size: int,
        fetch: Callable[[int, int], bytes],
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
        self._paths = path, path.with_name(f"{path.name}.{BLOCK_BYTES}")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        for each in self._paths:
            self._open.append(os.open(each, flags, 0o644))
        self._file, self._map = self._open
        if os.fstat(self._file).st_size != size:
            os.ftruncate(self._map, 0)
            os.ftruncate(self._file, size)
        self._here = bytearray(os.pread(self._map, self.count, 0).ljust(self.count, b"\0"))
        self._coming: dict[int, threading.Event] = {}
        self._lock = threading.Lock()

    @property
    def missing(self) -> int:
        """How many bytes were not fetched yet."""
        return self.size - sum(
            min(BLOCK_BYTES, self.size - index * BLOCK_BYTES)
            for index in range(self.count)
            if self._here[index]
        )

    def need(self, index: int) -> None:
        """See to it that a block is here."""
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
        if self._here[index]:
            return
        start = index * BLOCK_BYTES
        data = self._fetch(start, min(start + BLOCK_BYTES, self.size))
        _write(self._file, data, start)
        # In this order also on the disk: no block is in the map that is not in the file.
        os.fdatasync(self._file) if hasattr(os, "fdatasync") else os.fsync(self._file)
        _write(self._map, b"\1", index)
        self._here[index] = 1

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
