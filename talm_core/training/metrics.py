"""What the training shows of itself, and when."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from talm_core.runtime.events import Metrics, Progress
from talm_core.training.config import TrainingConfig
from talm_core.training.throughput import Clock, Throughput
from talm_core.training.train_state import TrainState

if TYPE_CHECKING:
    from talm_core.training.trainer import Trainer

OFTEN, SELDOM = 0.1, 0.5  # seconds between signs of life: at first, and after five minutes
_TELEMETRY = 1.0  # seconds between looks at the machine


class Heartbeat:
    """When a run was heard of last, and whether it should be again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said = self._next_telemetry = 0.0

    def said(self) -> None:
        """Something was said just now."""
        self._said = time.monotonic()

    @property
    def interval(self) -> float:
        """Seconds between two signs."""
        return min(SELDOM, max(OFTEN, self._clock.now() / 600))

    @property
    def silent(self) -> bool:
        """Whether the last thing said was some time ago."""
        return time.monotonic() - self._said >= self.interval

    def look(self) -> bool:
        """Whether the machine is to be looked at again; if so, the next time is a second later."""
        now = time.monotonic()
        if now < self._next_telemetry:
            return False
        self._next_telemetry = now + _TELEMETRY
        return True


@dataclass(slots=True)
class MetricsReader:
    """Reads a trainer. `flops_per_token` is what training on one takes, `peak` what all devices can
    do at most, in operations a second, None where that is not known."""

    config: TrainingConfig
    trainer: Trainer
    train_state: TrainState
    throughput: Throughput
    heartbeat: Heartbeat
    flops_per_token: float
    peak: float | None
    _measured: float = 0.0

    @property
    def is_time(self) -> bool:
        """Whether metrics are wanted at this step."""
        step = self.trainer.step
        if self.config.log_every:
            return step % self.config.log_every == 0
        first = step == self.throughput.first_step + 1
        return first or time.monotonic() - self._measured >= self.heartbeat.interval

    def read(self) -> Metrics | None:
        """What was measured since the last call; None if there was no step. Waits for the device.

        Raises:
            NonFiniteError: a step since then was not finite.
        """
        readings = self.trainer.read()
        if readings is None:
            return None
        self._measured = time.monotonic()
        step, per_step = self.trainer.step, self.config.tokens_per_step
        speed = self.throughput.speed(step) * per_step
        return Metrics(
            step=step,
            max_steps=self.config.max_steps,
            steps=readings.steps,
            tokens=self.trainer.tokens,
            loss=readings.loss,
            loss_ema=readings.loss_ema,
            learning_rate=self.train_state.rate,
            grad_norm=readings.grad_norm,
            tokens_per_second=speed,
            elapsed=self.throughput.clock.now(),
            epoch=self.trainer.epoch,
            mfu=None if self.peak is None else speed * self.flops_per_token / self.peak,
            eta=self.throughput.eta(step),
        )

    @property
    def progress(self) -> Progress:
        """The step reached, of all."""
        step, total = self.trainer.step, self.config.max_steps
        return Progress(
            phase="training", done=step, total=total, unit="steps", eta=self.throughput.eta(step)
        )
