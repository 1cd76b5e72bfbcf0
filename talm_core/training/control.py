"""What a run says and what it hears, between two steps and in the middle of long ones.

Only the first of several processes is heard and spoken to; what it hears all do together.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from talm_core.errors import RunError
from talm_core.runtime.context import JobContext, StopRequested
from talm_core.runtime.control import stop_reason
from talm_core.runtime.event_json import decode_command, to_json
from talm_core.runtime.events import Checkpoint, Command, EvaluateEvery, Event, Notice, Sample, Stop
from talm_core.runtime.telemetry import telemetry
from talm_core.training import checkpoint
from talm_core.training.config import TrainingConfig
from talm_core.training.metrics import Heartbeat
from talm_core.training.throughput import Clock, Throughput
from talm_core.training.train_state import TrainState

if TYPE_CHECKING:
    from talm_core.training.distributed import World
    from talm_core.training.trainer import Trainer


@dataclass(frozen=True, slots=True)
class Synced:
    """What all processes know together: whether metrics are wanted and a checkpoint is, and the
    seconds of training so far."""

    metrics: bool
    save: bool
    elapsed: float


class RankSync:
    """What one process has heard, and what all are going to do."""

    def __init__(self, clock: Clock, world: World | None) -> None:
        """`world` is None until the processes have met."""
        self.world = world
        # All have agreed to stop, or this one is about to ask for it.
        self.ends = False
        self._clock = clock
        # Said to the first, and agreed by all to be done next.
        self._heard: list[Command] = []
        self._commands: list[Command] = []

    @property
    def is_single(self) -> bool:
        return self.world is None or self.world.is_single

    def hear(self, command: Command) -> None:
        """Take note of what was said to this process, until all agree next."""
        self._heard.append(command)

    def end(self) -> None:
        """Have all stop when they agree next."""
        self.ends = True

    def exchange(self, *, metrics: bool = False, save: bool = False) -> Synced:
        """Find out together what to do next. Every process comes here as often as the others;
        whatever the first says, and may be closed at, lies before an exchange."""
        if self.world is None or self.world.is_single:
            return Synced(metrics, save, self._clock.now())
        heard, self._heard = self._heard, []
        stop = stop_reason() is not None or any(isinstance(item, Stop) for item in heard)
        text = json.dumps([to_json(item) for item in heard]) if heard else ""
        elapsed = self._clock.now() if self.world.is_main else 0.0
        values = (stop or self.ends, len(text), metrics, save, elapsed)
        stops, length, metrics_, save_, elapsed = self.world.max(values)
        self.ends = bool(stops)
        if length:
            lines = json.loads(self.world.broadcast(text))
            self._commands += filter(None, map(decode_command, lines))
        return Synced(bool(metrics_), bool(save_), elapsed)

    def next(self) -> Command | None:
        """The next command that all have agreed to do; None when there is none, or the end."""
        return self._commands.pop(0) if self._commands and not self.ends else None

    def find(self, directory: Path) -> checkpoint.Found:
        """The newest valid checkpoint, as the first process finds it."""
        assert self.world is not None
        found = checkpoint.find(directory) if self.world.is_main else checkpoint.Found()
        return checkpoint.Found.from_json(directory, self.world.broadcast(found.to_json()))

    def lost(self, error: BaseException) -> RunError | None:
        """What an error means if it came because another process is gone; None if it did not."""
        return None if self.world is None else self.world.lost(error)

    def close(self, *, failed: bool) -> None:
        """Leave the others."""
        if self.world is not None:
            self.world.close(failed=failed)


class Control:
    """Says events and obeys what is answered. `on_due` does what is due at the run's step,
    `on_news` tells what came about beside the training; both are asked in the middle of it."""

    def __init__(
        self,
        context: JobContext,
        config: TrainingConfig,
        train_state: TrainState,
        sync: RankSync,
        throughput: Throughput,
    ) -> None:
        self.heartbeat = Heartbeat(throughput.clock)
        # Until there is a trainer, nothing can be done at once, and nothing comes about.
        self.trainer: Trainer | None = None
        self.on_due: Callable[[], None] = lambda: None
        self.on_news: Callable[[], None] = lambda: None
        self._context = context
        self._config = config
        self._train_state = train_state
        self._sync = sync
        self._throughput = throughput

    def say(self, event: Event) -> None:
        """Emit an event with the clock held, and do what is answered.

        Raises:
            StopRequested: it is Stop.
        """
        with self._throughput.waiting():
            self._context.emit(event)
            self.heartbeat.said()
            try:
                command = self._context.poll()
            except StopRequested as stop:
                if self._sync.is_single or not stop.heard:
                    raise
                command = Stop()
        if command is not None and self._sync.is_single:
            self._obey(command)
        elif command is not None:
            self._sync.hear(command)

    def stop_if_asked(self, why: str) -> None:
        """Where the run was to stop, it does, and says `why` it could not save.

        Raises:
            StopRequested: it was.
        """
        try:
            self._context.poll()
        except StopRequested:
            self._context.emit(Notice(message=why, level="error"))
            raise

    def listen(self) -> None:
        """Do what was said to the first of several processes, all together.

        Raises:
            StopRequested: they are to stop.
        """
        if self._sync.is_single:
            return
        self._sync.exchange()
        while (command := self._sync.next()) is not None:
            self._obey(command)
            self._sync.exchange()
        if self._sync.ends:
            raise StopRequested

    def sign_of_life(self, event: Event) -> None:
        """Say an event if the last was some time ago, and listen."""
        self.breathe(event)
        self.listen()

    def breathe(self, event: Event) -> None:
        """Say an event if the last was some time ago."""
        self.on_news()
        if self.heartbeat.look():
            held = self.trainer.memory() if self.trainer is not None else None
            self.say(telemetry(held=held))
        if self.heartbeat.silent:
            self.say(event)

    def _obey(self, command: Command) -> None:
        match command:
            case Stop():
                raise StopRequested
            case Checkpoint():
                self._at_once("save", "")
            case Sample():
                self._at_once("sample", command.prompt or self._config.sample_prompts[0])
            case EvaluateEvery():
                self._evaluate_every(command.steps)

    def _at_once(self, kind: str, prompt: str) -> None:
        # While something is due its turn comes after; before the first step there is nothing.
        waiting = bool(self._train_state.due)
        self._train_state.due.append((kind, prompt))
        if self.trainer is not None and not waiting:
            self.on_due()

    def _evaluate_every(self, steps: int) -> None:
        if steps < 0:
            message = f"cannot evaluate every {steps} steps: 0 or more"
            self.say(Notice(message=message, level="warning"))
            return
        self._train_state.eval_every = self._throughput.every["evaluate"] = steps
        when = f"every {steps:,} steps" if steps else "only at the end"
        self.say(Notice(message=f"evaluates {when} from now on"))
