"""Jobs one event at a time, for tests that look, or meddle, between two."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.dataset.job import Preparation
from talm_core.jobs.registry import artifact_kinds
from talm_core.runtime import runner
from talm_core.runtime.context import JobContext, StopRequested
from talm_core.runtime.events import Command, Event, Stop
from talm_core.settings.schema import JobConfig
from talm_core.storage.workspace import Workspace

Stepped = Generator[Event, Command | None, None]


def stepped_run(config: JobConfig, workspace: Workspace, **options: Any) -> Stepped:
    """`runner.run`, an event at a time: the job waits until the next one is asked for. Closing this
    is a listener that fails."""
    yield from _steps(
        lambda told: runner.run(config, workspace, on_event=lambda event: told(event), **options)
    )


def stepped(
    job: Callable[[JobContext, Any], None], config: JobConfig, workspace: Workspace
) -> Stepped:
    """A job without journal, lock and commands, an event at a time. What is sent is what it hears
    next; closing this asks it to stop."""
    yield from _steps(lambda told: job(_Direct(workspace, config, told), config))


def events_of(
    job: Callable[[JobContext, Any], None], config: JobConfig, workspace: Workspace
) -> list[Event]:
    """Everything a job says, without journal, lock and commands."""
    events: list[Event] = []
    job(_Collecting(workspace, config, events), config)
    return events


def run_events(config: JobConfig, workspace: Workspace, **options: Any) -> list[Event]:
    """Everything a job says that is run with journal, lock and commands."""
    events: list[Event] = []
    runner.run(config, workspace, on_event=events.append, **options)
    return events


def preparing(config: DataConfig, workspace: Workspace, **options: Any) -> Stepped:
    """A data preparation with options of its own, an event at a time."""
    return stepped(_preparation(workspace, options), config, workspace)


def prepared(config: DataConfig, workspace: Workspace, **options: Any) -> list[Event]:
    """Everything a data preparation with options of its own says."""
    return events_of(_preparation(workspace, options), config, workspace)


def _preparation(
    workspace: Workspace, options: dict[str, Any]
) -> Callable[[JobContext, DataConfig], None]:
    return lambda ctx, config: Preparation(config, workspace, **options).run(ctx)


def _directory(workspace: Workspace, config: JobConfig) -> Path:
    return workspace.directory_of(config) if config.kind in artifact_kinds() else workspace.root


class _Collecting(JobContext):
    def __init__(self, workspace: Workspace, config: JobConfig, events: list[Event]) -> None:
        self.workspace = workspace
        self.directory = _directory(workspace, config)
        self._events = events

    def emit(self, event: Event) -> None:
        self._events.append(event)

    def poll(self) -> Command | None:
        return None


class _Direct(JobContext):
    def __init__(
        self, workspace: Workspace, config: JobConfig, told: Callable[[Event], Command | None]
    ) -> None:
        self.workspace = workspace
        self.directory = _directory(workspace, config)
        self._told = told
        self._command: Command | None = None

    def emit(self, event: Event) -> None:
        try:
            self._command = self._told(event) or self._command
        except GeneratorExit:
            raise StopRequested(heard=False) from None

    def poll(self) -> Command | None:
        command, self._command = self._command, None
        if isinstance(command, Stop):
            raise StopRequested
        return command


def _steps(work: Callable[[Callable[[Event], Command | None]], object]) -> Stepped:
    events: SimpleQueue[Event | None] = SimpleQueue()
    answers: SimpleQueue[Command | type[GeneratorExit] | None] = SimpleQueue()
    failed: list[BaseException] = []

    def told(event: Event) -> Command | None:
        events.put(event)
        answer = answers.get()
        if isinstance(answer, type):
            raise answer
        return answer

    def run() -> None:
        try:
            work(told)
        except (GeneratorExit, StopRequested):
            pass
        except BaseException as error:  # noqa: BLE001 - raised where the events are read
            failed.append(error)
        finally:
            events.put(None)

    # A daemon: a test that fails in between does not keep the others waiting.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while (event := events.get()) is not None:
            command = yield event
            answers.put(command)
    except GeneratorExit:
        answers.put(GeneratorExit)
        while events.get() is not None:
            answers.put(GeneratorExit)
        thread.join()
        if failed:
            raise failed[0] from None
        raise
    thread.join()
    if failed:
        raise failed[0]
