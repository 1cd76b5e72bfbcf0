"""The few operations of a transformer that are worth writing by hand, and why.

On a CPU a training step of a small model is bound by memory traffic, not by arithmetic: each
elementwise operation reads and writes its whole tensor, and autograd keeps every intermediate
result. The functions below touch memory as few times as they can, forwards and backwards. On
other devices, and under the compiler, which fuses by itself, the plain formulas run.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# Elements of logits that are alive at once (a plan counts them: `talm_core.training.estimate`). On
# a CPU 8 MB of them stay in the caches of usual machines; a GPU wants large products, and 1 GB
# there is little.
CPU_LOGITS = 2 * 1024 * 1024
DEVICE_LOGITS = 256 * 1024 * 1024
# Scores of attention, queries times keys, that are alive at once in its backward on a CPU.
CPU_SCORES = 4 * 1024 * 1024
_batched_attention = False


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


class _CausalAttention(torch.autograd.Function):
    """Attention whose backward is five batched products in bf16. torch's own for CPUs computes
    them tile by tile without the units for bf16, twice as long at 256 tokens and five times at
    128."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        # What `scaled_dot_product_attention` calls, for it keeps the sums to itself.
        forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001
        out, log_sum = forward(query, key, value, 0.0, True)
        ctx.save_for_backward(query, key, value, out, log_sum)
        return out  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        # With S = Q Kᵀ / √D and P = exp(S - log_sum):
        #   dV = Pᵀ dO,  dS = P (dO Vᵀ - rowsum(dO O)),  dQ = dS K / √D,  dK = dSᵀ Q / √D
        # Both subtractions are done by the products, through columns that are added to their
        # factors: before S is rounded to bf16, and without reading it once more.
        (d_out,) = gradients
        query, key, value, out, log_sum = ctx.saved_tensors
        batch, heads, time, width = query.shape
        scale = 1 / math.sqrt(width)
        q = _with_columns(query * scale, log_sum)
        k = _with_columns(key, -1.0)
        v = _with_columns(value, -1.0)
        d = _with_columns(d_out, (d_out * out).sum(-1, dtype=torch.float32))
        only_k = k[..., :width]
        d_query = torch.empty(batch * heads, time, width, dtype=q.dtype)
        d_key, d_value = torch.empty_like(k), torch.empty_like(v)
        at_once = max(1, CPU_SCORES // time**2)
        for start in range(0, batch * heads, at_once):
            part = slice(start, start + at_once)
            share = torch.bmm(q[part], k[part].mT).exp_().tril_()
            torch.bmm(share.mT, d[part], out=d_value[part])
            slope = torch.bmm(d[part], v[part].mT).mul_(share)
            torch.bmm(slope, only_k[part], out=d_query[part])
            torch.bmm(slope.mT, q[part], out=d_key[part])
        d_query.mul_(scale)
        shape = (batch, heads, time, -1)
        return (
            d_query.view(shape),
            d_key.view(shape)[..., :width],
            d_value.view(shape)[..., :width],
        )


def _with_columns(x: Tensor, column: Tensor | float) -> Tensor:
    """`x` (batch, heads, T, D) as (batch x heads, T, D + 2), with `column` (batch, heads, T) in
    fp32 as two numbers of x's dtype that add up to it; a number stands in both."""
    batch, heads, time, width = x.shape
    result = torch.empty(batch, heads, time, width + 2, dtype=x.dtype)
    result[..., :width] = x
    if isinstance(column, Tensor):
        result[..., width] = column
        result[..., width + 1] = column - result[..., width].float()
    else:
        result[..., width:] = column
    return result.view(batch * heads, time, width + 2)


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


def use_batched_attention(on: bool) -> None:
    """Whether `causal_attention` has its backward computed by batched products, in the whole
    process. For CPUs with units for bf16."""
    global _batched_attention
    _batched_attention = on


def causal_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(Q Kᵀ / √D) V, where a token sees itself and what is before it. query: (B, H, T, D);
    key, value: (B, K, T, D) with K a divisor of H (Ainslie et al. 2023,
    https://arxiv.org/abs/2305.13245). -> (B, H, T, D)."""
    grouped = query.shape[1] != key.shape[1]
    if not _batched_attention or not torch.is_grad_enabled():
        return functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, enable_gqa=grouped
        )
    if grouped:
        times = query.shape[1] // key.shape[1]
        key, value = (x.repeat_interleave(times, dim=1) for x in (key, value))
    return _CausalAttention.apply(query, key, value)  # type: ignore[no-any-return,no-untyped-call]


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
