"""What can happen to a run from outside, as really as it can be made to happen."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest
import torch

from talm_core.errors import ArtifactError, ConfigError, RunError
from talm_core.jobs.pretrain.job import pretrain
from talm_core.model.generate import stream
from talm_core.model.transformer import ModelConfig, Transformer
from talm_core.runtime import control, runner
from talm_core.runtime.control import Inbox
from talm_core.runtime.events import (
    Checkpointed,
    Evaluated,
    Event,
    Finished,
    Metrics,
    Notice,
    Pause,
    Planned,
    Started,
    Unpause,
)
from talm_core.runtime.journal import JournalReader, JournalWriter
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.training import checkpoint
from talm_core.training.snapshot import placed
from talm_core.training.trainer import Trainer
from tests.core.driving import events_of, run_events, stepped, stepped_run
from tests.core.tiny_runs import NAME, VOCABULARY, tiny_config, tiny_workspace


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a disk needs root")
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def fill_up(file: Path) -> None:
    """Write until there is no room for more."""
    with suppress(OSError), file.open("wb", buffering=0) as stream:
        while stream.write(bytes(4096)):
            pass


def test_a_disk_that_is_full_during_a_checkpoint(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check before says there is room, as it would when something else fills the disk."""
    monkeypatch.setattr(checkpoint, "require_space", lambda *_: None)
    workspace = tiny_workspace(small_disk)
    config = tiny_config(eval_every=0, sample_every=0)
    filler = small_disk / "filler"
    events: list[Event] = []
    for event in stepped(pretrain, config, workspace):
        if isinstance(event, Checkpointed) and event.step == 4:
            with filler.open("wb") as file:
                file.write(bytes(shutil.disk_usage(small_disk).free - 40_000))
        if isinstance(event, Notice):
            assert checkpoint.find(workspace.directory_of(config)).step == 4
            assert not list(workspace.directory_of(config).glob(".tmp-*"))
            filler.unlink()
        events.append(event)
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert len(notices) == 1
    assert "checkpoint-000008 could not be written" in notices[0]
    assert "No space left on device" in notices[0]
    assert [event.step for event in events if isinstance(event, Checkpointed)] == [4, 12]
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize("damage", ["cut", "flip"])
@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors", "checkpoint.json"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_taken(
    tmp_path: Path, name: str, damage: str
) -> None:
    workspace = tiny_workspace(tmp_path)
    config = tiny_config(max_steps=8)
    events_of(pretrain, config, workspace)
    file = workspace.directory_of(config) / "checkpoint-000008" / name
    content = bytearray(file.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 1
    file.write_bytes(content)
    events = events_of(pretrain, config, workspace)
    assert events[0] == Started(job="pretrain", name="tiny", resumed_from=5)
    assert isinstance(events[1], Notice)
    assert str(file) in events[1].message
    assert isinstance(events[-1], Finished)
    assert checkpoint.find(Workspace(tmp_path).directory_of(config)).step == 8


def test_out_of_memory_takes_smaller_passes_over_the_same_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = tiny_workspace(tmp_path)
    settings = {"batch_size": 6, "grad_accum_steps": 2, "eval_every": 0}
    whole = tiny_config(model_name="whole", **settings)
    expected = [e.loss for e in events_of(pretrain, whole, workspace) if isinstance(e, Metrics)]
    healthy = Trainer.forward_backward
    sizes = []

    def small(self: Trainer) -> bool:
        if self.step == 5 and self.batch_size > 2 and self._done == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        sizes.append((self.step, self.batch_size))
        return healthy(self)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "forward_backward", small)
        config = tiny_config(**settings)
        events = events_of(pretrain, config, workspace)
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert notices == [
        "out of memory with 6 windows in a pass: goes on with 3, in 4 passes a step",
        "out of memory with 3 windows in a pass: goes on with 1, in 12 passes a step",
    ]
    assert sizes == [
        *[(step, 6) for step in range(5) for _ in range(2)],
        *((5, 6), (5, 3)),
        *[(step, 1) for step in range(5, 12) for _ in range(12)],
    ]
    losses = [e.loss for e in events if isinstance(e, Metrics)]
    assert losses == pytest.approx(expected, abs=1e-5)
    found = checkpoint.find(workspace.directory_of(config))
    assert found.state["machine"]["batch_size"] == 1


class TooLarge(Transformer):
    """A model for which only the host has memory."""

    def to(self, *arguments: Any, **more: Any) -> Self:
        if arguments == (torch.device("cuda"),):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return super().to(*arguments, **more)


def test_a_sample_of_a_model_too_large_for_the_device_is_written_by_the_host() -> None:
    shape = ModelConfig.of(tiny_config(), VOCABULARY.n_vocab)
    model = TooLarge(shape, dtype=torch.bfloat16)
    model.initialise(1)
    found = placed(model, torch.device("cuda"))
    assert found is model
    assert {(p.device.type, p.dtype) for p in found.parameters()} == {("cpu", torch.bfloat16)}
    steps = stream(found, Tokenizer.from_vocabulary(VOCABULARY), [258], max_tokens=3)
    assert sum(1 for _ in steps) == 3


def test_no_memory_even_for_one_window_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(self: Trainer) -> bool:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    monkeypatch.setattr(Trainer, "forward_backward", never)
    events: list[Event] = []
    with pytest.raises(RunError, match="too little memory even for passes of one window"):
        events.extend(stepped(pretrain, tiny_config(), tiny_workspace(tmp_path)))


_STARVED = """
import resource, sys
from pathlib import Path
from talm_core.runtime import runner
from talm_core.runtime.events import Metrics, Notice, Planned
from tests.core.tiny_runs import tiny_config, tiny_workspace

def heard(event):
    if isinstance(event, Planned):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + 200_000_000
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if isinstance(event, Notice):
        print(event.message)
    if isinstance(event, Metrics):
        print(f"step {event.step}: {event.tokens} tokens")

settings = dict(n_embd=64, n_hidden=1024, batch_size=256, max_steps=2, eval_every=0, sample_every=0)
runner.run(tiny_config(**settings), tiny_workspace(Path(sys.argv[1])), on_event=heard)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits address space")
def test_memory_that_runs_out_for_real(tmp_path: Path) -> None:
    words = [sys.executable, "-c", _STARVED, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0].startswith("out of memory with 256 windows in a pass: goes on with 128")
    assert said[-2:] == ["step 1: 8192 tokens", "step 2: 16384 tokens"]


# --- a config that was edited --------------------------------------------------------------------


def interrupted(workspace: Workspace, **changes: Any) -> Path:
    """A run that was closed after step 6."""
    config = tiny_config(**changes)
    job = stepped_run(config, workspace)
    for event in job:
        if isinstance(event, Metrics) and event.step == 6:
            break
    job.close()
    return workspace.directory_of(config)


def edit(directory: Path, *changes: tuple[str, str]) -> None:
    file = directory / runner.CONFIG_FILE
    text = file.read_text()
    for before, after in changes:
        assert text.count(before) == 1
        text = text.replace(before, after)
    file.write_text(text)


def test_an_edited_config_is_refused_with_the_differences(tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path)
    directory = interrupted(workspace)
    edit(
        directory,
        ("\nlearning_rate = 0.003 ", "\nlearning_rate = 0.002 "),
        ("\nn_layer = 2 ", "\nn_layer = 3 "),
        ("\neval_every = 5 ", "\neval_every = 4 "),
    )
    with pytest.raises(ConfigError) as caught:
        run_events(runner.read_config(directory), workspace, resume=True)
    assert [(p.key, p.value) for p in caught.value.problems] == [
        ("n_layer", 3),
        ("learning_rate", 0.002),
    ]
    assert "the run was started with 0.003" in str(caught.value)
    assert "--override" in caught.value.problems[1].hint
    with pytest.raises(ConfigError) as caught:
        run_events(runner.read_config(directory), workspace, resume=True, override=True)
    assert [p.key for p in caught.value.problems] == ["n_layer"]
    assert "start a new run" in caught.value.problems[0].hint


def test_a_config_edited_before_the_first_step_is_refused_as_well(tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path)
    config = tiny_config()
    job = stepped_run(config, workspace)
    assert isinstance(next(job), Started)
    job.close()
    directory = workspace.directory_of(config)
    assert checkpoint.checkpoints(directory) == []
    edit(
        directory,
        ("\nlearning_rate = 0.003 ", "\nlearning_rate = 0.002 "),
        ("\nn_layer = 2 ", "\nn_layer = 1 "),
        ("\nsample_tokens = 8 ", "\nsample_tokens = 4 "),
    )
    edited = runner.read_config(directory)
    with pytest.raises(ConfigError) as caught:
        run_events(edited, workspace, resume=True)
    assert [(p.key, p.value) for p in caught.value.problems] == [
        ("n_layer", 1),
        ("learning_rate", 0.002),
    ]
    assert "the run was started with 0.003" in str(caught.value)
    # Nothing is saved yet that another shape could not load.
    assert {"--override" in p.hint for p in caught.value.problems} == {True}
    job = stepped_run(edited, workspace, resume=True, override=True)
    assert isinstance(next(job), Started)
    job.close()
    # From now on that is what the run is trained with.
    assert isinstance(run_events(edited, workspace, resume=True)[-1], Finished)


def test_an_edited_config_is_taken_by_override_and_said_once(tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path)
    directory = interrupted(workspace)
    rate = ("\nlearning_rate = 0.003 ", "\nlearning_rate = 0.002 ")
    edit(directory, rate, ("\nbatch_size = 4 ", "\nbatch_size = 8 "))
    config = runner.read_config(directory)
    job = stepped_run(config, workspace, resume=True, override=True)
    events = []
    for event in job:
        events.append(event)
        if isinstance(event, Metrics) and event.step == 7:
            break
    job.close()
    expected = "changed since step 6: batch_size from 4 to 8, learning_rate from 0.003 to 0.002"
    assert [e.message for e in events if isinstance(e, Notice)] == [expected]
    last = events[-1]
    assert isinstance(last, Metrics)
    assert last.tokens == 6 * 4 * 32 + 8 * 32
    # From now on that is what the run is trained with.
    events = run_events(runner.read_config(directory), workspace, resume=True)
    assert [e for e in events if isinstance(e, Notice)] == []
    assert isinstance(events[-1], Finished)


def test_how_it_is_computed_follows_an_override(tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path)
    directory = interrupted(workspace)
    # As autotune would have had it.
    machine = checkpoint.find(directory).state["machine"] | {"batch_size": 2, "attention": "math"}
    checkpoint.amend(checkpoint.find(directory).path or directory, {"machine": machine})
    edit(directory, ('\nprecision = "auto" ', '\nprecision = "bf16" '))
    run_events(runner.read_config(directory), workspace, resume=True, override=True)
    last = checkpoint.find(directory)
    assert last.step == 12
    assert last.state["machine"] == machine | {"precision": "bf16"}


def test_a_batch_that_is_overridden_is_divided_anew(tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path)
    directory = interrupted(workspace)
    machine = checkpoint.find(directory).state["machine"] | {"batch_size": 4}
    checkpoint.amend(checkpoint.find(directory).path or directory, {"machine": machine})
    edit(
        directory,
        ("\nbatch_size = 4 ", "\nbatch_size = 2 "),
        ("\ngrad_accum_steps = 1 ", "\ngrad_accum_steps = 2 "),
        ("\nthreads = 1 ", "\nthreads = 2 "),
    )
    run_events(runner.read_config(directory), workspace, resume=True, override=True)
    assert checkpoint.find(directory).state["machine"] == machine | {"batch_size": 0, "threads": 2}


def test_other_windows_begin_at_their_beginning(tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path)
    directory = interrupted(workspace)
    edit(directory, ("\nseed = 1337 ", "\nseed = 7 "))
    config = runner.read_config(directory)
    job = stepped_run(config, workspace, resume=True, override=True)
    for event in job:
        if isinstance(event, Metrics):
            assert event.epoch == pytest.approx(4 / 352, rel=0.2)
            break
    job.close()


# --- clocks, shards, journals --------------------------------------------------------------------


def test_a_clock_that_goes_backwards_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = tiny_workspace(tmp_path)
    with monkeypatch.context() as patched:
        clock = itertools.count(2_000_000_000, -60)
        patched.setattr(time, "time", lambda: float(next(clock)))
        patched.setattr(time, "time_ns", lambda: next(clock) * 10**9)
        events = run_events(tiny_config(), workspace)
        directory = workspace.directory_of(tiny_config())
        control.leave(directory, Pause())
        control.leave(directory, Unpause())
        commands = Inbox([directory])
        assert [commands.next(), commands.next()] == [Pause(), Unpause()]
    metrics = [event for event in events if isinstance(event, Metrics)]
    elapsed = [event.elapsed for event in metrics]
    assert elapsed == sorted(elapsed)
    assert all(event.tokens_per_second > 0 for event in metrics)
    assert runner.status(directory) is runner.Status.DONE
    assert [r.event for r in JournalReader(directory).read_all()][-1] == events[-1]
    assert checkpoint.find(directory).step == 12


def test_a_validation_shard_that_is_missing_is_named_before_the_first_step(
    tmp_path: Path,
) -> None:
    workspace = tiny_workspace(tmp_path)
    shard = workspace.directory("data", NAME) / "val_000001.npy"
    shard.unlink()
    events: list[Event] = []
    with pytest.raises(ArtifactError, match="is missing") as caught:
        events.extend(stepped_run(tiny_config(), workspace))
    assert [(p.key, p.hint) for p in caught.value.problems] == [
        (str(shard), "prepare the data again")
    ]
    assert not workspace.directory_of(tiny_config()).exists()


def test_a_validation_shard_that_goes_missing_later_is_still_read(tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path)
    events = []
    for event in stepped(pretrain, tiny_config(), workspace):
        events.append(event)
        if isinstance(event, Planned):
            (workspace.directory("data", NAME) / "val_000001.npy").unlink()
    assert [e.step for e in events if isinstance(e, Evaluated)] == [5, 10, 12]


def test_what_a_full_disk_keeps_from_the_journal_is_written_later(small_disk: Path) -> None:
    def said() -> list[str]:
        events = [record.event for record in JournalReader(small_disk).read_all()]
        return [event.message for event in events if isinstance(event, Notice)]

    filler = small_disk / "filler"
    with JournalWriter(small_disk) as writer:
        writer.write(Notice(message="before"))
        fill_up(filler)
        long = "x" * 5000
        for number in range(3):
            writer.write(Notice(message=f"{number} {long}"))
        assert said() == ["before"]
        filler.unlink()
        writer.write(Notice(message="after"))
    assert said() == ["before", *(f"{number} {long}" for number in range(3)), "after"]
