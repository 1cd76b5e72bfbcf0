"""How a run is going to go: its learning rate from step to step, and what happens when."""

from __future__ import annotations

import math
from dataclasses import dataclass

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.training.lr_schedule import LRSchedule

_POINTS = 240


@dataclass(frozen=True, slots=True)
class Recurring:
    """Something that happens at the end of a run and at every multiple of each of `every`, numbers
    of steps; 0 is none."""

    name: str
    every: tuple[int, ...]

    def within(self, first: int, last: int, steps: int) -> bool:
        """Whether it happens after one of the steps `first` to `last` of a run of `steps`."""
        last = min(last, steps)
        if first <= last == steps:
            return True
        return any(each and last // each > (first - 1) // each for each in self.every)

    def times(self, steps: int) -> int:
        """How often in a run of this many steps."""
        intervals = sorted({each for each in self.every if each})
        # What two intervals have in common happens once.
        common = math.lcm(*intervals) if len(intervals) > 1 else 0
        times = sum(steps // each for each in intervals) - (steps // common if common else 0)
        return times + all(steps % each for each in intervals)


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run of `steps` steps, which take `seconds` (None: not known). `rates` are learning rates
    at even distances from the first step to the last."""

    steps: int
    seconds: float | None
    rates: tuple[float, ...]
    recurring: tuple[Recurring, ...]


def of_run(config: PretrainConfig, tokens_per_second: float | None) -> Timeline:
    """The timeline of a run. A time limit ends it early where the speed is known."""
    schedule = LRSchedule.of(config)
    steps, step_seconds = config.max_steps, 0.0
    if tokens_per_second:
        step_seconds = config.tokens_per_step / tokens_per_second
        if schedule.seconds is not None:
            steps = max(1, min(steps, int(schedule.seconds / step_seconds)))
    rates = tuple(
        schedule.rate(step, step * step_seconds)
        for step in (round(index * (steps - 1) / (_POINTS - 1)) for index in range(_POINTS))
    )
    # What is judged is kept.
    saves = (config.checkpoint_every, config.eval_every if config.checkpoint_every else 0)
    recurring = (
        Recurring("evaluates", (config.eval_every,)),
        Recurring("samples", (config.sample_every,)),
        Recurring("saves", saves),
    )
    return Timeline(steps, steps * step_seconds if step_seconds else None, rates, recurring)
