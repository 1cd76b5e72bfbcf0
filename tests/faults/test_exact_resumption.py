"""Runs of every kind, killed three times at random moments, end with the weights of one that was
never killed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from talm_core.runtime.events import Finished
from talm_core.training import checkpoint
from tests.core.driving import run_events
from tests.core.test_pretrain_kill import Watched, assert_same
from tests.core.tiny_runs import tiny_config, tiny_workspace

pytestmark = pytest.mark.thorough

KILLS = 3
SETTINGS: dict[str, Any] = {
    "max_steps": 400,
    "checkpoint_every": 20,
    "eval_every": 50,
    "eval_tokens": 4_000,
    "sample_every": 100,
    "keep_checkpoints": 2,
    "autotune": "off",
}
VARIANTS: dict[str, dict[str, Any]] = {
    "muon": {"optimizer": "muon"},
    "adamw": {"optimizer": "adamw"},
    "dropout with accumulation": {"dropout": 0.1, "grad_accum_steps": 2, "max_steps": 200},
    "wsd": {"lr_schedule": "wsd"},
    # Far more than is needed: the steps decide, and the clock goes on over kills.
    "minutes": {"minutes": 60.0, "checkpoint_minutes": 0.005},
    "ddp of two": {"nproc": 2, "parallel": "ddp", "grad_accum_steps": 2, "max_steps": 200},
    "fsdp of two": {"nproc": 2, "parallel": "fsdp", "grad_accum_steps": 2, "max_steps": 200},
}


@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize("variant", VARIANTS)
def test_killed_three_times_it_ends_as_if_never_killed(
    tmp_path: Path, variant: str, seed: int
) -> None:
    workspace = tiny_workspace(tmp_path)
    settings = SETTINGS | VARIANTS[variant]
    whole = tiny_config(model_name="whole", **settings)
    assert isinstance(run_events(whole, workspace)[-1], Finished)
    watched = Watched(tiny_config(**settings), workspace)
    drawn = random.Random(f"{variant} {seed}")
    watched.start()
    for moment in drawn.choices(("steps", "saving", "evaluating", "start"), k=KILLS):
        watched.reach(moment, drawn)
        watched.kill()
        assert not any(isinstance(event, Finished) for event in watched.events)
        assert checkpoint.find(watched.directory).damaged == ()
        watched.start()
    watched.wait(lambda new: any(isinstance(event, Finished) for event in new))
    assert isinstance(watched.events[-1], Finished)
    assert_same(watched.directory, workspace.directory_of(whole), settings["max_steps"])
