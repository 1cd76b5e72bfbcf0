"""Checkpoints written beside the training.

The loop hands over a copy of everything at a step and goes on; a thread writes the copy and
publishes it. One is in flight at most. What the thread runs into is raised where the loop asks
for the result, and nothing counts as saved before it lies on the disk under its name.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talm_core.runtime.events import Checkpointed
from talm_core.training import checkpoint


@dataclass(frozen=True, slots=True)
class _Flight:
    step: int
    began: float
    written: Future[Path]


class Saver:
    """Writes the checkpoints of one run. Only the run's own thread may call it."""

    def __init__(
        self, directory: Path, *, keep: int, expected_bytes: int, active: bool = True
    ) -> None:
        """One that is not `active` takes note of what is saved and writes nothing."""
        self._active = active
        self._directory = directory
        self._keep = keep
        self._bytes = expected_bytes
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        # Begun now: when memory has run out, there is none for a new thread either.
        self._writer.submit(int)
        self._flight: _Flight | None = None
        self._amendment: dict[str, Any] = {}
        # The newest that is there or on its way; 0: none.
        self.step = 0
        self.newest: Checkpointed | None = None

    def has(self, step: int, path: Path) -> None:
        """Take note of a checkpoint that was there before."""
        self.step, self.newest = step, checkpointed(path, step)

    @property
    def busy(self) -> bool:
        """Whether one is being written."""
        return self._flight is not None and not self._flight.written.done()

    def require_space(self) -> None:
        """Check the disk before anything is copied.

        Raises:
            RunError: the next checkpoint does not fit.
        """
        if self._active:
            checkpoint.require_space(self._directory, self._bytes)

    def write(self, step: int, fill: Callable[[Path], None], state: dict[str, Any]) -> None:
        """Have a checkpoint written; the one before must have been collected. `fill` runs in
        another thread and must own what it writes."""
        assert self._active
        assert self._flight is None
        written = self._writer.submit(
            checkpoint.write,
            self._directory,
            step,
            fill,
            state,
            keep=self._keep,
            expected_bytes=self._bytes,
        )
        self._flight = _Flight(step, time.monotonic(), written)
        self._amendment = {}
        self.step = step

    def amend(self, step: int, state: dict[str, Any]) -> None:
        """Change the state of the newest checkpoint, now or as soon as it is there; another
        `step` than its own changes nothing.

        Raises:
            RunError: it cannot be written.
        """
        if step != self.step or not self._active:
            return
        if self._flight is not None:
            self._amendment = state
        elif self.newest is not None and self.newest.step == step:
            checkpoint.amend(self._directory / self.newest.directory, state)

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the one in flight is done, at most so long."""
        if self._flight is not None:
            wait([self._flight.written], seconds)

    def collect(self) -> Checkpointed | None:
        """What was published since the last call.

        Raises:
            RunError: it could not be written; those before are as they were.
        """
        if self._flight is None or self.busy:
            return None
        flight, self._flight = self._flight, None
        try:
            path = flight.written.result()
        except BaseException:
            self.step = self.newest.step if self.newest else 0
            raise
        self.newest = checkpointed(path, flight.step, time.monotonic() - flight.began)
        if self._amendment:
            checkpoint.amend(path, self._amendment)
        return self.newest

    def close(self) -> None:
        """Let the one in flight be finished and end the thread."""
        self._writer.shutdown()


def checkpointed(path: Path, step: int, seconds: float = 0.0) -> Checkpointed:
    """The event of a checkpoint that lies in `path`."""
    size = sum(file.stat().st_size for file in path.iterdir())
    return Checkpointed(step=step, directory=path.name, bytes=size, seconds=seconds)
