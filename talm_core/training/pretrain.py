"""The job `pretrain`: train a model, watch it, keep it safe.

The loop is a generator that says what happens and hears what is asked of it between two steps. At
each step where something is due, the order is: metrics, checkpoint, evaluation, samples. The
checkpoint is written beside what follows. What is still due is part of its state, so that a run
stopped in the middle of an evaluation goes on with that evaluation; what comes out of it is added
to the state later.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from talm_core.data.dataloader import Windows
from talm_core.errors import NonFiniteError, RunError, TalmError
from talm_core.jobs.pretrain.check import worries
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime import rank
from talm_core.runtime.events import Command, Event, Finished, Notice, Progress, RolledBack, Started
from talm_core.storage.workspace import Workspace
from talm_core.training import checkpoint
from talm_core.training.agreement import Agreement
from talm_core.training.conversation import Conversation, StopError, Talk
from talm_core.training.data_identity import compare
from talm_core.training.inputs import Inputs
from talm_core.training.keeping import Keeping
from talm_core.training.meter import Meter
from talm_core.training.pace import Clock, Pace
from talm_core.training.plan import plan
from talm_core.training.saver import Saver
from talm_core.training.schedule import Schedule
from talm_core.training.standing import FINDS_OUT, Standing, due_after

if TYPE_CHECKING:
    from talm_core.training.judgement import Judgement
    from talm_core.training.ranks import Ranks
    from talm_core.training.trainer import Trainer


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
    except StopError:
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
        lost = run.agreement.lost(error)
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


class _Run:
    """One process' work on a run."""

    def __init__(
        self,
        config: PretrainConfig,
        workspace: Workspace,
        found: checkpoint.Found,
        ranks: Ranks | None,
    ) -> None:
        self.in_order = False
        self.config = config
        self.workspace = workspace
        self.directory = workspace.directory_of(config)
        self.found = found
        self.schedule = Schedule.of(config)
        self.trainer: Trainer | None = None
        self.saver: Saver | None = None
        self.standing = Standing.of(found.state, config)
        self.keeping: Keeping | None = None
        self.judgement: Judgement | None = None
        self.meter: Meter | None = None
        self.clock = Clock(float(found.state.get("elapsed", 0.0)))
        # Only the first of several processes talks, hears and saves.
        self.agreement = Agreement(self.clock, ranks)
        self.pace = Pace(
            self.clock,
            first_step=found.step,
            max_steps=config.max_steps,
            seconds=self.schedule.seconds,
            every={
                "evaluate": self.standing.eval_every,
                "sample": config.sample_every,
                "checkpoint": config.checkpoint_every,
            },
        )
        self._elapsed = self.clock.now()
        if found.path and self.schedule.progress(found.step, self._elapsed) >= 1:
            self.standing.end_at(found.step, config)
        self.conversation = Conversation(
            config,
            self.standing,
            self.agreement,
            self.pace,
            settle=self.settle,
            news=self._tell_written,
        )
        self.say = self.conversation.say

    # --- before the first step ---------------------------------------------------------------

    def open(self) -> Talk:
        """Load everything and say what the run is going to be."""
        self.inputs = Inputs.of(self.config, self.workspace)
        self.resumed = compare(
            self.found, self.inputs.dataset, self.inputs.manifest, self.config.data_dir
        )
        self.standing.data = self.resumed.identity.to_state()
        if self.resumed.notice:
            yield from self.say(Notice(message=self.resumed.notice, level="warning"))
        self.plan = plan(self.config, self.inputs.manifest, self.inputs.vocabulary.n_vocab)
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
        validation = Windows(self.inputs.dataset, "val", context_len=self.config.context_len)
        # Here torch comes in, a second or two.
        from talm_core.tokenizer.tokenizer import Tokenizer
        from talm_core.training.judgement import Judgement
        from talm_core.training.machine import peak_of
        from talm_core.training.opening import Opening
        from talm_core.training.ranks import Ranks

        ranks = self.agreement.ranks
        if ranks is None:
            ranks = Ranks.join(self.config.nproc, self.directory, self.workspace.root)
            self.agreement.ranks = ranks
            ranks.share(self.found.to_json())
        opening = Opening(
            *(self.config, self.workspace, self.inputs, self.plan),
            *(self.found, ranks, self.saver, self.resumed),
        )
        trainer = yield from self.conversation.relay(opening.trainer())
        # Of all processes; the others' metrics are not heard.
        peak = peak_of(trainer.machine) if ranks.first else 1.0
        self.trainer = trainer
        self.meter = Meter(
            self.config,
            self.plan,
            trainer,
            self.standing,
            self.pace,
            self.conversation.signs,
            peak=peak * ranks.count,
        )
        self.keeping = Keeping(
            self.config,
            self.inputs.vocabulary,
            trainer,
            self.saver,
            self.standing,
            self.agreement,
            self.pace,
            self.conversation,
        )
        self.judgement = Judgement(
            self.config,
            self.inputs,
            validation,
            trainer,
            Tokenizer.from_vocabulary(self.inputs.vocabulary),
            self.standing,
            self.pace,
            self.conversation,
        )
        self.conversation.trainer = trainer
        yield from self.say(opening.planned(trainer))

    def _worries(self) -> Talk:
        # What no run should begin with was refused before this process was started.
        for concern in worries(self.config, self.inputs.manifest, self.workspace):
            if not concern.fatal:
                yield from self.say(Notice(message=str(concern.problem), level="warning"))

    @property
    def _trainer(self) -> Trainer:
        assert self.trainer is not None
        return self.trainer

    @property
    def _meter(self) -> Meter:
        assert self.meter is not None
        return self.meter

    @property
    def _keeping(self) -> Keeping:
        assert self.keeping is not None
        return self.keeping

    @property
    def _judgement(self) -> Judgement:
        assert self.judgement is not None
        return self.judgement

    # --- steps -------------------------------------------------------------------------------

    def steps(self) -> Talk:
        """Every step that is left, and what is due after each."""
        yield from self.settle()
        self.clock.start()
        self.pace.begin()
        self._keeping.begin()
        while not self.standing.over:
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
        elapsed = self.clock.now() if self.agreement.alone else self._elapsed
        self.standing.rate = self.schedule.rate(trainer.step, elapsed)
        while not (yield from self._pass()):
            yield from self.conversation.sign_of_life(self._meter.progress)
        trainer.update(self.standing.rate)
        self.pace.stepped(trainer.step)
        agreed = self.agreement.reach(metrics=self._meter.is_time, save=self._keeping.is_time)
        self._elapsed = agreed.elapsed
        self.standing.over = self.schedule.progress(trainer.step, agreed.elapsed) >= 1
        self.standing.due = due_after(
            trainer.step,
            self.config,
            eval_every=self.standing.eval_every,
            last=self.standing.over,
            time_to_save=agreed.save,
        )
        if self.standing.due or agreed.metrics:
            yield from self._metrics()
        yield from self.settle()
        yield from self.conversation.sign_of_life(self._meter.progress)

    def _pass(self) -> Generator[Event, Command | None, bool]:
        """One forward and backward pass; returns whether it was the step's last."""
        try:
            return self._trainer.forward_backward()
        except (RuntimeError, MemoryError) as error:
            from talm_core.training.shortage import require_out_of_memory, take_less

            require_out_of_memory(error)
        # Out here, for the error holds on to all that the pass had allocated.
        yield from self.conversation.relay(take_less(self._trainer))
        return False

    def _roll_back(self, error: NonFiniteError) -> Talk:
        """Go back to the last good checkpoint and past the batches that led to `error` (Chowdhery
        et al. 2022, section 5.1, https://arxiv.org/abs/2204.02311)."""
        if self.config.non_finite != "rollback":
            raise error
        if self.standing.rollbacks >= self.config.max_rollbacks:
            raise RunError(f"{error}. The run had gone back {self.standing.rollbacks} times before")
        yield from self._keeping.written()
        yield from self.conversation.listen()
        found = self.agreement.find(self.directory)
        if found.path is None:
            raise RunError(f"{error}. There is no checkpoint yet to go back to")
        trainer = self._trainer
        trainer.restore(found.path, found.step, found.state)
        trainer.skip_to(error.step)
        self.standing.go_back(found.state)
        self.standing.rollbacks += 1
        self.pace.go_back(found.step)
        self._keeping.saver.has(found.step, found.path)
        # A process that dies now must not take those batches again.
        yield from self._keeping.amend(trainer.state | {"rollbacks": self.standing.rollbacks})
        yield from self.say(RolledBack(step=found.step, failed_step=error.step, reason=str(error)))
        text = (
            f"{error}. Back at step {found.step:,}, on with what comes after the batches of step"
            f" {error.step:,} (rollback {self.standing.rollbacks} of {self.config.max_rollbacks})"
        )
        yield from self.say(Notice(message=text, level="warning"))
        yield from self.settle()

    def settle(self) -> Talk:
        """Do what is due."""
        finding_out = any(kind in FINDS_OUT for kind, _ in self.standing.due)
        while self.standing.due:
            yield from self.conversation.listen()
            kind, prompt = self.standing.due[0]
            if kind == "evaluate":
                yield from self._judgement.evaluate()
            elif kind == "sample":
                yield from self._judgement.sample(prompt)
            else:
                yield from self._metrics()
                self.standing.due.pop(0)
                yield from self._keeping.checkpoint(at_once=kind == "save")
        if finding_out:
            yield from self._keeping.amend(self._keeping.progress)

    def _metrics(self) -> Talk:
        event = self._meter.read()
        if event is not None:
            yield from self.say(event)

    # --- ends --------------------------------------------------------------------------------

    @property
    def _has_begun(self) -> bool:
        return self.trainer is not None and self.trainer.step > 0

    def stop(self) -> Talk:
        """Save, say so."""
        # A second Stop changes nothing.
        with contextlib.suppress(StopError):
            yield from self.tell_last()
        if not self._has_begun:
            return
        # Metrics that were not said yet.
        with contextlib.suppress(StopError):
            yield from self._metrics()
        self._keeping.save()
        with contextlib.suppress(StopError):
            yield from self.tell_last()

    def written(self) -> Talk:
        """Wait for the checkpoint that is being written, if there is one."""
        yield from self._keeping.written()

    def _tell_written(self) -> Talk:
        if self.keeping is not None:
            yield from self.keeping.tell_written()

    def tell_last(self) -> Talk:
        """Wait for what is being written and say that it is there."""
        if self.keeping is not None:
            yield from self.keeping.tell_last()

    def save_unsaved(self) -> None:
        """Save without a word: nobody listens any more."""
        if self._has_begun:
            self._keeping.save_unsaved()

    def close(self) -> None:
        """Leave nothing running."""
        if self.saver is not None:
            self.saver.close()
        self.agreement.close(failed=not self.in_order)

    def summary(self) -> dict[str, Any]:
        """The few numbers worth listing."""
        trainer = self._trainer
        best = checkpoint.best(self.directory)
        return {
            "step": trainer.step,
            **self.standing.evaluated,
            **({} if best is None else {"best_step": best[0], "best_val_loss": best[1]}),
            "parameters": self.plan.parameters.total,
            "tokens": trainer.tokens,
            "elapsed": self.clock.now(),
            "directory": self.workspace.relative(self.directory),
        }
