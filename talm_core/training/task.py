"""What a run learns, as `Trainer` and `TrainLoop` drive it: they know nothing else of it.

A step's loss is the mean over all its targets, whatever micro-batch and rank they are in: a task
gives the mean of a micro-batch and how many targets it has, and the trainer weighs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from talm_core.model.transformer import Transformer
from talm_core.training.device import Machine
from talm_core.training.distributed import World

B = TypeVar("B")
B_co = TypeVar("B_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Forward:
    """How the model is computed here: compiled, replicated or in parts. `hidden` and `loss` are
    `Transformer`'s."""

    model: Transformer
    hidden: Callable[[Tensor], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Score:
    """`loss` in nats per token; `bits_per_byte` over the raw bytes that the predicted tokens
    stand for, which makes runs with different tokenizers comparable."""

    loss: float
    bits_per_byte: float
    tokens: int


class BatchSource(Protocol[B_co]):
    """Micro-batches on the device, in an order that can be gone on with anywhere."""

    @property
    def state(self) -> dict[str, int]:
        """Where it stands, as JSON."""

    @property
    def epoch_progress(self) -> float:
        """Epochs so far, with the part of this one."""

    def next_batch(self) -> B_co: ...

    def load_state(self, state: dict[str, int]) -> None: ...

    def divide(self, batch_size: int) -> None:
        """Go on from here with micro-batches of another size."""

    def skip(self, batches: int) -> None:
        """Go past so many micro-batches on every rank, without reading them."""


class Task(Protocol[B]):
    """A model, what it learns from, and how it is judged."""

    @property
    def uniform(self) -> bool:
        """Whether all micro-batches have the same number of targets, so that nobody needs to count
        a step's before its first."""

    @property
    def ordered_by(self) -> tuple[str, ...]:
        """Names of the settings that the order of micro-batches depends on."""

    @property
    def eval_tokens(self) -> int:
        """Tokens a whole evaluation reads."""

    def model(self, machine: Machine) -> Transformer:
        """The model before the first step, in the host's memory."""

    def batches(self, device: torch.device, batch_size: int, world: World) -> BatchSource[B]:
        """This rank's micro-batches, of so many sequences."""

    def targets(self, batch: B) -> int:
        """How many targets a micro-batch has."""

    def loss(self, forward: Forward, batch: B) -> Tensor:
        """The mean loss of a micro-batch over its targets; 0 where it has none."""

    def evaluate(self, model: Transformer, batch_size: int, world: World) -> Iterator[Score]:
        """The score so far after each batch, the same on all ranks; the last is that of the
        whole evaluation."""

    def sample(self, model: Transformer, prompt: str) -> Iterator[str]:
        """What the model writes after a prompt, token by token; the same every time."""
