"""Where the events of a job go: JSON lines, plain lines, or bars in a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

from talm_core.runtime import render
from talm_core.runtime.event_json import to_json
from talm_core.runtime.events import (
    Evaluated,
    Event,
    Finished,
    Generated,
    Metrics,
    Notice,
    Planned,
    Progress,
    Record,
    Sampled,
    Stage,
)
from talm_core.runtime.history import fraction_trained

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_SECONDS_A_LINE = 5.0


class Output(Protocol):
    """Shows events as they come. Used in a `with` block."""

    def show(self, record: Record) -> None:
        """Show one event."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def output(*, as_json: bool, stream: TextIO | None = None) -> Output:
    """The output that fits: JSON when it is asked for, bars in a terminal, else plain lines."""
    stream = stream or sys.stdout
    if as_json:
        return JsonOutput(stream)
    return BarOutput(stream) if in_terminal(stream) else PlainOutput(stream)


class Delayed:
    """Shows events once the first `after` have come: what is wrong before that is said plainly, on
    a screen that was not touched yet. Used in a `with` block, a listener of jobs."""

    def __init__(self, make: Callable[[], Output], *, after: int = 1) -> None:
        """`make` gives what shows them."""
        self._make = make
        self._after = after
        self._first: list[Record] = []
        self._opened = ExitStack()
        self._output: Output | None = None

    def __call__(self, event: Event) -> None:
        record = Record(time.time(), event)
        if self._output is not None:
            self._output.show(record)
            return
        self._first.append(record)
        if len(self._first) == self._after:
            self._output = self._opened.enter_context(self._make())
            for known in self._first:
                self._output.show(known)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.__exit__(kind, error, trace)


def in_terminal(stream: TextIO) -> bool:
    """Whether a stream ends at a terminal that can move its cursor."""

    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


class JsonOutput:
    """One JSON object a line, written out at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, record: Record) -> None:
        self._stream.write(to_json(record.event, time=record.time) + "\n")
        self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.flush()


class PlainOutput:
    """Lines for a pipe or a log: what happens seldom at once, what goes on every five seconds
    where it has changed, what lasts once. The last sample is printed whole at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next = 0.0
        self._phase = ""
        self._progress = ""
        self._sample: Sampled | None = None
        self._planned: Planned | None = None

    def show(self, record: Record) -> None:
        event = record.event
        if isinstance(event, Planned):
            self._planned = event
        if isinstance(event, Progress | Metrics):
            if not self._due(event):
                return
            before, self._progress = self._progress, render.line(event)
            if self._progress == before:
                return
        elif isinstance(event, Notice) and event.again:
            return
        elif isinstance(event, Sampled):
            self._sample = event
        elif isinstance(event, Finished) and self._sample is not None:
            self._write(sample_text(self._sample))
        if isinstance(event, Metrics):
            self._write(render.metrics_line(event, self._planned))
        elif text := render.line(event):
            self._write(text)

    def _due(self, event: Progress | Metrics) -> bool:
        phase = event.phase if isinstance(event, Progress) else "training"
        now = time.monotonic()
        if phase in ("training", self._phase) and now < self._next:
            return False
        if isinstance(event, Progress) and phase in ("training", "evaluating", "sampling"):
            # Metrics say more.
            return False
        self._phase = phase
        self._next = now + _SECONDS_A_LINE
        return True

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.flush()


def sample_text(event: Sampled) -> str:
    """A sample under a line that says what it is."""
    body = render.plain(event.prompt + event.text).rstrip()
    return f"--- sample at step {event.step:,} ---\n{body}\n---"


_PASSING = ("loading", "compiling", "evaluating", "sampling", "saving")
"""Phases whose bar goes away when they are over."""


class BarOutput:
    """A bar for each phase, with rate and time left; what happened stands above."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bars
        from rich.table import Column

        about = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._bars: Bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TextColumn("{task.fields[about]}", markup=False, table_column=about),
            console=self._console,
            expand=True,
            refresh_per_second=4,
        )
        self._tasks: dict[str, TaskID] = {}
        self._phase = ""
        self._val_loss: float | None = None
        self._planned: Planned | None = None

    def show(self, record: Record) -> None:
        event = record.event
        match event:
            case Progress():
                self._progress(event)
            case Metrics():
                about = render.metrics_in_short(event, self._val_loss, self._planned)
                done = fraction_trained(event, self._planned) * event.max_steps
                self._bar("training", done, event.max_steps, about)
            case Sampled():
                self._end_passing()
                self._print(sample_text(event))
            case Planned():
                self._planned = event
                self._print(render.line(event))
            case Stage():
                self._end_passing()
                self._tasks.clear()
                self._print(render.line(event))
            case Evaluated():
                self._end_passing()
                self._val_loss = event.val_loss
                self._print(render.line(event))
            case _:
                if isinstance(event, Finished):
                    self._fill()
                if text := render.line(event):
                    self._print(text)

    def _progress(self, event: Progress) -> None:
        if event.phase == "training" and event.phase in self._tasks:
            return
        over = 0 < event.total <= event.done
        eta = "" if over else render.left(event.eta)
        note = render.one_line(event.note)
        parts = [render.rate(event), eta, note, *render.counts(event)]
        if event.done and event.phase != "training":
            parts.insert(0, render.amount(event.done, event.unit))
        self._bar(event.phase, event.done, event.total, ", ".join(filter(None, parts)))

    def _bar(self, phase: str, done: float, total: int, about: str) -> None:
        phase = render.one_line(phase, 20)
        if phase != self._phase:
            self._end_passing()
            self._phase = phase
        known = total if total > 0 else None
        if phase not in self._tasks:
            self._tasks[phase] = self._bars.add_task(phase, total=known, about=about)
        self._bars.update(self._tasks[phase], completed=done, total=known, about=about)

    def _end_passing(self) -> None:
        for phase in _PASSING:
            if phase in self._tasks:
                self._bars.remove_task(self._tasks.pop(phase))
        self._phase = ""

    def _fill(self) -> None:
        """A run with a time limit ends before its last step."""
        self._end_passing()
        for task in self._bars.tasks:
            self._bars.update(task.id, completed=task.total)

    def _print(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text(text), soft_wrap=True)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end_passing()
        self._bars.stop()


class TextOutput:
    """A prompt and what is generated, as it comes."""

    def __init__(self, stream: TextIO, prompt: str) -> None:
        self._stream = stream
        self._write(render.plain(prompt))

    def show(self, record: Record) -> None:
        if isinstance(record.event, Generated):
            self._write(render.plain(record.event.text))

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self._write("\n")
