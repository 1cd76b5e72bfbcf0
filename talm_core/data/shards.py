"""Token shards: `{train,val}_{n:06d}.npy`, one-dimensional arrays of token ids.

`uint16` where the vocabulary fits, else `uint32`, little-endian, in numpy's own format: any
program that reads `.npy` reads them. A document begins with the end-of-text token and may end in
the next shard.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from talm_core.data.manifest import Shard, Split
from talm_core.errors import ArtifactError, Problem
from talm_core.publish import new_file

Tokens = npt.NDArray[np.unsignedinteger[Any]]
DType = Literal["uint16", "uint32"]

_HASH_BYTES = 1 << 22


def dtype_for(n_vocab: int) -> DType:
    """The smallest type that holds ids below `n_vocab`."""
    return "uint16" if n_vocab <= 1 << 16 else "uint32"


def shard_file(split: str, number: int) -> str:
    """The name of a split's `number`th shard, counted from 1."""
    return f"{split}_{number:06d}.npy"


class ShardWriter:
    """Turns a stream of token ids into shards of one split, each published when it is full.

    Use it as a context: the last shard is published when the block ends without an error, and
    removed when it does not.
    """

    def __init__(
        self,
        directory: Path,
        split: Split,
        *,
        shard_size: int,
        token_bytes: npt.NDArray[np.int64],
        end_of_text: int,
        dtype: DType,
        first: int = 1,
    ) -> None:
        """Write shards of `shard_size` tokens, numbered from `first`. `token_bytes` is how many
        bytes of text each id stands for."""
        self.shards: list[Shard] = []
        self._directory = directory
        self._split: Split = split
        self._size = shard_size
        self._token_bytes = token_bytes
        self._end_of_text = end_of_text
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._number = first
        self._stack = ExitStack()
        self._file: BinaryIO | None = None
        self._path = directory
        self._tokens = self._documents = self._bytes = 0

    @property
    def tokens(self) -> int:
        """How many tokens were written so far."""
        return sum(shard.tokens for shard in self.shards) + self._tokens

    def write(self, tokens: Tokens) -> None:
        """Append token ids, in as many shards as that takes."""
        while len(tokens):
            part = tokens[: self._size - self._tokens]
            tokens = tokens[len(part) :]
            if self._file is None:
                self._open()
            assert self._file is not None
            self._file.write(part.astype(self._dtype, copy=False).data)
            self._tokens += len(part)
            self._documents += int(np.count_nonzero(part == self._end_of_text))
            self._bytes += int(self._token_bytes[part].sum())
            if self._tokens == self._size:
                self.close()

    def close(self) -> None:
        """Publish the shard that is being written, if there is one."""
        if self._file is None:
            return
        self._file.seek(0)
        self._file.write(_header(self._dtype, self._tokens))
        self._file.close()
        self._file = None
        digest = sha256(self._path)
        self._stack.close()
        self.shards.append(
            Shard(
                file=shard_file(self._split, self._number),
                split=self._split,
                tokens=self._tokens,
                documents=self._documents,
                bytes=self._bytes,
                sha256=digest,
            )
        )
        self._number += 1
        self._tokens = self._documents = self._bytes = 0

    def _open(self) -> None:
        target = self._directory / shard_file(self._split, self._number)
        self._path = self._stack.enter_context(new_file(target))
        self._file = self._path.open("wb")
        # The length is known only at the end; the header has the same size for any.
        self._file.write(_header(self._dtype, 0))

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        if kind is None:
            self.close()
        elif self._file is not None:
            self._file.close()
            self._file = None
            self._stack.__exit__(kind, *rest)


def open_shard(directory: Path, shard: Shard, *, dtype: str) -> Tokens:
    """A shard's token ids, memory-mapped and read-only.

    Raises:
        ArtifactError: the file is missing or is not what the manifest says.
    """
    path = directory / shard.file
    try:
        tokens = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise _damage(path, "is missing") from None
    except (OSError, ValueError, EOFError) as error:
        raise _damage(path, f"is damaged: {error}") from None
    expected = np.dtype(dtype).newbyteorder("<")
    if tokens.shape != (shard.tokens,) or tokens.dtype != expected:
        message = (
            f"holds {tokens.shape} ids of {tokens.dtype}, the manifest says"
            f" {(shard.tokens,)} of {expected}"
        )
        raise _damage(path, message)
    # A plain view: slicing an `np.memmap` costs ten times as much.
    plain: Tokens = tokens.view(np.ndarray)
    return plain


def check_shards(directory: Path, shards: Iterable[Shard]) -> None:
    """Compare whole files with their checksums.

    Raises:
        ArtifactError: every file that differs.
    """
    problems = []
    for shard in shards:
        path = directory / shard.file
        found = sha256(path)
        if found != shard.sha256:
            message = (
                f"is damaged: its checksum is {found[:12]}…, the manifest says {shard.sha256[:12]}…"
            )
            problems.append(Problem(str(path), message, hint="prepare the data again"))
    if problems:
        raise ArtifactError(*problems)


def sha256(path: Path) -> str:
    """The checksum of a file."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
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
