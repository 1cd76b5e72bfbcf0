"""Status as glyph and word, never by colour alone; what a list says of an artifact."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.content import Content

from talm_core.jobs.registry import artifact_of, spec_of
from talm_core.jobs.spec import load
from talm_core.system.foreign_text import line
from talm_tui.widgets.format import count, percent

if TYPE_CHECKING:
    from talm_core.runtime.history import Extent
    from talm_core.runtime.overview import Overview

_COLOURS = {
    "running": "$primary",
    "paused": "$secondary",
    "done": "$success",
    "stopped": "$warning",
    "interrupted": "$warning",
    "failed": "$error",
    "damaged": "$error",
}


def colour(status: str) -> str:
    """The theme's colour of a status, given as its word."""
    return _COLOURS.get(status, "$foreground")


def bar(fraction: float | None, width: int) -> Content:
    """A bar of `width` cells in eighths; hatched where the fraction is not known."""
    if width <= 0:
        return Content("")
    if fraction is None or math.isnan(fraction):
        return Content.styled("╌" * width, "$secondary")
    eighths = round(max(0.0, min(1.0, fraction)) * width * 8)
    full, rest = divmod(eighths, 8)
    filled = "█" * full + ("▏▎▍▌▋▊▉"[rest - 1] if rest else "")
    return Content.assemble(
        (filled, "$primary on $border-blurred"),
        (" " * (width - len(filled)), "on $border-blurred"),
    )


def steps_of(
    extent: Extent, number: Callable[[int], str] = "{:,}".format, *, over: bool = False
) -> str:
    """How many steps a run has done of how many: `412/900`; where its time limit ends it before,
    of how many it comes to at its speed so far, `80/~160`, and `160` once it is `over`."""
    if over and extent.step < extent.max_steps:
        return number(extent.step)
    if not extent.by_time or not extent.step:
        return f"{number(extent.step)}/{number(extent.max_steps)}"
    return (
        f"{number(extent.step)}/~{number(max(extent.step, round(extent.step / extent.fraction)))}"
    )


def steps(overview: Overview, number: Callable[[int], str] = "{:,}".format) -> str:
    """The same of a run in a list; empty before its first step."""
    if overview.extent is None:
        return ""
    return steps_of(overview.extent, number, over=overview.status.value == "done")


def figure(overview: Overview, width: int = 80) -> str:
    """The one thing worth knowing about an artifact in a list, the longest wording that fits."""
    wordings = [text for text in _figures(overview) if text]
    return next((text for text in wordings if len(text) <= width), "")


def _figures(overview: Overview) -> tuple[str, ...]:
    status, share = overview.status, percent(overview.fraction)
    if status.active:
        if overview.extent is not None:
            return (f"{steps(overview, count)}  {share}", share)
        return (share or line(overview.phase) or status.value, status.value)
    if status.value == "failed":
        return ("failed",)
    if status.value != "done":
        return (f"{status.value} {share}".rstrip(), share or status.value)
    return briefly(overview)


def briefly(overview: Overview) -> tuple[str, ...]:
    """What its kind says of a finished one in few words, the longest wording first."""
    spec = spec_of(overview.artifact.kind)
    if spec.brief:
        return tuple(load(spec.brief)(overview, count))
    return tuple(load(spec.figures)(overview))[:1] if spec.figures else ()


def in_words(overview: Overview) -> str:
    """What there is to say of a job without steps: what it makes, how far it is, what it came to:
    `die  rolling 40 %`."""
    said = [percent(overview.fraction)]
    if overview.status.active:
        said.insert(0, line(overview.phase))
    elif overview.status.value == "done":
        said = list(briefly(overview)[:1])
    return f"{artifact_of(overview.artifact.kind).noun}  {' '.join(said)}".rstrip()
