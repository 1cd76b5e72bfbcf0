"""Names a form proposes for what it is going to make, and those it offers."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from talm_core.jobs.registry import artifact_of
from talm_core.runtime.overview import Overview
from talm_core.runtime.runner import Status
from talm_tui.widgets.status import briefly


def slug(text: str) -> str:
    """The nearest plain name; empty where nothing of it can stay."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-.+")[:60]


def stem(path: str) -> str:
    """A plain name for the file or directory of a path."""
    return slug(PurePosixPath(path.rstrip("/")).name.split(".", 1)[0])


def short_count(number: int) -> str:
    """`4k` for 4,096 as for 4,000, `50257` for what is no round number."""
    for unit in (1024, 1000):
        if number >= unit and number % unit == 0:
            return f"{number // unit}k"
    return str(number)


def free(wanted: str, taken: Collection[str]) -> str:
    """`wanted`, or the first of `wanted-2`, `wanted-3` … that is not taken."""
    number, name = 1, wanted
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name


def artifact_options(kind: str, overviews: Sequence[Overview]) -> list[tuple[str, str]]:
    """What of a kind can be used: what ships with talm, then what is done, newest first."""
    spec = artifact_of(kind)
    options = [(name, f"{spec.about_reserved}, ships with talm") for name in spec.reserved]
    done = (overview for overview in overviews if overview.status is Status.DONE)
    return [*options, *((item.name, next(iter(briefly(item)), "")) for item in done)]


def newest(kind: str, overviews: Sequence[Overview]) -> str | None:
    """What of a kind was made last; while there is nothing, the first that ships with talm."""
    done = [overview for overview in overviews if overview.status is Status.DONE]
    if done:
        return max(done, key=lambda overview: overview.updated).name
    return next(iter(artifact_of(kind).reserved), None)
