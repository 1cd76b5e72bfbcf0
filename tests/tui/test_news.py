"""What the app tells of jobs that end while nobody looks at them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from talm_core.jobs.quickstart.config import QuickstartConfig
from talm_core.jobs.quickstart.job import stages
from talm_core.runtime.events import Started
from talm_core.runtime.lock import Lock
from talm_core.runtime.overview import Overview
from talm_core.runtime.runner import Status
from talm_core.storage.workspace import Artifact, Workspace
from talm_tui.services.watcher import Looker, Snapshot
from talm_tui.shell.notifications import News, news
from tests.tui import canned


def snapshot(workspace: Workspace) -> Snapshot:
    *_, last = Looker(workspace).snapshots()
    return last


def ended(whole: Snapshot, status: Status, message: str = "") -> Snapshot:
    """The same a moment later: `nano` runs no more."""
    kinds = {
        kind: tuple(
            replace(item, status=status, message=message) if item.name == "nano" else item
            for item in items
        )
        for kind, items in whole.kinds.items()
    }
    return replace(whole, kinds=kinds, active=())


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


@pytest.mark.parametrize("files", [False, True])
def test_a_quick_start_silences_its_own_stages_alone(
    empty_workspace: Workspace, *, files: bool
) -> None:
    text_file = (str(empty_workspace.root),) if files else ()
    config = QuickstartConfig(name="n", text_file=text_file)
    canned.artifact(empty_workspace, config, [Started(job="quickstart", name="n")])
    own = [(part.kind, part.artifact) for part in stages(config, empty_workspace)]
    assert own == [
        ("tokenizer", "n"),
        ("data", "text/n" if files else "stdlib/n_all"),
        ("pretrain", "n"),
    ]
    others = [
        ("tokenizer", "nano"),
        ("pretrain", "nano"),
        ("data", "stdlib/nano_all"),
        ("data", "stdlib/all"),
        ("data", "text/n_all"),
    ]
    for kind, name in (*own, *others):
        with Lock.acquire(empty_workspace.directory("quickstart", "n")):
            found = snapshot(empty_workspace)
        stage = Artifact(kind, name, empty_workspace.directory(kind, name))

        def at(status: Status) -> Snapshot:
            kinds = {**found.kinds, kind: (Overview(stage, status),)}  # noqa: B023
            return replace(found, kinds=kinds)  # noqa: B023

        told = list(news(at(Status.RUNNING), at(Status.FAILED)))
        assert bool(told) is ((kind, name) not in own), (kind, name)


def test_a_quick_start_speaks_for_its_stages(empty_workspace: Workspace) -> None:
    def item(kind: str, name: str, status: Status) -> Overview:
        return Overview(Artifact(kind, name, empty_workspace.directory(kind, name)), status)

    def at(part: Status, whole: Status) -> Snapshot:
        first = item("tokenizer", "quickstart", part)
        all_of_it = item("quickstart", "quickstart", whole)
        return Snapshot(
            kinds={"tokenizer": (first,), "quickstart": (all_of_it,)},
            stages={all_of_it.artifact: (first.artifact,)},
            complete=True,
        )

    start = at(Status.RUNNING, Status.RUNNING)
    assert list(news(start, at(Status.DONE, Status.RUNNING))) == []
    assert list(news(start, at(Status.DONE, Status.DONE))) == [News("quickstart is done")]
