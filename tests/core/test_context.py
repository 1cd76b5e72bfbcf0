"""What a job has of the world, without journal and commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from talm_core.jobs.export.config import ExportConfig
from talm_core.jobs.export.job import export
from talm_core.runtime import control
from talm_core.runtime.context import Foreground, JobContext
from talm_core.runtime.events import Event, Notice, Progress, Started
from talm_core.settings.schema import build
from talm_core.storage.workspace import Workspace
from tests.core.test_export import checkpoint

STARTED = Started(job="export", name="a")
NOTICE = Notice(message="so far")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


def test_a_job_that_ends_has_said_everything(workspace: Workspace) -> None:
    heard: list[Event] = []

    def job(ctx: JobContext) -> None:
        ctx.emit(STARTED)
        ctx.report(NOTICE)

    assert Foreground(workspace, workspace.root, heard.append).drive(job)
    assert heard == [STARTED, NOTICE]


def test_a_signal_stops_a_job_where_it_listens(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Event] = []
    ended: list[str] = []

    def job(ctx: JobContext) -> None:
        try:
            ctx.emit(STARTED)
            ctx.report(NOTICE)
            ctx.report(NOTICE)
        finally:
            ended.append("swept")

    monkeypatch.setattr(control, "_stop", ["SIGINT"])
    assert not Foreground(workspace, workspace.root, heard.append).drive(job)
    assert (heard, ended) == ([STARTED, NOTICE], ["swept"])


def test_a_listener_that_fails_is_no_fault_of_the_disk(workspace: Workspace) -> None:
    """An export takes an OSError for one of the files it writes."""
    checkpoint(workspace)
    heard: list[Event] = []

    def told(event: Event) -> None:
        heard.append(event)
        if isinstance(event, Progress):
            raise BrokenPipeError

    config = build(ExportConfig, {"model": "nano"})
    with pytest.raises(BrokenPipeError):
        Foreground(workspace, workspace.root, told).drive(lambda ctx: export(ctx, config))
    assert [type(event) for event in heard] == [Started, Progress]
    assert not list((workspace.root / "exports").iterdir())
