"""Pretraining as a task: the next token of every position of a dataset's text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import torch
from torch import Tensor

from talm_core.data.dataloader import TokenLoader, Windows
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.pretrain.inputs import Inputs
from talm_core.model.generate import split_prompt, stream
from talm_core.model.transformer import ModelConfig, Transformer
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.training.batches import Batches
from talm_core.training.device import Machine
from talm_core.training.distributed import World
from talm_core.training.evaluator import evaluate
from talm_core.training.task import Forward, Score


class PretrainTask:
    """Micro-batches are sequences of a dataset, (B, T + 1): each token is the target of those
    before it."""

    uniform = True
    ordered_by = ("data_dir", "context_len", "seed")

    def __init__(self, config: PretrainConfig, inputs: Inputs, validation: Windows) -> None:
        self.shape = ModelConfig.of(config, inputs.vocabulary.n_vocab)
        self.eval_tokens = min(config.eval_tokens, inputs.manifest.val_tokens)
        self._config = config
        self._inputs = inputs
        self._validation = validation
        self._tokenizer = Tokenizer.from_vocabulary(inputs.vocabulary)

    @classmethod
    def of(cls, config: PretrainConfig, inputs: Inputs) -> Self:
        """The task of a dataset, whose validation text is opened."""
        return cls(config, inputs, Windows(inputs.dataset, "val", context_len=config.context_len))

    def model(self, machine: Machine) -> Transformer:
        """Weights drawn from the seed."""
        model = Transformer(self.shape, dtype=machine.dtype, dropout=self._config.dropout)
        model.initialise(self._config.seed)
        return model

    def batches(self, device: torch.device, batch_size: int, world: World) -> Batches:
        """This rank's sequences of the training text."""
        loader = TokenLoader(
            self._inputs.dataset,
            "train",
            batch_size=batch_size,
            context_len=self._config.context_len,
            seed=self._config.seed,
            rank=world.rank,
            world_size=world.size,
        )
        return Batches(loader, device)

    def targets(self, batch: Tensor) -> int:
        """Every token but the first of each sequence."""
        return batch[:, 1:].numel()

    def loss(self, forward: Forward, batch: Tensor) -> Tensor:
        """Mean cross-entropy in nats."""
        return forward.loss(batch[:, :-1].contiguous(), batch[:, 1:].contiguous())

    def evaluate(self, model: Transformer, batch_size: int, world: World) -> Iterator[Score]:
        """Loss and bits per byte on a fixed set of validation tokens."""
        return evaluate(
            model,
            self._validation,
            self._inputs.vocabulary,
            tokens=self._config.eval_tokens,
            batch_size=batch_size,
            world=world,
        )

    def sample(self, model: Transformer, prompt: str) -> Iterator[str]:
        """What follows a prompt at the beginning of a document."""
        end = self._inputs.vocabulary.end_of_text
        ids, begin = split_prompt(self._tokenizer, prompt)
        for step in stream(
            model,
            self._tokenizer,
            [end, *ids],
            max_tokens=self._config.sample_tokens,
            temperature=0.8,
            top_p=0.95,
            seed=self._config.seed,
            stop_token=end,
            begin=begin,
        ):
            yield step.text
