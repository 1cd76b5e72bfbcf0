"""What is kept of a run in its checkpoints, and when."""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from talm_core.errors import RunError
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime.events import Notice, Progress
from talm_core.settings.toml import dumps
from talm_core.tokenizer.vocabulary import Vocabulary
from talm_core.training.agreement import Agreement
from talm_core.training.conversation import Conversation, Talk
from talm_core.training.pace import Pace
from talm_core.training.saver import Saver
from talm_core.training.signs import OFTEN
from talm_core.training.standing import Standing

if TYPE_CHECKING:
    from talm_core.training.trainer import Trainer


@dataclass(slots=True)
class Keeping:
    """Hands a run's state to the saver, and says what became of it."""

    config: PretrainConfig
    vocabulary: Vocabulary
    trainer: Trainer
    saver: Saver
    standing: Standing
    agreement: Agreement
    pace: Pace
    conversation: Conversation
    _saved_at: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """Count the minutes between two checkpoints from here."""
        self._saved_at = time.monotonic()

    @property
    def is_time(self) -> bool:
        """Whether the minutes between two checkpoints are over."""
        minutes = self.config.checkpoint_minutes
        return minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes

    def save(self) -> None:
        """Copy everything and let it be written, unless this step is saved already.

        Raises:
            RunError: there is no room for it.
        """
        trainer, saver = self.trainer, self.saver
        self.begin()
        full = None
        try:
            saver.require_space()
        except RunError as error:
            full = error
        save = saver.step != trainer.step and full is None and trainer.ranks.first
        if not self.agreement.reach(save=save).save:
            if full is not None:
                raise full
            saver.amend(trainer.step, self.progress)
            return
        with self.pace.costing("checkpoint"):
            snapshot = trainer.snapshot(self.vocabulary)
            if snapshot is None:
                saver.step = trainer.step
            else:
                saver.write(trainer.step, snapshot.write, self._state)

    def checkpoint(self, *, at_once: bool) -> Talk:
        """Have a checkpoint written; `at_once` waits until it is there and says so in any case."""
        newest = self.saver.newest
        try:
            yield from self.written()
            yield from self.conversation.listen()
            self.save()
        except RunError as error:
            yield from self._not_saved(error)
            return
        if at_once:
            yield from self.written()
            if self.saver.newest is not None and self.saver.newest is newest:
                yield from self.conversation.say(newest)

    def written(self) -> Talk:
        """Wait for the checkpoint that is being written, if there is one."""
        with self.pace.costing("checkpoint"):
            while self.saver.busy:
                self.saver.wait(OFTEN)
                yield from self.conversation.breathe(Progress(phase="saving", done=0))
        yield from self.tell_written()

    def tell_written(self) -> Talk:
        """Say what was written meanwhile."""
        try:
            event = self.saver.collect()
        except RunError as error:
            yield from self._not_saved(error)
            return
        if event is not None:
            yield from self.conversation.say(event)

    def tell_last(self) -> Talk:
        """Wait for what is being written and say that it is there."""
        self.saver.wait()
        yield from self.tell_written()

    def amend(self, state: dict[str, Any]) -> Talk:
        """Add what was found out at this step to its checkpoint, if it has one."""
        try:
            self.saver.amend(self.trainer.step, state)
        except RunError as error:
            yield from self._not_saved(error)

    def save_unsaved(self) -> None:
        """Save without a word: nobody listens any more."""
        # Where the others wait next, they hear that this is the end.
        self.agreement.end()
        self.agreement.reach()
        # Two waits: for what is in flight, and for what could not be saved while it was.
        self.saver.wait()
        with contextlib.suppress(RunError):
            self.saver.collect()
        self.save()
        self.saver.wait()
        self.saver.collect()

    def _not_saved(self, error: RunError) -> Talk:
        if self.standing.over:
            raise error
        # Training can go on; perhaps there is room again next time.
        yield from self.conversation.say(Notice(message=str(error), level="error"))

    @property
    def progress(self) -> dict[str, Any]:
        """What may still change after the checkpoint of a step was written."""
        return self.standing.progress | {
            "elapsed": self.pace.clock.now(),
            "eval_every": [self.config.eval_every, self.standing.eval_every],
        }

    @property
    def _state(self) -> dict[str, Any]:
        return (
            self.trainer.state
            | self.progress
            | {
                "rate": self.standing.rate,
                "rollbacks": self.standing.rollbacks,
                "ranks": self.trainer.ranks.count,
                "machine": asdict(self.trainer.machine),
                "config": dumps(self.config),
            }
        )
