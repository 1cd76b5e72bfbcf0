"""What a run says and what it hears, between two steps and in the middle of long ones.

Only the first of several processes is heard and spoken to; what it hears all do together.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, TypeVar

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime.events import Checkpoint, Command, EvaluateEvery, Event, Notice, Sample, Stop
from talm_core.runtime.telemetry import telemetry
from talm_core.training.agreement import Agreement
from talm_core.training.pace import Pace
from talm_core.training.signs import Signs
from talm_core.training.standing import Standing, prompts_of

if TYPE_CHECKING:
    from talm_core.training.trainer import Trainer

T = TypeVar("T")
Talk = Generator[Event, Command | None, None]


class StopError(Exception):
    """Somebody said Stop."""


class Conversation:
    """Yields events and obeys what is answered. `settle` does what is due in the run's standing,
    `news` tells what came about beside the training; both are asked in the middle of it."""

    def __init__(
        self,
        config: PretrainConfig,
        standing: Standing,
        agreement: Agreement,
        pace: Pace,
        *,
        settle: Callable[[], Talk],
        news: Callable[[], Talk],
    ) -> None:
        self.signs = Signs(pace.clock)
        # None before it is there: until then nothing can be done at once.
        self.trainer: Trainer | None = None
        self._config = config
        self._standing = standing
        self._agreement = agreement
        self._pace = pace
        self._settle = settle
        self._news = news

    def say(self, event: Event) -> Talk:
        """Yield an event with the clock held, and do what is answered.

        Raises:
            StopError: it is Stop.
        """
        with self._pace.waiting():
            command = yield event
            self.signs.said()
        if command is not None and self._agreement.alone:
            yield from self._obey(command)
        elif command is not None:
            self._agreement.hear(command)

    def relay(self, telling: Generator[Event, None, T]) -> Generator[Event, Command | None, T]:
        """Say all that is yielded; returns what is returned."""
        while True:
            try:
                event = next(telling)
            except StopIteration as end:
                result: T = end.value
                return result
            yield from self.say(event)

    def listen(self) -> Talk:
        """Do what was said to the first of several processes, all together.

        Raises:
            StopError: they are to stop.
        """
        if self._agreement.alone:
            return
        self._agreement.reach()
        while (command := self._agreement.next()) is not None:
            yield from self._obey(command)
            self._agreement.reach()
        if self._agreement.ends:
            raise StopError

    def sign_of_life(self, event: Event) -> Talk:
        """Yield an event if the last was some time ago, and listen."""
        yield from self.breathe(event)
        yield from self.listen()

    def breathe(self, event: Event) -> Talk:
        """Yield an event if the last was some time ago."""
        yield from self._news()
        if self.signs.look():
            held = self.trainer.memory() if self.trainer is not None else None
            yield from self.say(telemetry(held=held))
        if self.signs.silent:
            yield from self.say(event)

    def _obey(self, command: Command) -> Talk:
        match command:
            case Stop():
                raise StopError
            case Checkpoint():
                yield from self._at_once("save", "")
            case Sample():
                yield from self._at_once("sample", command.prompt or prompts_of(self._config)[0])
            case EvaluateEvery():
                yield from self._evaluate_every(command.steps)

    def _at_once(self, kind: str, prompt: str) -> Talk:
        # While something is due its turn comes after; before the first step there is nothing.
        waiting = bool(self._standing.due)
        self._standing.due.append((kind, prompt))
        if self.trainer is not None and not waiting:
            yield from self._settle()

    def _evaluate_every(self, steps: int) -> Talk:
        if steps < 0:
            message = f"cannot evaluate every {steps} steps: 0 or more"
            yield from self.say(Notice(message=message, level="warning"))
            return
        self._standing.eval_every = self._pace.every["evaluate"] = steps
        when = f"every {steps:,} steps" if steps else "only at the end"
        yield from self.say(Notice(message=f"evaluates {when} from now on"))
