from __future__ import annotations

import math

import pytest
import torch

from talm_core.model.transformer import ModelConfig, Transformer
from talm_core.training.optimizer import adamw, load_state_tensors, set_rate, state_tensors
from tests.core.tiny_runs import tiny_config

SHAPE = ModelConfig(20, 1, 2, 1, 8, 16, 8)


def model() -> Transformer:
    made = Transformer(SHAPE)
    made.initialise(1)
    return made


def with_gradients(target: Transformer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in target.parameters():
        parameter.grad = torch.empty_like(parameter).normal_(0, 1, generator=generator)


def test_only_matrices_decay() -> None:
    made = model()
    matrices, gains = adamw(made, tiny_config(weight_decay=0.3)).param_groups
    assert matrices["weight_decay"] == 0.3
    assert gains["weight_decay"] == 0.0
    names = {id(p): name for name, p in made.named_parameters()}
    assert sorted(names[id(p)] for p in gains["params"]) == [
        "blocks.0.attention_norm",
        "blocks.0.feed_norm",
        "norm",
    ]
    assert len(matrices["params"]) + 3 == len(names)


def test_a_step_is_adamw_by_hand() -> None:
    made, config = model(), tiny_config(weight_decay=0.1, beta1=0.8, beta2=0.9)
    optimizer = adamw(made, config)
    weight = made.embedding
    expected = weight.detach().double().clone()
    first, second = torch.zeros_like(expected), torch.zeros_like(expected)
    for step in range(1, 4):
        with_gradients(made, step)
        assert weight.grad is not None
        g = weight.grad.double()
        set_rate(optimizer, 0.01 * step)
        optimizer.step()
        first, second = 0.8 * first + 0.2 * g, 0.9 * second + 0.1 * g * g
        expected *= 1 - 0.01 * step * 0.1
        root = (second / (1 - 0.9**step)).sqrt() + 1e-8
        expected -= 0.01 * step * (first / (1 - 0.8**step)) / root
    torch.testing.assert_close(weight.detach().double(), expected, atol=1e-6, rtol=1e-5)


def test_state_put_back_goes_on_bit_for_bit() -> None:
    config = tiny_config()
    made = model()
    optimizer = adamw(made, config)
    with_gradients(made, 1)
    optimizer.step()
    other = model()
    other.load_state_dict(made.state_dict())
    again = adamw(other, config)
    load_state_tensors(other, again, state_tensors(made, optimizer))
    for target, method in ((made, optimizer), (other, again)):
        with_gradients(target, 2)
        method.step()
    for ours, theirs in zip(made.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_state_that_lacks_something_is_refused() -> None:
    made = model()
    optimizer = adamw(made, tiny_config())
    assert state_tensors(made, optimizer) == {}
    with pytest.raises(KeyError, match="embedding/exp_avg"):
        load_state_tensors(made, optimizer, {})


def test_first_step_moves_by_the_rate() -> None:
    made = model()
    optimizer = adamw(made, tiny_config(weight_decay=0.0))
    before = made.embedding.detach().clone()
    with_gradients(made, 3)
    set_rate(optimizer, 0.5)
    optimizer.step()
    moved = (made.embedding.detach() - before).abs()
    assert math.isclose(moved.median().item(), 0.5, rel_tol=1e-4)
