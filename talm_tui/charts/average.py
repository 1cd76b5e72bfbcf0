"""The moving average of a series whose points lie unevenly far apart.

A run says its loss at most ten times a second, so a point stands for all steps since the point
before it. An average point by point would smooth a run that speaks every step ten times less than
one that speaks every tenth. Here every step weighs `beta` times as much as the next, and a point
counts as often as it has steps: the curve is the same however often the run speaks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_NOTHING = 1e-16
"""A weight that changes no double any more."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What is known of all values so far: their weighted sum, and their steps."""

    total: float = 0.0
    steps: float = 0.0


def gaps(steps: Floats, before: float = 0.0) -> Floats:
    """How many steps each point stands for, at least one, the one ahead of them being at
    `before`."""
    return np.maximum(np.diff(steps, prepend=before), 1.0)


def smooth(values: Floats, beta: float, gap: Floats | None = None) -> Floats:
    """The debiased exponential moving average: the mean of all steps so far, each weighing `beta`
    times as much as the next. `gap` says how many steps each value stands for, none one each. What
    is not finite stays as it is and counts for nothing."""
    result = values.copy()
    good = np.isfinite(values)
    gap = np.ones(len(values)) if gap is None else gap
    result[good], _ = averaged(values[good], beta, gap[good])
    return result


def averaged(
    values: Floats, beta: float, gap: Floats, carried: Carried | None = None
) -> tuple[Floats, Carried]:
    """The averages of finite values that follow those `carried`; and what is then carried on."""
    before = carried or Carried()
    if not len(values):
        return values.copy(), before
    # Where no step is left out, which is the rule, all weigh the same: half the work.
    even = gap.min() == gap.max() == 1.0
    steps = before.steps + (np.arange(1.0, len(gap) + 1) if even else np.cumsum(gap))
    if beta <= 0:
        return values.copy(), Carried(float(values[-1]), float(steps[-1]))
    rate = math.log(beta)
    if even:
        total = _summed(values * -math.expm1(rate), beta)
    else:
        total = _summed(values * -np.expm1(gap * rate), np.exp(gap * rate))
    if before.total:
        near = np.searchsorted(steps, before.steps + math.log(_NOTHING) / rate)
        total[:near] += before.total * np.exp((steps[:near] - before.steps) * rate)
    after = Carried(float(total[-1]), float(steps[-1]))
    # Later on the weights add up to one.
    early = np.searchsorted(steps, math.log(_NOTHING) / rate)
    total[:early] /= -np.expm1(steps[:early] * rate)
    return total, after


def _summed(values: Floats, decay: Floats | float) -> Floats:
    """`sum[i] = values[i] + decay[i] * sum[i - 1]`. Each pass doubles how far back a sum reaches,
    so few passes do for any length. Arrays are taken to work in."""
    reach = 1
    while reach < len(values):
        if isinstance(decay, float):
            if decay <= _NOTHING:
                break
            values[reach:] += decay * values[:-reach]
            decay *= decay
        else:
            if decay[reach:].max() <= _NOTHING:
                break
            values[reach:] += decay[reach:] * values[:-reach]
            decay[reach:] *= decay[:-reach]
        reach *= 2
    return values


def warm_up(beta: float) -> int:
    """How many steps before the first one shown decide about its average to one in a million."""
    return math.ceil(math.log(1e-6) / math.log(beta)) if beta > 0 else 0
