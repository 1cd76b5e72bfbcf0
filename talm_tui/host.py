"""What the app offers to its places and widgets, which do not import it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from textual.dom import DOMNode

if TYPE_CHECKING:
    from talm_core.runtime.events import Command
    from talm_core.settings.schema import JobConfig
    from talm_core.storage.workspace import Artifact, Workspace
    from talm_tui.services.watcher import Snapshot


class Host(Protocol):
    """`talm_tui.app.TalmApp`, as far as places and widgets need it."""

    snapshot: Snapshot

    @property
    def workspace(self) -> Workspace:
        """Where the artifacts are."""

    @property
    def redraw_seconds(self) -> float:
        """How long a monitor waits before it is drawn again."""

    @property
    def busy(self) -> bool:
        """Whether a key or the mouse is being answered."""

    def keys(self, action_id: str) -> tuple[str, ...]:
        """The keys of an action, as Textual calls them."""

    def key(self, action_id: str) -> str:
        """The first key of an action, as it is shown."""

    def press(self, action_id: str) -> None:
        """Press the key of an action."""

    def refresh_workspace(self) -> None:
        """Look at the workspace now."""

    def start_job(self, config: JobConfig, *, resume: bool = False) -> None:
        """Start a job; the screen that is shown gets `JobStarted` or `JobRefused`."""

    def send(self, directory: Path, command: Command) -> object:
        """Say something to the job that works in `directory`."""

    def action_place(self, mode: str) -> None:
        """Go to a place."""

    def open_run(self, artifact: Artifact) -> None:
        """Show a run in its monitor."""

    def open_play(self, name: str, step: int | None = None) -> None:
        """Prompt a model at a step; None: at its newest checkpoint."""

    def open_form(self, kind: str, **values: object) -> None:
        """Go to the form of a kind of job, with these values filled in."""

    def open_log(self, directory: Path, *others: Path) -> None:
        """Show what the job in `directory` printed."""


def host(node: DOMNode) -> Host:
    """The app a widget or screen belongs to, or the app itself."""
    return cast("Host", node.app)
