"""What can happen to a run from outside, as really as it can be made to happen."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from talm_core.events import Checkpointed, Event, Finished, Notice, Started
from talm_core.training import checkpoint
from talm_core.training.pretrain import pretrain
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
