"""What a run's journal says, folded into series a screen or a table can use.

A `History` takes records as they come. A `Started` that goes on from step k takes back whatever
was said about later steps: that work was lost and is done again.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from talm_core.runtime.events import (
    ENDS,
    Checkpointed,
    Evaluated,
    Event,
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
)

METRICS = (
    "loss",
    "tokens",
    "loss_ema",
    "learning_rate",
    "grad_norm",
    "tokens_per_second",
    "elapsed",
    "mfu",
)
"""Series kept of every `Metrics`, beside `step`; NaN where a value is None."""


def fraction_trained(metrics: Metrics, planned: Planned | None) -> float:
    """How far a run is, 0 to 1: by its steps or by its time limit, whichever comes first."""
    fraction = metrics.step / metrics.max_steps if metrics.max_steps > 0 else 0.0
    minutes = planned.minutes if planned else None
    if minutes and math.isfinite(metrics.elapsed):
        fraction = max(fraction, metrics.elapsed / (60 * minutes))
    return min(1.0, fraction)


MOST = 1 << 19
"""Rows of a series at most: 23 MB with all columns of `METRICS`."""

_SINGLE = frozenset({"loss", "loss_ema", "learning_rate", "grad_norm", "tokens_per_second", "mfu"})
"""Columns that are only drawn and, rounded, read: single precision halves their memory."""

_NOTICES = 200
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
        steps = self.columns["step"]
        step: int = event.step  # type: ignore[attr-defined]
        if steps and steps[-1] >= step:
            self.drop_after(step - 1)
        if len(steps) >= self.most:
            self._thin()
        for name, column in self.columns.items():
            value = getattr(event, name)
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

    `progress` holds the newest `Progress` of each phase, `telemetry` the newest ten minutes,
    `end` the event that ended the job, None while it has not. However long the run, memory is
    bounded: series and samples become sparser.
    """

    metrics: Series = field(default_factory=lambda: Series.of(*METRICS))
    evaluations: Series = field(default_factory=lambda: Series.of("val_loss", "bits_per_byte"))
    samples: list[Sampled] = field(default_factory=list)
    checkpoints: list[Checkpointed] = field(default_factory=list)
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
    key: object = field(default_factory=object)
    characters: int = 0

    @classmethod
    def slim(cls, *names: str, most: int, judged: int | None = None) -> History:
        """One that keeps only these series of `METRICS`, each with at most `most` points, and at
        most `judged` evaluations (None: as many)."""
        return cls(
            metrics=Series.of(*names, most=most),
            evaluations=Series.of("val_loss", "bits_per_byte", most=judged or most),
        )

    def snapshot(self) -> History:
        """Its series as they are now, to be handed to another thread. With the same `key`: rows
        are those seen before, and more, as long as the series' versions are the same."""
        return History(
            metrics=self.metrics.copy(), evaluations=self.evaluations.copy(), key=self.key
        )

    def extend(self, records: Iterable[Record]) -> bool:
        """Take records in; returns whether there were any."""
        any_new = False
        for record in records:
            any_new = True
            self.last_time = record.time
            self._take(record)
        return any_new

    def _take(self, record: Record) -> None:
        event = record.event
        match event:
            case Started():
                self._start(record, event)
            case Metrics():
                self.metrics.append(event)
                self.last_metrics = event
                self.phase = "training"
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
        if event.resumed_from is None:
            self.planned = self.merged = self.stage = None

    def _drop_after(self, kept: int) -> None:
        self.metrics.drop_after(kept)
        self.evaluations.drop_after(kept)
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
    def summary(self) -> dict[str, Any]:
        """What the job's end summed up; empty while it has not finished."""
        return getattr(self.end, "summary", {})
