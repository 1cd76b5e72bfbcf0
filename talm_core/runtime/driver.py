"""Drives a job: asks for one event after the other, writes each down, hears commands between two.

Pausing is not asking for the next event. Stopping is closing the generator, which saves what it
has in its `finally`; a job that takes `Stop` is told instead, until it ends, so that it can still
say what it saved.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from talm_core.errors import InputError, TalmError, UnforeseenError
from talm_core.jobs.registry import spec_of
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
    Started,
    Stop,
    Stopped,
    Unpause,
    Unpaused,
)
from talm_core.runtime.journal import JournalWriter
from talm_core.runtime.kinds import Job
from talm_core.settings.schema import JobConfig
from talm_core.version import version

LOG_FILE = "log.txt"

E = TypeVar("E", bound=Event)

_ANSWERS: dict[type[Command], type[Event]] = {Checkpoint: Checkpointed, Sample: Sampled}
"""What a paused job says when it has done what it was told."""


class Driver:
    """One job from its first event to its end."""

    def __init__(
        self,
        config: JobConfig,
        job: Job,
        directory: Path,
        inbox: Inbox,
        *,
        grows: bool = False,
    ) -> None:
        """`grows` tells that a finished artifact is gone on with."""
        self._config = config
        self._spec = spec_of(config.kind)
        self._job = job
        self._log = directory / LOG_FILE
        self._inbox = inbox
        self._grows = grows
        self._writer = JournalWriter(directory)
        self._paused = False
        self._stopping = False
        # What a paused job is still to say before it waits again.
        self._awaited: type[Event] | None = None
        self._ended = False

    def events(self) -> Generator[Event, None, None]:
        """Every event, in the journal before it is yielded; the last says how it ended.

        Raises:
            TalmError: what the job raised.
            UnforeseenError: the job broke; the traceback is in `log.txt`.
        """
        try:
            yield from self._steps()
        except GeneratorExit:
            self._close_quietly()
            raise
        except TalmError as error:
            kept = self._grows and isinstance(error, InputError)
            yield self._say(Failed(message=str(error), kind=type(error).__name__, kept=kept))
            raise
        except Exception as error:
            yield self._say(self._broken(error))
            raise UnforeseenError(_line(error)) from error
        finally:
            self._writer.close()

    def _steps(self) -> Generator[Event, None, None]:
        command: Command | None = None
        while True:
            try:
                event = self._job.send(command)
            except StopIteration:
                break
            yield self._say(self._signed(event))
            command = yield from self._next_command(event)
            if isinstance(command, Stop) and Stop not in self._spec.hears:
                break
        self._job.close()
        if not self._ended:
            yield self._say(self._stopped("asked to stop"))

    def _next_command(self, event: Event) -> Generator[Event, None, Command | None]:
        """What the job is to be told now; waits as long as it is paused."""
        if self._spec.delegates or isinstance(event, Started):
            # A job that has only just begun hears nothing yet.
            return None
        if self._stopping:
            # Again at every event, should the job have been somewhere where it did not listen.
            return Stop()
        command = self._inbox.next()
        if command is None and self._still_busy(event):
            return None
        while True:
            command = yield from self._heard(command)
            if command is not None or not self._paused:
                return command
            # Said again after whatever was done meanwhile: the last event is the status.
            yield self._say(Paused())
            command = self._inbox.wait()

    def _heard(self, command: Command | None) -> Generator[Event, None, Command | None]:
        """Do what the driver itself does about a command; returns what is left for the job."""
        match command:
            case Pause():
                self._paused = True
                return None
            case Unpause():
                if self._paused:
                    self._paused = False
                    yield self._say(Unpaused())
                return None
            case Stop():
                self._paused, self._stopping = False, True
            case Command() if type(command) not in self._spec.hears:
                name = type(command).__name__.lower()
                yield self._say(Notice(message=f"this job has no {name}", level="warning"))
                return None
            case Command():
                self._awaited = _ANSWERS.get(type(command))
        return command

    def _still_busy(self, event: Event) -> bool:
        """Whether a paused job is still doing what it was told."""
        if self._awaited is None:
            return False
        refused = isinstance(event, Notice) and event.level == "error"
        if isinstance(event, self._awaited) or refused:
            self._awaited = None
        return self._awaited is not None

    def _say(self, event: E) -> E:
        self._writer.write(event)
        self._ended = self._ended or isinstance(event, ENDS)
        return event

    def _signed(self, event: Event) -> Event:
        if isinstance(event, Started):
            kept = self._config.model_dump(mode="json") if self._spec.resumable else {}
            return replace(event, pid=os.getpid(), version=version(), settings=kept)
        return event

    def _stopped(self, reason: str) -> Stopped:
        return Stopped(reason=stop_reason() or reason)

    def _close_quietly(self) -> None:
        """Somebody closed the generator: end the job and write that down, yielding nothing."""
        if self._ended:
            return
        try:
            self._job.close()
        except TalmError as error:
            self._say(Failed(message=str(error), kind=type(error).__name__))
            raise
        except Exception as error:
            self._say(self._broken(error))
            raise
        self._say(self._stopped("closed"))

    def _broken(self, error: Exception) -> Failed:
        with self._log.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write("".join(traceback.format_exception(error)))
        return Failed(message=_line(error), kind="bug")


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
