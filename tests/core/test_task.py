"""A task whose micro-batches have different numbers of targets: a step is the mean over all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from talm_core.model.transformer import ModelConfig, Transformer
from talm_core.training.device import Machine
from talm_core.training.distributed import World
from talm_core.training.task import Forward, Score
from talm_core.training.trainer import Trainer
from tests.core.tiny_runs import tiny_config

ROOT = Path(__file__).parents[2]
STEPS, SEQUENCES, LENGTH, TOKENS = 3, 8, 12, 40


class Masked:
    """Sequences of which some tokens are targets, of some none: (B, LENGTH + 1), -1 after them."""

    def __init__(self, batch_size: int, world: World) -> None:
        self._size, self._world, self._at = batch_size, world, 0
        generator = torch.Generator().manual_seed(5)
        self._all = torch.randint(TOKENS, (STEPS * SEQUENCES, LENGTH + 1), generator=generator)
        for number, sequence in enumerate(self._all):
            sequence[1 + number * 5 % (LENGTH + 1) :] = -1

    state = property(lambda self: {"at": self._at})
    epoch_progress = 0.0

    def next_batch(self) -> Tensor:
        first = self._at + self._world.rank * self._size
        self._at += self._size * self._world.size
        return self._all[first : first + self._size]

    def load_state(self, state: dict[str, int]) -> None:
        self._at = state["at"]

    def divide(self, batch_size: int) -> None:
        self._size = batch_size

    def skip(self, batches: int) -> None:
        self._at += batches * self._size * self._world.size


class MaskedTask:
    uniform = False
    ordered_by = ("seed",)
    eval_tokens = 0

    def __init__(self, shape: ModelConfig) -> None:
        self._shape = shape

    def model(self, machine: Machine) -> Transformer:
        assert machine.device == "cpu"
        model = Transformer(self._shape, dtype=torch.float64)
        model.initialise(1)
        return model.double()

    def batches(self, device: torch.device, batch_size: int, world: World) -> Masked:
        assert device.type == "cpu"
        return Masked(batch_size, world)

    def targets(self, batch: Tensor) -> int:
        return int((batch[:, 1:] >= 0).sum())

    def loss(self, forward: Forward, batch: Tensor) -> Tensor:
        x = forward.hidden(batch[:, :-1].clamp_min(0))
        logits = (x * forward.model.norm) @ forward.model.head.T
        total = functional.cross_entropy(
            logits.flatten(0, 1), batch[:, 1:].flatten(), ignore_index=-1, reduction="sum"
        )
        return total / max(1, self.targets(batch))

    def evaluate(self, model: Transformer, batch_size: int, world: World) -> Iterator[Score]:
        raise NotImplementedError

    def sample(self, model: Transformer, prompt: str) -> Iterator[str]:
        raise NotImplementedError


def trained(batch_size: int, micro_batches: int, world: World | None = None) -> dict[str, Tensor]:
    """Weights and the mean loss after three steps of eight sequences."""
    config = tiny_config(
        batch_size=batch_size, grad_accum_steps=micro_batches, context_len=LENGTH, grad_clip=0.5
    )
    trainer = Trainer(
        config,
        Machine("cpu", "fp32", compiled=False, threads=1),
        MaskedTask(ModelConfig.of(config, TOKENS)),
        world,
    )
    for _ in range(STEPS):
        while not trainer.forward_backward():
            pass
        trainer.update(1e-2)
    readings = trainer.read()
    assert readings is not None
    found = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    return found | {"loss": torch.tensor(readings.loss, dtype=torch.float64)}


def assert_close(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name in theirs:
        assert ours[name].dtype == torch.float64
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-6, rtol=1e-6)


def test_the_first_loss_is_the_mean_over_all_targets() -> None:
    config = tiny_config(batch_size=1, grad_accum_steps=SEQUENCES, context_len=LENGTH)
    task = MaskedTask(ModelConfig.of(config, TOKENS))
    trainer = Trainer(config, Machine("cpu", "fp32", compiled=False, threads=1), task)
    whole = Masked(SEQUENCES, World()).next_batch()
    counts = [task.targets(row[None]) for row in whole]
    assert len(set(counts)) > 4
    assert 0 in counts
    model = trainer.model
    expected = task.loss(Forward(model, model.hidden, model.loss), whole).item()
    while not trainer.forward_backward():
        pass
    trainer.update(0.0)
    readings = trainer.read()
    assert readings is not None
    assert readings.loss == pytest.approx(expected, abs=1e-6)


def test_one_large_micro_batch_is_many_small_ones() -> None:
    assert_close(trained(1, SEQUENCES), trained(SEQUENCES, 1))
    assert_close(trained(2, SEQUENCES // 2), trained(SEQUENCES, 1))


@pytest.mark.slow
def test_two_ranks_are_one(tmp_path: Path) -> None:
    file = tmp_path / "two.safetensors"
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*words, str(Path(__file__)), str(file)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert_close(load_file(file), trained(SEQUENCES, 1))


def _train_together(file: str) -> None:
    world = World.join(1, Path(), Path())
    found = trained(1, SEQUENCES, world)
    if world.is_main:
        save_file(found, file)
    world.close(failed=False)


if __name__ == "__main__":
    _train_together(sys.argv[1])
