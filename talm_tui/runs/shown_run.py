"""The run that Runs shows, as far as it has been read."""

from __future__ import annotations

from dataclasses import dataclass, field

from talm_core.jobs.registry import spec_of
from talm_core.jobs.spec import JobSpec
from talm_core.runtime.history import History
from talm_core.runtime.overview import Overview
from talm_core.runtime.runner import Status
from talm_core.storage.workspace import Artifact
from talm_tui.services.follower import Files, Records


@dataclass(eq=False)
class ShownRun:
    """`artifact` is None while there is none. `coming` is what is read behind a sketch of a long
    journal; `over` says that no process works there, as far as is known. Records are those of the
    last `token`."""

    artifact: Artifact | None = None
    status: Status = Status.INTERRUPTED
    files: Files = field(default_factory=Files)
    history: History = field(default_factory=History)
    coming: History | None = None
    over: bool = True
    token: int = 0

    @property
    def name(self) -> str | None:
        """Its name, if there is a run."""
        return None if self.artifact is None else self.artifact.name

    @property
    def known(self) -> Artifact:
        """Its artifact, where there is a run."""
        assert self.artifact is not None
        return self.artifact

    @property
    def spec(self) -> JobSpec:
        """Its kind, where there is a run."""
        return spec_of(self.known.kind)

    def begin(self) -> None:
        """Forget what was read: it is going to be read anew."""
        self.token += 1
        self.over = False
        self.history, self.coming, self.files = History(), None, Files()

    def close(self) -> None:
        """Its directory is gone."""
        self.artifact = None

    def is_behind(self, overview: Overview) -> bool:
        """Whether its journal has more than what was read of it to its end."""
        more = overview.status.active or overview.updated > self.history.last_time
        return self.over and more

    def take(self, message: Records) -> bool:
        """Add what was read; whether anything that is shown has changed."""
        changed = self._take_in(message)
        if message.status is not None and message.status is not self.status:
            self.status, changed = message.status, True
        if message.files is not None and message.files != self.files:
            self.files, changed = message.files, True
        if message.over:
            self.over = changed = True
        return changed

    def _take_in(self, message: Records) -> bool:
        if message.sketch:
            self.coming = self.coming or History()
            return self.history.extend(message.records)
        if self.coming is None:
            return self.history.extend(message.records)
        self.coming.extend(message.records)
        if message.whole:
            self.history, self.coming = self.coming, None
        return message.whole
