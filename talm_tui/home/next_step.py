"""What somebody looking at Home might do next, in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from talm_core.jobs.registry import specs
from talm_core.jobs.spec import JobSpec
from talm_core.system.foreign_text import line
from talm_tui.widgets.format import duration, percent

if TYPE_CHECKING:
    from talm_core.runtime.overview import Overview
    from talm_tui.services.watcher import Snapshot

RESUMABLE = ("stopped", "interrupted", "failed")
"""How a run stands that can be gone on with."""

WELCOME = (
    "Press {home.quickstart}: talm trains a tokenizer, prepares data and trains a small model on"
    " this machine, offline, in about a minute."
)


def next_step(snapshot: Snapshot, key: Callable[[str], str]) -> str:
    """The two most useful things to know; empty where there is nothing yet. `key` tells the key
    of an action."""
    if snapshot.empty:
        return ""
    said = list(_running(snapshot.active)) + list(_possible(snapshot, key))
    return "; ".join(said[:2]) + "." if said else ""


def _running(active: tuple[Overview, ...]) -> Iterator[str]:
    for job in active[:1]:
        name = line(job.name)
        if job.status.value == "paused":
            yield f"{name} is paused"
        elif job.eta is not None:
            yield f"{name} finishes in {duration(job.eta)}"
        elif job.fraction is not None:
            yield f"{name} is at {percent(job.fraction)}"
        else:
            yield f"{name} is running"
        yield "it goes on when you quit"


def _possible(snapshot: Snapshot, key: Callable[[str], str]) -> Iterator[str]:
    runs, whole = snapshot.runs, snapshot.wholes[:1]
    if whole and whole[0].status.value == "failed" and not snapshot.active:
        yield f"{line(whole[0].name)} failed: {key('home.log')} shows its log"
    elif runs and runs[0].status.value == "failed":
        yield f"{line(runs[0].name)} failed: {key('home.log')} shows its log"
    if left := resumable(runs):
        yield f"{key('home.resume')} goes on with {line(left.name)}"
    if done := _newest_done(snapshot.models):
        yield f"{line(done.name)} is ready to talk to ({key('app.play')})"
        return
    for before, after in reversed([*pairwise(steps())]):
        made, given = snapshot.of(after.kind), _newest_done(snapshot.of(before.kind))
        shipped = before.artifact.reserved if before.artifact else ()
        if after.place is None or (given is None and not shipped):
            continue
        # What is there and not done stands in the list; a dataset is no run and stands in none.
        if not made or (not after.is_run and not _newest_done(made) and not snapshot.active):
            offer = after.place.offer.format(name=line(given.name) if given else shipped[0])
            yield f"{key(f'home.{after.place.name}')} {offer}"
        if given is not None:
            return


def resumable(runs: Iterable[Overview]) -> Overview | None:
    """The newest run that was stopped or whose process died."""
    return next((run for run in runs if run.status.value in RESUMABLE[:2]), None)


def steps() -> list[JobSpec]:
    """The kinds that the pipeline consists of, each made of the one before."""
    return [spec for spec in specs() if spec.place is not None and spec.place.step]


def _newest_done(items: Iterable[Overview]) -> Overview | None:
    return next((item for item in items if item.status.value == "done"), None)
