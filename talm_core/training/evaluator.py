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
from talm_core.model.transformer import Transformer
from talm_core.runtime.events import Evaluated, Progress, Sampled
from talm_core.tokenizer.vocabulary import Vocabulary
from talm_core.training.control import Control
from talm_core.training.distributed import World
from talm_core.training.parallel import is_sharded
from talm_core.training.task import Score
from talm_core.training.throughput import Throughput
from talm_core.training.train_state import TrainState
from talm_core.training.trainer import Trainer

# Tokens of a batch on a CPU: few enough that a stop is noticed soon.
_CPU_TOKENS = 2_048


def score_of(nats: float, tokens: int, raw_bytes: int) -> Score:
    """The score of `tokens` predictions that cost `nats` together. Text of special tokens only
    has no bytes, and then no bits per byte."""
    bits = nats / math.log(2) / raw_bytes if raw_bytes else math.nan
    return Score(nats / tokens, bits, tokens)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """The model without dropout for as long as it is evaluated; afterwards it is trained on."""
    model.eval()
    try:
        yield
    finally:
        model.train()


def evaluate(
    model: Transformer,
    windows: Windows,
    vocabulary: Vocabulary,
    *,
    tokens: int,
    batch_size: int,
    world: World,
) -> Iterator[Score]:
    """The score on the first `tokens` of `windows` so far after each batch."""
    device = model.norm.device
    sharded = is_sharded(model.norm)
    if device.type == "cpu":
        batch_size = max(1, _CPU_TOKENS // model.config.context_len)
    lengths = np.array(vocabulary.token_bytes(), np.int64)
    # Parts of tensors that were put together for inference could not be trained with after.
    mode = torch.no_grad if sharded else torch.inference_mode
    sums = [0.0, 0.0, 0.0]  # nats, tokens, bytes
    batches = eval_batches(windows, tokens=tokens, batch_size=batch_size)
    while group := list(islice(batches, world.size)):
        # A batch for each process. Where there are too few, some compute one that does not count:
        # a model in parts needs all of them.
        counts = world.rank < len(group)
        batch = group[world.rank if counts else 0]
        on_device = torch.from_numpy(batch).to(device)
        with mode(), eval_mode(model):
            loss = model.loss(on_device[:, :-1].contiguous(), on_device[:, 1:].contiguous())
        targets = batch[:, 1:]
        own = [loss.item() * targets.size, targets.size, float(lengths[targets].sum())]
        of_all = world.sum(own if counts else [0.0, 0.0, 0.0])
        sums = [total + more for total, more in zip(sums, of_all, strict=True)]
        yield score_of(sums[0], int(sums[1]), int(sums[2]))


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Evaluates a run's model at the step where it stands, and says so. What was found out is taken
    off what is due before it is said: whoever stops the run there has it."""

    trainer: Trainer
    train_state: TrainState
    throughput: Throughput
    control: Control

    def evaluate(self) -> None:
        """Loss and bits per byte on a fixed set of validation tokens."""
        trainer, task = self.trainer, self.trainer.task
        score = Score(math.nan, math.nan, 0)
        with self.throughput.costing("evaluate"):
            for score in task.evaluate(trainer.model, trainer.batch_size, trainer.world):
                event = Progress(
                    phase="evaluating", done=score.tokens, total=task.eval_tokens, unit="tokens"
                )
                self.control.sign_of_life(event)
        self.train_state.evaluated = {"val_loss": score.loss, "bits_per_byte": score.bits_per_byte}
        self.train_state.evaluated_step = trainer.step
        self.train_state.due.pop(0)
        self.control.say(
            Evaluated(
                step=trainer.step,
                val_loss=score.loss,
                bits_per_byte=score.bits_per_byte,
                tokens=score.tokens,
                seconds=self.throughput.cost("evaluate"),
            )
        )

    def sample(self, prompt: str) -> None:
        """What the model writes after a prompt; the same seed every time."""
        total = self.trainer.config.sample_tokens
        pieces: list[str] = []
        model = self.trainer.whole_model()
        if model is None:
            self.train_state.due.pop(0)
            return
        with self.throughput.costing("sample"), eval_mode(model):
            for piece in self.trainer.task.sample(model, prompt):
                pieces.append(piece)
                event = Progress(phase="sampling", done=len(pieces), total=total, unit="tokens")
                self.control.breathe(event)
        self.train_state.due.pop(0)
        self.control.say(
            Sampled(
                step=self.trainer.step,
                prompt=prompt,
                text="".join(pieces),
                tokens=len(pieces),
                tokens_per_second=len(pieces) / max(1e-9, self.throughput.cost("sample")),
            )
        )
