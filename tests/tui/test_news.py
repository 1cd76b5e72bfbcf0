"""What the app tells of jobs that end while nobody looks at them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from talm_core.jobs.quickstart.config import QuickstartConfig
from talm_core.jobs.quickstart.job import stages
from talm_core.runtime.overview import Overview
from talm_core.runtime.runner import Status
from talm_core.storage.workspace import Artifact, Workspace
from talm_tui.services.watcher import Looker, Snapshot
from talm_tui.shell.notifications import News, news, quickstart_of


def snapshot(workspace: Workspace) -> Snapshot:
    *_, last = Looker(workspace).snapshots()
    return last


def ended(whole: Snapshot, status: Status, message: str = "") -> Snapshot:
    """The same a moment later: `nano` runs no more."""
    models = tuple(
        replace(item, status=status, message=message) if item.name == "nano" else item
        for item in whole.models
    )
    return replace(whole, models=models, active=())


def test_an_end_is_told_once(workspace: Workspace) -> None:
    before = snapshot(workspace)
    bits = f"{before.models[0].bits_per_byte:.2f}"
    after = ended(before, Status.DONE)
    assert list(news(before, after)) == [News(f"nano is done: {bits} bits/byte")]
    assert list(news(after, after)) == []


def test_why_it_failed_is_told_as_plain_text(workspace: Workspace) -> None:
    before = snapshot(workspace)
    after = ended(before, Status.FAILED, "no \x1b[31mmemory\nat all")
    assert list(news(before, after)) == [News("nano failed: no memory at all", "error")]
    [gone] = news(before, ended(before, Status.INTERRUPTED))
    assert gone.severity == "error"


def test_what_was_asked_for_is_not_told(workspace: Workspace) -> None:
    before = snapshot(workspace)
    assert list(news(before, ended(before, Status.STOPPED))) == []
    assert list(news(before, ended(before, Status.PAUSED))) == []


def test_the_first_look_is_no_news(workspace: Workspace) -> None:
    before = snapshot(workspace)
    after = ended(before, Status.DONE)
    assert list(news(replace(before, complete=False), after)) == []
    assert list(news(Snapshot(), after)) == []


@pytest.mark.parametrize(
    ("kind", "name", "stage"),
    [
        ("tokenizer", "n", True),
        ("pretrain", "n", True),
        ("data", "stdlib/n_all", True),
        ("data", "text/n", True),
        ("tokenizer", "nano", False),
        ("pretrain", "nano", False),
        ("data", "stdlib/nano_all", False),
        ("data", "stdlib/all", False),
        ("data", "text/nano", False),
        ("data", "text/n_all", False),
    ],
)
def test_a_quick_start_silences_its_own_stages_alone(
    empty_workspace: Workspace, kind: str, name: str, stage: bool
) -> None:
    def item(kind: str, name: str, status: Status) -> Overview:
        return Overview(Artifact(kind, name, empty_workspace.directory(kind, name)), status)

    def at(status: Status) -> Snapshot:
        whole = (item("quickstart", "n", Status.RUNNING),)
        return Snapshot(data=(item(kind, name, status),), quickstarts=whole, complete=True)

    told = list(news(at(Status.RUNNING), at(Status.FAILED)))
    assert bool(told) is not stage


def test_the_stages_of_a_quick_start_are_known_by_name(empty_workspace: Workspace) -> None:
    for files in ((), (str(empty_workspace.root),)):
        config = QuickstartConfig(name="mine", text_file=files)
        for part in stages(config, empty_workspace):
            artifact = Artifact(part.kind, part.artifact, empty_workspace.directory_of(part))
            assert quickstart_of(Overview(artifact, Status.RUNNING)) == "mine"


def test_a_quick_start_speaks_for_its_stages(empty_workspace: Workspace) -> None:
    def item(kind: str, name: str, status: Status) -> Overview:
        return Overview(Artifact(kind, name, empty_workspace.directory(kind, name)), status)

    def at(tokenizer: Status, whole: Status) -> Snapshot:
        return Snapshot(
            tokenizers=(item("tokenizer", "quickstart", tokenizer),),
            quickstarts=(item("quickstart", "quickstart", whole),),
            complete=True,
        )

    start = at(Status.RUNNING, Status.RUNNING)
    assert list(news(start, at(Status.DONE, Status.RUNNING))) == []
    assert list(news(start, at(Status.DONE, Status.DONE))) == [News("quickstart is done")]
