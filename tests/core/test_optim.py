from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from talm_core.model.transformer import ModelConfig, Transformer
from talm_core.training.muon import Muon, orthogonal
from talm_core.training.optim import Optimizers
from tests.core.tiny_runs import tiny_config

SHAPE = ModelConfig(20, 2, 2, 1, 8, 16, 8)


def made(**changes: Any) -> tuple[Transformer, Optimizers]:
    model = Transformer(SHAPE)
    model.initialise(1)
    return model, Optimizers(model, tiny_config(**changes))


def with_gradients(target: Transformer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in target.parameters():
        parameter.grad = torch.empty_like(parameter).normal_(0, 1, generator=generator)


def gradient_of(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad.double()


def test_each_parameter_has_its_method() -> None:
    model, optimizers = made(optimizer="muon", weight_decay=0.3)
    names = {id(p): name for name, p in model.named_parameters()}
    tables, gains, hidden = (
        group for optimizer in optimizers.all for group in optimizer.param_groups
    )
    assert [names[id(p)] for p in tables["params"]] == ["embedding"]
    assert {names[id(p)].rpartition(".")[2] for p in gains["params"]} == {
        "attention_norm",
        "feed_norm",
        "norm",
    }
    assert {names[id(p)].rpartition(".")[2] for p in hidden["params"]} == {
        "qkv",
        "attention_out",
        "gate_up",
        "down",
    }
    assert [g["weight_decay"] for g in (tables, gains, hidden)] == [0.3, 0.0, 0.3]
    _, plain = made(optimizer="adamw")
    assert len(plain.all) == 1
    matrices, gains = plain.all[0].param_groups
    assert len(matrices["params"]) == 9
    assert gains["weight_decay"] == 0.0


def test_a_step_is_adamw_by_hand() -> None:
    model, optimizers = made(optimizer="adamw", weight_decay=0.1, beta1=0.8, beta2=0.9)
    weight = model.embedding
    expected = weight.detach().double().clone()
    first, second = torch.zeros_like(expected), torch.zeros_like(expected)
    for step in range(1, 4):
        with_gradients(model, step)
        g = gradient_of(weight)
        optimizers.step(0.01 * step)
        first, second = 0.8 * first + 0.2 * g, 0.9 * second + 0.1 * g * g
        expected *= 1 - 0.01 * step * 0.1
        root = (second / (1 - 0.9**step)).sqrt() + 1e-8
        expected -= 0.01 * step * (first / (1 - 0.8**step)) / root
    torch.testing.assert_close(weight.detach().double(), expected, atol=1e-6, rtol=1e-5)


def test_a_step_is_muon_by_hand() -> None:
    """Against the singular values: the iteration maps each by its polynomial, five times."""
    model, optimizers = made(optimizer="muon", weight_decay=0.1)
    weight = dict(model.named_parameters())["blocks.1.gate_up"]
    expected = weight.detach().double().clone()
    momentum = torch.zeros_like(expected)
    for step in range(1, 4):
        with_gradients(model, step)
        g = gradient_of(weight)
        optimizers.step(0.01 * step)
        momentum = 0.95 * momentum + 0.05 * g
        left, values, right = torch.linalg.svd(0.05 * g + 0.95 * momentum, full_matrices=False)
        values = values / values.norm()
        for _ in range(5):
            values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
        move = left @ values.diag() @ right
        expected *= 1 - 0.01 * step * 0.1
        expected -= 0.01 * step * 0.2 * 32**0.5 * move
    torch.testing.assert_close(weight.detach().double(), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(16, 48), (48, 16), (24, 24)])
def test_a_step_is_that_of_torchs_muon(shape: tuple[int, int], dtype: torch.dtype) -> None:
    """torch's own multiplies in bf16: equal to what that resolves."""
    generator = torch.Generator().manual_seed(5)
    start = torch.randn(shape, generator=generator)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    mine = Muon([ours], lr=0.02, weight_decay=0.1, dtype=dtype)
    torchs = torch.optim.Muon(
        [theirs], lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    for _ in range(4):
        gradient = torch.randn(shape, generator=generator)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        torchs.step()  # type: ignore[no-untyped-call]
    moved = (theirs - start).detach()
    assert moved.norm() > 0.1
    assert (ours - theirs).norm() < 0.02 * moved.norm()


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 4, 16), (1, 16, 4)])
def test_orthogonal_moves_singular_values_to_one(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonal(matrices))
    assert values.max() < 1.25
    assert values.median() > 0.65
    zero = torch.zeros(shape)
    assert torch.equal(orthogonal(zero), zero)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_state_put_back_goes_on_bit_for_bit(optimizer: str) -> None:
    model, optimizers = made(optimizer=optimizer)
    with_gradients(model, 1)
    optimizers.step(0.01)
    other, again = made(optimizer=optimizer)
    other.load_state_dict(model.state_dict())
    again.load(optimizers.tensors)
    for target, method in ((model, optimizers), (other, again)):
        with_gradients(target, 2)
        method.step(0.01)
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_step_to_skip_changes_nothing(optimizer: str) -> None:
    model, optimizers = made(optimizer=optimizer, weight_decay=0.0)
    with_gradients(model, 1)
    optimizers.step(0.01, skip=torch.zeros(()))
    before = [p.detach().clone() for p in model.parameters()]
    with_gradients(model, 2)
    for parameter in model.parameters():
        assert parameter.grad is not None
        parameter.grad.view(-1)[0] = float("nan")
    optimizers.step(0.01, skip=torch.ones(()))
    for ours, theirs in zip(model.parameters(), before, strict=True):
        assert torch.equal(ours, theirs)


def test_state_that_lacks_something_is_refused() -> None:
    _, optimizers = made()
    assert optimizers.tensors == {}
    with pytest.raises(KeyError, match="exp_avg"):
        optimizers.load({"embedding/step": torch.zeros(())})


def test_first_step_moves_by_the_rate() -> None:
    model, optimizers = made(weight_decay=0.0)
    before = model.embedding.detach().clone()
    with_gradients(model, 3)
    optimizers.step(0.5)
    moved = (model.embedding.detach() - before).abs()
    assert moved.median().item() == pytest.approx(0.5, rel=1e-4)
