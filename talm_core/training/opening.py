"""What a run begins with: its machine, its weights and where it stands.

What there is to say on the way is yielded; whoever asked says it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

from talm_core.errors import ArtifactError, ConfigError, Problem
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.model.transformer import ModelConfig
from talm_core.runtime.events import Event, Notice, Planned, Progress
from talm_core.settings.schema import settings_of
from talm_core.settings.toml import dumps, loads
from talm_core.storage.workspace import Workspace
from talm_core.training import autotune, checkpoint, origin
from talm_core.training.data_identity import KEY as DATA
from talm_core.training.data_identity import Resumed
from talm_core.training.inputs import Inputs
from talm_core.training.machine import Machine, check_shares, choose, choose_device, prepare
from talm_core.training.plan import Plan
from talm_core.training.ranks import Ranks
from talm_core.training.saver import Saver
from talm_core.training.shortage import require_out_of_memory, take_less
from talm_core.training.trainer import Trainer

T = TypeVar("T")
Telling = Generator[Event, None, T]

_DATA = ("data_dir", "context_len", "seed")  # what the order of windows depends on
# What decides how a step is divided, and settings beside what they become in a machine.
_BATCH = ("batch_size", "grad_accum_steps", "total_batch_size", "context_len")
_COMPUTED = {"precision": "precision", "compile": "compiled", "threads": "threads"}


@dataclass(frozen=True, slots=True)
class Opening:
    """All that decides what a run begins with."""

    config: PretrainConfig
    workspace: Workspace
    inputs: Inputs
    plan: Plan
    found: checkpoint.Found
    ranks: Ranks
    saver: Saver
    resumed: Resumed

    def trainer(self) -> Telling[Trainer]:
        """A trainer that stands where the run goes on.

        Raises:
            ConfigError: a device that is not here, a batch that cannot be shared, or weights to
                begin with that do not fit.
            RunError: memory that does not suffice.
        """
        shape = ModelConfig.of(self.config, self.inputs.vocabulary.n_vocab)
        machine = self._machine()
        prepare(machine)
        if not self.found.path:
            machine = yield from self._tuned(shape, machine)
        trainer = Trainer(self.config, shape, machine, self.inputs.dataset, self.ranks)
        if self.found.path:
            self.saver.has(self.found.step, self.found.path)
            yield from self._restore(trainer, self.found.path)
        elif self.config.init_from is not None:
            yield from self._begin_with(trainer, self.config.init_from)
        if machine.compiled:
            yield from self._compile(trainer)
        return trainer

    def planned(self, trainer: Trainer) -> Planned:
        """What the run is going to be."""
        machine, manifest = trainer.machine, self.inputs.manifest
        return Planned(
            parameters=self.plan.parameters.total,
            vocab_size=self.plan.vocab_size,
            device=machine.device,
            precision=machine.precision,
            compiled=machine.compiled,
            tokens_per_step=self.plan.tokens_per_step,
            max_steps=self.config.max_steps,
            train_tokens=manifest.train_tokens,
            val_tokens=manifest.val_tokens,
            flops_per_token=self.plan.flops_per_token,
            minutes=self.config.minutes,
        )

    def _machine(self) -> Machine:
        """What this process computes on: as before, where there are as many processes as then."""
        ranks = self.ranks
        machine = choose(self.config, sharers=ranks.local_count)
        if self.found.path:
            kept = _overridden(_kept_machine(self.found), machine, self._changed)
            choose_device(kept.device)
            alike = int(self.found.state.get("ranks", 1)) == ranks.count
            fresh = replace(kept, threads=machine.threads, batch_size=0)
            machine = kept if alike else fresh
        check_shares(self.config, machine.device, ranks.count, ranks.local_count)
        return machine

    @property
    def _changed(self) -> dict[str, tuple[object, object]]:
        return _changes(str(self.found.state.get("config", "")), self.config)

    def _tuned(self, shape: ModelConfig, machine: Machine) -> Telling[Machine]:
        """The fastest way to compute the run, if it is long enough to look for one, as the first
        process finds it."""
        if self.ranks.first:
            machine = yield from autotune.tune(
                self.config,
                self.plan,
                shape,
                machine,
                self.workspace.root,
                processes=self.ranks.count,
            )
        found = Machine(**json.loads(self.ranks.share(json.dumps(asdict(machine)))))
        # The others did not search.
        prepare(found)
        return found

    def _restore(self, trainer: Trainer, path: Path) -> Telling[None]:
        """Go on from a checkpoint; what was changed since, by override, is said once."""
        state = dict(self.found.state)
        changed = self._changed
        if not changed.keys().isdisjoint(_DATA):
            # Where the loader stood means nothing in another order.
            state["loader"] = trainer.loader.state
        state["loader"] = self.resumed.loader_state(state["loader"])
        trainer.restore(path, self.found.step, state)
        if changed:
            kept = {"config": dumps(self.config), DATA: self.resumed.identity.to_state()}
            self.saver.amend(self.found.step, trainer.state | kept)
            told = ", ".join(f"{key} from {old} to {new}" for key, (old, new) in changed.items())
            yield Notice(message=f"changed since step {trainer.step:,}: {told}")

    def _begin_with(self, trainer: Trainer, source: str) -> Telling[None]:
        """Take the weights of another run's checkpoint."""
        path = origin.find(self.workspace, source)
        problems = origin.misfits(path, self.config, self.inputs.manifest)
        if problems:
            raise ConfigError(*problems)
        checkpoint.verify(path)
        trainer.begin_with(path)
        yield Notice(message=f"begins with the weights of {source}")

    def _compile(self, trainer: Trainer) -> Telling[None]:
        yield Progress(phase="compiling", done=0)
        while True:
            try:
                reason = trainer.compile()
                break
            except (RuntimeError, MemoryError) as error:
                require_out_of_memory(error)
            yield from take_less(trainer)
        if reason:
            trainer.machine = replace(trainer.machine, compiled=False)
            text = f"the model could not be compiled and runs as it is: {reason}"
            yield Notice(message=text, level="warning")


def _kept_machine(found: checkpoint.Found) -> Machine:
    """What the run of a checkpoint computed on.

    Raises:
        ArtifactError: its state says nothing of it that this talm understands.
    """
    try:
        return Machine(**found.state["machine"])
    except (KeyError, TypeError):
        where = str((found.path or Path()) / checkpoint.INDEX)
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


def _changes(before: str, config: PretrainConfig) -> dict[str, tuple[object, object]]:
    """Settings that are not free to differ and do: what they were and what they are. Nothing
    where what was cannot be read."""
    with contextlib.suppress(ConfigError):
        old = loads(before, where=checkpoint.INDEX)
        if isinstance(old, PretrainConfig):
            return {
                item.key: (getattr(old, item.key), getattr(config, item.key))
                for item in settings_of(PretrainConfig)
                # The directory is the name.
                if not item.setting.resume
                and item.key != "model_name"
                and getattr(old, item.key) != getattr(config, item.key)
            }
    return {}
