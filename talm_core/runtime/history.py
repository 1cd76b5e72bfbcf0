"""What a run's journal says, folded into series a screen or a table can use.

A `History` takes records as they come. A `Started` that goes on from step k takes back whatever
was said about later steps: that work was lost and is done again.
"""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from talm_core.runtime.events import (
    ENDS,
    Checkpointed,
    Evaluated,
    Event,
    Measured,
    Merged,
    Metrics,
    Notice,
    Planned,
    Progress,
    Record,
    RolledBack,
    Sampled,
    Stage,
    Started,
    Telemetry,
    measured,
)

METRICS = (
    "loss",
    "tokens",
    "loss_ema",
    "learning_rate",
    "grad_norm",
    "tokens_per_second",
    "elapsed",
    "mfu_percent",
)
"""Series kept of every `Metrics`, beside `step`; NaN where a value is None."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a run is, and what ends it: its `max_steps`, or its time limit of `seconds` (None
    without one), of which `elapsed` are over."""

    step: int
    max_steps: int
    elapsed: float = 0.0
    seconds: float | None = None

    @classmethod
    def of(cls, metrics: Metrics, planned: Planned | None) -> Extent:
        """That of a run's newest metrics."""
        minutes = planned.minutes if planned else None
        seconds = 60 * minutes if minutes and math.isfinite(metrics.elapsed) else None
        return cls(metrics.step, metrics.max_steps, metrics.elapsed, seconds)

    @property
    def fraction(self) -> float:
        """0 to 1: by steps or by time, whichever is further."""
        return min(1.0, max(self._of_steps, self._of_time))

    @property
    def by_time(self) -> bool:
        """Whether it is the time limit that ends it, as far as can be told now: more of the time
        is over than of the steps."""
        return self._of_time > self._of_steps

    @property
    def _of_steps(self) -> float:
        return self.step / self.max_steps if self.max_steps > 0 else 0.0

    @property
    def _of_time(self) -> float:
        return self.elapsed / self.seconds if self.seconds else 0.0


def fraction_trained(metrics: Metrics, planned: Planned | None) -> float:
    """How far a run is, 0 to 1: by its steps or by its time limit, whichever comes first."""
    return Extent.of(metrics, planned).fraction


MOST = 1 << 19
"""Rows of a series at most: 23 MB with all columns of `METRICS`."""

_SINGLE = frozenset(
    {"loss", "loss_ema", "learning_rate", "grad_norm", "tokens_per_second", "mfu_percent"}
)
"""Columns that are only drawn and, rounded, read: single precision halves their memory."""

_SAID = 1000
_UNTOLD = (Telemetry, Merged)
"""Events of which a log tells nothing."""
_NOTICES = 200
_MOST_CURVES = 64
_TELEMETRY = 600
_SAMPLES = 4000
_CHARACTERS = 16 << 20  # of all samples
_PROMPTS = 100  # at one step
_CHECKPOINTS = 4000
_PHASES = 100
_MOST_SAID = 10_000


@dataclass
class Series:
    """Columns of equal length, at most `most` rows; `step` rises strictly.

    Where there would be more rows, every four that lie close together become the two in which
    `key`, the first column after the step, is least and greatest: what a chart shows of them stays.
    `version` rises whenever rows change that were there before.
    """

    columns: dict[str, array[float]]
    most: int = MOST
    key: str = ""
    version: int = 0

    @classmethod
    def of(cls, *names: str, most: int = MOST) -> Series:
        """Empty columns for `step` and `names`; the first of these is the key."""
        columns = {name: array("f" if name in _SINGLE else "d") for name in ("step", *names)}
        return cls(columns, most, names[0])

    def __len__(self) -> int:
        return len(self.columns["step"])

    def __getitem__(self, name: str) -> array[float]:
        return self.columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def append(self, event: Event) -> None:
        """Add an event's values. A step that is there already is replaced, never doubled."""
        self.add({name: getattr(event, name) for name in self.columns})

    def add(self, row: Mapping[str, float | None]) -> None:
        """Add a row, with a value for every column."""
        steps, step = self.columns["step"], int(row["step"] or 0)
        if steps and steps[-1] >= step:
            self.drop_after(step - 1)
        if len(steps) >= self.most:
            self._thin()
        for name, column in self.columns.items():
            value = row[name]
            column.append(math.nan if value is None else value)

    def drop_after(self, step: int) -> None:
        """Remove every row beyond `step`."""
        steps = self.columns["step"]
        end = len(steps)
        while end and steps[end - 1] > step:
            end -= 1
        if end < len(steps):
            self.version += 1
            for column in self.columns.values():
                del column[end:]

    def copy(self) -> Series:
        """The same rows, which grow no more with these."""
        columns = {name: column[:] for name, column in self.columns.items()}
        return Series(columns, self.most, self.key, self.version)

    def _thin(self) -> None:
        self.version += 1
        key, steps = self.columns[self.key], self.columns["step"]
        # Twice the mean: at least every second four is narrower, and what is sparse already, the
        # beginning of a long run, becomes no sparser than the rest.
        wide = 8 * (steps[-1] - steps[0]) / len(steps)
        kept: list[int] = []
        for start in range(0, len(key) - 3, 4):
            four = range(start, start + 4)
            if steps[min(start + 4, len(steps) - 1)] - steps[start] > wide:
                kept += four
                continue
            # A value that is no number is a gap, and as telling as an extreme.
            odd = [index for index in four if not math.isfinite(key[index])]
            numbers = [index for index in four if index not in odd] or [*four]
            low, high = (pick(numbers, key=key.__getitem__) for pick in (min, max))
            two = {odd[0], low} if odd else {low, high}
            kept += sorted(two if len(two) == 2 else {start, start + 3})
        kept += range(len(key) // 4 * 4, len(key))
        for name, column in self.columns.items():
            self.columns[name] = array(column.typecode, map(column.__getitem__, kept))


def _characters(sample: Sampled) -> int:
    return len(sample.prompt) + len(sample.text)


@dataclass
class History:
    """Everything a journal has said so far, in the shape screens need it.

    `measured` has a series for each name of `Measured`, with the seconds since the job began.
    `said` are the newest records worth a line of a log, of each phase the last `Progress`.
    `progress` holds the newest `Progress` of each phase, `telemetry` the newest ten minutes,
    `end` the event that ended the job, None while it has not. However long the run, memory is
    bounded: series and samples become sparser.
    """

    metrics: Series = field(default_factory=lambda: Series.of(*METRICS))
    evaluations: Series = field(default_factory=lambda: Series.of("val_loss", "bits_per_byte"))
    measured: dict[str, Series] = field(default_factory=dict)
    samples: list[Sampled] = field(default_factory=list)
    checkpoints: list[Checkpointed] = field(default_factory=list)
    said: deque[Record] = field(default_factory=lambda: deque(maxlen=_SAID))
    notices: list[Record] = field(default_factory=list)
    telemetry: list[Record] = field(default_factory=list)
    progress: dict[str, Progress] = field(default_factory=dict)
    phase: str = ""
    started: Record | None = None
    planned: Planned | None = None
    last_metrics: Metrics | None = None
    last_evaluated: Evaluated | None = None
    merged: Merged | None = None
    stage: Stage | None = None
    end: Event | None = None
    last_time: float = 0.0
    began: float = 0.0
    most: int = MOST
    key: object = field(default_factory=object)
    characters: int = 0

    @classmethod
    def slim(cls, *names: str, most: int, judged: int | None = None) -> History:
        """One that keeps only these series of `METRICS`, each with at most `most` points, and at
        most `judged` evaluations (None: as many)."""
        return cls(
            most=most,
            metrics=Series.of(*names, most=most),
            evaluations=Series.of("val_loss", "bits_per_byte", most=judged or most),
            said=deque(maxlen=0),
        )

    def snapshot(self) -> History:
        """Its series as they are now, to be handed to another thread. With the same `key`: rows
        are those seen before, and more, as long as the series' versions are the same."""
        return History(
            metrics=self.metrics.copy(),
            evaluations=self.evaluations.copy(),
            measured={name: series.copy() for name, series in self.measured.items()},
            key=self.key,
        )

    def extend(self, records: Iterable[Record]) -> bool:
        """Take records in; returns whether there were any."""
        any_new = False
        for record in records:
            any_new = True
            self.last_time = record.time
            self._take(record)
            if self.said.maxlen:
                self._say(record)
        return any_new

    def _say(self, record: Record) -> None:
        event = record.event
        if isinstance(event, _UNTOLD):
            return
        if isinstance(event, Progress):
            before = self.said[-1].event if self.said else None
            if isinstance(before, Progress) and before.phase == event.phase:
                self.said.pop()
        self.said.append(record)

    def _take(self, record: Record) -> None:
        event = record.event
        match event:
            case Started():
                self._start(record, event)
            case Metrics():
                self.metrics.append(event)
                self.last_metrics = event
                self.phase = "training"
            case Measured():
                self._measure(record.time, event)
            case Evaluated():
                self.evaluations.append(event)
                self.last_evaluated = event
            case Sampled():
                self._take_sample(event)
            case Checkpointed():
                self.checkpoints.append(event)
                del self.checkpoints[:-_CHECKPOINTS]
            case Telemetry():
                self.telemetry.append(record)
                del self.telemetry[:-_TELEMETRY]
            case RolledBack():
                self._drop_after(event.step)
            case _ if isinstance(event, ENDS):
                self.end = event
            case _:
                self._take_phase(record)

    def _measure(self, time: float, event: Measured) -> None:
        for name, value in measured(event):
            if name in self.measured or len(self.measured) < _MOST_CURVES:
                series = self.measured.setdefault(name, Series.of("value", "time", most=self.most))
                series.add({"step": event.step, "value": value, "time": time - self.began})

    def _take_sample(self, event: Sampled) -> None:
        # One that was cut off is taken again after a resume.
        said = (event.step, event.prompt)
        newest = [s for s in self.samples[-_PROMPTS:] if (s.step, s.prompt) != said]
        self.samples[-_PROMPTS:] = [*newest, event]
        self.characters += _characters(event)
        while len(self.samples) > _SAMPLES or (
            self.characters > _CHARACTERS and len(self.samples) > 2
        ):
            # The first and the newest stay, of the older ones every second.
            del self.samples[1 : max(2, len(self.samples) // 2) : 2]
            self.characters = sum(map(_characters, self.samples))

    def _take_phase(self, record: Record) -> None:
        match event := record.event:
            case Progress():
                if event.phase not in self.progress and len(self.progress) >= _PHASES:
                    self.progress.clear()
                self.progress[event.phase] = event
                self.phase = event.phase
            case Planned():
                self.planned = event
            case Merged():
                self.merged = event
            case Stage():
                self.stage = event
                self.progress.clear()
            case Notice():
                if len(event.message) > _MOST_SAID:
                    event = replace(event, message=event.message[:_MOST_SAID])
                    record = replace(record, event=event)
                self.notices.append(record)
                del self.notices[:-_NOTICES]

    def _start(self, record: Record, event: Started) -> None:
        self.started, self.end = record, None
        self.progress.clear()
        self._drop_after(-1 if event.resumed_from is None else event.resumed_from)
        if event.resumed_from is None or not self.began:
            self.began = record.time
        if event.resumed_from is None:
            self.planned = self.merged = self.stage = None

    def _drop_after(self, kept: int) -> None:
        self.metrics.drop_after(kept)
        self.evaluations.drop_after(kept)
        for series in self.measured.values():
            series.drop_after(kept)
        self.samples = [sample for sample in self.samples if sample.step <= kept]
        self.checkpoints = [item for item in self.checkpoints if item.step <= kept]
        if self.last_metrics and self.last_metrics.step > kept:
            self.last_metrics = None
        if self.last_evaluated and self.last_evaluated.step > kept:
            self.last_evaluated = None

    @property
    def step(self) -> int:
        """The newest step a metric was said of."""
        return int(self.metrics["step"][-1]) if len(self.metrics) else 0

    @property
    def extent(self) -> Extent | None:
        """How far a run is; None before its first metrics."""
        return None if self.last_metrics is None else Extent.of(self.last_metrics, self.planned)

    @property
    def summary(self) -> dict[str, Any]:
        """What the job's end summed up; empty while it has not finished."""
        return getattr(self.end, "summary", {})
