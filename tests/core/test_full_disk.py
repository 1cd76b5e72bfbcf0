"""A disk that is full, or refuses: what can be said is said, and what runs can be stopped."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from talm_core.cli.main import main
from talm_core.errors import ArtifactError, RunError, WorkspaceError
from talm_core.jobs.pretrain.job import pretrain
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime import holder, lock, runner, upkeep
from talm_core.runtime.events import (
    Checkpointed,
    Failed,
    Finished,
    Metrics,
    Notice,
    Pause,
    Paused,
    Stop,
    Stopped,
    Unpause,
)
from talm_core.runtime.lock import Lock
from talm_core.storage import artifact_files
from talm_core.storage.workspace import Workspace
from talm_core.training import checkpoint
from tests.core.counting import CountConfig, PlainConfig, registered
from tests.core.driving import run_events, stepped
from tests.core.test_faults import fill_up, small_disk
from tests.core.test_jobs_detached import pid_of, until
from tests.core.tiny_runs import tiny_config, tiny_workspace

__all__ = ["small_disk"]


@pytest.fixture
def counted() -> Iterator[None]:
    with registered():
        yield


def fill_to_the_last(folder: Path) -> None:
    """No byte is free, and no inode a file of a few bytes could have."""
    fill_up(folder / "filler")
    for number in range(10_000):
        try:
            (folder / f"filler-{number}").write_bytes(b"x")
        except OSError:
            return


def test_a_run_on_a_full_disk_can_be_stopped(
    small_disk: Path, counted: None, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(small_disk / "ws")
    directory = runner.start(PlainConfig(name="a", steps=100_000, pause=0.01), workspace)
    until(directory, Metrics)
    # Paused, it writes nothing and would wait for ever.
    runner.send(directory, Pause())
    until(directory, Paused)
    fill_to_the_last(small_disk)
    with pytest.raises(WorkspaceError, match="No space left on device"):
        runner.send(directory, Unpause())
    assert main(["stop", "a", "--workspace", str(workspace.root)]) == 1
    # It has heard, and could not save.
    said = f"the disk is full: make room for {directory} and run the same again"
    assert capsys.readouterr().err == f"talm: a failed: {said}\n"
    assert not lock.held(directory)
    with pytest.raises(ArtifactError, match="is not running"):
        runner.send(directory, Stop())


def test_what_fills_the_disk_can_be_deleted(small_disk: Path) -> None:
    workspace = Workspace(small_disk)
    for name in ("locked", "copied"):
        directory = workspace.directory("pretrain", name)
        directory.mkdir(parents=True)
        (directory / "config.toml").write_bytes(bytes(4096))
    (workspace.directory("pretrain", "locked") / "lock").touch()
    fill_to_the_last(small_disk)
    for name in ("locked", "copied"):
        assert upkeep.delete(workspace, "pretrain", name).freed == 4096
        fill_to_the_last(small_disk)
    assert [path.name for path in workspace.folder("pretrain").iterdir()] == []


def test_nobody_but_the_holder_is_signalled(tmp_path: Path) -> None:
    """The number in a lock may come from another machine, or be that of anybody."""
    other = subprocess.Popen(["sleep", "60"])
    try:
        with Lock.acquire(tmp_path):
            assert holder.pid_of(tmp_path) == os.getpid()
            mine = (tmp_path / "lock").read_text()
            (tmp_path / "lock").write_text(mine.replace(str(os.getpid()), str(other.pid)))
            assert holder.pid_of(tmp_path) is None
            assert not holder.end(tmp_path)
            (tmp_path / "lock").write_text(mine.replace('"host": "', '"host": "another-'))
            assert not holder.end(tmp_path)
            (tmp_path / "commands").write_text("in the way")
            with pytest.raises(WorkspaceError, match="cannot be written"):
                runner.send(tmp_path, Stop())
        assert other.poll() is None
        assert holder.pid_of(tmp_path) is None
    finally:
        other.kill()
        other.wait()


def test_a_job_that_is_suspended_is_woken_to_stop(tmp_path: Path, counted: None) -> None:
    workspace = Workspace(tmp_path)
    directory = runner.start(CountConfig(name="a", steps=100_000, pause=0.01), workspace)
    until(directory, Metrics)
    os.kill(pid_of(directory), signal.SIGSTOP)
    runner.send(directory, Stop())
    seen = [record.event for record in runner.follow(directory)]
    assert isinstance(seen[-1], Stopped)


def test_a_tokenizer_on_a_full_disk_says_so(
    small_disk: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    texts = tmp_path_factory.mktemp("texts") / "a.txt"
    texts.write_text("the cat sat on the mat. " * 500)
    workspace = Workspace(small_disk / "ws")
    config = TokenizerConfig(name="t", vocab_size=300, text_file=(str(texts),))
    events: list[object] = []

    def told(event: object) -> None:
        if not events:
            fill_to_the_last(small_disk)
        events.append(event)

    directory = workspace.directory_of(config)
    with pytest.raises(RunError) as raised:
        runner.run(config, workspace, on_event=told)
    assert str(raised.value) == (
        f"the disk is full: make room for {directory} and run the same again"
    )
    assert events[-1] == Failed(message=str(raised.value), kind="RunError")
    for path in small_disk.glob("filler*"):
        path.unlink()
    assert isinstance(run_events(config, workspace)[-1], Finished)


def test_an_old_checkpoint_that_cannot_be_removed_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = artifact_files.remove

    def refusing(path: Path) -> list[OSError]:
        if path.name.startswith(".tmp-deleted-"):
            return [OSError(errno.EIO, "Input/output error", str(path))]
        return remove(path)

    monkeypatch.setattr(artifact_files, "remove", refusing)
    workspace = tiny_workspace(tmp_path)
    config = tiny_config(eval_every=0, sample_every=0, keep_checkpoints=2)
    events = list(stepped(pretrain, config, workspace))
    assert [event.step for event in events if isinstance(event, Checkpointed)] == [4, 8, 12]
    assert [event.message for event in events if isinstance(event, Notice)] == [
        "checkpoint-000004 is not needed any more and could not be removed: Input/output error"
    ]
    assert isinstance(events[-1], Finished)


def test_a_checkpoint_that_somebody_removes_meanwhile_ends_nothing(tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path)
    config = tiny_config(sample_every=0)
    directory = workspace.directory_of(config)
    events = []
    for event in stepped(pretrain, config, workspace):
        events.append(event)
        if isinstance(event, Checkpointed) and event.step == 4:
            shutil.rmtree(directory / "checkpoint-000004")
    assert isinstance(events[-1], Finished)
    assert checkpoint.find(directory).step == 12


def test_a_log_that_cannot_be_written_does_not_hide_the_cause(
    tmp_path: Path, counted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("the cause")

    monkeypatch.setattr("tests.core.counting.count", broken)
    workspace = Workspace(tmp_path)
    config = CountConfig(name="a", steps=3)
    (workspace.directory_of(config) / "log.txt").mkdir(parents=True)
    with Lock.acquire(workspace.directory_of(config)) as held:
        events: list[object] = []
        with pytest.raises(RunError, match="ZeroDivisionError: the cause"):
            runner.run(config, workspace, held=held, on_event=events.append)
    assert isinstance(events[-1], Failed)
    assert events[-1].message.startswith("ZeroDivisionError: the cause (and log.txt cannot be")
