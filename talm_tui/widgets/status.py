"""Status as glyph and word, never by colour alone; shares and times of a job in a few cells."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from textual.content import Content

if TYPE_CHECKING:
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


_EVER = 1e11


def colour(status: str) -> str:
    """The theme's colour of a status, given as its word."""
    return _COLOURS.get(status, "$foreground")


def glyph(overview: Overview) -> Content:
    """`▶` in the status' colour."""
    return Content.styled(overview.status.glyph, colour(overview.status.value))


def word(overview: Overview) -> Content:
    """`running` in the status' colour."""
    return Content.styled(overview.status.value, colour(overview.status.value))


def percent(fraction: float | None) -> str:
    """`46 %`; what is not done never reads 100; empty where it is not known."""
    if fraction is None or math.isnan(fraction):
        return ""
    return f"{100 if fraction >= 1 else min(99, int(100 * fraction + 0.5))} %"


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


def now() -> float:
    """Seconds since the epoch."""
    return time.time()


def ago(then: float) -> str:
    """When something was: `just now`, `5 min ago`, `3 h ago`, `yesterday`, `12 days ago`."""
    seconds = now() - then
    if not abs(seconds) < _EVER:
        return ""
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if seconds < 20 * 3600:
        return f"{int(seconds // 3600)} h ago"
    days = max(1, round(seconds / 86400))
    return "yesterday" if days == 1 else f"{days:,} days ago"
