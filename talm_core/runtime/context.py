"""What a job has of the world: where it works, whom it tells, what it is told.

A job is a function `run(ctx, config)`. It says what happens by `ctx.emit` and asks now and then, by
`ctx.poll`, whether anything is wanted of it. It knows nothing of journals, locks and signals.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from talm_core.runtime.control import stop_reason
from talm_core.runtime.events import Command, Event
from talm_core.storage.workspace import Workspace


class StopRequested(BaseException):
    """The job is to save what it has and end; what it says of that is `heard`, or only written
    down. Like `KeyboardInterrupt` no `Exception`, so that nothing that mends errors swallows it."""

    def __init__(self, *, heard: bool = True) -> None:
        super().__init__()
        self.heard = heard


class JobContext(ABC):
    """One job's connection to whoever runs it."""

    workspace: Workspace
    directory: Path
    """The artifact's."""

    @abstractmethod
    def emit(self, event: Event) -> None:
        """Say what happened; it is in the journal when this returns.

        Raises:
            StopRequested: nobody listens any more.
        """

    @abstractmethod
    def poll(self) -> Command | None:
        """The next command that is the job's own to do, None when there is none. Waits as long as
        the job is paused.

        Raises:
            StopRequested: a stop was asked for; again at every call until the job has ended.
        """

    def report(self, event: Event) -> None:
        """Say what happened, then wait if the job is paused: what a job calls between two steps
        that takes no command of its own.

        Raises:
            StopRequested: as `emit` and `poll`.
        """
        self.emit(event)
        self.poll()


class Unheard(JobContext):
    """The context of a process that works beside the one that has the journal: what it says is
    heard by nobody, and it is told what to do by the first."""

    def __init__(self, workspace: Workspace, directory: Path) -> None:
        self.workspace = workspace
        self.directory = directory

    def emit(self, event: Event) -> None:
        """Say it to nobody."""

    def poll(self) -> Command | None:
        """There is no command."""
        return None


class Foreground(JobContext):
    """The context of a job without journal and commands, which ends with the command that asked
    for it: what it says goes to `listener`, a signal stops it."""

    def __init__(
        self, workspace: Workspace, directory: Path, listener: Callable[[Event], object]
    ) -> None:
        self.workspace = workspace
        self.directory = directory
        self._listener = listener
        self._deaf: Exception | None = None

    def drive(self, job: Callable[[JobContext], None]) -> bool:
        """Do the job; whether it came to its end, rather than was stopped. Raises what the job
        raises, or the listener."""
        try:
            job(self)
        except StopRequested:
            if self._deaf is not None:
                raise self._deaf from None
            return False
        return True

    def emit(self, event: Event) -> None:
        """Tell the listener. Its error is none of the job's, which might take it for its own."""
        try:
            self._listener(event)
        except Exception as error:  # noqa: BLE001 - raised again once the job has ended
            self._deaf = error
            raise StopRequested(heard=False) from None

    def poll(self) -> Command | None:
        """There is no command but a signal."""
        if stop_reason() is not None:
            raise StopRequested
        return None
