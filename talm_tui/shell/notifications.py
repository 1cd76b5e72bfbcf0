"""What has happened to jobs between two looks at the workspace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from talm_core.system.foreign_text import line
from talm_tui.widgets.status import figure

if TYPE_CHECKING:
    from talm_core.runtime.overview import Overview
    from talm_tui.services.watcher import Snapshot


@dataclass(frozen=True)
class News:
    """Something to tell somebody who may be looking elsewhere."""

    text: str
    severity: Literal["information", "error"] = "information"


def news(before: Snapshot, after: Snapshot) -> Iterator[News]:
    """Jobs that have ended by themselves. A stop was asked for, and needs no telling; stages of a
    quick start are told of as the quick start."""
    if not before.complete:
        return
    was = {item.artifact: item for item in before.all}
    for item in reversed(after.all):
        old, whole = was.get(item.artifact), before.whole_of(item.artifact)
        if old is None or not old.status.active or item.status.active:
            continue
        if whole is not None and whole.artifact != item.artifact and whole.status.active:
            continue
        if told := _told(item):
            yield told


def _told(item: Overview) -> News | None:
    name = line(item.name)
    match item.status.value:
        case "done":
            said = figure(item)
            return News(f"{name} is done" + (f": {said}" if said else ""))
        case "failed":
            return News(f"{name} failed: {line(item.message[:300])}", "error")
        case "interrupted":
            return News(f"{name} was interrupted: its process is gone", "error")
    return None
