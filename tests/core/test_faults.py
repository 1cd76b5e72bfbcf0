"""What can happen to a run from outside, as really as it can be made to happen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from talm_core.errors import RunError
from talm_core.events import Checkpointed, Event, Finished, Metrics, Notice, Started
from talm_core.training import checkpoint
from talm_core.training.pretrain import pretrain
from talm_core.training.trainer import Trainer
from talm_core.workspace import Workspace
from tests.core.tiny_runs import tiny_config, tiny_workspace


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


def test_a_disk_that_is_full_during_a_checkpoint(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check before says there is room, as it would when something else fills the disk."""
    monkeypatch.setattr(checkpoint, "require_space", lambda *_: None)
    workspace = tiny_workspace(small_disk)
    config = tiny_config(eval_every=0, sample_every=0)
    filler = small_disk / "filler"
    events: list[Event] = []
    for event in pretrain(config, workspace):
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
    list(pretrain(config, workspace))
    file = workspace.directory_of(config) / "checkpoint-000008" / name
    content = bytearray(file.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 1
    file.write_bytes(content)
    events = list(pretrain(config, workspace))
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
    expected = [e.loss for e in pretrain(whole, workspace) if isinstance(e, Metrics)]
    healthy = Trainer.forward_backward
    sizes = []

    def small(self: Trainer) -> bool:
        if self.step == 5 and self.batch_size > 2 and self._passes == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        sizes.append((self.step, self.batch_size))
        return healthy(self)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "forward_backward", small)
        config = tiny_config(**settings)
        events = list(pretrain(config, workspace))
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


def test_no_memory_even_for_one_window_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(self: Trainer) -> bool:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    monkeypatch.setattr(Trainer, "forward_backward", never)
    events: list[Event] = []
    with pytest.raises(RunError, match="too little memory even for passes of one window"):
        events.extend(pretrain(tiny_config(), tiny_workspace(tmp_path)))


_STARVED = """
import resource, sys
from pathlib import Path
from talm_core.events import Metrics, Notice, Planned
from talm_core.training.pretrain import pretrain
from tests.core.tiny_runs import tiny_config, tiny_workspace

settings = dict(n_embd=64, n_hidden=1024, batch_size=256, max_steps=2, eval_every=0, sample_every=0)
for event in pretrain(tiny_config(**settings), tiny_workspace(Path(sys.argv[1]))):
    if isinstance(event, Planned):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + 200_000_000
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if isinstance(event, Notice):
        print(event.message)
    if isinstance(event, Metrics):
        print(f"step {event.step}: {event.tokens} tokens")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits address space")
def test_memory_that_runs_out_for_real(tmp_path: Path) -> None:
    words = [sys.executable, "-c", _STARVED, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0].startswith("out of memory with 256 windows in a pass: goes on with 128")
    assert said[-2:] == ["step 1: 8192 tokens", "step 2: 16384 tokens"]
