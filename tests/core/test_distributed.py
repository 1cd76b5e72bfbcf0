"""Several processes that train one model: on CPUs, over sockets of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from talm_core.errors import ConfigError, RunError
from talm_core.runtime import lock, runner
from talm_core.runtime.events import (
    Checkpoint,
    Checkpointed,
    Event,
    Failed,
    Finished,
    Metrics,
    Notice,
    Pause,
    Paused,
    Planned,
    RolledBack,
    Sampled,
    Started,
    Stop,
    Stopped,
    Tried,
    Tuned,
    Unpause,
)
from talm_core.runtime.history import History
from talm_core.runtime.journal import JournalReader
from talm_core.settings.toml import dumps
from talm_core.storage.workspace import Workspace
from talm_core.training import checkpoint, liveness
from talm_core.training.device import check_shares
from talm_core.training.distributed import World
from talm_core.training.oom import shrink_micro_batch
from tests.core.driving import stepped_run
from tests.core.tiny_runs import tiny_config, tiny_trainer, tiny_workspace

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {
    "grad_accum_steps": 2,
    "batch_size": 4,
    "max_steps": 10,
    # On a slow machine the endless ones among these runs would seem worth a search.
    "autotune": "off",
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return tiny_workspace(tmp_path)


def history_of(directory: Path) -> History:
    history = History()
    history.extend(JournalReader(directory).read_all())
    return history


def run(workspace: Workspace, *, until: int | None = None, **changes: Any) -> Path:
    """Run, or go on with, a job; close it after the metrics of step `until`."""
    config = tiny_config(**SETTINGS | changes)
    directory = workspace.directory_of(config)
    job = stepped_run(config, workspace, resume=directory.exists())
    for event in job:
        if isinstance(event, Metrics) and event.step == until:
            break
    job.close()
    return directory


def assert_alike(ours: Path, theirs: Path) -> None:
    """The same steps with the same losses, and weights that are the same but for rounding."""
    mine, others = history_of(ours), history_of(theirs)
    assert mine.metrics["step"].tolist() == others.metrics["step"].tolist() == [*range(1, 11)]
    for name in ("loss", "grad_norm", "learning_rate", "tokens"):
        expected = others.metrics[name].tolist()
        assert mine.metrics[name].tolist() == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert mine.evaluations["step"].tolist() == others.evaluations["step"].tolist()
    expected = others.evaluations["val_loss"].tolist()
    assert mine.evaluations["val_loss"].tolist() == pytest.approx(expected, abs=1e-5)
    for file in ("model.safetensors", "training.safetensors"):
        left = load_file(ours / checkpoint.name_of(10) / file)
        right = load_file(theirs / checkpoint.name_of(10) / file)
        for key, tensor in right.items():
            assert left[key].shape == tensor.shape
            if not key.startswith("random/"):
                torch.testing.assert_close(left[key], tensor, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_begun_by_two_and_ended_by_one(workspace: Workspace, parallel: str) -> None:
    whole = run(workspace, model_name="whole")
    run(workspace, until=6, nproc=2, parallel=parallel)
    ours = run(workspace)
    assert_alike(ours, whole)
    started = [e.event for e in JournalReader(ours).read_all() if isinstance(e.event, Started)]
    assert [event.resumed_from for event in started] == [None, 6]


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_begun_by_one_and_ended_by_two(workspace: Workspace, parallel: str) -> None:
    whole = run(workspace, model_name="whole")
    run(workspace, until=6)
    ours = run(workspace, nproc=2, parallel=parallel)
    assert_alike(ours, whole)
    mine, others = history_of(ours), history_of(whole)
    assert [(s.step, s.text) for s in mine.samples] == [(s.step, s.text) for s in others.samples]
    assert isinstance(mine.end, Finished)


def test_the_first_looks_for_the_fastest_way_for_all(workspace: Workspace) -> None:
    events = []
    for name in ("first", "second"):
        changes = {"model_name": name, "nproc": 2, "autotune": "on", "compile": "off"}
        job = stepped_run(tiny_config(**SETTINGS | changes), workspace)
        events.append([event for event in job if isinstance(event, Tried | Tuned | Finished)])
    assert isinstance(events[0][0], Tried)
    assert [type(event) for event in events[1]] == [Tuned, Finished]
    (first,) = (event for event in events[0] if isinstance(event, Tuned))
    second = events[1][0]
    assert isinstance(second, Tuned)
    assert (first.remembered, second.remembered) == (False, True)
    # A step of 8 windows is 4 for each.
    assert first.batch_size == second.batch_size <= 4


def test_what_is_said_to_the_first_is_done_by_all(workspace: Workspace) -> None:
    config = tiny_config(**SETTINGS | {"nproc": 2, "max_steps": 100_000, "eval_every": 0})
    directory = workspace.directory_of(config)
    events: list[Event] = []
    for event in stepped_run(config, workspace):
        events.append(event)
        match event:
            case Metrics(step=5):
                runner.send(directory, Checkpoint())
                runner.send(directory, Pause())
            case Paused():
                runner.send(directory, Unpause())
            case Metrics(step=50):
                # As batch systems say it, and to another process than the first.
                (child,) = psutil.Process().children()
                child.send_signal(signal.SIGTERM)
    assert isinstance(events[-1], Stopped)
    saved = [event.step for event in events if isinstance(event, Checkpointed)]
    steps = [event.step for event in events if isinstance(event, Metrics)]
    assert saved[-1] == steps[-1] >= 50
    assert checkpoint.find(directory).step == saved[-1]
    assert any(5 <= step < 8 for step in saved)
    assert any(isinstance(event, Paused) for event in events)
    assert any(isinstance(event, Sampled) for event in events)


def test_when_one_is_killed_the_others_end_and_the_run_can_go_on(workspace: Workspace) -> None:
    config = tiny_config(**SETTINGS | {"nproc": 2, "max_steps": 100_000, "sample_every": 0})
    directory = workspace.directory_of(config)
    events: list[Event] = []

    def kill_at_step_8() -> None:
        for event in stepped_run(config, workspace):
            events.append(event)
            if isinstance(event, Checkpointed) and event.step == 8:
                (child,) = psutil.Process().children()
                child.kill()

    with pytest.raises(RunError, match=r"process 2 of 2 ended by SIGKILL, and the others with it"):
        kill_at_step_8()
    assert isinstance(events[-1], Failed)
    assert "--resume" in events[-1].message
    assert psutil.Process().children() == []
    found = checkpoint.find(directory)
    assert found.damaged == ()
    assert found.step >= 8
    steps = [event.step for event in events if isinstance(event, Metrics)]
    assert steps[-1] - found.step <= 4
    for event in stepped_run(config, workspace, resume=True):
        if isinstance(event, Metrics):
            assert event.step == found.step + 1
            break


def test_one_that_is_frozen_is_ended_and_named(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "_PATIENCE", 3)
    config = tiny_config(**SETTINGS | {"nproc": 2, "max_steps": 100_000, "sample_every": 0})
    frozen = []

    def freeze_at_step_8() -> None:
        for event in stepped_run(config, workspace):
            if isinstance(event, Checkpointed) and event.step == 8:
                (child,) = psutil.Process().children()
                frozen.append(child.pid)
                child.suspend()

    with pytest.raises(RunError) as raised:
        freeze_at_step_8()
    assert str(raised.value) == (
        f"process 2 of 2 (pid {frozen[0]}) was stopped (as by SIGSTOP) and was ended, and the"
        " others with it; go on from the last checkpoint by --resume"
    )
    assert psutil.Process().children() == []
    assert checkpoint.find(workspace.directory_of(config)).step >= 8


@pytest.mark.parametrize("how", ["command", "signal"])
def test_one_that_is_frozen_does_not_keep_a_run_from_stopping(
    workspace: Workspace, how: str
) -> None:
    config = tiny_config(**SETTINGS | {"nproc": 2, "max_steps": 100_000, "sample_every": 0})
    directory = runner.start(config, workspace)
    events: list[Event] = []
    frozen = 0
    for record in runner.follow(directory):
        events.append(record.event)
        if isinstance(record.event, Checkpointed) and not frozen:
            owner = lock.owner(directory)
            assert owner is not None
            (child,) = psutil.Process(owner.pid).children()
            frozen = child.pid
            child.suspend()
            if how == "command":
                runner.send(directory, Stop())
            else:
                os.kill(owner.pid, signal.SIGTERM)
    assert events[-1] == Stopped(reason="asked to stop" if how == "command" else "SIGTERM")
    assert events[-2] == Notice(
        message=f"process 2 of 2 (pid {frozen}) was stopped (as by SIGSTOP) and was ended, and the"
        " others with it; go on from the last checkpoint by --resume",
        level="error",
    )
    assert runner.status(directory) is runner.Status.STOPPED


def test_when_the_first_is_killed_the_others_end(workspace: Workspace) -> None:
    config = tiny_config(**SETTINGS | {"nproc": 2, "max_steps": 100_000, "sample_every": 0})
    directory = runner.start(config, workspace)
    for record in runner.follow(directory):
        if isinstance(record.event, Checkpointed):
            break
    owner = lock.owner(directory)
    assert owner is not None
    children = psutil.Process(owner.pid).children()
    assert len(children) == 1
    os.kill(owner.pid, signal.SIGKILL)
    gone, alive = psutil.wait_procs(children, timeout=300)
    assert (gone, alive) == (children, [])
    assert runner.status(directory) is runner.Status.INTERRUPTED
    assert checkpoint.find(directory).path is not None


def test_torchrun_on_the_same_directory(workspace: Workspace) -> None:
    whole = run(workspace, model_name="whole")
    directory = run(workspace, until=3)
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*words, "-m", "talm_core", str(directory)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert_alike(directory, whole)
    ends = [r.event for r in JournalReader(directory).read_all() if isinstance(r.event, Finished)]
    assert len(ends) == 1


POISONED = """
import math, os, sys
from talm_core.training.trainer import Trainer

healthy, poison = Trainer.forward_backward, 48  # windows before the batch of step 7

def forward_backward(self):
    loss = self._loss_of
    if self.loader.state["index"] == poison and os.environ.get("RANK", "1") == "1":
        self._loss_of = lambda *batch: loss(*batch) * math.nan
    try:
        return healthy(self)
    finally:
        self._loss_of = loss

Trainer.forward_backward = forward_backward
from talm_core.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_all_go_back_when_one_gets_a_loss_that_is_no_number(
    workspace: Workspace, tmp_path: Path, parallel: str
) -> None:
    script = tmp_path / "poisoned.py"
    script.write_text(POISONED)
    alone = [sys.executable, str(script)]
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    directories = []
    for name, words in (("alone", alone), ("two", [*two, str(script)])):
        changes = {"model_name": name, "non_finite": "rollback", "parallel": parallel}
        config = tiny_config(**SETTINGS | changes)
        directories.append(workspace.directory_of(config))
        directories[-1].mkdir(parents=True)
        (directories[-1] / "config.toml").write_text(dumps(config))
        command = [*words, str(directories[-1])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        records = JournalReader(directories[-1]).read_all()
        back = [r.event for r in records if isinstance(r.event, RolledBack)]
        assert [(event.step, event.failed_step) for event in back] == [(5, 7)]
    assert_alike(directories[1], directories[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fsdp_goes_on_eagerly_where_it_cannot_be_compiled(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = run(workspace, model_name="whole")
    # A compiler that is not there, and nothing that was compiled before.
    monkeypatch.setenv("CXX", str(tmp_path / "missing"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    ours = run(workspace, nproc=2, parallel="fsdp", compile="on")
    assert_alike(ours, whole)
    events = [each.event for each in JournalReader(ours).read_all()]
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert len(notices) == 1
    assert notices[0].startswith("the model could not be compiled and runs as it is: ")
    assert [event.compiled for event in events if isinstance(event, Planned)] == [False]


def test_a_step_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ConfigError, match="must divide the 8 windows of a step"):
        tiny_config(**SETTINGS | {"nproc": 3})
    with pytest.raises(ConfigError, match="3 processes cannot share the 8 windows of a step"):
        check_shares(tiny_config(**SETTINGS), "cpu", 3, 3)


def test_one_process_agrees_with_itself() -> None:
    world = World.join(1, Path("unused"), Path("unused"))
    assert world.is_single
    assert world.is_main
    assert world.max([1.0, -2.0]) == world.sum([1.0, -2.0]) == [1.0, -2.0]
    assert world.broadcast("é") == "é"
    assert world.mean(torch.tensor(3.0)).item() == 3.0
    assert world.lost(RuntimeError("gloo")) is None
    world.close()


@pytest.mark.parametrize(
    ("batch_size", "advice"), [(18, "--batch-size 3 --grad-accum-steps 6"), (2, "of one window")]
)
def test_what_is_said_when_memory_runs_out_keeps_the_windows_of_a_step(
    workspace: Workspace, batch_size: int, advice: str
) -> None:
    config = tiny_config(batch_size=batch_size)
    trainer = tiny_trainer(config, workspace)
    # As one of two has it.
    trainer.world, trainer.batch_size = World(size=2), batch_size // 2
    with pytest.raises(RunError, match=advice):
        shrink_micro_batch(trainer)
