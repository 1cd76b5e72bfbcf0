"""The few operations of a transformer that are worth writing by hand, and why.

On a CPU a training step of a small model is bound by memory traffic, not by arithmetic: each
elementwise operation reads and writes its whole tensor, and autograd keeps every intermediate
result. The functions below touch memory as few times as they can, forwards and backwards. On
other devices, and under the compiler, which fuses by itself, the plain formulas run.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# Elements of logits that are alive at once (a plan counts them: `talm_core.training.estimate`). On
# a CPU 8 MB of them stay in the caches of usual machines; a GPU wants large products, and 1 GB
# there is little.
CPU_LOGITS = 2 * 1024 * 1024
DEVICE_LOGITS = 256 * 1024 * 1024


class _Normalize(torch.autograd.Function):
    """x / rms(x), keeping only the result and one number a row for the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, epsilon: float) -> Tensor:
        # x: (..., width). The norm reads x once; mean(x²) by elementwise steps would read and
        # write it three times.
        wide = torch.promote_types(x.dtype, torch.float32)
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide)
        inverse = norm.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_().to(x.dtype)
        y: Tensor = x * inverse
        ctx.save_for_backward(y, inverse)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # dx = (g - y mean(g y)) / rms
        (g,) = gradients
        y, inverse = ctx.saved_tensors
        along = torch.linalg.vecdot(g, y).unsqueeze(-1).div_(-y.shape[-1])
        return torch.addcmul(g, y, along).mul_(inverse), None


class _Rotate(torch.autograd.Function):
    """Queries, keys and values out of one tensor, the first two turned by their positions."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, cosine: Tensor, sine: Tensor, heads: int, kv_heads: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(cosine, sine)
        ctx.shape, ctx.parts = qkv.shape, [heads, kv_heads, kv_heads]
        query, key, value = torch.split(qkv, ctx.parts, -2)
        turned_query, turned_key = torch.empty_like(query), torch.empty_like(key)
        _turn(query, cosine, sine, turned_query)
        _turn(key, cosine, sine, turned_key)
        return turned_query, turned_key, value.contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # The way back is the rotation the other way round, straight into its place.
        cosine, sine = ctx.saved_tensors
        d_qkv = gradients[0].new_empty(ctx.shape)
        query, key, value = torch.split(d_qkv, ctx.parts, -2)
        _turn(gradients[0], cosine, -sine, query)
        _turn(gradients[1], cosine, -sine, key)
        value.copy_(gradients[2])
        return d_qkv, None, None, None, None


def _turn(x: Tensor, cosine: Tensor, sine: Tensor, out: Tensor) -> None:
    # `sine` is negative in the first half: y = x cos + (second half, first half) sin.
    torch.mul(x, cosine, out=out)
    half = x.shape[-1] // 2
    out[..., :half].addcmul_(x[..., half:], sine[..., :half])
    out[..., half:].addcmul_(x[..., :half], sine[..., half:])


class _SwiGLU(torch.autograd.Function):
    """silu(gate) * up of one tensor that holds both, keeping nothing else."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        gate, up = gate_up.chunk(2, -1)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (g,) = gradients
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, -1)
        result = torch.empty_like(gate_up)
        d_gate, d_up = result.chunk(2, -1)
        torch.mul(g, functional.silu(gate), out=d_up)
        torch.ops.aten.silu_backward.grad_input(g * up, gate, grad_input=d_gate)
        return result


class _LinearCrossEntropy(torch.autograd.Function):
    """Mean of -log softmax(h wᵀ)[y], with the gradients worked out on the way forward.

    The logits, tokens x vocabulary, are the largest tensor of a small model by far. They are
    computed a few rows at a time in one buffer that is overwritten by the probabilities and then
    by their own gradient, and never exist as a whole.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        count = hidden.shape[0]
        rows = _rows(hidden, weight)
        d_hidden = torch.empty_like(hidden)
        d_weight = torch.zeros_like(weight, dtype=torch.float32)
        total = hidden.new_zeros((), dtype=torch.float32)
        for start in range(0, count, rows):
            h, y = hidden[start : start + rows], targets[start : start + rows, None]
            logits, losses = _losses(h, weight, y)  # logits now hold exp(z - max z)
            total += losses.sum()
            # d loss / d logits = (softmax - one-hot) / count
            logits.mul_(1 / (logits.sum(1, keepdim=True) * count))
            logits.scatter_add_(1, y, logits.new_full((1, 1), -1 / count).expand_as(y))
            slope = logits.to(h.dtype)
            torch.mm(slope, weight, out=d_hidden[start : start + rows])
            if slope.dtype == torch.float32:
                d_weight.addmm_(slope.t(), h)
            else:
                d_weight += slope.t() @ h
            # Before the next rows are there: on an accelerator these are up to 1.5 GiB.
            del logits, slope
        ctx.save_for_backward(d_hidden, d_weight.to(weight.dtype))
        return total / count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = gradients
        # In place: a large vocabulary's gradient once more would be the most of a small model.
        d_hidden, d_weight = ctx.saved_tensors
        return d_hidden.mul_(g), d_weight.mul_(g), None


def _rows(hidden: Tensor, weight: Tensor) -> int:
    budget = CPU_LOGITS if hidden.device.type == "cpu" else DEVICE_LOGITS
    return max(16, budget // weight.shape[0])


def _losses(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """exp(z - max z) of the logits z (rows, vocabulary) and the losses (rows, 1), in fp32."""
    logits = torch.mm(hidden, weight.t()).float()
    logits.sub_(logits.amax(1, keepdim=True))
    chosen = logits.gather(1, targets)
    logits.exp_()
    return logits, logits.sum(1, keepdim=True).log_().sub_(chosen)


def normalize(x: Tensor, epsilon: float) -> Tensor:
    """x / sqrt(mean(x²) + epsilon) over the last axis (Zhang and Sennrich 2019,
    https://arxiv.org/abs/1910.07467), without the learned gain. (..., width) -> the same."""
    if _plain(x):
        return functional.rms_norm(x, (x.shape[-1],), eps=epsilon)
    return _Normalize.apply(x, epsilon)  # type: ignore[no-any-return,no-untyped-call]


def rotate(
    qkv: Tensor, cosine: Tensor, sine: Tensor, heads: int, kv_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value (B, T, heads, D) out of (B, T, heads + 2 kv_heads, D), with rotary
    positions (Su et al. 2021, https://arxiv.org/abs/2104.09864) that pair dimension i with
    i + D/2 as Llama does. cosine, sine: (T, 1, D), the first half of `sine` negated."""
    if _plain(qkv):
        query, key, value = torch.split(qkv, [heads, kv_heads, kv_heads], -2)
        query, key = (x * cosine + torch.cat(x.chunk(2, -1)[::-1], -1) * sine for x in (query, key))
        return query, key, value
    return _Rotate.apply(  # type: ignore[no-any-return,no-untyped-call]
        qkv, cosine, sine, heads, kv_heads
    )


def swiglu(gate_up: Tensor) -> Tensor:
    """silu(gate) * up (Shazeer 2020, https://arxiv.org/abs/2002.05202).
    (..., 2 F) -> (..., F)."""
    if _plain(gate_up):
        gate, up = gate_up.chunk(2, -1)
        return functional.silu(gate) * up
    return _SwiGLU.apply(gate_up)  # type: ignore[no-any-return,no-untyped-call]


def _plain(x: Tensor) -> bool:
    """Whether the plain formulas are the better choice."""
    return x.device.type != "cpu" or torch.compiler.is_compiling()


def linear_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats of `hidden @ weight.T` against `targets`, as a scalar.

    hidden: (tokens, width); weight: (vocabulary, width); targets: (tokens,) of int64. Memory for
    logits is bounded however many tokens there are. Differentiate it once.
    """
    if torch.is_grad_enabled():
        return _LinearCrossEntropy.apply(  # type: ignore[no-any-return,no-untyped-call]
            hidden, weight, targets
        )
    rows = _rows(hidden, weight)
    total = hidden.new_zeros((), dtype=torch.float32)
    for start in range(0, hidden.shape[0], rows):
        y = targets[start : start + rows, None]
        total += _losses(hidden[start : start + rows], weight, y)[1].sum()
    return total / hidden.shape[0]
