"""Agreement between the processes of a run on what to do next.

A process alone agrees with itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from talm_core.errors import RunError
from talm_core.runtime.control import stop_reason
from talm_core.runtime.events import Command, Stop, decode_command, to_json
from talm_core.training import checkpoint
from talm_core.training.pace import Clock

if TYPE_CHECKING:
    from talm_core.training.ranks import Ranks


@dataclass(frozen=True, slots=True)
class Agreed:
    """What all processes know together: whether metrics are wanted and a checkpoint is, and the
    seconds of training so far."""

    metrics: bool
    save: bool
    elapsed: float


class Agreement:
    """What one process has heard, and what all are going to do."""

    def __init__(self, clock: Clock, ranks: Ranks | None) -> None:
        """`ranks` is None until the processes have met."""
        self.ranks = ranks
        # All have agreed to stop, or this one is about to ask for it.
        self.ends = False
        self._clock = clock
        # Said to the first, and agreed by all to be done next.
        self._heard: list[Command] = []
        self._commands: list[Command] = []

    @property
    def alone(self) -> bool:
        return self.ranks is None or self.ranks.alone

    def hear(self, command: Command) -> None:
        """Take note of what was said to this process, until all agree next."""
        self._heard.append(command)

    def end(self) -> None:
        """Have all stop when they agree next."""
        self.ends = True

    def reach(self, *, metrics: bool = False, save: bool = False) -> Agreed:
        """Find out together what to do next. Every process comes here as often as the others;
        whatever the first yields, and may be closed at, lies before an exchange."""
        if self.ranks is None or self.ranks.alone:
            return Agreed(metrics, save, self._clock.now())
        heard, self._heard = self._heard, []
        stop = stop_reason() is not None or any(isinstance(item, Stop) for item in heard)
        text = json.dumps([to_json(item) for item in heard]) if heard else ""
        elapsed = self._clock.now() if self.ranks.first else 0.0
        values = (stop or self.ends, len(text), metrics, save, elapsed)
        stops, length, metrics_, save_, elapsed = self.ranks.highest(values)
        self.ends = bool(stops)
        if length:
            lines = json.loads(self.ranks.share(text))
            self._commands += filter(None, map(decode_command, lines))
        return Agreed(bool(metrics_), bool(save_), elapsed)

    def next(self) -> Command | None:
        """The next command that all have agreed to do; None when there is none, or the end."""
        return self._commands.pop(0) if self._commands and not self.ends else None

    def find(self, directory: Path) -> checkpoint.Found:
        """The newest valid checkpoint, as the first process finds it."""
        assert self.ranks is not None
        found = checkpoint.find(directory) if self.ranks.first else checkpoint.Found()
        return checkpoint.Found.from_json(directory, self.ranks.share(found.to_json()))

    def lost(self, error: BaseException) -> RunError | None:
        """What an error means if it came because another process is gone; None if it did not."""
        return None if self.ranks is None else self.ranks.lost(error)

    def close(self, *, failed: bool) -> None:
        """Leave the others."""
        if self.ranks is not None:
            self.ranks.close(failed=failed)
