"""Token shards: `{train,val}_{n:06d}.npy`, one-dimensional arrays of token ids.

`uint16` where the vocabulary fits, else `uint32`, little-endian, in numpy's own format: any
program that reads `.npy` reads them. A document begins with the end-of-text token and may end in
the next shard.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import resource
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from talm_core.data.manifest import Shard, Split
from talm_core.errors import ArtifactError, Problem, RunError
from talm_core.storage import artifact_files
from talm_core.storage.artifact_files import UnsafeFileError
from talm_core.storage.atomic import new_file

Tokens = npt.NDArray[np.unsignedinteger[Any]]
DType = Literal["uint16", "uint32"]

_HASH_BYTES = 1 << 22

# A file is sent to the disk as it grows, so that publishing a large one takes no long moment.
_SYNC_BYTES = 1 << 25


def dtype_for(n_vocab: int) -> DType:
    """The smallest type that holds ids below `n_vocab`."""
    return "uint16" if n_vocab <= 1 << 16 else "uint32"


def shard_file(split: str, number: int) -> str:
    """The name of a split's `number`th shard, counted from 1."""
    return f"{split}_{number:06d}.npy"


class ShardWriter:
    """Turns a stream of token ids into shards, each published when it is full.

    Use it as a context: the last shard is published when the block ends without an error, and
    removed when it does not.
    """

    def __init__(
        self,
        directory: Path,
        names: Iterator[tuple[Split, int]],
        *,
        shard_size: int,
        token_bytes: npt.NDArray[np.int64],
        end_of_text: int,
        dtype: DType,
    ) -> None:
        """Write shards of `shard_size` tokens; `names` gives the split and number of each.
        `token_bytes` is how many bytes of text each id stands for."""
        self.shards: list[Shard] = []
        self._directory = directory
        self._names = names
        self._size = shard_size
        self._token_bytes = token_bytes
        self._end_of_text = end_of_text
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._growing: _Growing | None = None

    @property
    def tokens(self) -> int:
        """How many tokens were written so far."""
        return sum(shard.tokens for shard in self.shards) + (
            self._growing.tokens if self._growing else 0
        )

    @property
    def text_bytes(self) -> int:
        """How many bytes of text the tokens so far stand for."""
        return sum(shard.bytes for shard in self.shards) + (
            self._growing.bytes if self._growing else 0
        )

    @property
    def documents(self) -> int:
        """How many documents began in the tokens so far."""
        return sum(shard.documents for shard in self.shards) + (
            self._growing.documents if self._growing else 0
        )

    @property
    def room(self) -> int:
        """How many more tokens fill the shard that comes next."""
        return self._size - (self._growing.tokens if self._growing else 0)

    def write(self, tokens: Tokens) -> None:
        """Append token ids, in as many shards as that takes."""
        while len(tokens):
            part, tokens = tokens[: self.room], tokens[self.room :]
            if self._growing is None:
                self._growing = _Growing(self._directory, *next(self._names), self._header(None))
            growing = self._growing
            growing.append(np.ascontiguousarray(part, self._dtype))
            growing.documents += int(np.count_nonzero(part == self._end_of_text))
            growing.bytes += int(self._token_bytes[part].sum())
            if self.room == 0:
                self.close()

    def close(self) -> None:
        """Publish the shard that is being written, if there is one."""
        if self._growing is not None:
            full = self.room == 0
            header = None if full else self._header(self._growing.tokens)
            self.shards.append(self._growing.publish(header))
            self._growing = None

    def _header(self, length: int | None) -> bytes:
        return _header(self._dtype, self._size if length is None else length)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        elif self._growing is not None:
            self._growing.discard()
            self._growing = None


class _Growing:
    """A shard that is being written, under a temporary name."""

    def __init__(self, directory: Path, split: Split, number: int, header: bytes) -> None:
        """`header` is that of a full shard: most become full. It has the same size for any
        length, so that the right one can be written over it."""
        self.tokens = self.documents = self.bytes = 0
        self._split: Split = split
        self._name = shard_file(split, number)
        self._stack = ExitStack()
        self._path = self._stack.enter_context(new_file(directory / self._name))
        self._file = self._path.open("wb")
        self._file.write(header)
        self._digest = hashlib.sha256(header)
        self._unsynced = 0

    def append(self, tokens: Tokens) -> None:
        self._file.write(tokens.data)
        self._digest.update(tokens.data)
        self.tokens += len(tokens)
        self._unsynced += tokens.nbytes
        if self._unsynced >= _SYNC_BYTES:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._unsynced = 0

    def publish(self, header: bytes | None) -> Shard:
        """Rename the file into place; a `header` replaces the one it has."""
        if header is not None:
            self._file.seek(0)
            self._file.write(header)
        self._file.close()
        digest = self._digest.hexdigest() if header is None else sha256(self._path)
        self._stack.close()
        return Shard(
            file=self._name,
            split=self._split,
            tokens=self.tokens,
            documents=self.documents,
            bytes=self.bytes,
            sha256=digest,
        )

    def discard(self) -> None:
        # On a full disk what is left in the buffer cannot be written either.
        with suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)


def open_shard(directory: Path, shard: Shard, *, dtype: str) -> Tokens:
    """A shard's token ids, memory-mapped and read-only.

    Raises:
        ArtifactError: the file is missing or is not what the manifest says.
        RunError: the system cannot read it now; what is in it may be in order.
    """
    path = directory / shard.file
    with _opened(path) as file:
        kind = _require_header(file, path, shard, dtype)
        mapped = np.memmap(file, kind, "r", offset=file.tell(), shape=(shard.tokens,))
    # A plain view: slicing an `np.memmap` costs ten times as much.
    plain: Tokens = mapped.view(np.ndarray)
    return plain


def require_shard(directory: Path, shard: Shard, *, dtype: str) -> None:
    """Check that a shard is there and as long as it should be. Raises as `open_shard`."""
    path = directory / shard.file
    with _opened(path) as file:
        _require_header(file, path, shard, dtype)


def _require_header(file: IO[bytes], path: Path, shard: Shard, dtype: str) -> np.dtype[Any]:
    """Read a shard's header, up to where its ids begin; returns their type."""
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(file)
        if version not in read:
            raise ValueError(f"version {version} of numpy's format")
        shape, _, found = read[version](file)
        if found.hasobject:
            raise ValueError("it holds Python objects")
    except (ValueError, EOFError) as error:
        raise _damage(path, f"is damaged: {error}") from None
    expected = np.dtype(dtype).newbyteorder("<")
    if shape != (shard.tokens,) or found != expected:
        message = f"holds {shape} ids of {found}, the manifest says {(shard.tokens,)} of {expected}"
        raise _damage(path, message)
    size = os.fstat(file.fileno()).st_size
    whole = file.tell() + shard.tokens * expected.itemsize
    if size < whole:
        raise _damage(path, f"is damaged: it has {size:,} bytes of {whole:,}")
    return expected


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """A shard's file; whatever the system says while it is read is told as what it is."""
    try:
        with artifact_files.reading(path) as file:
            yield file
    except FileNotFoundError:
        raise _damage(path, "is missing") from None
    except UnsafeFileError as error:
        raise ArtifactError(Problem(str(path), str(error.strerror))) from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> RunError:
    more = ""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        more = "; allow more open files with: ulimit -n 4096"
    return RunError(f"{path} cannot be read now: {error.strerror or error}{more}")


# Descriptors left to everything else: libraries, sockets, other processes' pipes.
_SPARE_DESCRIPTORS = 256
_FEWEST_MAPS = 16
_MOST_MAPS = 8192


def maps_at_once(wanted: int) -> int:
    """How many of `wanted` shards may be mapped at a time: each map holds a descriptor. The
    process is allowed more of them for it, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    needed = min(wanted, _MOST_MAPS) + _SPARE_DESCRIPTORS
    if soft not in (unlimited, -1) and soft < needed:
        more = needed if hard in (unlimited, -1) else min(needed, hard)
        # A system may have another limit still; then it stays as it is.
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            soft = more
        # Not all of what is free: the validation part is mapped beside it.
        return max(_FEWEST_MAPS, min(wanted, (soft - _SPARE_DESCRIPTORS) // 2))
    return wanted


def check_shards(directory: Path, shards: Iterable[Shard]) -> None:
    """Compare whole files with their checksums.

    Raises:
        ArtifactError: every file that differs.
        RunError: the system cannot read one now.
    """
    problems = []
    for shard in shards:
        path = directory / shard.file
        with _opened(path) as file:
            found = _digest(file)
        if found != shard.sha256:
            message = (
                f"is damaged: its checksum is {found[:12]}…, the manifest says {shard.sha256[:12]}…"
            )
            problems.append(Problem(str(path), message, hint="prepare the data again"))
    if problems:
        raise ArtifactError(*problems)


def beginning_sha256(directory: Path, shard: Shard, tokens: int, *, dtype: str) -> str:
    """The checksum a shard's file would have if it ended after its first `tokens`. Raises as
    `open_shard`."""
    ids = open_shard(directory, shard, dtype=dtype)[:tokens]
    digest = hashlib.sha256(_header(ids.dtype, tokens))
    step = _HASH_BYTES // ids.itemsize
    for start in range(0, tokens, step):
        digest.update(np.ascontiguousarray(ids[start : start + step]).data)
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """The checksum of a file."""
    with artifact_files.reading(path) as file:
        return _digest(file)


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while part := file.read(_HASH_BYTES):
        digest.update(part)
    return digest.hexdigest()


def _header(dtype: np.dtype[Any], length: int) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": dtype.str, "fortran_order": False, "shape": (length,)}
    )
    return file.getvalue()


def _damage(path: Path, message: str) -> ArtifactError:
    return ArtifactError(Problem(str(path), message, hint="prepare the data again"))
