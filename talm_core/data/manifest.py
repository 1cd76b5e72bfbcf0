"""What a dataset's directory holds: `manifest.json`.

It is written last, so that a directory with a manifest is a complete dataset, and it is all that
planning a run needs: nothing has to open a shard to know how much there is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from talm_core.errors import ArtifactError, Problem
from talm_core.storage.artifact_files import UnsafeFileError
from talm_core.storage.atomic import write_text
from talm_core.storage.own_json import read_json
from talm_core.storage.workspace import Workspace

FILE_NAME = "manifest.json"
VERSION = 1
_MOST_BYTES = 64 << 20  # 200,000 shards

Count = Annotated[int, Field(ge=0)]
Split = Literal["train", "val"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Shard(_Part):
    """One file of token ids. `documents` begin in it, though the last may end in the next;
    `bytes` is the raw UTF-8 text its tokens stand for; `sha256` is of the whole file."""

    # A plain file name: what is read from outside must not lead out of the directory.
    file: Annotated[str, Field(pattern=r"^(train|val)_[0-9]{6,}\.npy$")]
    split: Split
    tokens: Annotated[int, Field(ge=1)]
    documents: Count
    bytes: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class TokenizerInfo(_Part):
    """The tokenizer a dataset was made with; a copy lies beside the manifest."""

    name: str
    identity: str
    n_vocab: Annotated[int, Field(ge=1)]


class Manifest(_Part):
    """A dataset. `sample` names the part of the source, or the user's own text. What came from
    the Hub says from which `dataset` at which commit (`revision`), and how many of the rows that
    were read had no text (`left_out`). `division` is the version of the rule by which a part was
    kept for validation; the first manifests did not say it."""

    version: Literal[1] = 1
    source: str
    sample: str
    dataset: str | None = None
    revision: str | None = None
    left_out: Count = 0
    division: Annotated[int, Field(ge=1)] = 1
    tokenizer: TokenizerInfo
    dtype: Literal["uint16", "uint32"]
    shards: Annotated[list[Shard], Field(min_length=2)]

    @classmethod
    def load(cls, directory: Path) -> Self:
        """The manifest of the dataset in `directory`.

        Raises:
            ArtifactError: there is none, it is damaged, or a newer talm wrote it.
        """
        path = directory / FILE_NAME
        try:
            values = read_json(path, most=_MOST_BYTES)
        except FileNotFoundError:
            hint = "prepare the data again" if directory.is_dir() else ""
            raise ArtifactError(Problem(str(path), "is missing", hint=hint)) from None
        except UnsafeFileError as error:
            message = f"{FILE_NAME} {error.strerror}"
            raise ArtifactError(Problem(str(path), message)) from None
        except OSError as error:
            raise ArtifactError(Problem(str(path), f"cannot be read: {error.strerror}")) from None
        except ValueError as error:
            raise ArtifactError(Problem(str(path), f"is damaged: {error}")) from None
        version = values.get("version") if isinstance(values, dict) else None
        if isinstance(version, int) and version > VERSION:
            message = f"version {version} is from a newer talm, this one reads {VERSION}"
            raise ArtifactError(Problem(str(path), message, hint="update talm"))
        try:
            manifest = cls.model_validate(values)
        except ValidationError as error:
            raise ArtifactError(*_damages(path, error)) from None
        missing = {"train", "val"} - {shard.split for shard in manifest.shards}
        if missing:
            message = f"is damaged: no shard for {' and '.join(sorted(missing))}"
            raise ArtifactError(Problem(str(path), message))
        return manifest

    def save(self, directory: Path) -> None:
        """Write the manifest, atomically."""
        write_text(directory / FILE_NAME, json.dumps(self.model_dump(), indent=2) + "\n")

    def of(self, split: str) -> list[Shard]:
        """The shards of a split, in order."""
        return [shard for shard in self.shards if shard.split == split]

    @property
    def train_tokens(self) -> int:
        return sum(shard.tokens for shard in self.of("train"))

    @property
    def val_tokens(self) -> int:
        return sum(shard.tokens for shard in self.of("val"))

    @property
    def train_bytes(self) -> int:
        return sum(shard.bytes for shard in self.of("train"))

    @property
    def val_bytes(self) -> int:
        return sum(shard.bytes for shard in self.of("val"))

    @property
    def tokens(self) -> int:
        return self.train_tokens + self.val_tokens

    @property
    def text_bytes(self) -> int:
        """Raw UTF-8 text of both splits."""
        return self.train_bytes + self.val_bytes

    @property
    def shard_bytes(self) -> int:
        """What the token ids take on the disk."""
        return self.tokens * (2 if self.dtype == "uint16" else 4)

    @property
    def documents(self) -> int:
        return sum(shard.documents for shard in self.shards)

    def summary(self) -> dict[str, int | float]:
        """The dataset in numbers; `left_out` only where it is some."""
        summary: dict[str, int | float] = {
            "tokens": self.tokens,
            "train_tokens": self.train_tokens,
            "val_tokens": self.val_tokens,
            "documents": self.documents,
            "bytes": self.text_bytes,
            "bytes_per_token": round(self.text_bytes / self.tokens, 4),
            "shards": len(self.shards),
        }
        return summary | ({"left_out": self.left_out} if self.left_out else {})


def _damages(path: Path, error: ValidationError) -> list[Problem]:
    return [
        Problem(
            f"{path}: {'.'.join(map(str, item['loc'])) or 'top'}",
            f"is damaged: {item['msg'][:1].lower()}{item['msg'][1:]}",
        )
        for item in error.errors(include_url=False, include_context=False)
    ]


def manifest_of(workspace: Workspace, text: str, *, key: str) -> Manifest:
    """The manifest of a dataset by its name or its path; `key` is the setting that names it.

    Raises:
        ArtifactError: there is no such dataset, or it is damaged or not finished.
    """
    return Manifest.load(workspace.locate("data", text, key=key))
