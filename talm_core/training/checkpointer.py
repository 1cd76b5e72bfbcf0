"""Checkpoints written beside the training.

The loop hands over a copy of everything at a step and goes on; a thread writes the copy and
publishes it. One is in flight at most. What the thread runs into is raised where the loop asks
for the result, and nothing counts as saved before it lies on the disk under its name.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talm_core.errors import ArtifactError, RunError
from talm_core.runtime.events import Checkpointed, Notice, Progress
from talm_core.tokenizer.vocabulary import Vocabulary
from talm_core.training import checkpoint
from talm_core.training.config import TrainingConfig
from talm_core.training.control import Control, RankSync
from talm_core.training.metrics import OFTEN
from talm_core.training.throughput import Throughput
from talm_core.training.train_state import TrainState

if TYPE_CHECKING:
    from talm_core.training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class _Flight:
    step: int
    began: float
    written: Future[Path]


class CheckpointWriter:
    """Writes the checkpoints of one run. Only the run's own thread may call it."""

    def __init__(
        self,
        directory: Path,
        *,
        keep: int,
        expected_bytes: int,
        level: int = 0,
        active: bool = True,
    ) -> None:
        """The `keep` newest stay, and that of the step `level`. One that is not `active` takes
        note of what is saved and writes nothing."""
        self._active = active
        self._directory = directory
        self._keep = keep
        self._level = level
        self._bytes = expected_bytes
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        # Begun now: when memory has run out, there is none for a new thread either.
        self._writer.submit(int)
        self._flight: _Flight | None = None
        self._amendment: dict[str, Any] = {}
        # What stood in the way of removing old ones, in the writer's words.
        self.troubles: list[str] = []
        # The newest that is there or on its way; 0: none.
        self.step = 0
        self.newest: Checkpointed | None = None
        self._found = False

    def has(self, step: int, path: Path) -> None:
        """Take note of a checkpoint that was there before."""
        self.step, self.newest, self._found = step, checkpointed(path, step), True

    @property
    def busy(self) -> bool:
        """Whether one is being written."""
        return self._flight is not None and not self._flight.written.done()

    def require_space(self) -> None:
        """Check the disk before anything is copied.

        Raises:
            RunError: the next checkpoint does not fit.
        """
        if self._active:
            checkpoint.require_space(self._directory, self._bytes)

    def write(self, step: int, fill: Callable[[Path], None], state: dict[str, Any]) -> None:
        """Have a checkpoint written; the one before must have been collected. `fill` runs in
        another thread and must own what it writes."""
        assert self._active
        assert self._flight is None
        written = self._writer.submit(
            checkpoint.write,
            self._directory,
            step,
            fill,
            state,
            keep=self._keep,
            expected_bytes=self._bytes,
            level=self._level,
            told=self.troubles.append,
        )
        self._flight = _Flight(step, time.monotonic(), written)
        self._found = False
        self._amendment = {}
        self.step = step

    def prune(self) -> None:
        """Remove what is not to be kept beside the newest, where that was there before: who wrote
        it may have been ended in between."""
        if self._active and self._found and self.newest is not None:
            checkpoint.prune(
                self._directory,
                self.newest.step,
                keep=self._keep,
                level=self._level,
                told=self.troubles.append,
            )

    def amend(self, step: int, state: dict[str, Any]) -> None:
        """Change the state of the newest checkpoint, now or as soon as it is there; another
        `step` than its own changes nothing.

        Raises:
            RunError: it cannot be written.
        """
        if step != self.step or not self._active:
            return
        if self._flight is not None:
            self._amendment = state
        elif self.newest is not None and self.newest.step == step:
            checkpoint.amend(self._directory / self.newest.directory, state)

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the one in flight is done, at most so long."""
        if self._flight is not None:
            wait([self._flight.written], seconds)

    def collect(self) -> Checkpointed | None:
        """What was published since the last call.

        Raises:
            RunError: it could not be written; those before are as they were.
        """
        if self._flight is None or self.busy:
            return None
        flight, self._flight = self._flight, None
        try:
            path = flight.written.result()
        except BaseException:
            self.step = self.newest.step if self.newest else 0
            raise
        try:
            self.newest = checkpointed(path, flight.step, time.monotonic() - flight.began)
        except OSError as error:
            self.step = self.newest.step if self.newest else 0
            raise RunError(f"{path.name} was written and is gone: {error.strerror}") from None
        if self._amendment:
            checkpoint.amend(path, self._amendment)
        return self.newest

    def close(self) -> None:
        """Let the one in flight be finished and end the thread."""
        self._writer.shutdown()


def checkpointed(path: Path, step: int, seconds: float = 0.0) -> Checkpointed:
    """The event of a checkpoint that lies in `path`."""
    size = sum(file.stat().st_size for file in path.iterdir())
    return Checkpointed(step=step, directory=path.name, bytes=size, seconds=seconds)


@dataclass(slots=True)
class Checkpointer:
    """Hands a run's state to the writer, and says what became of it."""

    config: TrainingConfig
    vocabulary: Vocabulary
    trainer: Trainer
    writer: CheckpointWriter
    train_state: TrainState
    sync: RankSync
    throughput: Throughput
    control: Control
    # The config as it is kept in a checkpoint.
    toml: str
    _saved_at: float = field(default_factory=time.monotonic)
    _troubles: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Count the minutes between two checkpoints from here."""
        self._saved_at = time.monotonic()

    @property
    def is_time(self) -> bool:
        """Whether the minutes between two checkpoints are over."""
        minutes = self.config.checkpoint_minutes
        return minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes

    def save(self) -> None:
        """Copy everything and let it be written, unless this step is saved already.

        Raises:
            RunError: there is no room for it.
        """
        trainer, writer = self.trainer, self.writer
        self.begin()
        full = None
        try:
            writer.require_space()
        except RunError as error:
            full = error
        save = writer.step != trainer.step and full is None and trainer.world.is_main
        if not self.sync.exchange(save=save).save:
            if full is not None:
                raise full
            writer.amend(trainer.step, self.progress)
            return
        with self.throughput.costing("checkpoint"):
            snapshot = trainer.snapshot(self.vocabulary)
            if snapshot is None:
                writer.step = trainer.step
            else:
                writer.write(trainer.step, snapshot.write, self._state)

    def checkpoint(self, *, at_once: bool) -> None:
        """Have a checkpoint written; `at_once` waits until it is there and says so in any case."""
        newest = self.writer.newest
        try:
            self.finish_writing()
            self.control.listen()
            self.save()
        except RunError as error:
            self._not_saved(error)
            return
        if at_once:
            self.finish_writing()
            if self.writer.newest is not None and self.writer.newest is newest:
                self.control.say(newest)

    def finish_writing(self) -> None:
        """Wait for the checkpoint that is being written, if there is one."""
        with self.throughput.costing("checkpoint"):
            while self.writer.busy:
                self.writer.wait(OFTEN)
                self.control.breathe(Progress(phase="saving", done=0))
        self.report_written()

    def report_written(self) -> None:
        """Say what was written meanwhile."""
        try:
            event = self.writer.collect()
        except (RunError, ArtifactError) as error:
            self._not_saved(error)
            return
        finally:
            self._tell_troubles()
        if event is not None:
            self.control.say(event)

    def prune(self) -> None:
        """Remove what is not to be kept and is still there, at the end of a run."""
        self.writer.prune()
        self._tell_troubles()

    def _tell_troubles(self) -> None:
        """Say what stood in the way of removing old checkpoints: each once, training goes on."""
        while self.writer.troubles:
            message = self.writer.troubles.pop(0)
            if message not in self._troubles:
                self._troubles.add(message)
                self.control.say(Notice(message=message, level="warning"))

    def report_last(self) -> None:
        """Wait for what is being written and say that it is there."""
        self.writer.wait()
        self.report_written()

    def amend(self, state: dict[str, Any]) -> None:
        """Add what was found out at this step to its checkpoint, if it has one."""
        try:
            self.writer.amend(self.trainer.step, state)
        except (RunError, ArtifactError) as error:
            self._not_saved(error)

    def save_silently(self) -> None:
        """Save without a word: nobody listens any more."""
        # Where the others wait next, they hear that this is the end.
        self.sync.end()
        self.sync.exchange()
        # Two waits: for what is in flight, and for what could not be saved while it was.
        self.writer.wait()
        with contextlib.suppress(RunError):
            self.writer.collect()
        self.save()
        self.writer.wait()
        self.writer.collect()

    def _not_saved(self, error: RunError | ArtifactError) -> None:
        if self.train_state.over:
            raise error
        # Training can go on; perhaps there is room again next time.
        self.control.say(Notice(message=str(error), level="error"))

    @property
    def progress(self) -> dict[str, Any]:
        """What may still change after the checkpoint of a step was written."""
        return self.train_state.progress | {
            "elapsed": self.throughput.clock.now(),
            "eval_every": [self.config.eval_every, self.train_state.eval_every],
        }

    @property
    def _state(self) -> dict[str, Any]:
        return (
            self.trainer.state
            | self.progress
            | {
                "rate": self.train_state.rate,
                "rollbacks": self.train_state.rollbacks,
                "ranks": self.trainer.world.size,
                "machine": asdict(self.trainer.machine),
                "config": self.toml,
            }
        )
