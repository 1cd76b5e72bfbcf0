"""What workers, screens and the app tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.message import Message

if TYPE_CHECKING:
    from talm_core.errors import Problem
    from talm_core.settings.schema import JobConfig
    from talm_core.storage.workspace import Artifact
    from talm_tui.services.watcher import Snapshot


class WorkspaceChanged(Message):
    """The watcher saw something new."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot


class PlacesLoaded(Message):
    """Every place's module has been imported."""


class Trouble(Message):
    """Something done in the background did not work; shown as a notification."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class Said(Message):
    """Something done in the background has worked; shown as a notification."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class JobStarted(Message):
    """A job asked for by `start_job` runs now. Goes to the screen that asked; `stop()` it there,
    or the app says so in a notification."""

    def __init__(self, config: JobConfig, directory: Path) -> None:
        super().__init__()
        self.config = config
        self.directory = directory


class JobRefused(Message):
    """A job asked for by `start_job` cannot start. Goes to the screen that asked; `stop()` it
    there, or the app shows the problems in a notification. Without problems it was nobody's
    setting, and what it was has been told."""

    def __init__(self, config: JobConfig, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__()
        self.config = config
        self.problems = problems


class OpenRun(Message):
    """To the place Runs: show this run."""

    def __init__(self, artifact: Artifact) -> None:
        super().__init__()
        self.artifact = artifact


class OpenPlay(Message):
    """To the place Play: take this model, at a step; None: at its newest checkpoint."""

    def __init__(self, name: str, step: int | None = None) -> None:
        super().__init__()
        self.name = name
        self.step = step


class OpenForm(Message):
    """To a form's place: fill in these values."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__()
        self.values = values
