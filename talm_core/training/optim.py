"""The optimizers of a transformer, and their memory as plain tensors with names."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from talm_core.training.config import OptimizerConfig
from talm_core.training.muon import Muon
from talm_core.training.parallel import shard_like

# Devices on which AdamW is one kernel.
_FUSED = ("cpu", "cuda", "mps")


class Optimizers:
    """All parameters of a model, each with the method that suits it. Matrices decay, norms' gains
    do not: pulled to zero they would only scale the network down. `muon_dtype` is that of Muon's
    products."""

    def __init__(
        self,
        model: nn.Module,
        config: OptimizerConfig,
        *,
        muon_dtype: torch.dtype = torch.float32,
    ) -> None:
        self._names = dict(model.named_parameters())
        hidden = [
            parameter
            for name, parameter in self._names.items()
            if config.optimizer == "muon" and is_hidden_matrix(name, parameter)
        ]
        chosen = {id(parameter) for parameter in hidden}
        rest = [p for p in self._names.values() if id(p) not in chosen]
        self.all: list[torch.optim.Optimizer] = [_adamw(rest, config)]
        if hidden:
            decay = config.weight_decay
            self.all.append(Muon(hidden, lr=0.0, weight_decay=decay, dtype=muon_dtype))

    def step(self, rate: float, *, skip: Tensor | None = None) -> None:
        """Move all parameters with this learning rate. `skip` is 1 on the device where the step
        must change nothing, else 0."""
        for optimizer in self.all:
            optimizer.found_inf = skip  # type: ignore[attr-defined]
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for optimizer in self.all:
            optimizer.zero_grad(set_to_none=True)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The memory as `<parameter>/<quantity>`; empty before the first step."""
        return {
            f"{name}/{key}": value
            for name, parameter in self._names.items()
            for optimizer in self.all
            for key, value in optimizer.state.get(parameter, {}).items()
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `tensors` gave.

        Raises:
            KeyError: a tensor is missing.
        """
        for optimizer in self.all:
            keys = (
                ("momentum",) if isinstance(optimizer, Muon) else ("step", "exp_avg", "exp_avg_sq")
            )
            owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
            for name, parameter in self._names.items():
                if id(parameter) in owned:
                    # Clones, for a file's tensors may share memory.
                    optimizer.state[parameter] = {
                        key: shard_like(
                            tensors[f"{name}/{key}"].to(parameter.device).clone(), parameter
                        )
                        for key in keys
                    }


def is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon may have it: a matrix between layers, not a table of tokens."""
    return parameter.ndim == 2 and name not in ("embedding", "output")


def _adamw(parameters: list[nn.Parameter], config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2017, https://arxiv.org/abs/1711.05101)."""
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=0.0,  # `step` is told
        betas=(config.beta1, config.beta2),
        eps=1e-8,
        fused=parameters[0].device.type in _FUSED,
    )
