"""How fast a run computes here, as far as that was measured. Loads no torch.

`autotune` keeps what it chose and how fast that was in the workspace's `autotune.json`, under a key
of all that it depends on: machine, torch, shape, a step's tokens and what was asked for. Whoever
wants to know how long a run is going to take reads it there, and where nothing was measured for it,
what an earlier run of about its size said of itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from talm_core.errors import InputError
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime.events import Metrics
from talm_core.runtime.journal import last_of
from talm_core.runtime.opening import read_config
from talm_core.storage.atomic import changing, write_text
from talm_core.storage.workspace import Workspace
from talm_core.system import hardware
from talm_core.training.plan import plan

FILE = "autotune.json"
VERSION = 2

# How many times as much, or as little, work a token may take in a run that tells another's speed.
_ALIKE = 8.0


@dataclass(frozen=True, slots=True)
class Choice:
    """What autotune took: the fields of a `Machine`, and the tokens a second of whole steps on it;
    None where it could not be measured."""

    machine: dict[str, Any]
    tokens_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second to expect. `run` is the earlier run that tells it; empty: autotune measured
    it for these very settings."""

    tokens_per_second: float
    run: str = ""

    @property
    def source(self) -> str:
        """Where it is known from, in a few words."""
        return f"measured on {self.run}" if self.run else "measured by autotune"


@dataclass(frozen=True, slots=True)
class Ran:
    """What an earlier run said of its speed, and its FLOPs a token."""

    name: str
    tokens_per_second: float
    flops_per_token: float


def measured(config: PretrainConfig, vocab_size: int, root: Path) -> Speed | None:
    """What autotune measured on this machine for a run with these settings, in the workspace at
    `root`; None: nothing yet."""
    choice = recall(root, key_of(config, vocab_size, processes=config.nproc))
    if choice is None or choice.tokens_per_second is None:
        return None
    return Speed(choice.tokens_per_second)


def like(flops_per_token: float, runs: Iterable[Ran]) -> Speed | None:
    """The speed of the earlier run whose work a token is nearest, scaled to this one's; None where
    none is within a factor of eight."""
    known = [run for run in runs if run.flops_per_token > 0 and run.tokens_per_second > 0]

    def distance(run: Ran) -> float:
        return abs(math.log(flops_per_token / run.flops_per_token))

    nearest = min(known, key=distance, default=None)
    if nearest is None or distance(nearest) > math.log(_ALIKE):
        return None
    scaled = nearest.tokens_per_second * nearest.flops_per_token / flops_per_token
    return Speed(scaled, nearest.name)


def ran(workspace: Workspace, vocab_size: int) -> list[Ran]:
    """What the workspace's runs last said of their speed; their work is that with a vocabulary of
    this size."""
    found = []
    for artifact in workspace.artifacts("pretrain"):
        metrics = last_of(artifact.directory, Metrics)
        try:
            config = read_config(artifact.directory)
        except InputError:
            continue
        if metrics is not None and isinstance(config, PretrainConfig):
            flops = plan(config, None, vocab_size).flops_per_token
            found.append(Ran(artifact.name, metrics.tokens_per_second, flops))
    return found


def key_of(config: PretrainConfig, vocab_size: int, *, processes: int = 1) -> str:
    """What a choice depends on: machine, torch, shape, tokens of a step and what was asked for."""
    here = (
        hardware.processor(),
        hardware.describe(),
        config.threads or hardware.cores(),
        os.environ.get("ATEN_CPU_CAPABILITY"),
        _torch_version(),
    )
    shape = (
        vocab_size,
        config.n_layer,
        config.n_head,
        config.kv_heads,
        config.n_embd,
        config.hidden,
        config.context_len,
        config.tie_embeddings,
        config.dropout > 0,
    )
    step = (config.batch_size, config.passes, config.optimizer, processes)
    asked = (config.device, config.precision, config.compile, config.parallel)
    facts = json.dumps([here, shape, step, asked])
    return hashlib.sha256(facts.encode()).hexdigest()[:32]


def _torch_version() -> str:
    try:
        return version("torch")
    except PackageNotFoundError:
        return ""


def recall(root: Path, key: str) -> Choice | None:
    """What was found before, if anything. A file that cannot be used is as good as none."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        return Choice(**_read(root)[key])
    return None


def remember(root: Path, key: str, choice: Choice) -> None:
    """Keep what was found, beside what was found for other runs. Where that is not possible the
    next run searches again."""
    known: dict[str, Any] = {}
    with changing(root / FILE):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            known = _read(root)
        document = {"version": VERSION, "choices": known | {key: asdict(choice)}}
        with contextlib.suppress(OSError):
            write_text(root / FILE, json.dumps(document, indent=1) + "\n")


def _read(root: Path) -> dict[str, Any]:
    document = json.loads((root / FILE).read_bytes())
    if document["version"] != VERSION:
        raise ValueError("another version")
    choices: dict[str, Any] = document["choices"]
    return choices
