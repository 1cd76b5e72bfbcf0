"""A loader's batches on the device, read ahead where that saves time.

Beside an accelerator, batches are read from the disk and put into pinned memory by a thread while
the device computes, so that no step waits for a page that is not in memory yet, and the copy to the
device runs beside the computation. On a CPU a batch takes some twenty microseconds of a step of
milliseconds, and a thread would take them from the same cores: there it is read when it is wanted.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from talm_core.data.dataloader import TokenLoader

AHEAD = 4
"""Batches that are ready before they are asked for."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A batch, and where the loader stood after it."""

    batch: Tensor
    state: dict[str, int]
    progress: float


class Batches:
    """The same batches in the same order as the loader's own, whether they are read ahead or not;
    what is said about its place counts those that were taken."""

    def __init__(
        self, loader: TokenLoader, device: torch.device, *, ahead: int | None = None
    ) -> None:
        """`ahead` is how many batches are read ahead; None means what the device calls for."""
        self._loader = loader
        self._device = device
        self._pinned = device.type == "cuda"
        self._most = (AHEAD if self._pinned else 0) if ahead is None else ahead
        # One thread, and nobody else touches the loader while it has something to do.
        self._thread = ThreadPoolExecutor(1, "batches") if self._most else None
        self._waiting: deque[Future[_Ready]] = deque()
        self._state, self._progress = loader.state, loader.epoch_progress

    @property
    def windows(self) -> int:
        """How many sequences there are."""
        return self._loader.windows

    @property
    def state(self) -> dict[str, int]:
        """Where the loader stands; see `TokenLoader.state`."""
        return dict(self._state)

    @property
    def epoch_progress(self) -> float:
        """Epochs so far, with the part of this one."""
        return self._progress

    def next_batch(self) -> Tensor:
        """The next sequences on the device, (batch_size, context_len + 1)."""
        if self._thread is None:
            ready = self._read()
        else:
            while len(self._waiting) <= self._most:
                self._waiting.append(self._thread.submit(self._read))
            ready = self._waiting.popleft().result()
        self._state, self._progress = ready.state, ready.progress
        return ready.batch.to(self._device, non_blocking=self._pinned)

    def load_state(self, state: dict[str, int]) -> None:
        """Go on from a `state`; see `TokenLoader.load_state`."""
        self._drop()
        self._loader.load_state(state)
        self._look()

    def divide(self, batch_size: int) -> None:
        """Go on from here with batches of another size."""
        self._drop()
        self._loader.divide(batch_size)
        self._look()

    def skip(self, batches: int) -> None:
        """Go past so many batches on every rank, without reading them."""
        self._drop()
        self._loader.skip(batches)
        self._look()

    def _read(self) -> _Ready:
        batch = torch.from_numpy(self._loader.next_batch())
        if self._pinned:
            batch = batch.pin_memory()
        return _Ready(batch, self._loader.state, self._loader.epoch_progress)

    def _drop(self) -> None:
        """Forget what was read ahead: the loader stands again where the last batch was taken."""
        if not self._waiting:
            return
        for future in self._waiting:
            if not future.cancel():
                future.exception()
        self._waiting.clear()
        self._loader.load_state(self._state)

    def _look(self) -> None:
        self._state, self._progress = self._loader.state, self._loader.epoch_progress
