"""Where an axis has its ticks and what stands beside them.

Ticks lie on 1, 2 or 5 times a power of ten; on a time axis on seconds, minutes and hours that
people count in. Plain Python: there are never more than a few dozen ticks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from talm_tui.widgets.format import UNITS, elapsed

_CLOCK = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200)
_DAY = 86400

Kind = Literal["whole", "number", "clock"]
"""What an axis counts: whole things, anything, seconds."""

StepOf = Callable[[float], float]
"""The smallest step people like that is at least as large as the given one."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A marked value and its label."""

    value: float
    label: str


def nice_step(least: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is at least `least` (positive)."""
    power = math.floor(math.log10(least))
    for factor in (1, 2, 5, 10):
        # Powers of ten below one are not exact in binary: dividing is closer than multiplying.
        step = factor * 10.0**power if power >= 0 else factor / 10.0**-power
        if step >= least * (1 - 1e-9):
            return step
    raise AssertionError(least)


def whole_step(least: float) -> float:
    """As `nice_step`, for what comes in whole numbers."""
    return max(1.0, nice_step(least))


def clock_step(least: float) -> float:
    """As `nice_step`, in seconds, minutes, hours and days."""
    for step in _CLOCK:
        if step >= least:
            return float(step)
    return _DAY * nice_step(max(1.0, least / _DAY))


def linear_ticks(low: float, high: float, most: int, step_of: StepOf = nice_step) -> list[float]:
    """At most `most` + 1 multiples of a nice step within `low` to `high`, which differ."""
    step = step_of((high - low) / max(1, most))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Ticks for a logarithmic axis between two positive values: decades, or 1-2-5 within them,
    or, where not even two of those fit, those of a linear axis."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [f * 10.0**p for p in range(first, last + 1) for f in factors]
        inside = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(inside) <= most + 1:
            break
    else:
        skip = math.ceil(len(inside) / (most + 1))
        inside = inside[::skip]
    return inside if len(inside) > 1 else linear_ticks(low, high, most)


def number_labels(values: Sequence[float]) -> list[str]:
    """Labels of one axis: the same unit and as many decimals on each as tell them apart; nought
    has no unit where others have one."""
    if not values:
        return []
    largest = max(abs(value) for value in values)
    if 0 < largest < 1e-3 or largest >= 1e15:
        return [f"{value:.1e}" if value else "0" for value in values]
    unit, suffix = next(((u, s) for u, s in UNITS if largest >= 10_000 and largest >= u), (1, ""))
    scaled = [value / unit for value in values]
    decimals = max(_decimals(value) for value in scaled)
    if not suffix:
        return [f"{value:,.{decimals}f}" for value in scaled]
    return [f"{value:,.{decimals}f} {suffix}" if value else "0" for value in scaled]


def _decimals(value: float) -> int:
    for digits in range(6):
        if math.isclose(round(value, digits), value, rel_tol=1e-9, abs_tol=1e-9):
            return digits
    return 6


def clock_labels(values: Sequence[float]) -> list[str]:
    """Labels of a time axis in seconds: `0:30`, `1:05:00`, `2 d 6:00:00`."""
    return [elapsed(value) for value in values]


STEPS: dict[Kind, StepOf] = {
    "whole": whole_step,
    "number": nice_step,
    "clock": clock_step,
}
"""The steps for each kind of axis."""
