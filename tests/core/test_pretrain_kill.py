"""A training process killed without warning, again and again, at moments of every kind.

`TALM_KILLS=50 pytest tests/core/test_pretrain_kill.py` kills more often, and compiles if it can.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime import lock, runner
from talm_core.runtime.events import Checkpointed, Event, Finished, Metrics, Progress, Started
from talm_core.runtime.history import History
from talm_core.runtime.journal import JournalReader
from talm_core.storage.workspace import Workspace
from talm_core.training import checkpoint
from tests.core.driving import run_events
from tests.core.tiny_runs import tiny_config, tiny_workspace

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("TALM_KILLS", "8"))
EVERY = 20
SETTINGS: dict[str, Any] = {
    "max_steps": 60 * KILLS,
    "checkpoint_every": EVERY,
    "eval_every": 50,
    "eval_tokens": 4_000,
    "sample_every": 100,
    "keep_checkpoints": 2,
}


class Watched:
    """A detached run, and what its journal says."""

    def __init__(self, config: PretrainConfig, workspace: Workspace) -> None:
        self.config = config
        self.workspace = workspace
        self.directory = workspace.directory_of(config)
        self._reader = JournalReader(self.directory)
        self.events: list[Event] = []

    def start(self) -> None:
        runner.start(self.config, self.workspace, resume=self.directory.exists())

    def look(self) -> list[Event]:
        """What is new."""
        new = [record.event for record in self._reader.read_new()]
        self.events += new
        return new

    def wait(self, here: Callable[[list[Event]], bool]) -> None:
        """Until this holds of what is new, or nobody works there any more."""
        while True:
            running = lock.held(self.directory)
            if here(self.look()) or not running:
                return
            time.sleep(0.001)

    def kill(self) -> None:
        # Until the new process has signed the lock, it says who started it: this one.
        while (owner := lock.owner(self.directory)) is None or owner.pid == os.getpid():
            time.sleep(0.001)
        os.kill(owner.pid, signal.SIGKILL)
        while lock.held(self.directory):
            time.sleep(0.001)
        self.look()

    def reach(self, moment: str, chance: random.Random) -> None:
        """A moment of this kind, give or take."""
        match moment:
            case "start":
                time.sleep(3 * chance.random())
            case "steps":
                self.wait(lambda new: any(isinstance(event, Metrics) for event in new))
                time.sleep(0.3 * chance.random())
            case "saving":
                self.wait(lambda new: any(isinstance(event, Metrics) for event in new))
                self.wait(lambda _: any(self.directory.glob(".tmp-*")))
                time.sleep(0.02 * chance.random())
            case "evaluating":
                # It comes right after these, and takes a few milliseconds.
                self.wait(lambda new: any(map(_is_before_evaluation, new)))
                time.sleep(0.02 * chance.random())
            case "compiling":
                self.wait(lambda new: any(map(_is_compiling, new)))
                time.sleep(3 * chance.random())


def _is_before_evaluation(event: Event) -> bool:
    return isinstance(event, Metrics) and event.step % SETTINGS["eval_every"] == 0


def _is_compiling(event: Event) -> bool:
    return isinstance(event, Progress) and event.phase == "compiling"


def kill_and_resume(watched: Watched, moments: list[str], chance: random.Random) -> None:
    """At each moment kill it, look at what is left, and start it again."""
    watched.start()
    for moment in moments:
        watched.reach(moment, chance)
        if not lock.held(watched.directory):
            break
        watched.kill()
        found = checkpoint.find(watched.directory)
        assert found.damaged == ()
        said = [event.step for event in watched.events if isinstance(event, Checkpointed)]
        assert found.step >= max(said, default=0)
        steps = [event.step for event in watched.events if isinstance(event, Metrics)]
        # One that was being written is lost as well.
        assert max(steps, default=0) - found.step < 2 * EVERY
        watched.start()
    watched.wait(lambda new: any(isinstance(event, Finished) for event in new))


def assert_same(ours: Path, theirs: Path, step: int) -> None:
    for name in ("model.safetensors", "training.safetensors"):
        left = load_file(ours / checkpoint.name_of(step) / name)
        right = load_file(theirs / checkpoint.name_of(step) / name)
        assert left.keys() == right.keys()
        assert [key for key in left if not torch.equal(left[key], right[key])] == []


def test_killed_at_random_moments_it_ends_as_if_never_killed(tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path)
    whole = tiny_config(model_name="whole", **SETTINGS)
    run_events(whole, workspace)
    watched = Watched(tiny_config(**SETTINGS), workspace)
    moments = list(islice(cycle(("steps", "saving", "evaluating", "start")), KILLS))
    kill_and_resume(watched, moments, random.Random(KILLS))
    assert isinstance(watched.events[-1], Finished)
    started = [e.resumed_from for e in watched.events if isinstance(e, Started)]
    # Some are killed before they have said anything.
    assert KILLS // 2 < len(started) <= KILLS + 1
    steps = SETTINGS["max_steps"]
    assert_same(watched.directory, workspace.directory_of(whole), steps)

    histories = []
    for folder in (watched.directory, workspace.directory_of(whole)):
        history = History()
        history.extend(JournalReader(folder).read_all())
        histories.append(history)
    ours, theirs = histories
    assert ours.metrics["step"].tolist() == list(range(1, steps + 1))
    assert ours.metrics["loss"] == theirs.metrics["loss"]
    assert ours.evaluations["val_loss"] == theirs.evaluations["val_loss"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.skipif("TALM_KILLS" not in os.environ, reason="takes minutes: set TALM_KILLS")
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no compiler")
def test_killed_while_it_compiles(tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path)
    settings: dict[str, Any] = {"max_steps": 40, "compile": "on", "checkpoint_every": EVERY}
    whole = tiny_config(model_name="whole", **settings)
    run_events(whole, workspace)
    watched = Watched(tiny_config(**settings), workspace)
    kill_and_resume(watched, ["compiling", "steps", "compiling"], random.Random(1))
    assert isinstance(watched.events[-1], Finished)
    assert_same(watched.directory, workspace.directory_of(whole), 40)
