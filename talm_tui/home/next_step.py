"""What somebody looking at Home might do next, in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from talm_core.system.foreign_text import line
from talm_tui.widgets.format import duration, percent

if TYPE_CHECKING:
    from talm_core.runtime.overview import Overview
    from talm_tui.services.watcher import Snapshot

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
    models = snapshot.models
    early = snapshot.quickstarts[:1]
    if early and early[0].status.value == "failed" and not snapshot.active:
        yield f"{line(early[0].name)} failed: {key('home.log')} shows its log"
    elif models and models[0].status.value == "failed":
        yield f"{line(models[0].name)} failed: {key('home.log')} shows its log"
    for model in models:
        if model.status.value in ("stopped", "interrupted"):
            yield f"{key('home.resume')} goes on with {line(model.name)}"
            break
    done = [model for model in models if model.status.value == "done"]
    if done:
        yield f"{line(done[0].name)} is ready to talk to ({key('app.play')})"
        return
    ready = [data for data in snapshot.data if data.status.value == "done"]
    if ready and not models:
        yield f"{key('home.train')} trains a model on {line(ready[0].name)}"
    elif not ready and not snapshot.active:
        with_what = next(
            (item for item in snapshot.tokenizers if item.status.value == "done"), None
        )
        name = line(with_what.name) if with_what else "base"
        yield f"{key('home.data')} turns text into tokens with {name}"
