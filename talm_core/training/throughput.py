"""How fast a run is, and how fast one is going to be. Loads no torch.

A run that takes its steps measures them itself. Before it, `autotune` keeps what it chose and how
fast that was in the workspace's `autotune.json`, under a key of all that it depends on: machine,
torch, shape, a step's tokens and what was asked for. Whoever wants to know how long a run is going
to take reads it there, and where nothing was measured for it, what an earlier run of about its size
said of itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from talm_core.errors import InputError
from talm_core.runtime.events import Metrics
from talm_core.runtime.journal import last_of
from talm_core.runtime.opening import read_config
from talm_core.storage import artifact_files
from talm_core.storage.atomic import changing, write_text
from talm_core.storage.workspace import Workspace
from talm_core.system import hardware
from talm_core.training.config import ModelTrainingConfig
from talm_core.training.estimate import plan

_SETTLING_STEPS = 5  # steps after a start whose speed says nothing about the rest


@dataclass(slots=True)
class Clock:
    """Seconds of training: what happens while it is held does not count."""

    elapsed: float = 0.0
    _since: float | None = None

    def start(self) -> None:
        self._since = time.perf_counter()

    def stop(self) -> None:
        self.elapsed, self._since = self.now(), None

    def now(self) -> float:
        return self.elapsed + (0.0 if self._since is None else time.perf_counter() - self._since)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Stand still for the block, if it was running."""
        running = self._since is not None
        self.stop()
        try:
            yield
        finally:
            if running:
                self.start()


@dataclass(slots=True)
class Throughput:
    """Speed of steps, and what evaluations, samples and checkpoints cost.

    `every` says after how many steps each kind comes again, 0: only at the end. `waited` counts
    the seconds in which the run was not asked to go on, such as a pause.
    """

    clock: Clock
    first_step: int
    max_steps: int
    seconds: float | None
    every: dict[str, int]
    waited: float = 0.0
    _costs: dict[str, float] = field(default_factory=dict)
    _settled: tuple[float, int] | None = None
    _last: tuple[float, int] | None = None

    def speed(self, step: int) -> float:
        """Steps a second since the last call."""
        before, earlier = self._last or (0.0, self.first_step)
        now = self.clock.now()
        self._last = (now, step)
        return (step - earlier) / max(1e-9, now - before)

    def begin(self) -> None:
        """Count speed from here."""
        self._last = (self.clock.now(), self.first_step)

    def go_back(self, step: int) -> None:
        """Count steps, and speed, from this one."""
        self.first_step, self._settled = step, None
        self.begin()

    def stepped(self, step: int) -> None:
        """A step is done."""
        if self._settled is None and step - self.first_step >= _SETTLING_STEPS:
            self._settled = (self.clock.now(), step)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The block is somebody else's time."""
        start = time.perf_counter()
        with self.clock.held():
            try:
                yield
            finally:
                self.waited += time.perf_counter() - start

    @contextmanager
    def costing(self, kind: str) -> Iterator[None]:
        """The block is what one `kind` takes; its time is no training."""
        start, waited = time.perf_counter(), self.waited
        with self.clock.held():
            yield
        self._costs[kind] = time.perf_counter() - start - (self.waited - waited)

    def cost(self, kind: str) -> float:
        """Seconds the last one took."""
        return self._costs.get(kind, 0.0)

    def eta(self, step: int) -> float | None:
        """Seconds left after `step`: steps at the mean speed since the first few, and what each
        evaluation, sample and checkpoint to come took last time. None while nothing is known."""
        now = self.clock.now()
        if self._settled is None or step <= self._settled[1]:
            return None
        per_step = max(1e-9, (now - self._settled[0]) / (step - self._settled[1]))
        left = (self.max_steps - step) * per_step
        if self.seconds is not None:
            left = max(0.0, min(left, self.seconds - now))
        last = step + int(left / per_step)
        for kind, every in self.every.items():
            # The last step has one of each in any case.
            times = 1 + ((last - 1) // every - step // every if every and last > step else 0)
            left += times * self.cost(kind)
        return left


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
class PastRun:
    """What an earlier run said of its speed, and its FLOPs a token."""

    name: str
    tokens_per_second: float
    flops_per_token: float


def measured(config: ModelTrainingConfig, vocab_size: int, root: Path) -> Speed | None:
    """What autotune measured on this machine for a run with these settings, in the workspace at
    `root`; None: nothing yet."""
    choice = recall(root, key_of(config, vocab_size, processes=config.nproc))
    if choice is None or choice.tokens_per_second is None:
        return None
    return Speed(choice.tokens_per_second)


def like(flops_per_token: float, runs: Iterable[PastRun]) -> Speed | None:
    """The speed of the earlier run whose work a token is nearest, scaled to this one's; None where
    none is within a factor of eight."""
    known = [run for run in runs if run.flops_per_token > 0 and run.tokens_per_second > 0]

    def distance(run: PastRun) -> float:
        return abs(math.log(flops_per_token / run.flops_per_token))

    nearest = min(known, key=distance, default=None)
    if nearest is None or distance(nearest) > math.log(_ALIKE):
        return None
    scaled = nearest.tokens_per_second * nearest.flops_per_token / flops_per_token
    return Speed(scaled, nearest.name)


def ran(workspace: Workspace, vocab_size: int) -> list[PastRun]:
    """What the workspace's runs last said of their speed; their work is that with a vocabulary of
    this size."""
    found: list[PastRun] = []
    for artifact in workspace.artifacts("pretrain"):
        metrics = last_of(artifact.directory, Metrics)
        try:
            config: object = read_config(artifact.directory)
        except InputError:
            continue
        if metrics is not None and isinstance(config, ModelTrainingConfig):
            flops = plan(config, None, vocab_size).flops_per_token
            found.append(PastRun(artifact.name, metrics.tokens_per_second, flops))
    return found


def key_of(config: ModelTrainingConfig, vocab_size: int, *, processes: int = 1) -> str:
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
    step = (config.batch_size, config.micro_batches, config.optimizer, processes)
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
    document = json.loads(artifact_files.read_bytes(root / FILE))
    if document["version"] != VERSION:
        raise ValueError("another version")
    choices: dict[str, Any] = document["choices"]
    return choices
