"""What the big chart of a run can show: which quantities there are, and their curves."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from talm_core.runtime.history import History
from talm_core.storage.workspace import Artifact
from talm_core.system.foreign_text import line
from talm_tui.charts.ink import LETTERS, SERIES
from talm_tui.charts.plot import Curve

if TYPE_CHECKING:
    from talm_tui.charts.series import Trace


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something measured: a series of `Metrics`, one of `Evaluated` (`mark`), or both of the same
    kind in one chart; a name of `Measured` (`own`). `smooth` says whether a moving average of it
    makes sense."""

    name: str
    title: str
    column: str = ""
    mark: str = ""
    smooth: bool = True
    own: str = ""

    def known(self, history: History) -> bool:
        """Whether a run has said anything of it."""
        if self.own:
            return self.own in history.measured
        series, name = (
            (history.metrics, self.column) if self.column else (history.evaluations, self.mark)
        )
        return len(series) > 0 and math.isfinite(series[name][-1])


LOSS = Quantity("loss", "loss (nats/token)", "loss", "val_loss")
QUANTITIES = (
    LOSS,
    Quantity("validation", "validation loss (nats/token)", mark="val_loss"),
    Quantity("bits/byte", "validation loss (bits/byte)", mark="bits_per_byte"),
    Quantity("lr", "learning rate", "learning_rate", smooth=False),
    Quantity("grad norm", "gradient norm before clipping", "grad_norm"),
    Quantity("tokens/s", "tokens a second", "tokens_per_second"),
    Quantity("MFU %", "model FLOPs utilisation (% of the peak)", "mfu_percent"),
)


def quantities(history: History) -> list[Quantity]:
    """What a run has said something of: training's own first, then whatever else it measures;
    the loss where that is nothing."""
    own = [Quantity(line(name)[:40], line(name)[:80], own=name) for name in history.measured]
    trains = len(history.metrics) > 0 or not own
    return [q for q in (*QUANTITIES, *own) if q.known(history) or (q is LOSS and trains)]


OVERLAID = ("loss", "tokens", "elapsed", *(q.column for q in QUANTITIES[3:]))
"""The series an overlaid run is read for."""


@dataclass(frozen=True, slots=True)
class Overlaid:
    """Another run in the same chart, by its letter."""

    artifact: Artifact
    letter: str
    history: History

    @property
    def name(self) -> str:
        """What it is called."""
        return self.artifact.name

    @property
    def ink(self) -> str:
        """The colour that goes with the letter; the first two are those of the chart's own run and
        its validation."""
        return SERIES[2 + LETTERS.index(self.letter) % (len(SERIES) - 2)]


class Curves:
    """Makes the curves of runs; keeps what has been worked out of long ones between redraws."""

    def __init__(self) -> None:
        self._traces: dict[tuple[str, str], Trace] = {}

    def of(
        self, name: str, history: History, quantity: Quantity, others: Sequence[Overlaid] = ()
    ) -> list[Curve]:
        """The curves of a run, then those of others."""
        curves = self._run(history, quantity, "", "", "" if not others else name)
        for other in others:
            curves += self._run(other.history, quantity, other.letter, other.ink, other.name)
        used = {(key, quantity.name) for key in ("", *(other.letter for other in others))}
        self._traces = {key: trace for key, trace in self._traces.items() if key in used}
        return curves

    def _run(
        self, history: History, quantity: Quantity, letter: str, ink: str, name: str
    ) -> list[Curve]:
        curves: list[Curve] = []
        if quantity.own:
            return self._own(history, quantity, letter, ink, name)
        marks = _marks(history)
        if quantity.column:
            metrics = history.metrics
            xs = {"step": metrics["step"], "tokens": metrics["tokens"], "time": metrics["elapsed"]}
            label, values = name or quantity.name, metrics[quantity.column]
            trace = self._trace(letter, quantity, history)
            curves.append(Curve(label, xs, values, "", letter, ink, quantity.smooth, trace))
        if quantity.mark:
            values = history.evaluations[quantity.mark]
            if not quantity.column:
                label = name or quantity.name
                curves.append(Curve(label, marks, values, "", letter, ink, smooth=False))
            glyph = "◇" if letter else "◆"
            curves.append(Curve("validation", marks, values, glyph, letter, ink))
        return curves

    def _own(
        self, history: History, quantity: Quantity, letter: str, ink: str, name: str
    ) -> list[Curve]:
        series = history.measured.get(quantity.own)
        if series is None:
            return []
        xs = {"step": series["step"], "tokens": series["step"], "time": series["time"]}
        return [Curve(name or quantity.name, xs, series["value"], "", letter, ink, quantity.smooth)]

    def _trace(self, letter: str, quantity: Quantity, history: History) -> Trace:
        from talm_tui.charts.series import Trace

        trace = self._traces.setdefault((letter, quantity.name), Trace())
        return trace.keep((history.key, history.metrics.version))


def _marks(history: History) -> dict[str, array[float]]:
    """The x of every evaluation, on each axis. An evaluation says its step only: the rest is
    looked up where training was then."""
    steps, metrics = history.evaluations["step"], history.metrics
    known = metrics["step"]
    places = [bisect_right(known, step) - 1 for step in steps]
    marks = {"step": steps}
    for axis, name in (("tokens", "tokens"), ("time", "elapsed")):
        column = metrics[name]
        marks[axis] = array("d", (column[i] if i >= 0 else 0.0 for i in places))
    return marks
