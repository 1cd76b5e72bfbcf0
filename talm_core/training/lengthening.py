"""A finished run that is trained longer: where it goes on, and what becomes of its learning rate.

The rate of every step is that of a run which had been that long from the beginning. Where the steps
taken so far had it, the weights become those of such a run, bit for bit: with a rate that never
falls, and with `wsd` from the checkpoint before its fall. A cosine had come to its end and rises
again to where the longer one is. Nothing here loads torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from talm_core.errors import ArtifactError, ConfigError
from talm_core.settings.toml import loads
from talm_core.training import checkpoint
from talm_core.training.checkpoint import Found
from talm_core.training.checkpoint_index import INDEX
from talm_core.training.config import ScheduleConfig
from talm_core.training.lr_schedule import LRSchedule


@dataclass(frozen=True, slots=True)
class Lengthening:
    """`found` is the checkpoint that is gone on from, `finished` the run's last step so far, `text`
    what is to be said."""

    found: Found
    finished: int
    text: str

    def begin(self, directory: Path) -> None:
        """Make the checkpoint that is gone on from the newest.

        Raises:
            RunError: the disk refuses.
        """
        if self.found.step < self.finished:
            checkpoint.go_back(directory, self.found.step, self.finished)


def is_longer(config: ScheduleConfig, directory: Path) -> bool:
    """Whether the run in a model's directory has all its steps, or all its time, and this config
    gives it more."""
    return _is_longer(config, checkpoint.glance(directory))


def more_of(directory: Path) -> str:
    """What gives the finished run in a directory more of what has ended it, as the beginning of a
    hint; empty where that is not known."""
    found = checkpoint.glance(directory)
    before = _config_in(found.state)
    if before is None:
        return ""
    if LRSchedule.of(before).seconds_are_over(_elapsed(found.state)):
        return (
            f"its time limit of {before.minutes:g} minutes ended it at step {found.step:,} of"
            f" {before.max_steps:,}; to train it longer: --resume --minutes"
            f" {2 * (before.minutes or 0):g}, or --minutes none; else "
        )
    return f"to train it longer: --resume --max-steps {2 * found.step}; else "


def lengthening(directory: Path, found: Found, config: ScheduleConfig) -> Lengthening | None:
    """How the run whose newest checkpoint is `found` is made longer; None where it is not."""
    if not _is_longer(config, found):
        return None
    new, step = LRSchedule.of(config), found.step
    length = f"{new.max_steps:,} steps"
    if new.seconds is not None:
        length += f" or {new.seconds / 60:g} minutes of training"
    text = f"trained longer: step {step:,} was the last, now it has {length}"
    before = _config_in(found.state)
    old = new if before is None else LRSchedule.of(before)
    alike = before is not None and _differ_in_length_alone(old, new)
    level = min(old.level_steps, new.level_steps) if alike else 0
    if level >= step:
        text += "; each step has the learning rate of a run that long, and gives its weights"
        return _going_on(found, step, text)
    earlier = _newest(directory, int(level), old)
    if earlier is not None:
        text += (
            f"; it goes on from step {earlier.step:,}, before the learning rate began to fall, to"
            f" the weights of a run that long. The model of step {step:,} is kept in"
            f" {checkpoint.kept_as(step)}"
        )
        return _going_on(earlier, step, text)
    kind = "cosine" if new.decay_ratio is None else "wsd"
    text += (
        f"; the learning rate goes on where the {kind} of a run that long is, at"
        f" {new.rate(step, _elapsed(found.state)):.2g}, and falls to {new.end:.2g} again"
    )
    return _going_on(found, step, text)


def _going_on(found: Found, finished: int, text: str) -> Lengthening:
    state = found.state | {"over": False}
    return Lengthening(Found(found.path, found.step, state, found.damaged), finished, text)


def _newest(directory: Path, most: int, schedule: LRSchedule) -> Found | None:
    """The newest valid checkpoint of at most so many steps that were taken with this schedule, or
    with one that differs in what has not counted yet: a run that was ended while it was being made
    longer has noted its new length there."""
    for step, path in reversed(checkpoint.checkpoints(directory)):
        if 0 < step <= most:
            with contextlib.suppress(ArtifactError):
                state = checkpoint.verify(path)
                config = _config_in(state)
                taken = None if config is None else LRSchedule.of(config)
                if (
                    taken is not None
                    and _differ_in_length_alone(taken, schedule)
                    and step <= taken.level_steps
                ):
                    return Found(path, step, state)
    return None


def _differ_in_length_alone(one: LRSchedule, other: LRSchedule) -> bool:
    return one == replace(other, max_steps=one.max_steps, seconds=one.seconds)


def _is_longer(config: ScheduleConfig, found: Found) -> bool:
    if found.path is None or not found.state.get("over"):
        return False
    return LRSchedule.of(config).progress(found.step, _elapsed(found.state)) < 1


def _elapsed(state: Mapping[str, Any]) -> float:
    return float(state.get("elapsed", 0.0))


def _config_in(state: Mapping[str, Any]) -> ScheduleConfig | None:
    with contextlib.suppress(ConfigError):
        config: object = loads(str(state.get("config", "")), where=INDEX)
        return config if isinstance(config, ScheduleConfig) else None
    return None
