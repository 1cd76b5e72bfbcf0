"""What the training shows of itself, and when."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime.events import Metrics, Progress
from talm_core.training.pace import Pace
from talm_core.training.plan import Plan
from talm_core.training.signs import Signs
from talm_core.training.standing import Standing

if TYPE_CHECKING:
    from talm_core.training.trainer import Trainer


@dataclass(slots=True)
class Meter:
    """Reads a trainer. `peak` is what all devices can do at most, in operations a second."""

    config: PretrainConfig
    plan: Plan
    trainer: Trainer
    standing: Standing
    pace: Pace
    signs: Signs
    peak: float
    _measured: float = 0.0

    @property
    def is_time(self) -> bool:
        """Whether metrics are wanted at this step."""
        step = self.trainer.step
        if self.config.log_every:
            return step % self.config.log_every == 0
        first = step == self.pace.first_step + 1
        return first or time.monotonic() - self._measured >= self.signs.interval

    def read(self) -> Metrics | None:
        """What was measured since the last call; None if there was no step. Waits for the device.

        Raises:
            NonFiniteError: a step since then was not finite.
        """
        readings = self.trainer.read()
        if readings is None:
            return None
        self._measured = time.monotonic()
        step, per_step = self.trainer.step, self.plan.tokens_per_step
        speed = self.pace.speed(step) * per_step
        return Metrics(
            step=step,
            max_steps=self.config.max_steps,
            steps=readings.steps,
            tokens=self.trainer.tokens,
            loss=readings.loss,
            loss_ema=readings.loss_ema,
            learning_rate=self.standing.rate,
            grad_norm=readings.grad_norm,
            tokens_per_second=speed,
            elapsed=self.pace.clock.now(),
            epoch=self.trainer.epoch,
            mfu=speed * self.plan.flops_per_token / self.peak,
            eta=self.pace.eta(step),
        )

    @property
    def progress(self) -> Progress:
        """The step reached, of all."""
        step, total = self.trainer.step, self.config.max_steps
        return Progress(
            phase="training", done=step, total=total, unit="steps", eta=self.pace.eta(step)
        )
