"""What a preparation that was interrupted has finished: `unfinished.json`.

It is written after each shard of a large corpus and removed when the manifest is there. It says
where in the corpus the last complete shard ends; whatever lies beside those shards is swept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from talm_core.data.encoding import Encoded
from talm_core.data.manifest import FILE_NAME as MANIFEST
from talm_core.data.manifest import Shard
from talm_core.data.shards import open_shard
from talm_core.errors import ArtifactError
from talm_core.publish import write_text

FILE_NAME = "unfinished.json"

Count = Annotated[int, Field(ge=0)]


class Unfinished(BaseModel):
    """Complete shards, and where to go on: after `tokens` tokens of the document with the number
    `document`. `train_end` is how many tokens come before the documents that a small corpus keeps
    for validation, None while they have not been reached. `fingerprint` tells whether it is about
    the same corpus, tokenizer and settings."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: Literal[1] = 1
    fingerprint: str
    dtype: Literal["uint16", "uint32"]
    shards: list[Shard] = []
    document: Count = 0
    tokens: Count = 0
    train_end: Count | None = None

    _directory: Path = PrivateAttr()

    @classmethod
    def load(cls, directory: Path, *, fingerprint: str, dtype: Literal["uint16", "uint32"]) -> Self:
        """What is there to go on with. Where that is nothing, or something else, the directory is
        cleared of it."""
        found = cls._read(directory / FILE_NAME)
        if (
            found is None
            or (found.fingerprint, found.dtype) != (fingerprint, dtype)
            or (directory / MANIFEST).exists()
            or not found.complete(directory)
        ):
            found = cls(fingerprint=fingerprint, dtype=dtype)
        found._directory = directory
        (directory / MANIFEST).unlink(missing_ok=True)
        found._sweep()
        return found

    @classmethod
    def _read(cls, path: Path) -> Self | None:
        try:
            return cls.model_validate(json.loads(path.read_bytes()))
        except (OSError, ValueError, RecursionError, ValidationError):
            return None

    def complete(self, directory: Path) -> bool:
        """Whether every shard is there with the length it should have."""
        try:
            for shard in self.shards:
                open_shard(directory, shard, dtype=self.dtype)
        except ArtifactError:
            return False
        return True

    def save(self) -> None:
        """Remember it, in one step."""
        write_text(self._directory / FILE_NAME, self.model_dump_json(indent=2) + "\n")

    def forget(self) -> None:
        """Go on with nothing from here on; shards stay until `clear`."""
        (self._directory / FILE_NAME).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all shards, and start anew."""
        self.shards.clear()
        self.document = self.tokens = 0
        self.train_end = None
        self._sweep()

    def _sweep(self) -> None:
        if not self.shards:
            self.forget()
        kept = {shard.file for shard in self.shards}
        for pattern in ("train_*.npy", "val_*.npy"):
            for path in self._directory.glob(pattern):
                if path.name not in kept:
                    path.unlink()


@dataclass
class Place:
    """Where in the corpus a stream of encoded batches is, counted in tokens of the stream.

    `document` is the number of the document the stream is in and `start` where that began; the
    first batch must begin there. `train_end` becomes where `val_document` begins.
    """

    document: int
    start: int
    val_document: int
    train_end: int | None

    def __post_init__(self) -> None:
        self.end = self.start
        self._first = self.document
        self._begins: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def enter(self, batch: Encoded, end_of_text: int) -> None:
        """Go to the end of the next batch."""
        if len(self._begins):
            self.document = self._first + len(self._begins) - 1
            self.start = int(self._begins[-1])
        # End-of-text tokens stand before documents and nowhere else.
        self._first = batch.document if batch.begins else batch.document + 1
        self._begins = np.flatnonzero(batch.tokens == end_of_text) + self.end
        self.end += len(batch.tokens)
        number = self.val_document - self._first
        if self.train_end is None and 0 <= number < len(self._begins):
            self.train_end = int(self._begins[number])

    def of(self, tokens: int) -> tuple[int, int]:
        """The document of the last of `tokens` tokens, which is one of this batch, and how many
        of them are the document's."""
        begun = int(np.searchsorted(self._begins, tokens))
        if begun == 0:
            return self.document, tokens - self.start
        return self._first + begun - 1, tokens - int(self._begins[begun - 1])
