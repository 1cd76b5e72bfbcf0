"""What a preset says and somebody did not is scaled to what they did say."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from talm_core.cli import options, parser
from talm_core.errors import InputError
from talm_core.jobs.pretrain.check import given
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.pretrain.fitting import fitted
from talm_core.jobs.pretrain.presets import find_preset
from talm_core.jobs.pretrain.recipes import BUILT_IN
from talm_core.jobs.quickstart.config import QuickstartConfig
from talm_core.jobs.quickstart.job import stages
from talm_core.settings.command_line import command_line
from talm_core.settings.schema import build
from talm_core.storage.workspace import Workspace

RUN = {"model_name": "x", "data_dir": "x"}


def asked(preset: str | None, **said: Any) -> PretrainConfig:
    values, _ = given(RUN | said, preset, False, Workspace(Path("/nowhere")))
    return build(PretrainConfig, values)


@pytest.mark.parametrize(
    ("preset", "said", "expected"),
    [
        # Of 5,000 steps: 200 of warm-up, a look every 250, a checkpoint every 1,000.
        (
            "talm",
            {"max_steps": 60},
            {"warmup_steps": 2, "eval_every": 3, "sample_every": 3, "checkpoint_every": 12},
        ),
        ("talm", {"max_steps": 10_000}, {"warmup_steps": 400, "eval_every": 500}),
        ("talm", {"max_steps": 60, "warmup_steps": 9}, {"warmup_steps": 9, "eval_every": 3}),
        ("talm", {"max_steps": 1}, {"warmup_steps": 1, "eval_every": 1}),
        ("talm", {"max_steps": 5_000}, {"warmup_steps": 200, "eval_every": 250}),
        # Never stays never, a share of the run stays that share.
        (
            "shakespeare-sprint",
            {"max_steps": 20},
            {"warmup_steps": 1, "eval_every": 0, "checkpoint_every": 0, "decay_ratio": 0.5},
        ),
        ("talm", {"learning_rate": 1e-3}, {"min_learning_rate": 1e-4}),
        ("talm", {"learning_rate": 5e-5}, {"min_learning_rate": 5e-6}),
        # Six heads of 64 dimensions.
        ("shakespeare", {"n_embd": 320}, {"n_head": 5}),
        ("shakespeare", {"n_embd": 768}, {"n_head": 6}),
        ("shakespeare", {"n_head": 5}, {"n_embd": 380}),
        ("gpt2-124m", {"total_batch_size": 65_536}, {"grad_accum_steps": 1, "micro_batches": 4}),
        ("d4", {"batch_size": 24}, {"tokens_per_step": 30_720, "grad_accum_steps": 1}),
        ("d4", {"grad_accum_steps": 3}, {"total_batch_size": None}),
        # Without a preset only what could not be is changed.
        (None, {"max_steps": 14}, {"warmup_steps": 1, "eval_every": 150}),
        (None, {"max_steps": 400}, {"warmup_steps": 30, "eval_every": 150}),
        (None, {"learning_rate": 5e-5}, {"min_learning_rate": 5e-7}),
        (None, {"n_embd": 96}, {"n_head": 4}),
        (None, {"n_embd": 90}, {"n_head": 3}),
    ],
)
def test_what_was_not_said_fits(
    preset: str | None, said: dict[str, Any], expected: dict[str, Any]
) -> None:
    config = asked(preset, **said)
    assert {key: getattr(config, key) for key in said | expected} == said | expected


@pytest.mark.parametrize("preset", [*BUILT_IN, "d1", "d12", "d48"])
@pytest.mark.parametrize("steps", [1, 7, 60, 1_000_000])
def test_any_length_can_be_asked_of_any_preset(preset: str, steps: int) -> None:
    config = asked(preset, max_steps=steps)
    assert config.warmup_steps <= config.max_steps == steps


def test_what_is_wrong_in_itself_is_still_refused() -> None:
    with pytest.raises(InputError) as caught:
        asked("talm", max_steps=60, warmup_steps=61)
    assert [problem.key for problem in caught.value.problems] == ["warmup_steps"]
    with pytest.raises(InputError) as caught:
        asked("talm", max_steps="many", n_embd=-4, learning_rate=None)
    assert {problem.key for problem in caught.value.problems} == {
        *("max_steps", "n_embd", "learning_rate")
    }


@pytest.mark.parametrize("preset", ["talm", "d4", "gpt2-124m"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"max_steps": 60},
        {"max_steps": 3_000, "warmup_steps": 200},
        {"max_steps": 60, "warmup_steps": 2},
        {"n_embd": 96, "n_head": 3},
        {"batch_size": 8, "total_batch_size": 32_768},
        {"learning_rate": 1e-3, "min_learning_rate": 6e-5},
    ],
)
def test_the_command_line_of_a_config_asks_for_it(preset: str, changes: dict[str, Any]) -> None:
    values = find_preset(Workspace(Path("/nowhere")), preset).values
    usual = fitted(values, changes)
    config = build(PretrainConfig, RUN | usual | {"warmup_steps": 1} | changes)
    words = command_line(config, values, preset=preset)
    flags = (*options.flags_of(PretrainConfig), options.PRESET)
    read = parser.parse(words[2:], flags)
    assert read.problems == (), shlex.join(words)
    again, _ = given(read.settings(), read.text("preset"), False, Workspace(Path("/nowhere")))
    assert build(PretrainConfig, again) == config, shlex.join(words)


def test_a_quick_start_scales_as_well(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    config = build(QuickstartConfig, {"name": "q", "preset": "talm", "max_steps": 60})
    *_, run = stages(config, Workspace(tmp_path))
    assert isinstance(run, PretrainConfig)
    assert (run.warmup_steps, run.eval_every, run.max_steps) == (2, 3, 60)
