"""AdamW for a transformer, and its state as plain tensors with names."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from talm_core.config import PretrainConfig

# Devices whose one-kernel implementation exists.
_FUSED = ("cpu", "cuda", "mps")
_STATE = ("exp_avg", "exp_avg_sq", "step")


def adamw(model: nn.Module, config: PretrainConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2017, https://arxiv.org/abs/1711.05101) over all parameters.
    Matrices decay, norms' gains do not: pulled to zero they would only scale the network down."""
    parameters = list(model.parameters())
    device = parameters[0].device.type
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=1e-8,
        fused=device in _FUSED,
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Take the next step with this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def state_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory as `<parameter>/<quantity>`; empty before the first step."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
        if key in _STATE
    }


def load_state_tensors(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """Put back what `state_tensors` gave.

    Raises:
        KeyError: a tensor is missing.
    """
    for name, parameter in model.named_parameters():
        state = optimizer.state[parameter]
        for key in _STATE:
            value = tensors[f"{name}/{key}"]
            # A clone, for a file's tensors may be read-only or share memory.
            state[key] = value.to(parameter.device).clone()
