"""What a run begins with: its machine, its weights and where it stands.

`say` is told what there is to say on the way.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from talm_core.errors import ArtifactError, ConfigError, Problem
from talm_core.model.transformer import ModelConfig
from talm_core.runtime.events import Event, Notice, Planned, Progress
from talm_core.settings.schema import JobConfig, settings_of
from talm_core.settings.toml import loads
from talm_core.storage import artifact_files
from talm_core.tokenizer.vocabulary import Vocabulary
from talm_core.training import autotune, checkpoint
from talm_core.training.checkpoint_index import INDEX
from talm_core.training.checkpointer import Checkpointer, CheckpointWriter
from talm_core.training.config import ModelTrainingConfig
from talm_core.training.device import (
    Machine,
    check_shares,
    choose,
    choose_device,
    known_peak,
    prepare,
)
from talm_core.training.distributed import World
from talm_core.training.estimate import Plan
from talm_core.training.evaluator import Evaluator
from talm_core.training.loop import TrainLoop
from talm_core.training.metrics import MetricsReader
from talm_core.training.oom import require_out_of_memory, shrink_micro_batch
from talm_core.training.session import Session
from talm_core.training.task import Task
from talm_core.training.train_state import DATA
from talm_core.training.trainer import Trainer

# What decides how a step is divided, and settings beside what they become in a machine.
_BATCH = ("batch_size", "grad_accum_steps", "total_batch_size", "context_len")
_COMPUTED = {"precision": "precision", "compile": "compiled", "threads": "threads"}


@dataclass(frozen=True, slots=True)
class Setup:
    """All that decides what a run begins with. `toml` is the config as it is kept in checkpoints,
    `changed` what of it was not so in the one that is gone on with (`changes`), `init_from` a
    checkpoint whose weights are taken, and what it was called. `loader_state` gives where the
    loader is to stand of where a checkpoint says it stood, `data` is what is kept of what it
    reads."""

    config: ModelTrainingConfig
    task: Task[Any]
    shape: ModelConfig
    plan: Plan
    root: Path
    found: checkpoint.Found
    world: World
    writer: CheckpointWriter
    say: Callable[[Event], None]
    loader_state: Callable[[dict[str, int]], dict[str, int]]
    toml: str
    data: dict[str, Any] | None
    changed: Mapping[str, tuple[object, object]]
    init_from: tuple[str, Path] | None = None

    def trainer(self) -> Trainer:
        """A trainer that stands where the run goes on.

        Raises:
            ConfigError: a device that is not here, a batch that cannot be shared, or weights to
                begin with that do not fit.
            RunError: memory that does not suffice.
        """
        machine = self._machine()
        prepare(machine)
        if not self.found.path:
            machine = self._tuned(machine)
        trainer = Trainer(self.config, machine, self.task, self.world)
        if self.found.path:
            self.writer.has(self.found.step, self.found.path)
            self._restore(trainer, self.found.path)
        elif self.init_from is not None:
            self._begin_with(trainer, *self.init_from)
        if machine.compiled:
            self._compile(trainer)
        return trainer

    def loop(self, session: Session, trainer: Trainer, vocabulary: Vocabulary) -> TrainLoop:
        """The loop that takes the trainer's steps; checkpoints have this vocabulary."""
        # Of all processes; the others' metrics are not heard.
        peak = known_peak(trainer.machine) if self.world.is_main else None
        checkpointer = Checkpointer(
            self.config,
            vocabulary,
            trainer,
            self.writer,
            session.train_state,
            session.sync,
            session.throughput,
            session.control,
            self.toml,
        )
        evaluator = Evaluator(trainer, session.train_state, session.throughput, session.control)
        metrics = MetricsReader(
            self.config,
            trainer,
            session.train_state,
            session.throughput,
            session.control.heartbeat,
            flops_per_token=self.plan.flops_per_token,
            peak=None if peak is None else peak * self.world.size,
        )
        return TrainLoop(session, trainer, checkpointer, evaluator, metrics)

    def planned(self, trainer: Trainer, train_tokens: int, val_tokens: int) -> Planned:
        """What the run is going to be, on so much data."""
        machine = trainer.machine
        return Planned(
            parameters=self.plan.parameters.total,
            vocab_size=self.plan.vocab_size,
            device=machine.device,
            precision=machine.precision,
            compiled=machine.compiled,
            tokens_per_step=self.plan.tokens_per_step,
            max_steps=self.config.max_steps,
            train_tokens=train_tokens,
            val_tokens=val_tokens,
            flops_per_token=self.plan.flops_per_token,
            minutes=self.config.minutes,
        )

    def _machine(self) -> Machine:
        """What this process computes on: as before, where there are as many processes as then."""
        world = self.world
        machine = choose(self.config, sharers=world.local_size)
        if self.found.path:
            kept = _overridden(_kept_machine(self.found), machine, self.changed)
            choose_device(kept.device)
            alike = int(self.found.state.get("ranks", 1)) == world.size
            fresh = replace(kept, threads=machine.threads, batch_size=0)
            machine = kept if alike else fresh
        check_shares(self.config, machine.device, world.size, world.local_size)
        return machine

    def _tuned(self, machine: Machine) -> Machine:
        """The fastest way to compute the run, if it is long enough to look for one, as the first
        process finds it."""
        if self.world.is_main:
            machine = autotune.tune(
                self.config,
                self.plan,
                self.shape,
                machine,
                self.root,
                self.say,
                processes=self.world.size,
            )
        found = Machine(**json.loads(self.world.broadcast(json.dumps(asdict(machine)))))
        # The others did not search.
        prepare(found)
        return found

    def _restore(self, trainer: Trainer, path: Path) -> None:
        """Go on from a checkpoint; what was changed since, by override, is said once."""
        state = dict(self.found.state)
        changed = self.changed
        if not changed.keys().isdisjoint(self.task.ordered_by):
            # Where the loader stood means nothing in another order.
            state["loader"] = trainer.loader.state
        state["loader"] = self.loader_state(state["loader"])
        trainer.restore(path, self.found.step, state)
        if changed:
            kept = {"config": self.toml, "over": bool(state.get("over"))}
            kept |= {} if self.data is None else {DATA: self.data}
            self.writer.amend(self.found.step, trainer.state | kept)
            told = ", ".join(f"{key} from {old} to {new}" for key, (old, new) in changed.items())
            self.say(Notice(message=f"changed since step {trainer.step:,}: {told}"))

    def _begin_with(self, trainer: Trainer, name: str, path: Path) -> None:
        """Take the weights of another run's checkpoint."""
        with checkpoint.held(path):
            # One of another program has no checksums.
            if artifact_files.occupied(path / INDEX):
                checkpoint.verify(path)
            trainer.begin_with(path)
        self.say(Notice(message=f"begins with the weights of {name}"))

    def _compile(self, trainer: Trainer) -> None:
        self.say(Progress(phase="compiling", done=0))
        while True:
            try:
                reason = trainer.compile()
                break
            except (RuntimeError, MemoryError) as error:
                require_out_of_memory(error)
            self.say(shrink_micro_batch(trainer))
        if reason:
            trainer.machine = replace(trainer.machine, compiled=False)
            text = f"the model could not be compiled and runs as it is: {reason}"
            self.say(Notice(message=text, level="warning"))


def _kept_machine(found: checkpoint.Found) -> Machine:
    """What the run of a checkpoint computed on.

    Raises:
        ArtifactError: its state says nothing of it that this talm understands.
    """
    try:
        return Machine(**found.state["machine"])
    except (KeyError, TypeError):
        where = str((found.path or Path()) / INDEX)
        message = "does not say what the run computed on, or as another talm does"
        hint = "go on with the talm that wrote it, or begin a run with its weights: init_from"
        raise ArtifactError(Problem(where, message, hint=hint)) from None


def _overridden(kept: Machine, chosen: Machine, changed: Iterable[str]) -> Machine:
    """The machine of a checkpoint, but for what was asked for anew since."""
    keys = set(changed)
    if "device" in keys:
        return chosen
    if not keys.isdisjoint(_BATCH):
        kept = replace(kept, batch_size=0)
    for key in keys & _COMPUTED.keys():
        kept = replace(kept, **{_COMPUTED[key]: getattr(chosen, _COMPUTED[key])})
    return kept


def changes(before: str, config: JobConfig) -> dict[str, tuple[object, object]]:
    """Settings that are not free to differ from those `before`, as TOML, and do: what they were
    and what they are. Nothing where what was cannot be read."""
    with contextlib.suppress(ConfigError):
        old = loads(before, where=INDEX)
        if isinstance(old, type(config)):
            return {
                item.key: (getattr(old, item.key), getattr(config, item.key))
                for item in settings_of(type(config))
                # The directory is the name.
                if not item.setting.resume
                and item.key != "model_name"
                and getattr(old, item.key) != getattr(config, item.key)
            }
    return {}
