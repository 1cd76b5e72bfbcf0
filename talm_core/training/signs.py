"""Signs of life: how often a run is heard of while nothing else happens."""

from __future__ import annotations

import time

from talm_core.training.pace import Clock

OFTEN, SELDOM = 0.1, 0.5  # seconds between signs of life: at first, and after five minutes
_TELEMETRY = 1.0  # seconds between looks at the machine


class Signs:
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
