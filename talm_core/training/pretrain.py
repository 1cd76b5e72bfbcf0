"""The job `pretrain`: train a model, watch it, keep it safe.

The loop is a generator that says what happens and hears what is asked of it between two steps. At
each step where something is due, the order is: metrics, checkpoint, evaluation, samples. The
checkpoint is written beside what follows. What is still due is part of its state, so that a run
stopped in the middle of an evaluation goes on with that evaluation; what comes out of it is added
to the state later.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talm_core import preflight, rank
from talm_core.config import PretrainConfig, dumps, loads
from talm_core.data.loader import Windows
from talm_core.errors import ConfigError, NonFiniteError, RunError, TalmError
from talm_core.events import (
    Checkpoint,
    Command,
    Evaluated,
    EvaluateEvery,
    Event,
    Finished,
    Metrics,
    Notice,
    Planned,
    Progress,
    RolledBack,
    Sample,
    Sampled,
    Started,
    Stop,
    Telemetry,
    decode_command,
    to_json,
)
from talm_core.hardware import telemetry
from talm_core.inbox import stop_reason
from talm_core.settings import settings_of
from talm_core.training import checkpoint, origin
from talm_core.training.inputs import Inputs
from talm_core.training.pace import Clock, Pace
from talm_core.training.plan import plan
from talm_core.training.saver import Saver
from talm_core.training.schedule import Schedule
from talm_core.workspace import Workspace

if TYPE_CHECKING:
    from talm_core.model.transformer import ModelConfig
    from talm_core.training.machine import Machine
    from talm_core.training.ranks import Ranks
    from talm_core.training.trainer import Trainer

Talk = Generator[Event, Command | None, None]

_FINDS_OUT = ("evaluate", "sample")  # what is due after a step's checkpoint
_DATA = ("data_dir", "context_len", "seed")  # what the order of windows depends on
_OFTEN, _SELDOM = 0.1, 0.5  # seconds between signs of life: at first, and after five minutes


class _StopError(Exception):
    """Somebody said Stop."""


def pretrain(config: PretrainConfig, workspace: Workspace) -> Talk:
    """Train a model, going on from the newest valid checkpoint in its directory if there is one.

    Takes the commands Checkpoint, EvaluateEvery, Sample and Stop. Closed at a yield, it saves
    what it has.

    Raises:
        ArtifactError: the dataset or its tokenizer is missing, damaged or does not fit.
        ConfigError: a device that is not here, or more windows in a batch than there are.
        RunError: a loss that is not finite, or no room on the disk.
    """
    began = time.monotonic()
    directory = workspace.directory_of(config)
    directory.mkdir(parents=True, exist_ok=True)
    ranks = None
    if rank.number():
        ranks, found = _join_first(config, workspace)
    else:
        found = checkpoint.find(directory)
    resumed_from = found.step if found.path else None
    yield Started(job=config.kind, name=config.artifact, resumed_from=resumed_from)
    for problem in found.damaged:
        yield Notice(message=f"checkpoint passed over: {problem}", level="warning")
    run = _Run(config, workspace, found, ranks)
    try:
        yield from run.open()
        yield from run.steps()
        yield from run.settle()
        yield from run.written()
        run.in_order = True
    except _StopError:
        yield from run.stop()
        run.in_order = True
        return
    except GeneratorExit:
        run.save_unsaved()
        run.in_order = True
        raise
    except TalmError:
        yield from run.tell_last()
        raise
    except RuntimeError as error:
        lost = run.lost(error)
        if lost is None:
            raise
        yield from run.tell_last()
        raise lost from None
    finally:
        run.close()
    yield Finished(seconds=time.monotonic() - began, summary=run.summary())


def _join_first(config: PretrainConfig, workspace: Workspace) -> tuple[Ranks, checkpoint.Found]:
    """Meet the other processes, and hear from the first where to go on."""
    from talm_core.training.ranks import Ranks

    directory = workspace.directory_of(config)
    ranks = Ranks.join(config.nproc, directory, workspace.root)
    return ranks, checkpoint.Found.from_json(directory, ranks.share(""))


@dataclass(frozen=True, slots=True)
class _Agreed:
    """What all processes know together: whether metrics are wanted and a checkpoint is, and the
    seconds of training so far."""

    metrics: bool
    save: bool
    elapsed: float


class _Run:
    """One process' work on a run."""

    def __init__(
        self,
        config: PretrainConfig,
        workspace: Workspace,
        found: checkpoint.Found,
        ranks: Ranks | None,
    ) -> None:
        # None: not met yet. Only the first of several talks, hears and saves.
        self.ranks = ranks
        self.in_order = False
        # Said to the first, and agreed by all to be done next.
        self._heard: list[Command] = []
        self._commands: list[Command] = []
        self._stop = False
        self.config = config
        self.workspace = workspace
        self.directory = workspace.directory_of(config)
        self.found = found
        self.schedule = Schedule.of(config)
        self.trainer: Trainer | None = None
        self.saver: Saver | None = None
        self._take(found.state)
        self.eval_every = _interval_of(config, found.state)
        self.clock = Clock(float(found.state.get("elapsed", 0.0)))
        self.pace = Pace(
            self.clock,
            first_step=found.step,
            max_steps=config.max_steps,
            seconds=self.schedule.seconds,
            every={
                "evaluate": self.eval_every,
                "sample": config.sample_every,
                "checkpoint": config.checkpoint_every,
            },
        )
        self._elapsed = self.clock.now()
        self._said = self._measured = self._next_telemetry = 0.0
        self._saved_at = time.monotonic()

    def _take(self, state: Mapping[str, Any]) -> None:
        """Be where a checkpoint's state says."""
        # What is still to be done at this step: what, and a sample's prompt.
        self.due = [(str(kind), str(prompt)) for kind, prompt in state.get("due", ())]
        self.over = bool(state.get("over", False))
        self.evaluated: dict[str, float] = dict(state.get("evaluated", {}))
        self.evaluated_step = int(state.get("evaluated_step", 0))
        self.rate = float(state.get("rate", 0.0))
        self.rollbacks = int(state.get("rollbacks", 0))

    # --- before the first step ---------------------------------------------------------------

    def open(self) -> Talk:
        """Load everything and say what the run is going to be."""
        self.inputs = Inputs.of(self.config, self.workspace)
        vocabulary = self.inputs.vocabulary
        self.plan = plan(self.config, self.inputs.manifest, vocabulary.n_vocab)
        self.saver = Saver(
            self.directory,
            keep=self.config.keep_checkpoints,
            expected_bytes=self.plan.checkpoint_bytes,
            active=rank.number() == 0,
        )
        self.saver.require_space()
        yield from self._worries()
        yield from self.say(Progress(phase="loading", done=0))

        # Opened now and kept open: that it is gone is noticed before the first step or not at all.
        self.validation = Windows(self.inputs.dataset, "val", context_len=self.config.context_len)
        # Here torch comes in, a second or two.
        from talm_core.model.transformer import ModelConfig
        from talm_core.tokenizer.tokenizer import Tokenizer
        from talm_core.training.machine import peak_of, prepare
        from talm_core.training.ranks import Ranks
        from talm_core.training.trainer import Trainer

        if self.ranks is None:
            self.ranks = Ranks.join(self.config.nproc, self.directory, self.workspace.root)
            self.ranks.share(self.found.to_json())
        machine = self._machine(self.ranks)
        prepare(machine)
        shape = ModelConfig.of(self.config, vocabulary.n_vocab)
        if not self.found.path:
            machine = yield from self._tuned(shape, machine, self.ranks)
        trainer = Trainer(self.config, shape, machine, self.inputs.dataset, self.ranks)
        self.tokenizer = Tokenizer.from_vocabulary(vocabulary)
        if self.found.path:
            self.saver.has(self.found.step, self.found.path)
            yield from self._restore(trainer, self.found.path)
        elif self.config.init_from is not None:
            yield from self._begin_with(trainer, self.config.init_from)
        if machine.compiled:
            yield from self._compile(trainer)
        # Of all processes; the others' metrics are not heard.
        peak = peak_of(trainer.machine) if self.ranks.first else 1.0
        self.peak = peak * self.ranks.count
        self.trainer = trainer
        yield from self.say(self._planned())

    def _tuned(
        self, shape: ModelConfig, machine: Machine, ranks: Ranks
    ) -> Generator[Event, Command | None, Machine]:
        """The fastest way to compute the run, if it is long enough to look for one, as the first
        process finds it."""
        from talm_core.training.machine import Machine

        if ranks.first:
            machine = yield from self._fastest(shape, machine)
        return Machine(**json.loads(ranks.share(json.dumps(asdict(machine)))))

    def _fastest(
        self, shape: ModelConfig, machine: Machine
    ) -> Generator[Event, Command | None, Machine]:
        from talm_core.training import autotune

        tuning = autotune.tune(self.config, self.plan, shape, machine, self.workspace.root)
        while True:
            try:
                event = next(tuning)
            except StopIteration as end:
                chosen: Machine = end.value
                return chosen
            yield from self.say(event)

    def _machine(self, ranks: Ranks) -> Machine:
        """What this process computes on: as before, where there are as many processes as then."""
        from talm_core.training.machine import Machine, check_shares, choose, choose_device

        machine = choose(self.config, sharers=ranks.local_count)
        if self.found.path:
            kept = Machine(**self.found.state["machine"])
            choose_device(kept.device)
            alike = int(self.found.state.get("ranks", 1)) == ranks.count
            fresh = replace(kept, threads=machine.threads, batch_size=0)
            machine = kept if alike else fresh
        check_shares(self.config, machine.device, ranks.count, ranks.local_count)
        return machine

    def _restore(self, trainer: Trainer, path: Path) -> Talk:
        """Go on from a checkpoint; what was changed since, by override, is said once."""
        state = dict(self.found.state)
        changed = _changes(str(state.get("config", "")), self.config)
        if not changed.keys().isdisjoint(_DATA):
            # Where the loader stood means nothing in another order.
            state["loader"] = trainer.loader.state
        trainer.restore(path, self.found.step, state)
        if changed:
            self._saver.amend(self.found.step, trainer.state | {"config": dumps(self.config)})
            told = ", ".join(f"{key} from {old} to {new}" for key, (old, new) in changed.items())
            yield from self.say(Notice(message=f"changed since step {trainer.step:,}: {told}"))

    def _compile(self, trainer: Trainer) -> Talk:
        yield from self.say(Progress(phase="compiling", done=0))
        while True:
            try:
                reason = trainer.compile()
                break
            except (RuntimeError, MemoryError) as error:
                _require_out_of_memory(error)
            yield from self._take_less(trainer)
        if reason:
            trainer.machine = replace(trainer.machine, compiled=False)
            text = f"the model could not be compiled and runs as it is: {reason}"
            yield from self.say(Notice(message=text, level="warning"))

    def _worries(self) -> Talk:
        # What no run should begin with was refused before this process was started.
        for concern in preflight.worries(self.config, self.inputs.manifest, self.workspace):
            if not concern.fatal:
                yield from self.say(Notice(message=str(concern.problem), level="warning"))

    def _begin_with(self, trainer: Trainer, source: str) -> Talk:
        """Take the weights of another run's checkpoint."""
        path = origin.find(self.workspace, source)
        problems = origin.misfits(path, self.config, self.inputs.manifest)
        if problems:
            raise ConfigError(*problems)
        checkpoint.verify(path)
        trainer.begin_with(path)
        yield from self.say(Notice(message=f"begins with the weights of {source}"))

    def _planned(self) -> Planned:
        machine, manifest = self._trainer.machine, self.inputs.manifest
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

    @property
    def _trainer(self) -> Trainer:
        assert self.trainer is not None
        return self.trainer

    # --- talking -----------------------------------------------------------------------------

    def say(self, event: Event) -> Talk:
        """Yield an event with the clock held, and do what is answered."""
        with self.pace.waiting():
            command = yield event
            self._said = time.monotonic()
        if command is not None and self._alone:
            yield from self._obey(command)
        elif command is not None:
            self._heard.append(command)

    def _obey(self, command: Command) -> Talk:
        match command:
            case Stop():
                raise _StopError
            case Checkpoint():
                yield from self._at_once("save", "")
            case Sample():
                yield from self._at_once("sample", command.prompt or self._prompts[0])
            case EvaluateEvery():
                yield from self._evaluate_every(command.steps)

    def _at_once(self, kind: str, prompt: str) -> Talk:
        # While something is due its turn comes after; before the first step there is nothing.
        waiting = bool(self.due)
        self.due.append((kind, prompt))
        if self.trainer is not None and not waiting:
            yield from self.settle()

    def _evaluate_every(self, steps: int) -> Talk:
        if steps < 0:
            message = f"cannot evaluate every {steps} steps: 0 or more"
            yield from self.say(Notice(message=message, level="warning"))
            return
        self.eval_every = self.pace.every["evaluate"] = steps
        when = f"every {steps:,} steps" if steps else "only at the end"
        yield from self.say(Notice(message=f"evaluates {when} from now on"))

    # --- several processes -------------------------------------------------------------------

    @property
    def _alone(self) -> bool:
        return self.ranks is None or self.ranks.alone

    def _agree(self, *, metrics: bool = False, save: bool = False) -> _Agreed:
        """Find out together what to do next. Every process comes here as often as the others;
        whatever the first yields, and may be closed at, lies before an exchange."""
        if self.ranks is None or self.ranks.alone:
            return _Agreed(metrics, save, self.clock.now())
        heard, self._heard = self._heard, []
        stop = stop_reason() is not None or any(isinstance(item, Stop) for item in heard)
        text = json.dumps([to_json(item) for item in heard]) if heard else ""
        elapsed = self.clock.now() if self.ranks.first else 0.0
        values = (stop or self._stop, len(text), metrics, save, elapsed)
        stops, length, metrics_, save_, elapsed = self.ranks.highest(values)
        self._stop = bool(stops)
        if length:
            lines = json.loads(self.ranks.share(text))
            self._commands += filter(None, map(decode_command, lines))
        return _Agreed(bool(metrics_), bool(save_), elapsed)

    def listen(self) -> Talk:
        """Do what was said to the first process, all together."""
        if self._alone:
            return
        self._agree()
        while not self._stop and self._commands:
            yield from self._obey(self._commands.pop(0))
            self._agree()
        if self._stop:
            raise _StopError

    def lost(self, error: BaseException) -> RunError | None:
        """What an error means if it came because another process is gone; None if it did not."""
        return None if self.ranks is None else self.ranks.lost(error)

    # --- signs of life -----------------------------------------------------------------------

    def sign_of_life(self, event: Event) -> Talk:
        """Yield an event if the last was some time ago, and listen."""
        yield from self._breathe(event)
        yield from self.listen()

    def _breathe(self, event: Event) -> Talk:
        """Yield an event if the last was some time ago."""
        yield from self._tell_written()
        now = time.monotonic()
        if now >= self._next_telemetry:
            self._next_telemetry = now + 1
            yield from self.say(self._telemetry())
        if now - self._said >= self._interval:
            yield from self.say(event)

    def _telemetry(self) -> Telemetry:
        return telemetry(held=self.trainer.memory() if self.trainer is not None else None)

    @property
    def _interval(self) -> float:
        return min(_SELDOM, max(_OFTEN, self.clock.now() / 600))

    @property
    def _prompts(self) -> tuple[str, ...]:
        return self.config.sample_prompt or ("",)

    # --- steps -------------------------------------------------------------------------------

    def steps(self) -> Talk:
        """Every step that is left, and what is due after each."""
        yield from self.settle()
        self.clock.start()
        self.pace.begin()
        self._saved_at = time.monotonic()
        while not self.over:
            failed = None
            try:
                yield from self._step()
            except NonFiniteError as error:
                failed = error
            if failed is not None:
                yield from self._roll_back(failed)
        self.clock.stop()

    def _step(self) -> Talk:
        trainer = self._trainer
        elapsed = self.clock.now() if self._alone else self._elapsed
        self.rate = self.schedule.rate(trainer.step, elapsed)
        while not (yield from self._pass()):
            yield from self.sign_of_life(self._progress())
        trainer.update(self.rate)
        self.pace.stepped(trainer.step)
        agreed = self._agree(metrics=self._wants_metrics(), save=self._is_time_to_save)
        self._elapsed = agreed.elapsed
        self.over = self.schedule.progress(trainer.step, agreed.elapsed) >= 1
        self.due = self._due_now(time_to_save=agreed.save)
        if self.due or agreed.metrics:
            yield from self._metrics()
        yield from self.settle()
        yield from self.sign_of_life(self._progress())

    def _pass(self) -> Generator[Event, Command | None, bool]:
        """One forward and backward pass; returns whether it was the step's last."""
        try:
            return self._trainer.forward_backward()
        except (RuntimeError, MemoryError) as error:
            _require_out_of_memory(error)
        # Out here, for the error holds on to all that the pass had allocated.
        yield from self._take_less(self._trainer)
        return False

    def _take_less(self, trainer: Trainer) -> Talk:
        had = trainer.batch_size
        if not self._alone:
            # The others are in the middle of an exchange, which cannot be begun again.
            passes = self.config.passes * self.config.batch_size // max(1, had // 2)
            raise RunError(
                f"out of memory with {had} windows in a pass of {trainer.ranks.count} processes; go"
                f" on by --resume --override --batch-size {max(1, had // 2)} --grad-accum-steps"
                f" {passes}"
            )
        trainer.take_less()
        text = (
            f"out of memory with {had} windows in a pass: goes on with {trainer.batch_size}, in"
            f" {trainer.passes} passes a step"
        )
        yield from self.say(Notice(message=text, level="warning"))

    def _roll_back(self, error: NonFiniteError) -> Talk:
        """Go back to the last good checkpoint and past the batches that led to `error` (Chowdhery
        et al. 2022, section 5.1, https://arxiv.org/abs/2204.02311)."""
        if self.config.non_finite != "rollback":
            raise error
        if self.rollbacks >= self.config.max_rollbacks:
            raise RunError(f"{error}. The run had gone back {self.rollbacks} times before")
        yield from self.written()
        yield from self.listen()
        found = self._find()
        if found.path is None:
            raise RunError(f"{error}. There is no checkpoint yet to go back to")
        trainer = self._trainer
        trainer.restore(found.path, found.step, found.state)
        trainer.skip_to(error.step)
        self._take(found.state)
        self.rollbacks += 1
        self.pace.go_back(found.step)
        self._saver.has(found.step, found.path)
        # A process that dies now must not take those batches again.
        yield from self._amend(trainer.state | {"rollbacks": self.rollbacks})
        yield from self.say(RolledBack(step=found.step, failed_step=error.step, reason=str(error)))
        text = (
            f"{error}. Back at step {found.step:,}, on with what comes after the batches of step"
            f" {error.step:,} (rollback {self.rollbacks} of {self.config.max_rollbacks})"
        )
        yield from self.say(Notice(message=text, level="warning"))
        yield from self.settle()

    def _find(self) -> checkpoint.Found:
        """The newest valid checkpoint, as the first process finds it."""
        assert self.ranks is not None
        found = checkpoint.find(self.directory) if self.ranks.first else checkpoint.Found()
        text = self.ranks.share(found.to_json())
        return checkpoint.Found.from_json(self.directory, text)

    def _due_now(self, *, time_to_save: bool) -> list[tuple[str, str]]:
        def every(count: int) -> bool:
            return self.over or (count > 0 and self._trainer.step % count == 0)

        evaluate = every(self.eval_every)
        due = []
        # What is judged is kept: the evaluation may end the process, or show it to be the best.
        if every(self.config.checkpoint_every) or time_to_save or self._keeps(evaluate):
            due.append(("checkpoint", ""))
        if evaluate:
            due.append(("evaluate", ""))
        if every(self.config.sample_every):
            due += [("sample", prompt) for prompt in self._prompts]
        return due

    def _keeps(self, evaluate: bool) -> bool:
        return evaluate and self.config.checkpoint_every > 0

    @property
    def _is_time_to_save(self) -> bool:
        minutes = self.config.checkpoint_minutes
        return minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes

    def settle(self) -> Talk:
        """Do what is due."""
        finding_out = any(kind in _FINDS_OUT for kind, _ in self.due)
        while self.due:
            yield from self.listen()
            kind, prompt = self.due[0]
            if kind == "evaluate":
                yield from self._evaluate()
            elif kind == "sample":
                yield from self._sample(prompt)
            else:
                yield from self._metrics()
                self.due.pop(0)
                yield from self._checkpoint(at_once=kind == "save")
        if finding_out:
            yield from self._amend(self._progress_state())

    def _wants_metrics(self) -> bool:
        step = self._trainer.step
        if self.config.log_every:
            return step % self.config.log_every == 0
        first = step == self.pace.first_step + 1
        return first or time.monotonic() - self._measured >= self._interval

    def _metrics(self) -> Talk:
        readings = self._trainer.read()
        if readings is None:
            return
        self._measured = time.monotonic()
        step, per_step = self._trainer.step, self.plan.tokens_per_step
        speed = self.pace.speed(step) * per_step
        yield from self.say(
            Metrics(
                step=step,
                max_steps=self.config.max_steps,
                steps=readings.steps,
                tokens=self._trainer.tokens,
                loss=readings.loss,
                loss_ema=readings.loss_ema,
                learning_rate=self.rate,
                grad_norm=readings.grad_norm,
                tokens_per_second=speed,
                elapsed=self.clock.now(),
                epoch=self._trainer.epoch,
                mfu=speed * self.plan.flops_per_token / self.peak,
                eta=self.pace.eta(step),
            )
        )

    def _progress(self) -> Progress:
        step, total = self._trainer.step, self.config.max_steps
        return Progress(
            phase="training", done=step, total=total, unit="steps", eta=self.pace.eta(step)
        )

    # --- what is due -------------------------------------------------------------------------

    def _evaluate(self) -> Talk:
        from talm_core.training.evaluation import evaluate

        inputs = self.inputs
        total = min(self.config.eval_tokens, inputs.manifest.val_tokens)
        with self.pace.costing("evaluate"):
            for score in evaluate(self._trainer, self.validation, inputs.vocabulary):
                event = Progress(phase="evaluating", done=score.tokens, total=total, unit="tokens")
                yield from self.sign_of_life(event)
        self.evaluated = {"val_loss": score.loss, "bits_per_byte": score.bits_per_byte}
        self.evaluated_step = self._trainer.step
        self.due.pop(0)
        yield from self.say(
            Evaluated(
                step=self._trainer.step,
                val_loss=score.loss,
                bits_per_byte=score.bits_per_byte,
                tokens=score.tokens,
                seconds=self.pace.cost("evaluate"),
            )
        )

    def _sample(self, prompt: str) -> Talk:
        from talm_core.model.generate import split_prompt, stream

        end = self.inputs.vocabulary.end_of_text
        ids, begin = split_prompt(self.tokenizer, prompt)
        total, pieces = self.config.sample_tokens, []
        model = self._trainer.whole_model()
        if model is None:
            self.due.pop(0)
            return
        with self.pace.costing("sample"):
            for step in stream(
                model,
                self.tokenizer,
                [end, *ids],
                max_tokens=total,
                temperature=0.8,
                top_p=0.95,
                seed=self.config.seed,
                stop_token=end,
                begin=begin,
            ):
                pieces.append(step.text)
                event = Progress(phase="sampling", done=len(pieces), total=total, unit="tokens")
                yield from self._breathe(event)
        self.due.pop(0)
        yield from self.say(
            Sampled(
                step=self._trainer.step,
                prompt=prompt,
                text="".join(pieces),
                tokens=len(pieces),
                tokens_per_second=len(pieces) / max(1e-9, self.pace.cost("sample")),
            )
        )

    # --- checkpoints -------------------------------------------------------------------------

    @property
    def _saver(self) -> Saver:
        assert self.saver is not None
        return self.saver

    def _checkpoint(self, *, at_once: bool) -> Talk:
        """Have a checkpoint written; `at_once` waits until it is there and says so in any case."""
        newest = self._saver.newest
        try:
            yield from self.written()
            yield from self.listen()
            self._hand_over()
        except RunError as error:
            yield from self._not_saved(error)
            return
        if at_once:
            yield from self.written()
            if self._saver.newest is not None and self._saver.newest is newest:
                yield from self.say(newest)

    def written(self) -> Talk:
        """Wait for the checkpoint that is being written, if there is one."""
        with self.pace.costing("checkpoint"):
            while self._saver.busy:
                self._saver.wait(_OFTEN)
                yield from self._breathe(Progress(phase="saving", done=0))
        yield from self._tell_written()

    def _tell_written(self) -> Talk:
        if self.saver is None:
            return
        try:
            event = self.saver.collect()
        except RunError as error:
            yield from self._not_saved(error)
            return
        if event is not None:
            yield from self.say(event)

    def _not_saved(self, error: RunError) -> Talk:
        if self.over:
            raise error
        # Training can go on; perhaps there is room again next time.
        yield from self.say(Notice(message=str(error), level="error"))

    def _hand_over(self) -> None:
        """Copy everything and let it be written, unless this step is saved already."""
        trainer, saver = self._trainer, self._saver
        self._saved_at = time.monotonic()
        full = None
        try:
            saver.require_space()
        except RunError as error:
            full = error
        save = saver.step != trainer.step and full is None and trainer.ranks.first
        if not self._agree(save=save).save:
            if full is not None:
                raise full
            saver.amend(trainer.step, self._progress_state())
            return
        with self.pace.costing("checkpoint"):
            snapshot = trainer.snapshot(self.inputs.vocabulary)
            if snapshot is None:
                saver.step = trainer.step
            else:
                saver.write(trainer.step, snapshot.write, self._state())

    def _amend(self, state: dict[str, Any]) -> Talk:
        """Add what was found out at this step to its checkpoint, if it has one."""
        if self.saver is None or self.trainer is None:
            return
        try:
            self.saver.amend(self.trainer.step, state)
        except RunError as error:
            yield from self._not_saved(error)

    def _state(self) -> dict[str, Any]:
        return (
            self._trainer.state
            | self._progress_state()
            | {
                "rate": self.rate,
                "rollbacks": self.rollbacks,
                "ranks": self._trainer.ranks.count,
                "machine": asdict(self._trainer.machine),
                "config": dumps(self.config),
            }
        )

    def _progress_state(self) -> dict[str, Any]:
        """What may still change after the checkpoint of a step was written."""
        return {
            "elapsed": self.clock.now(),
            "due": [list(item) for item in self.due if item[0] in _FINDS_OUT],
            "over": self.over,
            "eval_every": [self.config.eval_every, self.eval_every],
            "evaluated": self.evaluated,
            "evaluated_step": self.evaluated_step,
        }

    # --- ends --------------------------------------------------------------------------------

    @property
    def _has_begun(self) -> bool:
        return self.trainer is not None and self.trainer.step > 0

    def stop(self) -> Talk:
        """Save, say so."""
        # A second Stop changes nothing.
        with contextlib.suppress(_StopError):
            yield from self.tell_last()
        if not self._has_begun:
            return
        # Metrics that were not said yet.
        with contextlib.suppress(_StopError):
            yield from self._metrics()
        self._hand_over()
        with contextlib.suppress(_StopError):
            yield from self.tell_last()

    def tell_last(self) -> Talk:
        """Wait for what is being written and say that it is there."""
        if self.saver is not None:
            self.saver.wait()
            yield from self._tell_written()

    def save_unsaved(self) -> None:
        """Save without a word: nobody listens any more."""
        if not self._has_begun:
            return
        saver = self._saver
        # Where the others wait next, they hear that this is the end.
        self._stop = True
        self._agree()
        # Two waits: for what is in flight, and for what could not be saved while it was.
        saver.wait()
        with contextlib.suppress(RunError):
            saver.collect()
        self._hand_over()
        saver.wait()
        saver.collect()

    def close(self) -> None:
        """Leave nothing running."""
        if self.saver is not None:
            self.saver.close()
        if self.ranks is not None:
            self.ranks.close(failed=not self.in_order)

    def summary(self) -> dict[str, Any]:
        """The few numbers worth listing."""
        trainer = self._trainer
        best = checkpoint.best(self.directory)
        return {
            "step": trainer.step,
            **self.evaluated,
            **({} if best is None else {"best_step": best[0], "best_val_loss": best[1]}),
            "parameters": self.plan.parameters.total,
            "tokens": trainer.tokens,
            "elapsed": self.clock.now(),
            "directory": self.workspace.relative(self.directory),
        }


def _require_out_of_memory(error: BaseException) -> None:
    from talm_core.training.trainer import out_of_memory

    if not out_of_memory(error):
        raise error


def _changes(before: str, config: PretrainConfig) -> dict[str, tuple[object, object]]:
    """Settings that are not free to differ and do: what they were and what they are. Nothing
    where what was cannot be read."""
    with contextlib.suppress(ConfigError):
        old = loads(before, where=checkpoint.INDEX)
        if isinstance(old, PretrainConfig):
            return {
                item.key: (getattr(old, item.key), getattr(config, item.key))
                for item in settings_of(PretrainConfig)
                if not item.setting.resume and getattr(old, item.key) != getattr(config, item.key)
            }
    return {}


def _interval_of(config: PretrainConfig, state: Mapping[str, Any]) -> int:
    """Steps between evaluations: as was said to the run before, unless its config has been
    changed since."""
    configured, said = state.get("eval_every", (None, 0))
    return int(said) if configured == config.eval_every else config.eval_every
