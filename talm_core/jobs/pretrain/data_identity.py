"""What a run has learned from, as its checkpoints remember it, and whether that is still there.

A dataset has a name, and under its name another may lie today: made of other text, with another
tokenizer of the same size, or simply made longer. A checkpoint therefore keeps the tokenizer's
identity and the checksum of every shard. Nothing here loads torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from talm_core.data.manifest import Manifest, Shard
from talm_core.data.shards import beginning_sha256
from talm_core.errors import ArtifactError, ConfigError, InputError, Problem
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.settings.toml import loads
from talm_core.tokenizer.vocabulary import FILE_NAME, Vocabulary
from talm_core.training.checkpoint import Found
from talm_core.training.checkpoint_index import INDEX
from talm_core.training.train_state import DATA

_Shards = tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class DataIdentity:
    """A tokenizer by its identity, and the tokens and SHA-256 of each shard, in order."""

    tokenizer: str
    train: _Shards
    val: _Shards

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """That of a dataset."""
        parts = {split: _shards(manifest.of(split)) for split in ("train", "val")}
        return cls(manifest.tokenizer.identity, parts["train"], parts["val"])

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self | None:
        """What a checkpoint's state says; None for one that an earlier talm wrote."""
        values: Any = state.get(DATA)
        try:
            parts = [
                tuple((int(tokens), str(checksum)) for tokens, checksum in values[split])
                for split in ("train", "val")
            ]
            return cls(str(values["tokenizer"]), *parts)
        except (TypeError, ValueError, KeyError):
            return None

    def to_state(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "tokenizer": self.tokenizer,
            "train": [list(shard) for shard in self.train],
            "val": [list(shard) for shard in self.val],
        }

    @property
    def train_tokens(self) -> int:
        return sum(tokens for tokens, _ in self.train)


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a run learns from: all of a dataset, or where that has become longer its first
    `tokens` training tokens, in the order it had then, and what is to be said about it."""

    identity: DataIdentity
    tokens: int | None = None
    notice: str = ""

    def loader_state(self, state: dict[str, int]) -> dict[str, int]:
        """Where the loader stands, and in how much of the dataset."""
        return state if self.tokens is None else state | {"tokens": self.tokens}


def compare(found: Found, dataset: Path, manifest: Manifest, data_dir: str) -> Resumed:
    """Compare what a run has learned from to what is there now. A dataset of another name than it
    began with is somebody's choice, as long as the tokenizer is the same.

    Raises:
        ArtifactError: a difference with which going on would make no sense.
    """
    now = DataIdentity.of(manifest)
    if found.path is None:
        return Resumed(now)
    before = DataIdentity.from_state(found.state)
    learned = before.tokenizer if before else _tokenizer_in(found.path)
    if learned is not None and learned != now.tokenizer:
        raise ArtifactError(_other_tokenizer(found, manifest, learned, data_dir))
    if before is None or before == now or _began_with(found.state) not in (None, data_dir):
        return Resumed(now)
    if before.val == now.val and _begins_with(dataset, manifest, before.train):
        text = (
            f"{data_dir} has become longer since this run began, {before.train_tokens:,} to"
            f" {now.train_tokens:,} tokens; the run goes on with those it began with, in the same"
            " order. A new run learns from all of them: begin it with --init-from"
        )
        return Resumed(before, before.train_tokens, text)
    raise ArtifactError(_other_shards(found, before, now, data_dir))


def _begins_with(dataset: Path, manifest: Manifest, before: _Shards) -> bool:
    """Whether the training part begins with these shards; the last may have been filled up."""
    shards = manifest.of("train")
    if len(shards) < len(before) or _shards(shards)[: len(before) - 1] != before[:-1]:
        return False
    (tokens, checksum), last = before[-1], shards[len(before) - 1]
    if last.tokens == tokens:
        return last.sha256 == checksum
    if last.tokens < tokens:
        return False
    found = beginning_sha256(dataset, last, tokens, dtype=manifest.dtype)
    return found == checksum


def _shards(shards: Sequence[Shard]) -> _Shards:
    return tuple((shard.tokens, shard.sha256) for shard in shards)


def _began_with(state: Mapping[str, Any]) -> str | None:
    """The `data_dir` of the config in a checkpoint's state; None where that cannot be read."""
    with contextlib.suppress(ConfigError):
        config = loads(str(state.get("config", "")), where=INDEX)
        return config.data_dir if isinstance(config, PretrainConfig) else None
    return None


def _tokenizer_in(path: Path) -> str | None:
    """The identity of the tokenizer a checkpoint was written with, which lies in it."""
    try:
        return Vocabulary.load(path / FILE_NAME).identity
    except InputError:
        return None


def _other_tokenizer(found: Found, manifest: Manifest, learned: str, data_dir: str) -> Problem:
    info = manifest.tokenizer
    message = (
        f"was made with another tokenizer, {info.name} ({info.identity[:19]}…), than this run has"
        f" learned up to step {found.step:,} ({learned[:19]}…): its tokens would mean something"
        " else to the model"
    )
    hint = "give the dataset it began with, or start a new run; --override does not change that"
    return Problem("data_dir", message, data_dir, hint)


def _other_shards(found: Found, before: DataIdentity, now: DataIdentity, data_dir: str) -> Problem:
    what = "validation text" if before.train == now.train else "text"
    message = (
        f"was made anew since step {found.step:,}: its {what} is not what this run has learned"
        f" from ({before.train_tokens:,} training tokens then, {now.train_tokens:,} now)"
    )
    hint = (
        "make it as it was, or start a new run with --init-from; --override takes only a dataset"
        " of another name"
    )
    return Problem("data_dir", message, data_dir, hint)
