"""The settings of a model's shape, and the shape. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from talm_core.errors import Problem
from talm_core.settings.schema import Component, Setting

NORM_EPSILON = 1e-5
"""What is added to the mean square before a vector is divided by its root."""


class ContextConfig(Component):
    """How much of a text a model sees at once."""

    context_len: Annotated[
        int,
        Field(ge=2, le=1_048_576),
        Setting(
            "Model",
            "Longest text the model sees at once.",
            unit="tokens",
            more="Cost grows with its square in attention. Usual: 128 or 256 on a laptop, 1,024"
            " for 124 M.",
        ),
    ] = 128


class ArchitectureConfig(ContextConfig):
    """The shape of a transformer."""

    n_layer: Annotated[
        int,
        Field(ge=1, le=128),
        Setting(
            "Model",
            "Transformer blocks.",
            more="More is slower and learns more from the same tokens. Usual: 4 on a laptop, 12"
            " for 124 M.",
            shape=True,
        ),
    ] = 4
    n_head: Annotated[
        int,
        Field(ge=1, le=256),
        Setting(
            "Model",
            "Attention heads.",
            more="Each sees n_embd / n_head dimensions; 32 to 128 dimensions a head are usual.",
            shape=True,
        ),
    ] = 4
    n_kv_head: Annotated[
        int | None,
        Field(ge=1, le=256),
        Setting(
            "Model",
            "Key and value heads; none means n_head.",
            more="Fewer than n_head is grouped-query attention: less memory while sampling.",
            advanced=True,
            shape=True,
        ),
    ] = None
    n_embd: Annotated[
        int,
        Field(ge=2, le=32_768),
        Setting(
            "Model",
            "Width: dimensions of a token's vector.",
            more="A multiple of n_head that gives an even number of dimensions a head. Parameters"
            " grow with its square. Usual: 128 on a laptop, 768 for 124 M.",
            shape=True,
        ),
    ] = 128
    n_hidden: Annotated[
        int | None,
        Field(ge=1, le=262_144),
        Setting(
            "Model",
            "Width of the feed-forward layer; none means 8/3 n_embd, rounded up to 64.",
            more="Three matrices of n_embd x n_hidden in each layer: two thirds of what a layer "
            "costs.",
            advanced=True,
            shape=True,
        ),
    ] = None
    rope_theta: Annotated[
        float,
        Field(gt=1),
        Setting(
            "Model",
            "Base of the rotary position angles.",
            more="Usual: 10,000; 100,000 or more for contexts of many thousand tokens.",
            advanced=True,
        ),
    ] = 10_000.0
    tie_embeddings: Annotated[
        bool,
        Setting(
            "Model",
            "Share the token embedding with the output layer.",
            more="Saves vocabulary x n_embd parameters, which is most of a small model.",
            advanced=True,
            shape=True,
        ),
    ] = True

    @property
    def kv_heads(self) -> int:
        return self.n_kv_head or self.n_head

    @property
    def hidden(self) -> int:
        """Feed-forward width: as given, or 8/3 n_embd rounded up to a multiple of 64, which
        gives SwiGLU's three matrices the parameters of a two-matrix layer of 4 n_embd
        (Shazeer 2020, https://arxiv.org/abs/2002.05202)."""
        return self.n_hidden or -(-8 * self.n_embd // 3 // 64) * 64

    def shape_problems(self) -> list[Problem]:
        """What is wrong between these settings."""
        problems = []
        step = 2 * self.n_head
        if self.n_embd % step:
            low, high = self.n_embd // step * step, (self.n_embd // step + 1) * step
            near = f"{low} or {high}" if low else str(high)
            message = f"must be a multiple of n_head ({self.n_head}), even for each head"
            problems.append(Problem("n_embd", message, self.n_embd, near))
        if self.n_head % self.kv_heads:
            divisors = [str(d) for d in range(1, self.n_head + 1) if self.n_head % d == 0]
            message = f"must divide n_head ({self.n_head})"
            hint = ", ".join(divisors)
            problems.append(Problem("n_kv_head", message, self.n_kv_head, hint))
        return problems


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of a model: all that is needed to build it."""

    vocab_size: int
    n_layer: int
    n_head: int
    n_kv_head: int
    n_embd: int
    n_hidden: int
    context_len: int
    rope_theta: float = 10_000.0
    tie_embeddings: bool = True
    norm_epsilon: float = NORM_EPSILON

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head

    @classmethod
    def of(cls, config: ArchitectureConfig, vocab_size: int) -> ModelConfig:
        """The shape a run asks for."""
        return cls(
            vocab_size=vocab_size,
            n_layer=config.n_layer,
            n_head=config.n_head,
            n_kv_head=config.kv_heads,
            n_embd=config.n_embd,
            n_hidden=config.hidden,
            context_len=config.context_len,
            rope_theta=config.rope_theta,
            tie_embeddings=config.tie_embeddings,
        )
