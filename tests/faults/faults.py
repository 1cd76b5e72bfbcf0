"""What can happen to a process in one of its calls, and at which of them it is tried."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass

CHANGES = ("create", "write", "resize", "sync", "rename", "remove", "mkdir", "link")
"""What calls do to files, without those that only open one to read it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens in calls that do one of `whats`. With `error` they fail with it, else the
    process ends: before it has done the call, or with `half` of what it writes there. `lasting`:
    every such call from then on fails."""

    name: str
    whats: tuple[str, ...]
    error: int = 0
    half: bool = False
    lasting: bool = False


FAULTS = (
    Fault("killed", CHANGES),
    Fault("killed in a write", ("write",), half=True),
    # A full disk still renames, removes and writes over what is there.
    Fault("disk full", ("create", "write", "mkdir"), errno.ENOSPC, lasting=True),
    Fault(
        "read-only", ("create", "resize", "rename", "remove", "mkdir"), errno.EROFS, lasting=True
    ),
    Fault("broken disk", CHANGES, errno.EIO),
    Fault("too many files", ("open", "create"), errno.EMFILE),
)


@dataclass(frozen=True, slots=True)
class Done:
    """A call that a process made: what it did, to which file below the place that is watched, and
    whether that was there before."""

    what: str
    path: str
    there: bool

    @property
    def group(self) -> tuple[str, str]:
        """Calls of the same purpose: step numbers and what is drawn at random left out."""
        return self.what, re.sub(r"[0-9a-f]{8,}|[0-9]+", "#", self.path)


def hit(fault: Fault, what: str, there: bool) -> bool:
    """Whether a fault concerns such a call."""
    if fault.error == errno.ENOSPC and what == "create" and there:
        return False
    return what in fault.whats


def points(calls: Sequence[Done], fault: Fault, most: int) -> list[int]:
    """At which of the calls a fault concerns (counted from one) it is tried: at all of them where
    there are no more than `most`; else at the first and the last of each purpose, as far as they
    go, and at others as evenly as can be."""
    concerned = [call for call in calls if hit(fault, call.what, call.there)]
    if len(concerned) <= most:
        return list(range(1, len(concerned) + 1))
    groups: dict[tuple[str, str], list[int]] = {}
    for number, call in enumerate(concerned, 1):
        groups.setdefault(call.group, []).append(number)
    chosen = set(_spread([numbers[0] for numbers in groups.values()], most))
    lasts = [numbers[-1] for numbers in groups.values() if numbers[-1] not in chosen]
    chosen |= set(_spread(lasts, most - len(chosen)))
    rest = [number for number in range(1, len(concerned) + 1) if number not in chosen]
    return sorted(chosen | set(_spread(rest, most - len(chosen))))


def _spread(items: Sequence[int], most: int) -> list[int]:
    """At most so many of them, evenly."""
    if len(items) <= most:
        return list(items)
    return [items[place * len(items) // most] for place in range(most)]
