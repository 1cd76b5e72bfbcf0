"""One dial, the depth of a model, turned into every other size. Loads no torch."""

from __future__ import annotations

from typing import Any

from talm_core.model.config import ArchitectureConfig
from talm_core.training.estimate import count_parameters

DEEPEST = 48
_HEAD = 64
_TOKENS_PER_PARAMETER = 20
_BATCH_TOKENS = 16_384


def of_depth(depth: int) -> dict[str, Any]:
    """Settings of a run that trains a model of `depth` layers (1 to 48) well.

    The width grows with the depth, 64 dimensions a layer, in heads of 64. Tokens: 20 for each
    parameter between the embeddings, which makes the most of the computing (Hoffmann et al. 2022,
    https://arxiv.org/abs/2203.15556). Learning rate and tokens a step follow the computing C of
    the whole run in FLOPs: 0.3118 C^-0.125 and 0.292 C^0.3271 (DeepSeek 2024,
    https://arxiv.org/abs/2401.02954), the latter to the nearest power of two.
    """
    assert 1 <= depth <= DEEPEST
    context = _context(depth)
    shape = {
        "n_layer": depth,
        "n_head": depth,
        "n_embd": _HEAD * depth,
        "context_len": context,
    }
    parts = count_parameters(ArchitectureConfig.model_validate(shape), 0)
    learned = parts.attention + parts.feed_forward
    tokens = _TOKENS_PER_PARAMETER * learned
    compute = 6.0 * learned * tokens
    sequences = _power_of_two(0.292 * compute**0.3271 / context)
    batch = min(sequences, _BATCH_TOKENS // context)
    steps = max(1, round(tokens / (sequences * context)))
    rate = float(f"{0.3118 * compute**-0.125:.1e}")
    often = max(1, steps // 20)
    return shape | {
        "batch_size": batch,
        "total_batch_size": sequences * context,
        "max_steps": steps,
        "learning_rate": rate,
        "min_learning_rate": float(f"{rate / 10:.2g}"),
        # Enough for the optimizer's moments to settle.
        "warmup_steps": max(10, steps // 50),
        # Twenty looks at a run, and as many saves: a twentieth of it is the most to be lost.
        "eval_every": often,
        "sample_every": often,
        "checkpoint_every": often,
        "eval_tokens": min(4_194_304, 65_536 * depth),
    }


def _context(depth: int) -> int:
    """Longer texts for models that can make something of them."""
    return next(
        (context for most, context in ((2, 128), (4, 256), (8, 512), (16, 1_024)) if depth <= most),
        2_048,
    )


def _power_of_two(number: float) -> int:
    """The nearest power of two, by ratio; at least 1."""
    power = 1
    while power * 2**0.5 < number:
        power *= 2
    return power
