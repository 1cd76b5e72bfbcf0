"""The loop that every training run is: step, metrics, checkpoint, evaluation, samples.

It knows nothing of what is learned: that is the `Task`'s. What is still due at a step is part of
the run's state, so that a run stopped in the middle of an evaluation goes on with that evaluation;
the checkpoint is written beside what follows it, and what comes out of that is added later.
"""

from __future__ import annotations

import contextlib
from typing import Any

from talm_core.errors import NonFiniteError, RunError
from talm_core.runtime.context import StopRequested
from talm_core.runtime.events import Notice, Planned, RolledBack
from talm_core.runtime.render import duration
from talm_core.training.checkpoint import best
from talm_core.training.checkpointer import Checkpointer
from talm_core.training.evaluator import Evaluator
from talm_core.training.metrics import MetricsReader
from talm_core.training.oom import require_out_of_memory, shrink_micro_batch
from talm_core.training.session import Session
from talm_core.training.train_state import EVALUATIONS, due_after
from talm_core.training.trainer import Trainer


class TrainLoop:
    """Every step that is left of a run, and what is due after each."""

    def __init__(
        self,
        session: Session,
        trainer: Trainer,
        checkpointer: Checkpointer,
        evaluator: Evaluator,
        metrics: MetricsReader,
    ) -> None:
        self.session = session
        self.config = session.config
        self.train_state = session.train_state
        self.clock = session.clock
        self.sync = session.sync
        self.throughput = session.throughput
        self.control = session.control
        self.trainer = trainer
        self.checkpointer = checkpointer
        self.evaluator = evaluator
        self.metrics = metrics
        self._elapsed = self.clock.now()
        session.loop = self
        self.control.trainer = trainer
        self.control.on_due = self.do_due
        self.control.on_news = checkpointer.report_written

    def run(self, planned: Planned) -> None:
        """Say what the run is going to be, and train.

        Raises:
            StopRequested: it was asked to stop.
            RunError: a loss that is not finite, or no room on the disk.
        """
        self.control.say(planned)
        self.do_due()
        self.clock.start()
        self.throughput.begin()
        self.checkpointer.begin()
        while not self.train_state.over:
            failed = None
            try:
                self.step()
            except NonFiniteError as error:
                failed = error
            if failed is not None:
                self.roll_back(failed)
        self.clock.stop()
        self.do_due()
        self.checkpointer.finish_writing()
        self.checkpointer.prune()

    def step(self) -> None:
        """One optimizer step, and what is due after it."""
        trainer, state = self.trainer, self.train_state
        elapsed = self.clock.now() if self.sync.is_single else self._elapsed
        state.rate = self.session.schedule.rate(trainer.step, elapsed)
        while not self._micro_batch():
            self.control.sign_of_life(self.metrics.progress)
        trainer.update(state.rate)
        self.throughput.stepped(trainer.step)
        agreed = self.sync.exchange(metrics=self.metrics.is_time, save=self.checkpointer.is_time)
        self._elapsed = agreed.elapsed
        state.over = self.session.schedule.progress(trainer.step, agreed.elapsed) >= 1
        state.due = due_after(
            trainer.step,
            self.config,
            eval_every=state.eval_every,
            last=state.over,
            time_to_save=agreed.save or self._about_to_fall,
        )
        if state.due or agreed.metrics:
            self.say_metrics()
        self.do_due()
        self.control.sign_of_life(self.metrics.progress)

    @property
    def _about_to_fall(self) -> bool:
        """Whether this is the step from which a finished run is made longer exactly."""
        return (
            self.config.checkpoint_every > 0
            and self.trainer.step == self.session.schedule.falls_after
        )

    def _micro_batch(self) -> bool:
        """Forward and backward of one micro-batch; returns whether it was the step's last."""
        try:
            return self.trainer.forward_backward()
        except (RuntimeError, MemoryError) as error:
            require_out_of_memory(error)
        # Out here, for the error holds on to all that the micro-batch had allocated.
        self.control.say(shrink_micro_batch(self.trainer))
        return False

    def do_due(self) -> None:
        """What is due at this step, in its order: checkpoint, evaluation, samples."""
        evaluates = any(kind in EVALUATIONS for kind, _ in self.train_state.due)
        while self.train_state.due:
            self.control.listen()
            kind, prompt = self.train_state.due[0]
            if kind == "evaluate":
                self.evaluator.evaluate()
            elif kind == "sample":
                self.evaluator.sample(prompt)
            else:
                self.say_metrics()
                self.train_state.due.pop(0)
                self.checkpointer.checkpoint(at_once=kind == "save")
        if evaluates:
            self.checkpointer.amend(self.checkpointer.progress)

    def say_metrics(self) -> None:
        """What was measured since the last time, if there was a step."""
        event = self.metrics.read()
        if event is not None:
            self.control.say(event)

    def roll_back(self, error: NonFiniteError) -> None:
        """Go back to the last good checkpoint and past the batches that led to `error` (Chowdhery
        et al. 2022, section 5.1, https://arxiv.org/abs/2204.02311)."""
        state, most = self.train_state, self.config.max_rollbacks
        if self.config.non_finite != "rollback":
            raise error
        if state.rollbacks >= most:
            raise RunError(f"{error}. The run had gone back {state.rollbacks} times before")
        self.checkpointer.finish_writing()
        self.control.listen()
        found = self.sync.find(self.session.directory)
        if found.path is None:
            raise RunError(f"{error}. There is no checkpoint yet to go back to")
        trainer = self.trainer
        trainer.restore(found.path, found.step, found.state)
        trainer.skip_to(error.step)
        state.load(found.state)
        state.rollbacks += 1
        self.throughput.go_back(found.step)
        self.checkpointer.writer.has(found.step, found.path)
        # A process that dies now must not take those batches again.
        self.checkpointer.amend(trainer.state | {"rollbacks": state.rollbacks})
        self.control.say(RolledBack(step=found.step, failed_step=error.step, reason=str(error)))
        text = (
            f"{error}. Back at step {found.step:,}, on with what comes after the batches of step"
            f" {error.step:,} (rollback {state.rollbacks} of {most})"
        )
        self.control.say(Notice(message=text, level="warning"))
        self.do_due()

    # --- ends --------------------------------------------------------------------------------

    def stop(self) -> None:
        """Save and say so. A second Stop changes nothing."""
        with contextlib.suppress(StopRequested):
            self.checkpointer.report_last()
        if not self.trainer.step:
            return
        # Metrics that were not said yet.
        with contextlib.suppress(StopRequested):
            self.say_metrics()
        self.checkpointer.save()
        with contextlib.suppress(StopRequested):
            self.checkpointer.report_last()

    def report_last(self) -> None:
        """Wait for a checkpoint that is being written and say that it is there."""
        self.checkpointer.report_last()

    def save_silently(self) -> None:
        """Save without a word: nobody listens any more."""
        if self.trainer.step:
            self.checkpointer.save_silently()

    def summary(self, parameters: int) -> dict[str, Any]:
        """The few numbers worth listing of a run whose model has so many `parameters`."""
        found = best(self.session.directory)
        ended_by_time = self.trainer.step < self.config.max_steps
        minutes = self.config.minutes or 0.0
        return {
            "step": self.trainer.step,
            **(
                {"ended_by": f"its time limit of {duration(60 * minutes)}"} if ended_by_time else {}
            ),
            **self.train_state.evaluated,
            **({} if found is None else {"best_step": found[0], "best_val_loss": found[1]}),
            "parameters": parameters,
            "tokens": self.trainer.tokens,
            "elapsed": self.clock.now(),
        }
