"""What a list shows about an artifact, read from its small files and its journal.

Cheap enough to be asked about hundreds of artifacts again and again: a journal is skimmed once
(`talm_core.runtime.skimming`), then only what is new. An `Overview` is a snapshot of plain values:
it can be handed to another thread while the next one is being read.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talm_core.errors import InputError
from talm_core.jobs.registry import artifact_kinds, spec_of
from talm_core.runtime import journal
from talm_core.runtime.events import Evaluated, Event, Failed, Merged, Metrics, Progress, Stage
from talm_core.runtime.history import MOST, Extent, History
from talm_core.runtime.runner import CONFIG_FILE, Status, read_config, status
from talm_core.runtime.skimming import JournalSkimmer
from talm_core.settings.schema import JobConfig
from talm_core.storage import artifact_files
from talm_core.storage.workspace import Artifact, Workspace

SPARK_POINTS = 40
# Enough for the spark to be that of all steps; some more are kept than asked for.
_POINTS = 4 * SPARK_POINTS
_KEPT_POINTS = 512
_MOST = 1e18


@dataclass(frozen=True)
class Overview:
    """An artifact at a moment.

    `fraction` is how far its job is, 0 to 1, None where that cannot be known; `eta` seconds left;
    `spark` up to forty values of the smoothed loss, oldest first; `updated` when it last said
    something (seconds since the epoch, 0: never); `message` why it failed or
    what is damaged; `summary` what its
    `Finished` summed up; `stage` the part a quick start is at; `phases` the newest progress of
    every phase so far, in their order; `merged` the newest merges of a tokenizer;
    `extent` how far a run is, and whether steps or time end it.
    """

    artifact: Artifact
    status: Status
    config: JobConfig | None = None
    fraction: float | None = None
    eta: float | None = None
    phase: str = ""
    progress: Progress | None = None
    metrics: Metrics | None = None
    val_loss: float | None = None
    bits_per_byte: float | None = None
    spark: tuple[float, ...] = ()
    updated: float = 0.0
    message: str = ""
    summary: Mapping[str, Any] = field(default_factory=dict)
    stage: Stage | None = None
    phases: tuple[Progress, ...] = ()
    merged: Merged | None = None
    extent: Extent | None = None

    @property
    def name(self) -> str:
        return self.artifact.name


def _history(whole: Collection[type[Event]] = ()) -> History:
    """What a list needs of a run, however long it is: hundreds of them are kept at once."""
    judged = MOST if Evaluated in whole else _KEPT_POINTS
    return History.slim("loss_ema", most=_KEPT_POINTS, judged=judged)


@dataclass
class _Watched:
    reader: JournalSkimmer
    history: History = field(default_factory=_history)
    config: JobConfig | None = None
    config_stamp: tuple[int, int] | None = None
    config_fault: str = ""
    overview: Overview | None = None

    def reread_config(self, artifact: Artifact) -> bool:
        """Read the config if its file is another than before; returns whether it was."""
        try:
            stat = (artifact.directory / CONFIG_FILE).lstat()
        except OSError:
            return False
        stamp = (stat.st_ino, stat.st_mtime_ns)
        if stamp == self.config_stamp:
            return False
        self.config_stamp = stamp
        self.config_fault = ""
        try:
            self.config = read_config(artifact.directory)
        except InputError as error:
            # Where it is TOML, another version wrote it: its journal can be listed all the same.
            problem = error.problems[0]
            if problem.key == str(artifact.directory / CONFIG_FILE):
                self.config_fault = f"{CONFIG_FILE} {problem.message}"
        return True

    def fault(self, directory: Path) -> str:
        """What is damaged; empty where nothing is."""
        wrong = artifact_files.damage(directory) or self.config_fault or self.reader.fault
        return wrong or _unsound(self.history.summary)


class Overviews:
    """Overviews of a workspace that remember what they have read. For one thread at a time."""

    def __init__(self, workspace: Workspace, *, whole: Collection[type[Event]] = ()) -> None:
        """Of the kinds of events that are wanted `whole` every one is read (`history`)."""
        self.workspace = workspace
        self._whole = whole
        self._watched: dict[Artifact, _Watched] = {}

    def of(self, artifact: Artifact) -> Overview:
        """The overview of one artifact; the same object again while nothing has changed. One that
        cannot be read is damaged, says why, and holds up no other."""
        try:
            return self._of(artifact)
        except Exception as error:  # noqa: BLE001
            # Of a directory that came from anywhere not every fault can be foreseen.
            why = f"cannot be read: {type(error).__name__}: {error}"
            damaged = Overview(artifact, Status.DAMAGED, message=why)
            known = self._watched.get(artifact)
            if known is not None and known.overview == damaged:
                return known.overview
            if known is not None:
                known.overview = damaged
            return damaged

    def _of(self, artifact: Artifact) -> Overview:
        watched = self._watched.get(artifact)
        if watched is None:
            reader = JournalSkimmer(artifact.directory, _POINTS, whole=self._whole)
            watched = self._watched[artifact] = _Watched(reader, _history(self._whole))
        # Before the journal is read, so that a status is never newer than what it is shown with.
        state = status(artifact.directory)
        changed = False
        while watched.history.extend(watched.reader.read_new()):
            changed = True
        changed = watched.reread_config(artifact) or changed
        fault = "" if state.active else watched.fault(artifact.directory)
        if fault:
            state = Status.DAMAGED
        if changed or watched.overview is None or watched.overview.status is not state:
            watched.overview = _look(artifact, state, watched, fault)
        return watched.overview

    def history(self, artifact: Artifact) -> History:
        """What was read for the artifact's overview."""
        known = self._watched.get(artifact)
        return known.history if known is not None else _history()

    def forget(self, artifact: Artifact) -> None:
        """Read an artifact anew the next time: it was deleted, or another took its place."""
        self._watched.pop(artifact, None)

    def all(self, kind: str) -> list[Overview]:
        """Overviews of all artifacts of a kind, the last to say something first."""
        found = [self.of(artifact) for artifact in self.workspace.artifacts(kind)]
        return sorted(found, key=lambda overview: (-overview.updated, overview.name))

    def active(self) -> list[Overview]:
        """Every job that is running or paused, from whatever terminal; a quick start is stood
        for by the stage it is at."""
        found = [overview for kind in reversed(artifact_kinds()) for overview in self.all(kind)]
        running = [overview for overview in found if overview.status.active]
        stages = [item for item in running if not spec_of(item.artifact.kind).delegates]
        return stages or running


_COUNTS = frozenset(
    {
        *("tokens", "train_tokens", "val_tokens", "documents", "bytes", "bytes_per_token"),
        *("shards", "vocab_size", "n_vocab", "parameters"),
    }
)


def _unsound(summary: Mapping[str, Any]) -> str:
    """What of a summary is not what lists reckon with; it is data that came from anywhere."""
    for key, value in summary.items():
        odd = isinstance(value, bool) or not isinstance(value, int | float | None)
        if key in _COUNTS and (odd or (value is not None and not abs(value) < _MOST)):
            return f"{journal.FILE_NAME} says {key} = {str(value)[:40]!r}"
    return ""


def _look(artifact: Artifact, state: Status, watched: _Watched, fault: str) -> Overview:
    history = watched.history
    metrics, evaluated = history.last_metrics, history.last_evaluated
    progress = history.progress.get(history.phase)
    fraction, eta = None, None
    if metrics is not None and metrics.max_steps > 0:
        fraction, eta = Extent.of(metrics, history.planned).fraction, metrics.eta
    elif progress is not None:
        fraction = progress.done / progress.total if progress.total > 0 else None
        eta = progress.eta
    if state is Status.DONE:
        fraction, eta = 1.0, None
    return Overview(
        artifact=artifact,
        status=state,
        config=watched.config,
        fraction=None if fraction is None else min(1.0, max(0.0, fraction)),
        # Of one that is paused nobody knows when it is going to end.
        eta=eta if state is Status.RUNNING and eta is not None and math.isfinite(eta) else None,
        phase=history.phase,
        progress=progress,
        metrics=metrics,
        val_loss=evaluated.val_loss if evaluated else None,
        bits_per_byte=evaluated.bits_per_byte if evaluated else None,
        spark=_spark(history),
        updated=history.last_time,
        message=fault or (history.end.message if isinstance(history.end, Failed) else ""),
        summary={} if fault else history.summary,
        stage=history.stage,
        phases=tuple(history.progress.values()),
        merged=history.merged,
        extent=history.extent,
    )


def _spark(history: History) -> tuple[float, ...]:
    """Losses at steps that lie evenly between the first and the last."""
    steps, losses = history.metrics["step"], history.metrics["loss_ema"]
    if len(losses) <= SPARK_POINTS:
        return tuple(losses)
    first, last = steps[0], steps[-1]
    wanted = (first + (last - first) * i / (SPARK_POINTS - 1) for i in range(SPARK_POINTS))
    return tuple(losses[min(len(losses) - 1, bisect_left(steps, step))] for step in wanted)
