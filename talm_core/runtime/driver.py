"""Drives a job: writes down what it says, hears commands for it, and says how it ended.

Pausing is waiting inside `poll`. Stopping is what `poll` raises: the job saves what it has and
ends, by an exception or in order.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from talm_core.errors import InputError, RunError, TalmError, UnforeseenError
from talm_core.jobs.registry import spec_of
from talm_core.runtime.context import JobContext, StopRequested
from talm_core.runtime.control import Inbox, stop_reason
from talm_core.runtime.events import (
    ENDS,
    Checkpoint,
    Checkpointed,
    Command,
    Event,
    Failed,
    Notice,
    Pause,
    Paused,
    Sample,
    Sampled,
    Stage,
    Started,
    Stop,
    Stopped,
    Unpause,
    Unpaused,
)
from talm_core.runtime.journal import JournalWriter
from talm_core.settings.schema import JobConfig
from talm_core.storage import artifact_files
from talm_core.storage.workspace import Workspace
from talm_core.system.refusals import refusal
from talm_core.version import version

LOG_FILE = "log.txt"

Listener = Callable[[Event], object]

_ANSWERS: dict[type[Command], type[Event]] = {Checkpoint: Checkpointed, Sample: Sampled}
"""What a paused job says when it has done what it was told."""


class Driver(JobContext):
    """One job from its first event to its end."""

    def __init__(
        self,
        config: JobConfig,
        workspace: Workspace,
        directory: Path,
        inbox: Inbox,
        listener: Listener,
        *,
        grows: Callable[[], bool] = lambda: False,
    ) -> None:
        """`listener` is called with every event once it is in the journal. `grows` tells whether a
        finished artifact is gone on with that is still what it was."""
        self.workspace = workspace
        self.directory = directory
        self.last: Event | None = None
        # Of the jobs this one runs, how many are done.
        self.stages = 0
        self._config = config
        self._spec = spec_of(config.kind)
        self._inbox = inbox
        self._listener = listener
        self._deaf: BaseException | None = None
        self._grows = grows
        self._writer = JournalWriter(directory)
        self._paused = False
        self._stopping = False
        # What a paused job is still to say before it waits again.
        self._awaited: type[Event] | None = None

    def drive(self, job: Callable[[JobContext], None]) -> None:
        """Do the job; the last event says how it ended.

        Raises:
            TalmError: what the job raised.
            RunError: the system refuses what the job, or its journal, needs.
            UnforeseenError: the job broke; the traceback is in `log.txt`.
            BaseException: what the listener raised; the job has saved what it had.
        """
        try:
            self._do(job)
        finally:
            self._writer.close()
        if self._deaf is not None:
            raise self._deaf
        if self._writer.failure is not None:
            # What it said last is not written down, so that it counts as interrupted.
            raise RunError(refusal(self._writer.failure, self.directory))

    def _do(self, job: Callable[[JobContext], None]) -> None:
        try:
            try:
                job(self)
            except StopRequested:
                self._stopping = True
            if not isinstance(self.last, ENDS):
                reason = "asked to stop" if self._deaf is None else "closed"
                self._say(Stopped(reason=stop_reason() or reason))
        except TalmError as error:
            self._say_failed(error)
            raise
        except Exception as error:
            if said := refusal(error, self.directory):
                refused = RunError(said)
                self._say_failed(refused)
                raise refused from error
            with contextlib.suppress(OSError):
                self._say(self._broken(error))
            raise UnforeseenError(_line(error)) from error

    def _say_failed(self, error: TalmError) -> None:
        kept = self._grows() and isinstance(error, InputError)
        # A journal that cannot be written must not hide why.
        with contextlib.suppress(OSError):
            self._say(Failed(message=str(error), kind=type(error).__name__, kept=kept))

    def emit(self, event: Event) -> None:
        """Write an event down, then tell the listener. One that raises is told nothing more, and
        the job is stopped."""
        self._say(self._signed(event))
        if self._awaited is not None:
            refused = isinstance(event, Notice) and event.level == "error"
            if isinstance(event, self._awaited) or refused:
                self._awaited = None
        self._stop_if_unheard()

    def _stop_if_unheard(self) -> None:
        if self._deaf is not None and not self._stopping:
            self._stopping = True
            raise StopRequested(heard=False)

    def poll(self) -> Command | None:
        """What the job is to do now; waits as long as it is paused."""
        if self._spec.delegates:
            # The jobs it runs hear what is sent to it.
            return None
        if self._stopping:
            # Again at every call, should the job have been somewhere where it did not listen.
            raise StopRequested
        command = self._inbox.next()
        if command is None and self._awaited is not None:
            return None
        while True:
            command = self._heard(command)
            if command is not None or not self._paused:
                return command
            # Said again after whatever was done meanwhile: the last event is the status.
            self._say(Paused())
            self._stop_if_unheard()
            command = self._inbox.wait()

    def _heard(self, command: Command | None) -> Command | None:
        """Do what the driver itself does about a command; returns what is left for the job."""
        match command:
            case Pause():
                self._paused = True
                return None
            case Unpause():
                if self._paused:
                    self._paused = False
                    self._say(Unpaused())
                return None
            case Stop():
                self._paused, self._stopping = False, True
                raise StopRequested
            case Command() if type(command).__name__ not in self._spec.hears:
                name = type(command).__name__.lower()
                self._say(Notice(message=f"this job has no {name}", level="warning"))
                return None
            case Command():
                self._awaited = _ANSWERS.get(type(command))
        return command

    def _say(self, event: Event) -> None:
        self._writer.write(event)
        self.last = event
        if isinstance(event, Stage):
            self.stages = event.index
        if self._deaf is None:
            try:
                self._listener(event)
            except BaseException as error:  # noqa: BLE001 - raised again once the job has saved
                self._deaf = error

    def _signed(self, event: Event) -> Event:
        if isinstance(event, Started):
            kept = self._config.model_dump(mode="json") if self._spec.resumable else {}
            return replace(event, pid=os.getpid(), version=version(), settings=kept)
        return event

    def _broken(self, error: Exception) -> Failed:
        text = "".join(traceback.format_exception(error))
        message = _line(error)
        try:
            with artifact_files.appending(self.directory / LOG_FILE) as file:
                file.write(text.encode("utf-8", "backslashreplace"))
        except OSError as refused:
            message += f" (and {LOG_FILE} cannot be written: {refused.strerror})"
        return Failed(message=message, kind="bug")


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
