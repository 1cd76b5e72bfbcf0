"""What to do when memory runs out in a micro-batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from talm_core.errors import RunError
from talm_core.runtime.events import Notice
from talm_core.training.device import largest_divisor

if TYPE_CHECKING:
    from talm_core.training.trainer import Trainer


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is how a device, or the host, says that memory is used up."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # The CPU's and Apple's allocators have no exception of their own.
    said = ("can't allocate memory", "not enough memory", "out of memory", "std::bad_alloc")
    return isinstance(error, RuntimeError) and any(part in str(error) for part in said)


def require_out_of_memory(error: BaseException) -> None:
    """Raise an error of any other kind."""
    if not is_out_of_memory(error):
        raise error


def shrink_micro_batch(trainer: Trainer) -> Notice:
    """Go on with half the sequences in a micro-batch, and twice the micro-batches;
    returns what there is to say of it.

    Raises:
        RunError: there are other processes, or it was one sequence already.
    """
    had = trainer.batch_size
    if not trainer.world.is_single and had > 1:
        # The others are in the middle of an exchange, which cannot be begun again.
        fewer = largest_divisor(had, had // 2)
        more = trainer.config.sequences_per_step // fewer
        raise RunError(
            f"out of memory with {had} windows in a pass of {trainer.world.size} processes; go"
            f" on by --resume --override --batch-size {fewer} --grad-accum-steps {more}"
        )
    trainer.shrink_micro_batch()
    text = (
        f"out of memory with {had} windows in a pass: goes on with {trainer.batch_size}, in"
        f" {trainer.micro_batches} passes a step"
    )
    return Notice(message=text, level="warning")
