"""Checkpoints written beside the training."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from talm_core.errors import ArtifactError, RunError
from talm_core.jobs.pretrain.job import pretrain
from talm_core.runtime.events import Checkpointed, Event, Metrics, Notice
from talm_core.training import checkpoint
from talm_core.training.checkpointer import CheckpointWriter
from tests.core.driving import events_of, stepped
from tests.core.tiny_runs import tiny_config, tiny_workspace


def fill(directory: Path) -> None:
    (directory / "model.safetensors").write_bytes(b"weights")


def saver_of(directory: Path, keep: int = 2) -> CheckpointWriter:
    return CheckpointWriter(directory, keep=keep, expected_bytes=1)


def save(saver: CheckpointWriter, step: int, **state: Any) -> Checkpointed:
    saver.write(step, fill, state)
    saver.wait()
    saved = saver.collect()
    assert saved is not None
    return saved


def test_nothing_is_saved_before_it_is_there(tmp_path: Path) -> None:
    go_on = threading.Event()

    def slowly(directory: Path) -> None:
        go_on.wait()
        fill(directory)

    saver = saver_of(tmp_path)
    saver.write(3, slowly, {})
    assert saver.busy
    assert saver.collect() is None
    assert checkpoint.find(tmp_path).path is None
    go_on.set()
    saver.wait()
    saved = saver.collect()
    assert saved is not None
    assert (saved.step, saved.directory) == (3, "checkpoint-000003")
    assert checkpoint.find(tmp_path).step == 3
    assert saver.collect() is None
    saver.close()


def test_what_is_found_out_while_it_is_written_is_added(tmp_path: Path) -> None:
    go_on = threading.Event()

    def slowly(directory: Path) -> None:
        go_on.wait()
        fill(directory)

    saver = saver_of(tmp_path)
    saver.write(3, slowly, {"due": [["evaluate", ""]], "rate": 0.5})
    saver.amend(2, {"due": "of another step"})
    saver.amend(3, {"due": [], "evaluated": {"val_loss": 2.0}})
    go_on.set()
    saver.wait()
    saver.collect()
    expected = {"due": [], "rate": 0.5, "evaluated": {"val_loss": 2.0}}
    assert checkpoint.find(tmp_path).state == expected
    saver.amend(3, {"rate": 0.25})
    assert checkpoint.find(tmp_path).state == expected | {"rate": 0.25}
    saver.close()


def test_an_error_of_the_writer_surfaces_and_what_was_there_stays(tmp_path: Path) -> None:
    def refuse(directory: Path) -> None:
        fill(directory)
        raise PermissionError(13, "Permission denied")

    saver = saver_of(tmp_path)
    save(saver, 1)
    saver.write(2, refuse, {})
    saver.wait()
    with pytest.raises(RunError, match="checkpoint-000002 could not be written: Permission denied"):
        saver.collect()
    assert saver.step == 1
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000001"]
    assert save(saver, 2).step == 2
    saver.close()


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    saver = saver_of(tmp_path)
    for step, loss in ((1, 3.0), (2, 1.5), (3, 1.5), (4, float("nan")), (5, 2.0), (6, 2.5)):
        save(saver, step, evaluated_step=step, evaluated={"val_loss": loss})
    # Carried on from step 2, not measured at step 7.
    save(saver, 7, evaluated_step=2, evaluated={"val_loss": 1.0})
    assert [step for step, _ in checkpoint.checkpoints(tmp_path)] == [3, 6, 7]
    assert checkpoint.best(tmp_path) == (3, 1.5)
    assert checkpoint.best(tmp_path / "missing") is None
    saver.close()


def test_what_is_read_is_removed_the_next_time(tmp_path: Path) -> None:
    writer = saver_of(tmp_path)
    for step in (1, 2):
        save(writer, step)
    with checkpoint.held(tmp_path / "checkpoint-000001"):
        with checkpoint.held(tmp_path / "checkpoint-000001"):
            save(writer, 3)
        save(writer, 4)
        assert [step for step, _ in checkpoint.checkpoints(tmp_path)] == [1, 3, 4]
        assert (tmp_path / "checkpoint-000001" / "model.safetensors").read_bytes() == b"weights"
    save(writer, 5)
    assert [step for step, _ in checkpoint.checkpoints(tmp_path)] == [4, 5]
    with pytest.raises(ArtifactError, match="cannot be read"), checkpoint.held(tmp_path / "gone"):
        pass
    writer.close()


def test_a_checkpoint_that_goes_while_it_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint-000001"
    path.mkdir()
    monkeypatch.setattr("fcntl.flock", lambda *_: path.rename(tmp_path / "aside"))
    with pytest.raises(ArtifactError, match="just been removed"), checkpoint.held(path):
        pass


Write = Callable[..., Path]


def test_the_loop_goes_on_while_a_checkpoint_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    write: Write = checkpoint.write

    def slowly(*arguments: Any, **more: Any) -> Path:
        assert go_on.wait(60)
        return write(*arguments, **more)

    monkeypatch.setattr(checkpoint, "write", slowly)
    events: list[Event] = []
    for event in stepped(pretrain, tiny_config(eval_every=0), tiny_workspace(tmp_path)):
        events.append(event)
        if isinstance(event, Metrics) and event.step == 7:
            go_on.set()
    said = [e.step for e in events if isinstance(e, Metrics | Checkpointed)]
    assert said.index(4, said.index(4) + 1) > said.index(7)
    assert [e.step for e in events if isinstance(e, Checkpointed)] == [4, 8, 12]


def test_a_checkpoint_that_fails_is_said_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write: Write = checkpoint.write

    def sometimes(directory: Path, step: int, *arguments: Any, **more: Any) -> Path:
        if step in (4, 8):
            raise RunError(f"no room at {step}")
        return write(directory, step, *arguments, **more)

    monkeypatch.setattr(checkpoint, "write", sometimes)
    events = events_of(pretrain, tiny_config(), tiny_workspace(tmp_path))
    notices = [e.message for e in events if isinstance(e, Notice) and e.level == "error"]
    assert notices == ["no room at 4", "no room at 8"]
    assert [e.step for e in events if isinstance(e, Checkpointed)] == [5, 10, 12]


def test_the_last_checkpoint_must_succeed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any, **more: Any) -> Path:
        raise RunError("no room")

    monkeypatch.setattr(checkpoint, "write", never)
    with pytest.raises(RunError, match="no room"):
        events_of(pretrain, tiny_config(checkpoint_every=0), tiny_workspace(tmp_path))


def test_time_brings_checkpoints_too(tmp_path: Path) -> None:
    config = tiny_config(checkpoint_every=0, checkpoint_minutes=1e-9, eval_every=0, max_steps=4)
    events = events_of(pretrain, config, tiny_workspace(tmp_path))
    assert [e.step for e in events if isinstance(e, Checkpointed)] == [1, 2, 3, 4]


def test_what_a_killed_run_did_not_come_to_remove_is_removed_at_the_end(tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path)
    directory = workspace.directory("pretrain", "tiny")
    settings: dict[str, Any] = {"max_steps": 6, "checkpoint_every": 2, "eval_every": 0}
    settings |= {"warmup_steps": 1, "sample_every": 0}
    events_of(pretrain, tiny_config(**settings, keep_checkpoints=3), workspace)
    assert [step for step, _ in checkpoint.checkpoints(directory)] == [2, 4, 6]
    # As it is where the last one was there, and the older ones still were.
    events_of(pretrain, tiny_config(**settings, keep_checkpoints=2), workspace)
    assert [step for step, _ in checkpoint.checkpoints(directory)] == [4, 6]
