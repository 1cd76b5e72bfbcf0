"""How fast a run is and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_SETTLING_STEPS = 5  # steps after a start whose speed says nothing about the rest


@dataclass(slots=True)
class Clock:
    """Seconds of training: what happens while it is held does not count."""

    elapsed: float = 0.0
    _since: float | None = None

    def start(self) -> None:
        self._since = time.perf_counter()

    def stop(self) -> None:
        self.elapsed, self._since = self.now(), None

    def now(self) -> float:
        return self.elapsed + (0.0 if self._since is None else time.perf_counter() - self._since)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Stand still for the block, if it was running."""
        running = self._since is not None
        self.stop()
        try:
            yield
        finally:
            if running:
                self.start()


@dataclass(slots=True)
class Pace:
    """Speed of steps, and what evaluations, samples and checkpoints cost.

    `every` says after how many steps each kind comes again, 0: only at the end. `waited` counts
    the seconds in which the run was not asked to go on, such as a pause.
    """

    clock: Clock
    first_step: int
    max_steps: int
    seconds: float | None
    every: dict[str, int]
    waited: float = 0.0
    _costs: dict[str, float] = field(default_factory=dict)
    _settled: tuple[float, int] | None = None
    _last: tuple[float, int] | None = None

    def speed(self, step: int) -> float:
        """Steps a second since the last call."""
        before, earlier = self._last or (0.0, self.first_step)
        now = self.clock.now()
        self._last = (now, step)
        return (step - earlier) / max(1e-9, now - before)

    def begin(self) -> None:
        """Count speed from here."""
        self._last = (self.clock.now(), self.first_step)

    def go_back(self, step: int) -> None:
        """Count steps, and speed, from this one."""
        self.first_step, self._settled = step, None
        self.begin()

    def stepped(self, step: int) -> None:
        """A step is done."""
        if self._settled is None and step - self.first_step >= _SETTLING_STEPS:
            self._settled = (self.clock.now(), step)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The block is somebody else's time."""
        start = time.perf_counter()
        with self.clock.held():
            try:
                yield
            finally:
                self.waited += time.perf_counter() - start

    @contextmanager
    def costing(self, kind: str) -> Iterator[None]:
        """The block is what one `kind` takes; its time is no training."""
        start, waited = time.perf_counter(), self.waited
        with self.clock.held():
            yield
        self._costs[kind] = time.perf_counter() - start - (self.waited - waited)

    def cost(self, kind: str) -> float:
        """Seconds the last one took."""
        return self._costs.get(kind, 0.0)

    def eta(self, step: int) -> float | None:
        """Seconds left after `step`: steps at the mean speed since the first few, and what each
        evaluation, sample and checkpoint to come took last time. None while nothing is known."""
        now = self.clock.now()
        if self._settled is None or step <= self._settled[1]:
            return None
        per_step = max(1e-9, (now - self._settled[0]) / (step - self._settled[1]))
        left = (self.max_steps - step) * per_step
        if self.seconds is not None:
            left = max(0.0, min(left, self.seconds - now))
        last = step + int(left / per_step)
        for kind, every in self.every.items():
            # The last step has one of each in any case.
            times = 1 + ((last - 1) // every - step // every if every and last > step else 0)
            left += times * self.cost(kind)
        return left
