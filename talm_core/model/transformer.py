"""A decoder-only transformer of Llama's architecture.

    tokens (B, T) -> embedding (B, T, C)
    n_layer times:   x = x + attention(normalize(x))      rotary positions, grouped-query heads
                     x = x + feed_forward(normalize(x))   SwiGLU
    normalize -> output layer (vocabulary, C), by default the embedding itself

Nothing has a bias. Shapes in comments: B batch, T tokens, C = n_embd, H query heads, K key/value
heads, D = C / H dimensions a head, F feed-forward width, V vocabulary.

Query, key and value share one matrix, gate and up another: fewer, larger products. `talm_core.
model.hf` splits them into the names the rest of the world knows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from talm_core.model.config import ModelConfig as ModelConfig
from talm_core.model.operators import (
    causal_attention,
    linear_cross_entropy,
    normalize,
    rotate,
    swiglu,
)

# At the first step, of the token that was just read, where all others' are about 0. With 3 the
# first loss is at most 0.12 nats above ln V from 64 to 2,048 dimensions and from 260 to 32,000
# tokens, and runs end as low as with 2 (docs/benchmarks.md).
_FIRST_LOGIT = 3.0


class Cache:
    """Keys and values of the tokens a model has read, so that each is computed once."""

    def __init__(self, config: ModelConfig, batch: int, like: Tensor) -> None:
        shape = (config.n_layer, 2, batch, config.n_kv_head, config.context_len, config.head_dim)
        self._store = like.new_empty(shape)  # (L, 2, B, K, context, D)
        self.length = 0

    def append(self, layer: int, new: Tensor) -> tuple[Tensor, Tensor]:
        """Add keys and values of one token each, (2, B, K, D), after what is there; all keys and
        values so far."""
        end = self.length + 1
        kept = self._store[layer, :, :, :, :end]
        kept[..., self.length, :] = new
        keys, values = kept.unbind()
        return keys, values

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add (B, K, T, D) after what is there; all keys and values so far."""
        end = self.length + key.shape[2]
        keys, values = self._store[layer]
        keys[:, :, self.length : end] = key
        values[:, :, self.length : end] = value
        return keys[:, :, :end], values[:, :, :end]


class Block(nn.Module):
    """One layer: attention, then feed-forward, each added to what flows past."""

    def __init__(self, config: ModelConfig, index: int, dropout: float = 0.0) -> None:
        super().__init__()
        c, d = config.n_embd, config.head_dim
        self.config = config
        self.index = index
        self.dropout = dropout
        self.attention_norm = nn.Parameter(torch.ones(c))
        self.qkv = nn.Parameter(torch.empty((config.n_head + 2 * config.n_kv_head) * d, c))
        self.attention_out = nn.Parameter(torch.empty(c, c))
        self.feed_norm = nn.Parameter(torch.ones(c))
        self.gate_up = nn.Parameter(torch.empty(2 * config.n_hidden, c))
        self.down = nn.Parameter(torch.empty(c, config.n_hidden))

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor, cache: Cache | None) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        x = x + self._attention(x, cosine, sine, cache)
        inner = swiglu(self._after_norm(x, self.feed_norm, self.gate_up))  # (B, T, F)
        return x + _dropped(functional.linear(inner, self.down.to(x.dtype)), self)

    def _attention(self, x: Tensor, cosine: Tensor, sine: Tensor, cache: Cache | None) -> Tensor:
        b, t, c = x.shape
        h, k = self.config.n_head, self.config.n_kv_head
        qkv = self._after_norm(x, self.attention_norm, self.qkv).view(b, t, h + 2 * k, -1)
        # Heads become a batch axis: (B, T, heads, D) -> (B, heads, T, D).
        query, key, value = (part.transpose(1, 2) for part in rotate(qkv, cosine, sine, h, k))
        if cache is not None:
            key, value = cache.extend(self.index, key, value)
        # A single new token may look at everything before it. Several may come only first.
        seen = (
            causal_attention(query, key, value)
            if t > 1
            else functional.scaled_dot_product_attention(query, key, value, enable_gqa=h != k)
        )
        merged = seen.transpose(1, 2).reshape(b, t, c)
        return _dropped(functional.linear(merged, self.attention_out.to(x.dtype)), self)

    def step(self, x: Tensor, cosine: Tensor, sine: Tensor, cache: Cache) -> Tensor:
        """What `forward` gives for one new token, (B, 1, C) -> (B, 1, C), in as few operations as
        it can be said: on one token what each does is little beside what calling it takes. For
        inference alone, and changes `x`."""
        h, k, epsilon = self.config.n_head, self.config.n_kv_head, self.config.norm_epsilon
        b, _, c = x.shape
        gain = self.attention_norm.to(x.dtype)
        y = functional.rms_norm(x, (c,), gain, epsilon)
        qkv = functional.linear(y, self.qkv.to(x.dtype)).view(b, h + 2 * k, -1)
        turned = qkv[:, : h + k]
        # As `rotate`, in place: halves that changed sides, times a sine that is negative in front.
        other = turned.roll(turned.shape[-1] // 2, -1)
        turned.mul_(cosine).addcmul_(other, sine)
        key, value = cache.append(self.index, qkv[:, h:].view(b, 2, k, -1).transpose(0, 1))
        query = qkv[:, :h].unsqueeze(2)  # (B, heads, 1, D)
        seen = functional.scaled_dot_product_attention(query, key, value, enable_gqa=h != k)
        x += functional.linear(seen.view(b, 1, c), self.attention_out.to(x.dtype))
        y = functional.rms_norm(x, (c,), self.feed_norm.to(x.dtype), epsilon)
        gate, up = functional.linear(y, self.gate_up.to(x.dtype)).chunk(2, -1)
        x += functional.linear(functional.silu(gate).mul_(up), self.down.to(x.dtype))
        return x

    def _after_norm(self, x: Tensor, gain: Tensor, weight: Tensor) -> Tensor:
        """weight · (gain * normalize(x)). With more tokens than rows in the matrix it is cheaper
        to scale the matrix than the tokens."""
        weight = weight.to(x.dtype)
        y = normalize(x, self.config.norm_epsilon)
        if x.shape[0] * x.shape[1] > weight.shape[0]:
            return functional.linear(y, weight * gain.to(x.dtype))
        return functional.linear(y * gain.to(x.dtype), weight)


def _dropped(x: Tensor, module: Block | Transformer) -> Tensor:
    """`x` without a share of its numbers, in training alone (Srivastava et al. 2014,
    https://jmlr.org/papers/v15/srivastava14a.html)."""
    if module.dropout and module.training:
        return functional.dropout(x, module.dropout)
    return x


class Transformer(nn.Module):
    """The whole model. Parameters are fp32; `dtype` is what the products are computed in.
    `dropout` is no part of what is saved: it says how a model is trained."""

    def __init__(
        self,
        config: ModelConfig,
        *,
        dtype: torch.dtype = torch.float32,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.config = config
        self.dtype = dtype
        self.dropout = dropout
        self.embedding = nn.Parameter(torch.empty(config.vocab_size, config.n_embd))
        self.blocks = nn.ModuleList(
            Block(config, index, dropout) for index in range(config.n_layer)
        )
        self.norm = nn.Parameter(torch.ones(config.n_embd))
        self.output = (
            None
            if config.tie_embeddings
            else nn.Parameter(torch.empty(config.vocab_size, config.n_embd))
        )
        cosine, sine = _angles(config)
        self.cosine: Tensor
        self.sine: Tensor
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)

    @torch.no_grad()
    def initialise(self, seed: int) -> None:
        """Draw all weights.

        Every matrix gets a standard deviation of 1 / sqrt(inputs), which keeps the size of what
        flows through it, whatever the width; the usual constant 0.02 is that only near C = 2,500
        and starves a small model: with it in a 128-wide embedding, AdamW at a rate of 0.01 was
        0.45 nats behind after 400 steps. What a layer adds to the residual starts at zero, so
        every layer begins as the identity and depth costs no stability. The first guess is to be
        uniform: an output layer of its own starts at 0.02. Tied to the embedding, a token's own
        logit would be its hidden state's length, √C, and the first loss as high: the model would be
        certain that every token repeats. The last norm's gain makes that length `_FIRST_LOGIT`.
        """
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if name == "norm" and self.config.tie_embeddings:
                parameter.fill_(min(1.0, _FIRST_LOGIT / math.sqrt(self.config.n_embd)))
            elif parameter.ndim < 2:
                parameter.fill_(1.0)
            elif name.endswith(("attention_out", "down")):
                parameter.zero_()
            else:
                inputs = parameter.shape[1]
                deviation = 0.02 if name == "output" else 1 / math.sqrt(inputs)
                # Drawn on the CPU, so that a seed means the same weights on every device.
                parameter.copy_(
                    torch.empty(parameter.shape).normal_(0, deviation, generator=generator)
                )

    @property
    def head(self) -> Tensor:
        """The output layer's weight, (V, C)."""
        return self.embedding if self.output is None else self.output

    def hidden(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        """What the output layer reads: tokens (B, T) -> (B, T, C) in `dtype`."""
        start = cache.length if cache is not None else 0
        end = start + tokens.shape[1]
        cosine, sine = self.cosine[start:end], self.sine[start:end]
        x = _dropped(functional.embedding(tokens, self.embedding).to(self.dtype), self)
        for block in self.blocks:
            x = block(x, cosine.to(self.dtype), sine.to(self.dtype), cache)
        if cache is not None:
            cache.length = end
        return normalize(x, self.config.norm_epsilon)

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats. tokens, targets: (B, T) of int64."""
        return self.loss_of(self.hidden(tokens), targets)

    def loss_of(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """The loss of what `hidden` gave. The last norm's gain is taken into the head."""
        head = (self.head * self.norm).to(self.dtype)
        return linear_cross_entropy(hidden.flatten(0, 1), head, targets.flatten())

    def forward(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        """Logits in fp32: tokens (B, T) -> (B, T, V). With a cache, tokens go on after those it
        has; several at once only into an empty one."""
        x = self.hidden(tokens, cache) * self.norm.to(self.dtype)
        return functional.linear(x, self.head.to(self.dtype)).float()

    def last_logits(self, tokens: Tensor, cache: Cache) -> Tensor:
        """Logits in fp32 of what follows the last of `tokens` (B, T) only: (B, V)."""
        if tokens.shape[1] == 1 and not torch.is_grad_enabled():
            hidden = self._step(tokens, cache)
        else:
            hidden = self.hidden(tokens, cache)[:, -1]
        x = hidden * self.norm.to(self.dtype)
        return functional.linear(x, self.head.to(self.dtype)).float()

    def _step(self, tokens: Tensor, cache: Cache) -> Tensor:
        """What the output layer reads after one more token: (B, 1) -> (B, C) in `dtype`."""
        # Without the axes of batch and time, for they are one.
        cosine = self.cosine[cache.length].to(self.dtype)
        sine = self.sine[cache.length].to(self.dtype)
        x = functional.embedding(tokens, self.embedding).to(self.dtype)
        for block in self.blocks:
            assert isinstance(block, Block)
            x = block.step(x, cosine, sine, cache)
        cache.length += 1
        return normalize(x[:, 0], self.config.norm_epsilon)

    def new_cache(self, batch: int = 1) -> Cache:
        """An empty cache for `batch` texts."""
        return Cache(self.config, batch, self.embedding.new_empty(0, dtype=self.dtype))


def _angles(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Cosine and sine of position x theta^(-2i/D), each (context, 1, D), for `rotate`."""
    d = config.head_dim
    rates = config.rope_theta ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angles = torch.outer(torch.arange(config.context_len, dtype=torch.float64), rates)
    cosine, sine = angles.cos(), angles.sin()
    return (
        torch.cat((cosine, cosine), -1).unsqueeze(1).float(),
        torch.cat((-sine, sine), -1).unsqueeze(1).float(),
    )
