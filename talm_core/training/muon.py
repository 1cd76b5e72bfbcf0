"""Muon: momentum whose direction is made orthogonal (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon/).

A step moves all directions of a matrix by the same amount instead of mostly the few that dominate
its gradient. Hidden matrices learn from fewer tokens that way; embeddings and gains, whose rows
and entries stand for themselves, are left to AdamW. torch's own multiplies in bf16, which CPUs
without matrix units do at half their fp32 speed; this one multiplies in the dtype it is told.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

from talm_core.training.parallel import full_tensor, shard_like

# A fifth-order polynomial that drives singular values towards 1, fast rather than exactly.
_LINEAR, _CUBIC, _QUINTIC = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
# Elements that go through the products together. Small matrices are faster side by side; large
# ones would only take memory, some six times what they have.
_CPU_TOGETHER, _DEVICE_TOGETHER = 2**21, 2**26


class Muon(torch.optim.Optimizer):
    """For matrices only. A step's size is set so that its root mean square is that of a usual
    step of AdamW, and one learning rate serves both (Liu et al. 2025,
    https://arxiv.org/abs/2502.16982). `dtype` is that of the Newton-Schulz iteration's products."""

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(list(parameters), defaults)
        self.dtype = dtype
        # Set by who finds that a step must not be taken: 1 instead of 0.
        self.found_inf: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every matrix that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[tuple(parameter.shape)].append(parameter)
            for parameters in alike.values():
                together = _together(parameters[0])
                for start in range(0, len(parameters), together):
                    self._move(
                        parameters[start : start + together],
                        group["lr"],
                        group["weight_decay"],
                        group["momentum"],
                    )

    def _move(
        self, parameters: list[Tensor], rate: float, weight_decay: float, momentum: float
    ) -> None:
        rows, columns = parameters[0].shape
        shape = len(parameters), rows, columns
        directions = torch.empty(shape, dtype=self.dtype, device=parameters[0].device)
        for parameter, direction in zip(parameters, directions, strict=True):
            assert parameter.grad is not None
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
            gradient = self._allowed(parameter.grad)
            state["momentum"].lerp_(gradient, 1 - momentum)
            # Nesterov's look ahead.
            direction.copy_(full_tensor(gradient.lerp(state["momentum"], momentum)))
        length = rate * 0.2 * math.sqrt(max(rows, columns))
        for parameter, step in zip(parameters, orthogonal(directions), strict=True):
            change = shard_like(step.to(parameter.dtype).mul_(length), parameter)
            change.add_(parameter, alpha=rate * weight_decay)
            parameter.sub_(self._allowed(change))

    def _allowed(self, values: Tensor) -> Tensor:
        if self.found_inf is None:
            return values
        return torch.where(self.found_inf > 0, torch.zeros_like(values), values)


def _together(parameter: Tensor) -> int:
    """How many matrices of this one's shape go through the products side by side."""
    budget = _CPU_TOGETHER if parameter.device.type == "cpu" else _DEVICE_TOGETHER
    return max(1, budget // parameter.numel())


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices (n, rows, columns) with their singular values moved to about 1, between 0.7 and
    1.2, by Newton-Schulz iteration: products only, in the matrices' dtype, no decomposition."""
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = matrices if wide else matrices.mT
    x = x / torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        inner = torch.baddbmm(square, square, square, beta=_CUBIC, alpha=_QUINTIC)
        x = torch.baddbmm(x, inner, x, beta=_LINEAR)
    return x if wide else x.mT
