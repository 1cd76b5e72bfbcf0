"""Tensors of which each process of a run may have a part only."""

from __future__ import annotations

from torch import Tensor


def is_part(tensor: Tensor) -> bool:
    """Whether other processes have the rest of it."""
    # Looked at from outside: loading torch's distributed tensors takes most of a second, which a
    # run of one process does without.
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """A tensor with the parts of all processes, which all must ask for."""
    if not is_part(tensor):
        return tensor
    found: Tensor = tensor.full_tensor()  # type: ignore[attr-defined]
    return found


def part_like(tensor: Tensor, like: Tensor) -> Tensor:
    """What belongs here of a whole tensor, if it is spread as `like` is."""
    if not is_part(like) or tensor.shape != like.shape:
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    # Everybody has all of it: nothing needs to be sent.
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)
