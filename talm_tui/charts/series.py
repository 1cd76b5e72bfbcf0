"""A long growing series, ready to be drawn: its moving average and the extremes of its parts.

A redraw of a million points must not look at a million points. What is worked out here is kept
and extended by what is new; where a chart shows much of a series, it draws the least and the
greatest value of every 64 points instead of all of them, which in dots is the same picture.
"""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from talm_tui.charts import average
from talm_tui.charts.raster import Floats, Ints

BUCKET = 64


class _Extremes:
    """Where the least and the greatest value of every full bucket lie, and where one that is no
    number does (-1: nowhere)."""

    def __init__(self) -> None:
        self._parts: list[Ints] = []
        self._joined: Ints = np.empty((0, 3), dtype=np.int64)
        self._buckets = 0

    def extend(self, values: NDArray[np.floating]) -> None:
        """Take in what was added to `values` since the last time."""
        full = len(values) // BUCKET
        if full == self._buckets:
            return
        new = values[self._buckets * BUCKET : full * BUCKET].reshape(-1, BUCKET)
        start = np.arange(self._buckets, full)[:, None] * BUCKET
        good = np.isfinite(new)
        low = np.where(good, new, np.inf).argmin(axis=1)[:, None]
        high = np.where(good, new, -np.inf).argmax(axis=1)[:, None]
        odd = np.where(good.all(axis=1)[:, None], -1, start + (~good).argmax(axis=1)[:, None])
        self._parts.append(np.concatenate((start + low, start + high, odd), axis=1))
        self._buckets = full

    def between(self, first: int, last: int) -> Ints:
        """Indices of what stands for the values `first` to `last`, ascending, with both ends."""
        if self._parts:
            self._joined = np.concatenate((self._joined, *self._parts))
            self._parts = []
        begin, end = -(-first // BUCKET), min(last // BUCKET, self._buckets)
        if end <= begin:
            return np.arange(first, last)
        inner = self._joined[begin:end].ravel()
        inner = inner[inner >= 0]
        inner.sort()
        edges = np.arange(first, begin * BUCKET), np.arange(end * BUCKET, last)
        return np.concatenate((edges[0], inner, edges[1]))


class _Average:
    """The debiased moving average of a growing series, value by value."""

    def __init__(self, beta: float) -> None:
        self.beta = beta
        self._values: NDArray[np.float32] = np.empty(1024, dtype=np.float32)
        self._done = 0
        self._carried = average.Carried()

    def extend(
        self, values: NDArray[np.floating], steps: NDArray[np.floating] | None
    ) -> NDArray[np.float32]:
        """All averages, up to the newest value; `steps` says where each lies."""
        if len(values) > len(self._values):
            grown = np.empty(len(values) * 3 // 2, dtype=np.float32)
            grown[: self._done] = self._values[: self._done]
            self._values = grown
        if len(values) > self._done:
            new = values[self._done :].astype(np.float64)
            self._take(new, np.ones(len(new)) if steps is None else self._gaps(steps))
        return self._values[: self._done]

    def _gaps(self, steps: NDArray[np.floating]) -> Floats:
        before = float(steps[self._done - 1]) if self._done else 0.0
        return average.gaps(steps[self._done :].astype(np.float64), before)

    def _take(self, new: Floats, gap: Floats) -> None:
        good = np.isfinite(new)
        # All of them without copying.
        kept = slice(None) if good.all() else good
        new[kept], self._carried = average.averaged(new[kept], self.beta, gap[kept], self._carried)
        self._values[self._done : self._done + len(new)] = new
        self._done += len(new)


class Trace:
    """What is kept of one series between two redraws."""

    def __init__(self) -> None:
        self._sign: object = None
        self._forget()

    def _forget(self) -> None:
        self._raw = _Extremes()
        self._average = _Average(0.0)
        self._smooth = _Extremes()

    def keep(self, sign: object) -> Trace:
        """Forget everything unless `sign` is the same as the last time: a series in which values
        changed that were there before needs another one."""
        if sign != self._sign:
            self._sign = sign
            self._forget()
        return self

    def points(
        self,
        xs: array[float],
        values: array[float],
        first: int,
        last: int,
        beta: float = 0.0,
        steps: array[float] | None = None,
    ) -> tuple[Floats, Floats]:
        """Few points that draw as the values `first` to `last`, or their averages, would. Without
        `steps`, averages count every value once."""
        source = _seen(values)
        extremes = self._raw
        if beta:
            if beta != self._average.beta:
                self._average, self._smooth = _Average(beta), _Extremes()
            at = None if steps is None else _seen(steps)
            source, extremes = self._average.extend(source, at), self._smooth
        extremes.extend(source)
        index = extremes.between(first, last)
        return _seen(xs)[index].astype(np.float64), source[index].astype(np.float64)


def _seen(values: array[float]) -> NDArray[np.floating]:
    return np.frombuffer(values, dtype=values.typecode)
