"""A dataset of a few thousand bytes and runs that take a second on it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from talm_core.data.manifest import Manifest, Shard, Split, TokenizerInfo
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.pretrain.inputs import Inputs
from talm_core.jobs.pretrain.task import PretrainTask
from talm_core.settings.schema import build
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer import patterns
from talm_core.tokenizer.vocabulary import Vocabulary
from talm_core.training.device import Machine
from talm_core.training.trainer import Trainer

VOCABULARY = Vocabulary(
    name="tiny",
    pattern=patterns.DEFAULT,
    ranks={bytes([i]): i for i in range(256)} | {b"th": 256, b"the": 257},
    special_tokens={"<|endoftext|>": 258},
)
NAME = "text/tiny"

SETTINGS: dict[str, Any] = {
    "model_name": "tiny",
    "data_dir": NAME,
    "n_layer": 2,
    "n_head": 2,
    "n_kv_head": 1,
    "n_embd": 16,
    "context_len": 32,
    "batch_size": 4,
    "max_steps": 12,
    "warmup_steps": 2,
    "learning_rate": 3e-3,
    "eval_every": 5,
    "eval_tokens": 128,
    "sample_every": 6,
    "sample_tokens": 8,
    "sample_prompt": ("the",),
    "log_every": 1,
    "checkpoint_every": 4,
    "threads": 1,
}


def tiny_config(**changes: Any) -> PretrainConfig:
    """A run of a second, with changes."""
    return build(PretrainConfig, SETTINGS | changes)


def tiny_trainer(
    config: PretrainConfig,
    workspace: Workspace,
    *,
    kind: type[Trainer] = Trainer,
    compiled: bool = False,
) -> Trainer:
    """What takes the steps of such a run, on one thread of a CPU."""
    machine = Machine("cpu", "fp32", compiled=compiled, threads=1)
    return kind(config, machine, PretrainTask.of(config, Inputs.of(config, workspace)))


def tiny_workspace(root: Path) -> Workspace:
    """A workspace with one dataset: lines that repeat with variations."""
    workspace = Workspace(root)
    directory = workspace.directory("data", NAME)
    directory.mkdir(parents=True)
    text = "".join(f"{i}: the sum of {i % 7} and {i % 5} is {i % 7 + i % 5}.\n" for i in range(400))
    cut = len(text) * 9 // 10
    shards = [
        _shard(directory, "train", text[:cut]),
        _shard(directory, "val", text[cut:]),
    ]
    info = TokenizerInfo(
        name=VOCABULARY.name, identity=VOCABULARY.identity, n_vocab=VOCABULARY.n_vocab
    )
    Manifest(source="text", sample="tiny", tokenizer=info, dtype="uint16", shards=shards).save(
        directory
    )
    VOCABULARY.save(directory / "tokencoder.json")
    return workspace


def _shard(directory: Path, split: Split, text: str) -> Shard:
    path = directory / f"{split}_000001.npy"
    tokens = np.array([VOCABULARY.end_of_text, *text.encode()], np.uint16)
    np.save(path, tokens)
    return Shard(
        file=path.name,
        split=split,
        tokens=len(tokens),
        documents=1,
        bytes=len(text.encode()),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
