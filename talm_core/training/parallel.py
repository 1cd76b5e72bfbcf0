"""How a model is spread over the processes of a run.

`ddp`: each has all of it, and gradients are averaged (Li et al. 2020,
https://arxiv.org/abs/2006.15704). `fsdp`: each keeps a part of every parameter, gradient and
optimizer state, and a layer is put together while it is computed (Zhao et al. 2023,
https://arxiv.org/abs/2304.11277; torch's `fully_shard`). Checkpoints hold whole tensors in either
case, so that any number of processes, and any program, can go on with them.

What of torch is loaded only where a model is spread takes most of a second, which a run of one
process does without.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from talm_core.model.transformer import Transformer

Loss = Callable[[Any], Tensor]
Gradients = Callable[[bool], AbstractContextManager[None]]


class _LossModule(nn.Module):
    """A model's loss as a module of its own, which is what DDP can wrap. It has the model's
    parameters and not its buffers, which are alike everywhere and never change."""

    def __init__(self, model: Transformer, loss: Loss) -> None:
        super().__init__()
        self.parameters_of_model = nn.ParameterList(model.parameters())
        self._loss = loss

    def forward(self, batch: Any) -> Tensor:
        return self._loss(batch)


def wrap_ddp(model: Transformer, loss: Loss) -> tuple[Loss, Gradients]:
    """The loss with gradients averaged over all processes, and a context for each micro-batch
    that is told whether it is a step's last: until then gradients stay where they are."""
    wrapped = DistributedDataParallel(_LossModule(model, loss), gradient_as_bucket_view=True)

    def gradients(last: bool) -> AbstractContextManager[None]:
        return nullcontext() if last else wrapped.no_sync()

    return wrapped, gradients


def wrap_fsdp(model: Transformer, count: int) -> Gradients:
    """Keep only this process' part of every parameter, in place; optimizers come after."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    device = next(model.parameters()).device.type
    mesh = init_device_mesh(device, (count,))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    register_fsdp_forward_method(model, "loss")

    def gradients(last: bool) -> AbstractContextManager[None]:
        model.set_requires_gradient_sync(last)  # type: ignore[operator]
        return nullcontext()

    return gradients


def full_parameters(model: Transformer) -> dict[str, Tensor]:
    """Whole parameters in the host's memory, put together one after the other; empty on all
    processes but the first."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return cast(dict[str, Tensor], get_model_state_dict(model, options=options))


def is_sharded(tensor: Tensor) -> bool:
    """Whether other processes have the rest of it."""
    # Looked at from outside: torch's distributed tensors need not be loaded for it.
    return hasattr(tensor, "full_tensor")


def full_tensor(tensor: Tensor) -> Tensor:
    """A tensor with the parts of all processes, which all must ask for."""
    if not is_sharded(tensor):
        return tensor
    found: Tensor = tensor.full_tensor()  # type: ignore[attr-defined]
    return found


def shard_like(tensor: Tensor, like: Tensor) -> Tensor:
    """What belongs here of a whole tensor, if it is spread as `like` is."""
    if not is_sharded(like) or tensor.shape != like.shape:
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    # Everybody has all of it: nothing needs to be sent.
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)
