"""Files as streams of bytes: counted as they are read, unpacked where zstd packed them, and in
UTF-8 where they were written in UTF-16."""

from __future__ import annotations

import codecs
import io
import zlib
from collections.abc import Callable
from typing import IO, Any

# Compressed bytes given to the decompressor at once. What comes out of so few stays small even
# for a file made to explode.
_ZSTD_BYTES = 1 << 13
_RECODED_BYTES = 1 << 16


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


_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def marked(head: bytes) -> str:
    """The encoding other than UTF-8 that a byte order mark says a text is in; empty for none."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), "")


class Recoded(io.RawIOBase):
    """The bytes of a text in another encoding as UTF-8.

    Raises, while it is read:
        UnicodeDecodeError: it is not in that encoding, where `errors` is strict.
    """

    def __init__(self, file: IO[bytes], encoding: str, errors: str) -> None:
        super().__init__()
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._ended:
            block = self._file.read(_RECODED_BYTES)
            self._ended = not block
            self._ready = self._decoder.decode(block, final=not block).encode()
        part, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)
