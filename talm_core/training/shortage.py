"""What to do when memory runs out in a pass."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import torch

from talm_core.errors import RunError
from talm_core.runtime.events import Event, Notice
from talm_core.training.machine import largest_divisor

if TYPE_CHECKING:
    from talm_core.training.trainer import Trainer


def out_of_memory(error: BaseException) -> bool:
    """Whether this is how a device, or the host, says that memory is used up."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # The CPU's and Apple's allocators have no exception of their own.
    said = ("can't allocate memory", "not enough memory", "out of memory", "std::bad_alloc")
    return isinstance(error, RuntimeError) and any(part in str(error) for part in said)


def require_out_of_memory(error: BaseException) -> None:
    """Raise an error of any other kind."""
    if not out_of_memory(error):
        raise error


def take_less(trainer: Trainer) -> Generator[Event, None, None]:
    """Go on with half the windows in a pass, and twice the passes.

    Raises:
        RunError: there are other processes, or it was one window already.
    """
    had = trainer.batch_size
    if not trainer.ranks.alone and had > 1:
        # The others are in the middle of an exchange, which cannot be begun again.
        fewer = largest_divisor(had, had // 2)
        passes = trainer.config.passes * trainer.config.batch_size // fewer
        raise RunError(
            f"out of memory with {had} windows in a pass of {trainer.ranks.count} processes; go"
            f" on by --resume --override --batch-size {fewer} --grad-accum-steps {passes}"
        )
    trainer.take_less()
    text = (
        f"out of memory with {had} windows in a pass: goes on with {trainer.batch_size}, in"
        f" {trainer.passes} passes a step"
    )
    yield Notice(message=text, level="warning")
