"""What is kept of a run in its checkpoints, and when."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from talm_core.config import PretrainConfig, dumps
from talm_core.errors import RunError
from talm_core.tokenizer.vocabulary import Vocabulary
from talm_core.training.agreement import Agreement
from talm_core.training.pace import Pace
from talm_core.training.saver import Saver
from talm_core.training.standing import Standing

if TYPE_CHECKING:
    from talm_core.training.trainer import Trainer


@dataclass(slots=True)
class Keeping:
    """Hands a run's state to the saver."""

    config: PretrainConfig
    vocabulary: Vocabulary
    trainer: Trainer
    saver: Saver
    standing: Standing
    agreement: Agreement
    pace: Pace
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
