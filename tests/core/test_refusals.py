"""What the system refuses is told in words, is no bug, and can be gone on with."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from talm_core.cli.main import main
from talm_core.errors import RunError, WorkspaceError
from talm_core.runtime import runner
from talm_core.runtime.context import JobContext
from talm_core.runtime.events import Failed, Finished, Started
from talm_core.runtime.journal import JournalReader, JournalWriter, last_record
from talm_core.storage.workspace import Workspace
from talm_core.system.refusals import refusal
from talm_core.training import checkpoint
from tests.core import counting, registration
from tests.core.counting import CountConfig
from tests.core.driving import run_events
from tests.core.test_checkpoint import write as write_checkpoint

THREAD = "can't start new thread"
AGAIN = "and run the same again"


def error(number: int, *path: str) -> OSError:
    return OSError(number, os.strerror(number), *path)


@pytest.mark.parametrize(
    ("failed", "said"),
    [
        (
            error(errno.ENOSPC, "/w/models/m/x.npy"),
            "the disk is full: make room for /w/models/m and run the same again",
        ),
        (
            error(errno.EIO),
            "/w/models/m: the disk reports an error; look after it and run the same again",
        ),
        (
            error(errno.EROFS, "/w/models/m/.tmp-talm-1.json"),
            "/w/models/m can only be read: make its disk writable and run the same again",
        ),
        (
            error(errno.EMFILE, "/w/models/m/x.npy"),
            "too many files are open: allow more, with `ulimit -n 4096` for one, " + AGAIN,
        ),
        (error(errno.EACCES, "/w/corpus/b.txt"), "/w/corpus/b.txt: permission denied"),
        (
            MemoryError(),
            "there is too little memory: end other programs and run the same again",
        ),
        (
            RuntimeError(THREAD),
            "no more threads can be started: end other programs, or allow more, " + AGAIN,
        ),
        (
            RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
            "there is too little memory: end other programs " + AGAIN,
        ),
        (RuntimeError("x"), ""),
        (error(errno.ENOENT, "/w/models/m/x.npy"), ""),
        (ZeroDivisionError("x"), ""),
    ],
)
def test_what_is_refused_is_said_with_what_to_do(failed: BaseException, said: str) -> None:
    assert refusal(failed, Path("/w/models/m")) == said


@contextmanager
def counts(job: Callable[[JobContext, CountConfig], None], patch: Any) -> Iterator[None]:
    """The counting job does this instead."""
    with registration.registered(counting.COUNT), patch.context() as patched:
        patched.setattr(counting, "count", job)
        yield


@pytest.mark.parametrize(
    "failed", [error(errno.EIO), error(errno.EMFILE, "/x"), MemoryError(), RuntimeError(THREAD)]
)
def test_a_job_that_is_refused_something_is_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failed: Exception
) -> None:
    def job(ctx: JobContext, config: CountConfig) -> None:
        ctx.emit(Started(job="count", name=config.name))
        raise failed

    workspace = Workspace(tmp_path)
    with counts(job, monkeypatch), pytest.raises(RunError) as raised:
        run_events(CountConfig(name="x"), workspace)
    directory = workspace.root / "counts" / "x"
    record = last_record(directory)
    assert record is not None
    assert record.event == Failed(message=refusal(failed, directory), kind="RunError")
    assert str(raised.value) == refusal(failed, directory)
    assert not (directory / "log.txt").exists()


def test_a_bug_is_told_also_where_the_log_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def job(ctx: JobContext, config: CountConfig) -> None:
        ctx.emit(Started(job="count", name=config.name))
        (ctx.directory / "log.txt").mkdir()
        raise ZeroDivisionError("oh no")

    with counts(job, monkeypatch), pytest.raises(RunError, match="ZeroDivisionError: oh no"):
        run_events(CountConfig(name="x"), Workspace(tmp_path))


def refuse_writes(patch: Any, times: int) -> None:
    """The next writes of the system fail, so many times."""
    write, left = os.write, [times]

    def refused(*arguments: Any) -> int:
        if left[0]:
            left[0] -= 1
            raise error(errno.EIO)
        return write(*arguments)

    patch.setattr(os, "write", refused)


def test_what_a_broken_disk_refuses_is_written_with_the_next_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_writes(monkeypatch, 2)
    with JournalWriter(tmp_path) as writer:
        for number in range(2):
            writer.write(Started(job="count", name=str(number)))
            assert writer.failure is not None
    assert writer.failure is None
    names = [getattr(record.event, "name", "") for record in JournalReader(tmp_path).read_all()]
    assert names == ["0", "1"]


def test_an_end_that_cannot_be_written_down_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def job(ctx: JobContext, config: CountConfig) -> None:
        ctx.emit(Started(job="count", name=config.name))
        refuse_writes(monkeypatch, 100)
        ctx.emit(Finished(seconds=0.0, summary={}))

    workspace = Workspace(tmp_path)
    with counts(job, monkeypatch), pytest.raises(RunError, match="the disk reports an error"):
        run_events(CountConfig(name="x"), workspace)
    assert runner.status(workspace.root / "counts" / "x") is runner.Status.INTERRUPTED


def test_a_journal_that_cannot_be_opened_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def refused(path: Any, *arguments: Any, **more: Any) -> int:
        if str(path).endswith("events.jsonl") and arguments[0] & os.O_CREAT:
            raise error(errno.ENOSPC, str(path))
        return opened(path, *arguments, **more)

    monkeypatch.setattr(os, "open", refused)
    workspace = Workspace(tmp_path)
    with (
        registration.registered(counting.COUNT),
        pytest.raises(WorkspaceError, match="cannot be written: No space left"),
    ):
        run_events(CountConfig(name="x"), workspace)
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_has_too_few_files_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Any) -> int:
        raise error(errno.EMFILE, "/w/models")

    monkeypatch.setattr("talm_core.cli.show.list_artifacts", refused)
    assert main(["list", "--workspace", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("talm: too many files are open: allow more")


# --- older checkpoints -----------------------------------------------------------------------


def test_an_old_checkpoint_that_cannot_be_removed_ends_nothing_and_is_removed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (1, 2):
        write_checkpoint(tmp_path, step, keep=2)
    rename = Path.rename

    def refused(self: Path, target: Path) -> Path:
        if self.name.startswith("checkpoint-"):
            raise error(errno.EIO, str(self))
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refused)
        write_checkpoint(tmp_path, 3, keep=2)
    assert [step for step, _ in checkpoint.checkpoints(tmp_path)] == [1, 2, 3]
    write_checkpoint(tmp_path, 4, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-000003",
        "checkpoint-000004",
    ]


def test_nothing_is_removed_while_it_is_not_known_which_checkpoint_is_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (1, 2, 3):
        state = {"evaluated_step": step, "evaluated": {"val_loss": float(step)}}
        write_checkpoint(tmp_path, step, keep=2, **state)
    assert checkpoint.best(tmp_path) == (1, 1.0)
    opened = os.open

    def refused(path: Any, *arguments: Any, **more: Any) -> int:
        if "checkpoint-000001" in str(path):
            raise error(errno.EMFILE, str(path))
        return opened(path, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refused)
        with pytest.raises(RunError, match="cannot be read now: Too many open files"):
            checkpoint.best(tmp_path, certain=True)
        write_checkpoint(tmp_path, 4, keep=2)
    assert [step for step, _ in checkpoint.checkpoints(tmp_path)] == [1, 2, 3, 4]
    write_checkpoint(tmp_path, 5, keep=2)
    assert [step for step, _ in checkpoint.checkpoints(tmp_path)] == [1, 4, 5]
