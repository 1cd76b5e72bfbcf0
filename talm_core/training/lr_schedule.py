"""The learning rate at each step: warm-up, then down, along a cosine or late in a straight line."""

from __future__ import annotations

import math
from dataclasses import dataclass

from talm_core.training.config import ScheduleConfig


@dataclass(frozen=True, slots=True)
class LRSchedule:
    """A run's learning rate. `seconds` is the time limit, None without one. `decay_ratio` is the
    share of the run over which it falls in a straight line, None for a cosine from the warm-up."""

    peak: float
    end: float
    warmup_steps: int
    max_steps: int
    seconds: float | None = None
    decay_ratio: float | None = None

    @classmethod
    def of(cls, config: ScheduleConfig) -> LRSchedule:
        return cls(
            peak=config.learning_rate,
            end=config.min_learning_rate,
            warmup_steps=config.warmup_steps,
            max_steps=config.max_steps,
            seconds=None if config.minutes is None else 60 * config.minutes,
            decay_ratio=config.decay_ratio if config.lr_schedule == "wsd" else None,
        )

    def progress(self, step: int, elapsed: float) -> float:
        """The share of the run that is over after `step` steps and `elapsed` seconds: of steps or
        of time, whichever is further. 1 or more: the run ends."""
        of_steps = step / self.max_steps
        return of_steps if self.seconds is None else max(of_steps, elapsed / self.seconds)

    def seconds_are_over(self, elapsed: float) -> bool:
        """Whether a time limit is reached after so much training."""
        return self.seconds is not None and elapsed >= self.seconds

    @property
    def falls_after(self) -> int:
        """The steps before the rate begins to fall, where the length of the run decides only that:
        with `wsd`. 0 for a cosine, and where time may be what makes it fall."""
        if self.seconds is not None or self.decay_ratio is None:
            return 0
        start = self._start
        steps = int(start * self.max_steps)
        while steps / self.max_steps <= start and steps < self.max_steps:
            steps += 1
        return steps

    @property
    def level_steps(self) -> float:
        """The steps whose rate does not depend on the length of the run: all where it never
        falls."""
        return math.inf if self.peak == self.end else self.falls_after

    @property
    def _start(self) -> float:
        """The share of the run after which the rate falls."""
        start = self.warmup_steps / self.max_steps
        return start if self.decay_ratio is None else max(start, 1 - self.decay_ratio)

    def rate(self, step: int, elapsed: float = 0.0) -> float:
        """The learning rate of the step that comes after `step` finished ones.

        It rises in equal parts and reaches `peak` with the last step of the warm-up. From there
        it follows half a cosine wave to `end` (Loshchilov and Hutter 2016,
        https://arxiv.org/abs/1608.03983), or stays and falls in a straight line at the end (Hu et
        al. 2024, https://arxiv.org/abs/2404.06395; the line: Hägele et al. 2024,
        https://arxiv.org/abs/2405.18392). A machine so slow that time runs out during the warm-up
        gets the product of both.
        """
        start = self._start
        part = 0.0
        if start < 1:
            part = min(1.0, max(0.0, (self.progress(step, elapsed) - start) / (1 - start)))
        above = 0.5 * (1 + math.cos(math.pi * part)) if self.decay_ratio is None else 1 - part
        rate = self.end + (self.peak - self.end) * above
        return rate * min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else rate
