"""A training process killed without warning, again and again."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from talm_core import jobs, lock
from talm_core.events import Checkpointed, Event, Finished, Metrics, Started
from talm_core.history import History
from talm_core.journal import JournalReader
from talm_core.training import checkpoint
from tests.core.tiny_runs import tiny_config, tiny_workspace

STEPS = 400
SETTINGS: dict[str, Any] = {
    "max_steps": STEPS,
    "checkpoint_every": 20,
    "eval_every": 50,
    "sample_every": 100,
    "keep_checkpoints": 2,
}


def wait_for(directory: Path, last_step: int) -> list[Event]:
    """What the process says until it has done this step or ended."""
    reader, events = JournalReader(directory), []
    while True:
        running = lock.held(directory)
        events += [record.event for record in reader.read_new()]
        steps = [e.step for e in events if isinstance(e, Metrics)]
        if not running or (steps and steps[-1] >= last_step):
            return events
        time.sleep(0.002)


def kill(directory: Path) -> None:
    owner = lock.owner(directory)
    assert owner is not None
    os.kill(owner.pid, signal.SIGKILL)
    while lock.held(directory):
        time.sleep(0.002)


def test_killed_at_random_moments_it_ends_as_if_never_killed(tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path)
    whole = tiny_config(model_name="whole", **SETTINGS)
    list(jobs.run(whole, workspace))
    config = tiny_config(**SETTINGS)
    directory = workspace.directory_of(config)
    chance = random.Random(1)
    jobs.start(config, workspace)
    for aim in (7, 150, 310):
        wait_for(directory, aim)
        # Anywhere in the steps, evaluations, samples and checkpoints that follow.
        time.sleep(chance.random() * 0.05)
        kill(directory)
        saved = checkpoint.find(directory)
        assert saved.damaged == ()
        jobs.start(config, workspace, resume=True)
    events = wait_for(directory, STEPS + 1)
    assert isinstance(events[-1], Finished)
    started = [e.resumed_from for e in events if isinstance(e, Started)]
    assert len(started) == 4
    assert started[0] is None

    names = ("model.safetensors", "training.safetensors")
    for name in names:
        ours = load_file(directory / checkpoint.name_of(STEPS) / name)
        theirs = load_file(workspace.directory_of(whole) / checkpoint.name_of(STEPS) / name)
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []

    histories = []
    for folder in (directory, workspace.directory_of(whole)):
        history = History()
        history.extend(JournalReader(folder).read_all())
        histories.append(history)
    ours_read, theirs_read = histories
    assert ours_read.metrics["step"].tolist() == list(range(1, STEPS + 1))
    assert ours_read.metrics["loss"] == theirs_read.metrics["loss"]
    assert ours_read.evaluations["val_loss"] == theirs_read.evaluations["val_loss"]
    last = [e for e in events if isinstance(e, Checkpointed)][-1]
    assert last.step == STEPS
