"""The job a form started, followed where it was started."""

from __future__ import annotations

import threading
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static
from textual.worker import get_current_worker

from talm_core.runtime import runner
from talm_core.runtime.events import Record, Stop
from talm_core.runtime.history import History
from talm_core.runtime.runner import Status
from talm_core.storage.workspace import Artifact
from talm_tui.forms.job_lines import lines
from talm_tui.host import host
from talm_tui.shell.screen import Part

REDRAW = 0.25


class JobKeys(Part):
    """The keys of the job that is shown."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("K", "stop", "Stop", id="form.stop", tooltip="Stop the job shown", show=False),
        Binding(
            "l", "log", "Log", id="form.log", tooltip="What the job did, step by step", show=False
        ),
    ]

    @property
    def _view(self) -> JobView:
        return self.place.query_one(JobView)

    def why_not(self, action: str) -> str:
        """Why it cannot be done."""
        if self._view.artifact is None:
            return "No job is shown here"
        return "It is over" if action == "stop" else ""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Only where a job is shown."""
        if not self.place.is_mounted or self._view.artifact is None:
            return False
        return action != "stop" or self._view.status.active

    def action_stop(self) -> None:
        """Ask the job that is shown to stop."""
        if self._view.artifact is not None and self._view.status.active:
            self.talm.send(self._view.artifact.directory, Stop())

    def action_log(self) -> None:
        """Show what the job that is shown printed."""
        if self._view.artifact is not None:
            self.talm.open_log(self._view.artifact.directory)


class JobView(Static):
    """Follows one job at a time in a thread of its own and draws what it says four times a
    second at most; hidden while there is none."""

    class Ended(Message):
        """The job that was shown works no more."""

        def __init__(self, artifact: Artifact, status: Status) -> None:
            self.artifact = artifact
            self.status = status
            super().__init__()

    class Over(Message):
        """The thread has read the job's last word."""

        def __init__(self, artifact: Artifact, status: Status) -> None:
            self.artifact = artifact
            self.status = status
            super().__init__()

    def __init__(self, next_step: str = "") -> None:
        """`next_step` is what is offered once a job is done."""
        super().__init__("", id="job", markup=False)
        self._next_step = next_step
        self._history = History()
        self._records: list[Record] = []
        self._lock = threading.Lock()
        self._timer: Timer | None = None
        self.artifact: Artifact | None = None
        self.status = Status.RUNNING
        self.display = False

    @property
    def over(self) -> bool:
        """Whether a job is shown that works no more."""
        return self.artifact is not None and not self.status.active

    def follow(self, artifact: Artifact) -> None:
        """Show the job in an artifact's directory from its beginning."""
        self.artifact = artifact
        self.status = Status.RUNNING
        self._history = History()
        with self._lock:
            self._records = []
        self.display = True
        self._draw()
        if self._timer is None:
            self._timer = self.set_interval(REDRAW, self._take)
        self.run_worker(
            lambda: self._read(artifact),
            thread=True,
            exclusive=True,
            exit_on_error=False,
            group="job",
        )

    def dismiss(self) -> None:
        """Show nothing any more."""
        self.workers.cancel_group(self, "job")
        self._stop_timer()
        self.artifact = None
        self.display = False

    def _read(self, artifact: Artifact) -> None:
        worker = get_current_worker()
        for record in runner.follow(artifact.directory, cancelled=lambda: worker.is_cancelled):
            with self._lock:
                if worker.is_cancelled:
                    return
                self._records.append(record)
        if not worker.is_cancelled:
            self.post_message(self.Over(artifact, runner.status(artifact.directory)))

    def _take(self) -> None:
        with self._lock:
            records, self._records = self._records, []
        if self._history.extend(records):
            self._draw()

    def on_job_view_over(self, event: Over) -> None:
        event.stop()
        if event.artifact == self.artifact:
            self._stop_timer()
            self.status = event.status
            self._take()
            self._draw()
            self.post_message(self.Ended(event.artifact, event.status))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        if self.artifact is not None and self.size.width:
            self.update(
                lines(
                    self.artifact.kind,
                    self.artifact.name,
                    self.status,
                    self._history,
                    self.content_size.width,
                    host(self).key,
                    next_step=self._next_step,
                )
            )
