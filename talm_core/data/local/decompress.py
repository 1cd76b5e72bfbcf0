"""Files as streams of bytes: counted as they are read, unpacked where zstd packed them."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import IO, Any

# Compressed bytes given to the decompressor at once. What comes out of so few stays small even
# for a file made to explode.
_ZSTD_BYTES = 1 << 13


class Counted(io.RawIOBase):
    """A file's bytes; `passed` is told how many were read each time."""

    def __init__(self, file: IO[bytes], passed: Callable[[int], None]) -> None:
        super().__init__()
        self._file = file
        self._passed = passed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._passed(len(data))
        return len(data)

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


class Zstd(io.RawIOBase):
    """The unpacked bytes of one or more zstd frames. The library's own reader takes the end of a
    file within a frame for the end of the text."""

    def __init__(self, file: io.RawIOBase) -> None:
        import zstandard

        super().__init__()
        # Frames may refer back as far as zstd's --long=31 allows.
        self._frames = zstandard.ZstdDecompressor(max_window_size=2**31)
        self._error = zstandard.ZstdError
        self._frame: Any = None
        self._file = file
        self._packed = self._ready = b""
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._at == len(self._ready):
            if not self._more():
                return 0
        part = self._ready[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def _more(self) -> bool:
        """Unpack the next bytes, which may give none; False at the end."""
        packed = self._packed or self._file.read(_ZSTD_BYTES) or b""
        self._packed, self._ready, self._at = b"", b"", 0
        if not packed:
            if self._frame is not None:
                raise EOFError("it ends in the middle")
            return False
        if self._frame is None:
            self._frame = self._frames.decompressobj()
        try:
            self._ready = self._frame.decompress(packed)
        except self._error as error:
            raise zlib.error(str(error)) from None
        if self._frame.eof:
            self._packed = self._frame.unused_data
            self._frame = None
        return True
