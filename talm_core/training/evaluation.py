"""The loss on a fixed set of validation tokens, per token and per byte."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import nn

from talm_core.data.dataloader import Windows, eval_batches
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


@contextmanager
def judged(model: nn.Module) -> Iterator[None]:
    """The model without dropout for as long as it is judged; afterwards it is trained on."""
    model.eval()
    try:
        yield
    finally:
        model.train()


def evaluate(trainer: Trainer, windows: Windows, vocabulary: Vocabulary) -> Iterator[Score]:
    """The score so far after each batch; the last one is the whole evaluation's. `windows` are the
    validation split's."""
    config, model = trainer.config, trainer.model
    context = config.context_len
    on_cpu = trainer.device.type == "cpu"
    batch_size = max(1, _CPU_TOKENS // context) if on_cpu else trainer.batch_size
    lengths = np.array(vocabulary.token_bytes(), np.int64)
    ranks = trainer.ranks
    # Parts of tensors that were put together for inference could not be trained with after.
    mode = torch.no_grad if trainer.sharded else torch.inference_mode
    sums = [0.0, 0.0, 0.0]  # nats, tokens, bytes
    batches = eval_batches(windows, tokens=config.eval_tokens, batch_size=batch_size)
    while group := list(islice(batches, ranks.count)):
        # A batch for each process. Where there are too few, some compute one that does not count:
        # a model in parts needs all of them.
        counts = ranks.rank < len(group)
        batch = group[ranks.rank if counts else 0]
        on_device = torch.from_numpy(batch).to(trainer.device)
        with mode(), judged(model):
            loss = model.loss(on_device[:, :-1].contiguous(), on_device[:, 1:].contiguous())
        targets = batch[:, 1:]
        own = [loss.item() * targets.size, targets.size, float(lengths[targets].sum())]
        of_all = ranks.total(own if counts else [0.0, 0.0, 0.0])
        sums = [total + more for total, more in zip(sums, of_all, strict=True)]
        yield score_of(sums[0], int(sums[1]), int(sums[2]))
