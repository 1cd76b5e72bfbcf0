"""The loss on a fixed set of validation tokens, per token and per byte."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from talm_core.data.loader import Windows, eval_batches
from talm_core.tokenizer.vocabulary import Vocabulary
from talm_core.training.trainer import Trainer

# Tokens of a pass on a CPU: few enough that a stop is noticed soon.
_CPU_TOKENS = 2_048


@dataclass(frozen=True, slots=True)
class Score:
    """`loss` in nats per token; `bits_per_byte` over the raw bytes that the predicted tokens
    stand for, which makes runs with different tokenizers comparable."""

    loss: float
    bits_per_byte: float
    tokens: int


def score_of(nats: float, tokens: int, raw_bytes: int) -> Score:
    """The score of `tokens` predictions that cost `nats` together. Text of special tokens only
    has no bytes, and then no bits per byte."""
    bits = nats / math.log(2) / raw_bytes if raw_bytes else math.nan
    return Score(nats / tokens, bits, tokens)


def evaluate(trainer: Trainer, windows: Windows, vocabulary: Vocabulary) -> Iterator[Score]:
    """The score so far after each batch; the last one is the whole evaluation's. `windows` are the
    validation split's."""
    config, model = trainer.config, trainer.model
    context = config.context_len
    on_cpu = trainer.device.type == "cpu"
    batch_size = max(1, _CPU_TOKENS // context) if on_cpu else trainer.batch_size
    lengths = np.array(vocabulary.token_bytes(), np.int64)
    nats, tokens, raw_bytes = 0.0, 0, 0
    for batch in eval_batches(windows, tokens=config.eval_tokens, batch_size=batch_size):
        on_device = torch.from_numpy(batch).to(trainer.device)
        with torch.inference_mode():
            loss = model.loss(on_device[:, :-1].contiguous(), on_device[:, 1:].contiguous())
        targets = batch[:, 1:]
        nats += loss.item() * targets.size
        tokens += targets.size
        raw_bytes += int(lengths[targets].sum())
        yield score_of(nats, tokens, raw_bytes)
