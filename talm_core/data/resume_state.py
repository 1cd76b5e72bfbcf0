"""How far a preparation has come: `position.json`.

It is written after each shard of a large corpus and says where in the source the shard ends, so
that a run that was interrupted goes on after it, and one that is to be longer appends. Whatever
lies beside the shards it names is swept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from talm_core.data.division import VERSION as DIVISION
from talm_core.data.hub.dataset_id import is_dataset
from talm_core.data.manifest import FILE_NAME as MANIFEST
from talm_core.data.manifest import Manifest, Shard
from talm_core.data.shards import Tokens, require_shard
from talm_core.errors import ArtifactError, Problem
from talm_core.storage import artifact_files
from talm_core.storage.artifact_files import LARGE_BYTES
from talm_core.storage.atomic import write_text

FILE_NAME = "position.json"
VERSION = 3

Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Located:
    """A document, or the next of its text where it does not begin here, and where it is: the
    number of its file, and of its row there. `special` is the id of a token that was written out
    before it."""

    part: int
    row: int
    text: str
    begins: bool = True
    special: int | None = None


MOST_BYTES = 1 << 40
"""The largest file that is believed in: the Hub takes none of more than 500 GB."""


def is_path(text: str) -> bool:
    """Whether a text is the path of a file in a dataset: one that leads nowhere else, on any
    system."""
    parts = text.split("/")
    plain = not re.search(r"[\\\x00-\x1f\x7f]", text) and re.match(r"[A-Za-z]:", text) is None
    return plain and 0 < len(text) <= 1000 and not {"", ".", ".."} & set(parts)


def _path(text: str) -> str:
    if not is_path(text):
        raise ValueError("is no path in a dataset")
    return text


def _dataset(text: str) -> str:
    if not is_dataset(text):
        raise ValueError("is no id of a dataset")
    return text


class HubFile(BaseModel):
    """A file of a dataset on the Hub: its path there, its size in bytes, and, once it was read,
    the etag that tells its content."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    path: Annotated[str, AfterValidator(_path)]
    size: Annotated[int, Field(ge=0, le=MOST_BYTES)]
    etag: Annotated[str, Field(max_length=200)] = ""


class Listing(BaseModel):
    """What a sample consists of: files of a dataset at one commit, in order."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    dataset: Annotated[str, AfterValidator(_dataset)]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    files: list[HubFile]

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)

    def learn(self, part: int, etag: str) -> None:
        """Note what tells the content of a file that is read now."""
        self.files[part] = self.files[part].model_copy(update={"etag": etag})


class Cursor(BaseModel):
    """A place in a source: after `tokens` tokens of the document in `row` of file `part`, before
    which `left_out` rows had no text."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    part: Count = 0
    row: Count = 0
    tokens: Count = 0
    left_out: Count = 0


class Position(BaseModel):
    """Complete shards, and the place where they end.

    A finished dataset may have a `tail`: its last shard, which is not full, and where that ends.
    `divided` says that the shards were divided anew for validation and are not to be again,
    `division` by which version of the rule text is divided. Files of one's own are two parts, which
    `part` of a cursor counts: 0 for validation, 1 for training.
    `made_of` is what must be the same for a run to go on with them: the source, the tokenizer and
    settings, each under a name that can be told. `listing` is what a Hub dataset was when it was
    begun; it goes on with that.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    version: Literal[2, 3] = 3
    made_of: dict[str, str]
    dtype: Literal["uint16", "uint32"]
    shards: list[Shard] = []
    cursor: Cursor = Cursor()
    tail: Shard | None = None
    tail_cursor: Cursor = Cursor()
    divided: bool = False
    # What there was before there were versions.
    division: Annotated[int, Field(ge=1, le=DIVISION)] = 1
    listing: Listing | None = None

    _directory: Path = PrivateAttr()

    @classmethod
    def load(
        cls, directory: Path, *, made_of: dict[str, str], dtype: Literal["uint16", "uint32"]
    ) -> Self:
        """What is there to go on with; a fresh one where that is nothing.

        Raises:
            ArtifactError: something else is there; says what differs. Or a newer talm wrote it.
        """
        found = cls._read(directory / FILE_NAME)
        if found is not None and (found.shards or found.tail):
            found.check_same(directory, made_of)
        if found is None or found.made_of != made_of or not found.complete(directory):
            found = cls(made_of=made_of, dtype=dtype, division=_division(directory))
        found.version = 3
        found._directory = directory
        return found

    @classmethod
    def _read(cls, path: Path) -> Self | None:
        try:
            values = json.loads(artifact_files.read_bytes(path, most=LARGE_BYTES))
        except (OSError, ValueError, RecursionError):
            return None
        version = values.get("version") if isinstance(values, dict) else None
        if isinstance(version, int) and version > VERSION:
            message = f"version {version} is from a newer talm, this one reads {VERSION}"
            raise ArtifactError(Problem(str(path), message, hint="update talm"))
        try:
            return cls.model_validate(values)
        except ValidationError:
            return None

    def check_same(self, directory: Path, made_of: dict[str, str]) -> None:
        """Raise an ArtifactError that names what the shards were made of, if it is not this."""
        problems = [
            Problem(
                key,
                f"the shards in {directory} were made with another: {_short(was)}",
                _short(made_of.get(key, "")),
                "choose a dir_prefix, or remove that directory to begin anew",
            )
            for key, was in self.made_of.items()
            if made_of.get(key) != was
        ]
        if problems:
            raise ArtifactError(*problems)

    def complete(self, directory: Path) -> bool:
        """Whether every shard is there with the length it should have. The tail may have become
        longer in the moment of a kill: then it is made again.

        Raises:
            RunError: the system cannot read one now, which says nothing of what is in it.
        """
        try:
            for shard in self.shards:
                require_shard(directory, shard, dtype=self.dtype)
        except ArtifactError:
            return False
        if self.tail is not None:
            try:
                require_shard(directory, self.tail, dtype=self.dtype)
            except ArtifactError:
                self.tail, self.tail_cursor = None, Cursor()
        return True

    @property
    def kept(self) -> list[Shard]:
        """Every shard that is there, in order."""
        return self.shards + ([self.tail] if self.tail else [])

    @property
    def end(self) -> Cursor:
        """Where all that is there ends."""
        return self.tail_cursor if self.tail else self.cursor

    def save(self) -> None:
        """Remember it, in one step."""
        write_text(self._directory / FILE_NAME, self.model_dump_json(indent=2) + "\n")

    def forget(self) -> None:
        """Go on with nothing from here on; shards stay until `clear`."""
        (self._directory / FILE_NAME).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all shards and the manifest, and start anew."""
        self.shards.clear()
        self.tail, self.cursor, self.tail_cursor = None, Cursor(), Cursor()
        self.divided = False
        (self._directory / MANIFEST).unlink(missing_ok=True)
        self.forget()
        self.sweep()

    def sweep(self) -> None:
        """Remove shards that nothing is known of."""
        kept = {shard.file for shard in self.kept}
        for pattern in ("train_*.npy", "val_*.npy"):
            for path in self._directory.glob(pattern):
                if path.name not in kept:
                    path.unlink()


def _division(directory: Path) -> int:
    """By which version of the rule a dataset is divided that begins, or is made anew, here."""
    if not (directory / MANIFEST).exists():
        return DIVISION
    version = Manifest.load(directory).division
    if version > DIVISION:
        message = f"is divided in a way (version {version}) that this talm does not know"
        raise ArtifactError(Problem(str(directory / MANIFEST), message, hint="update talm"))
    return version


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:19]}…"


class Place:
    """Where in the source a stream of encoded batches is, counted in tokens of the stream."""

    def __init__(self, cursor: Cursor, tokens: int) -> None:
        """`cursor` is where the first `tokens` tokens end; the first batch must begin with the
        beginning of its document."""
        self._place = cursor.part, cursor.row
        self._start = self.end = tokens - cursor.tokens
        self._begins: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._places: Sequence[tuple[int, int]] = ()

    def enter(
        self, tokens: Tokens, places: Sequence[tuple[int, int] | None], end_of_text: int
    ) -> None:
        """Go to the end of the next batch, in which documents of these places begin; None is one
        that begins where its text says so, within the one before."""
        if len(self._begins):
            self._place, self._start = self._places[-1], int(self._begins[-1])
        # End-of-text tokens stand before documents and nowhere else.
        begins = np.flatnonzero(tokens == end_of_text) + self.end
        assert len(begins) == len(places)
        self._begins = begins[[place is not None for place in places]] if places else begins
        self._places = [place for place in places if place is not None]
        self.end += len(tokens)

    def of(self, tokens: int) -> Cursor:
        """Where the first `tokens` tokens end, which is in this batch."""
        begun = int(np.searchsorted(self._begins, tokens))
        place, start = self._place, self._start
        if begun:
            place, start = self._places[begun - 1], int(self._begins[begun - 1])
        return Cursor(part=place[0], row=place[1], tokens=tokens - start)
