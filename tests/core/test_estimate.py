from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from talm_core.data.manifest import Manifest
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.pretrain.presets import find_preset
from talm_core.model.transformer import ModelConfig, Transformer
from talm_core.settings.schema import build
from talm_core.storage.workspace import Workspace
from talm_core.system.hardware import Room
from talm_core.training.estimate import (
    Computing,
    Memory,
    count_parameters,
    logits_bytes,
    plan,
    precision_of,
)
from talm_core.training.optim import Optimizers
from tests.core.tiny_runs import NAME, SETTINGS, tiny_config, tiny_workspace


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_embeddings": False},
        {"n_kv_head": None, "n_hidden": 40},
        {"n_layer": 3, "n_embd": 24, "n_head": 6, "n_kv_head": 3},
    ],
)
def test_parameters_are_those_of_the_model(changes: dict[str, object]) -> None:
    config = tiny_config(**changes)
    model = Transformer(ModelConfig.of(config, 300))
    counted = plan(config, None, 300).parameters
    assert counted.total == sum(p.numel() for p in model.parameters())
    assert counted.embedding == model.embedding.numel()


def test_gpt2_in_numbers() -> None:
    """Worked by hand for 12 layers of 768 with a feed-forward width of 2,048."""
    config = build(
        PretrainConfig,
        {
            "model_name": "x",
            "data_dir": "y",
            "n_layer": 12,
            "n_head": 12,
            "n_embd": 768,
            "context_len": 1024,
            "batch_size": 8,
            "grad_accum_steps": 5,
            "max_steps": 1000,
            "keep_checkpoints": 2,
            "optimizer": "adamw",
        },
    )
    result = plan(config, None, 50_261)
    parts = result.parameters
    assert parts.embedding == 50_261 * 768 == 38_600_448
    assert parts.attention == 12 * 4 * 768**2 == 28_311_552
    assert parts.feed_forward == 12 * 3 * 768 * 2048 == 56_623_104
    assert parts.norms == 25 * 768
    assert parts.output == 0
    assert parts.total == 123_554_304
    weights = 38_600_448 + 28_311_552 + 56_623_104
    assert result.flops_per_token == 6 * weights + 12 * 12 * 768 * 1024
    assert result.tokens_per_step == 8 * 5 * 1024 == 40_960
    assert result.tokens == 40_960_000
    assert result.epochs is None
    assert result.tokens_per_parameter == pytest.approx(0.3315, abs=1e-4)
    assert result.memory.weights == result.memory.gradients == 4 * 123_554_304
    assert result.memory.optimizer == 8 * 123_554_304
    assert result.checkpoint_bytes == pytest.approx(12 * 123_554_304, rel=0.01)
    assert result.disk_bytes == 4 * result.checkpoint_bytes


def test_muon_keeps_one_number_of_a_hidden_matrix() -> None:
    trainer = Optimizers(model := Transformer(ModelConfig.of(tiny_config(), 259)), tiny_config())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    trainer.step(0.0)
    kept = sum(v.nbytes for key, v in trainer.tensors.items() if not key.endswith("/step"))
    assert plan(tiny_config(), None, 259).memory.optimizer == kept


def test_epochs_are_of_the_training_part(tmp_path: Path) -> None:
    directory = tiny_workspace(tmp_path).directory("data", NAME)
    manifest = Manifest.load(directory)
    result = plan(tiny_config(), manifest, 259)
    assert result.epochs == 12 * 4 * 32 / manifest.train_tokens


def test_logits_do_not_grow_with_the_batch() -> None:
    def logits(batch: int) -> int:
        return plan(tiny_config(**SETTINGS | {"batch_size": batch}), None, 50_000).memory.logits

    assert logits(1_000) == logits(10_000)
    assert logits(10) <= logits(1_000)


GPU = Room(24 * 2**30, None, "NVIDIA A10", "cuda", bf16=True)


def test_a_plan_counts_in_what_auto_becomes() -> None:
    """bf16 on a device that has units for it takes half of what fp32 does."""

    def memory(precision: str, room: Room | None) -> Memory:
        config = tiny_config(**SETTINGS | {"batch_size": 64, "precision": precision})
        return plan(config, None, 259, room).memory

    assert memory("auto", GPU) == memory("bf16", GPU) != memory("fp32", GPU)
    old = replace(GPU, bf16=False)
    assert memory("auto", old) == memory("fp32", old)
    assert memory("auto", None) == memory("fp32", None)


def test_gpt2_is_not_planned_at_twice_its_size() -> None:
    config = build(
        PretrainConfig,
        dict(find_preset(Workspace(), "gpt2-124m").values) | {"model_name": "x", "data_dir": "x"},
    )
    found = plan(config, None, 50_304, GPU)
    assert found.computing == Computing("cuda", "bf16")
    wide = plan(config.model_copy(update={"precision": "fp32"}), None, 50_304, GPU)
    assert found.memory.activations < 0.55 * wide.memory.activations
    # 5,336 rows of 50,304, in fp32 and in bf16 beside it, and three of the head's size.
    assert found.memory.logits == 5_336 * 50_304 * 6 + 3 * 4 * 50_304 * 768


@pytest.mark.parametrize(
    ("device", "bf16", "width", "becomes"),
    [
        ("cuda", True, 64, "bf16"),
        ("cuda", False, 768, "fp32"),
        ("cpu", True, 256, "bf16"),
        ("cpu", True, 128, "fp32"),
        ("cpu", False, 768, "fp32"),
        ("mps", True, 768, "fp32"),
    ],
)
def test_what_auto_becomes(device: str, bf16: bool, width: int, becomes: str) -> None:
    config = tiny_config(n_embd=width)
    assert precision_of(config, device, bf16=bf16) == becomes
    asked = tiny_config(n_embd=width, precision="bf16")
    assert precision_of(asked, device, bf16=bf16) == "bf16"


def test_an_accelerator_holds_larger_blocks_of_logits() -> None:
    tokens = 64 * 1024
    assert logits_bytes(tokens, 50_000, Computing("cpu", "fp32")) == 41 * 50_000 * 4
    assert logits_bytes(tokens, 50_000, Computing("cuda", "fp32")) == 5_368 * 50_000 * 4
    assert logits_bytes(tokens, 50_000, Computing("mps", "bf16")) == 5_368 * 50_000 * 6
    assert logits_bytes(100, 50_000, Computing("cuda", "fp32")) == 100 * 50_000 * 4
    # A CPU's smallest block, however large the vocabulary.
    assert logits_bytes(tokens, 1_000_000, Computing("cpu", "fp32")) == 16 * 1_000_000 * 4


def test_processes_share_windows_and_with_fsdp_the_model() -> None:
    def memory(**changes: Any) -> Memory:
        return plan(tiny_config(**SETTINGS | {"batch_size": 4} | changes), None, 259).memory

    alone, two = memory(batch_size=2), memory(nproc=2)
    assert two.on_device == alone.on_device
    assert two.total == 2 * (alone.on_device + alone.process) + alone.snapshot
    parts = count_parameters(tiny_config(), 259)
    layers = parts.attention + parts.feed_forward + parts.norms
    sharded = memory(nproc=2, parallel="fsdp")
    # Half of everything, two layers and the embedding whole; of gradients one layer.
    assert sharded.weights == 4 * (parts.total // 2 + 2 * (layers // 2) + parts.embedding)
    assert sharded.gradients == 4 * (parts.total // 2 + layers // 2)
    assert sharded.optimizer == two.optimizer // 2
    assert sharded.snapshot == two.snapshot
