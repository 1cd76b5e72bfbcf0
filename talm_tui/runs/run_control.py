"""What can be done with the run that is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from talm_core.errors import ArtifactError, InputError, Problem
from talm_core.runtime import runner
from talm_core.runtime.events import (
    Checkpoint,
    Command,
    EvaluateEvery,
    Pause,
    Sample,
    Stop,
    Unpause,
)
from talm_core.runtime.runner import Status
from talm_core.system.foreign_text import line
from talm_tui.runs.shown_run import ShownRun
from talm_tui.services.messages import Said
from talm_tui.shell.dialogs import AskScreen, ConfirmScreen
from talm_tui.shell.screen import Part, Place

_RESUMABLE = (Status.STOPPED, Status.INTERRUPTED, Status.FAILED)


class RunControl(Part):
    """The keys of a run: what one needs is asked in a thread, what cannot be taken back is
    confirmed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "space", "pause", "pause", id="runs.pause", tooltip="Pause the run or let it go on"
        ),
        Binding("k", "stop", "stop", id="runs.stop", tooltip="Save and end the run"),
        Binding("c", "checkpoint", "save", id="runs.checkpoint", tooltip="Write a checkpoint now"),
        Binding("g", "sample", "sample", id="runs.sample", tooltip="Let the model write now"),
        Binding("r", "resume", "resume", id="runs.resume", tooltip="Go on with a run that ended"),
        Binding(
            "w",
            "every",
            "Evaluate every",
            id="runs.every",
            show=False,
            tooltip="Change how often it evaluates",
        ),
        Binding(
            "t",
            "again",
            "Train again",
            id="runs.again",
            show=False,
            tooltip="A new run with this one's settings, to change in the form",
        ),
        Binding("n", "rename", "Rename", id="runs.rename", show=False, tooltip="Rename the run"),
        Binding(
            "d,delete",
            "delete",
            "Delete",
            id="runs.delete",
            show=False,
            tooltip="Delete the run for good",
        ),
    ]

    def __init__(self, place: Place, run: ShownRun, renamed: Callable[[str, str], object]) -> None:
        """`renamed` gets the old and the new name of a run."""
        super().__init__(place)
        self._run = run
        self._renamed = renamed
        self.moving: str | None = None
        """The run that is being renamed: for a moment it is nowhere."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Only what can be done with this run now is offered."""
        if self._run.name is None:
            return False
        if action in ("pause", "stop", "checkpoint", "sample", "every"):
            return self._run.status.active
        if action == "resume":
            return self._run.status in _RESUMABLE
        if action in ("rename", "delete"):
            return not self._run.status.active
        return True

    def _send(self, command: Command) -> None:
        self.talm.send(self._run.place[1], command)

    def action_pause(self) -> None:
        """Pause the run, or let it go on."""
        self._send(Unpause() if self._run.status is Status.PAUSED else Pause())

    def action_checkpoint(self) -> None:
        """Write a checkpoint now."""
        self._send(Checkpoint())
        self.place.notify("A checkpoint is written after this step.", timeout=3)

    def action_sample(self) -> None:
        """Let the model write a sample now."""
        self._send(Sample())
        self.place.notify("A sample is drawn after this step.", timeout=3)

    def action_stop(self) -> None:
        """Ask, then save and end the run."""
        name, directory = self._run.place

        def answered(yes: bool | None) -> None:
            if yes:
                self.talm.send(directory, Stop())

        detail = "It saves a checkpoint first and can be resumed."
        question = ConfirmScreen(f"Stop {name}?", detail, yes="stop", no="go on")
        self.place.app.push_screen(question, answered)

    def action_resume(self) -> None:
        """Go on with a run that was stopped, failed or died."""
        directory = self._run.place[1]
        self.look(
            "resume",
            lambda: runner.resumed_config(directory, {}),
            lambda config: self.talm.start_job(config, resume=True),
        )

    # --- how often it evaluates --------------------------------------------------------------

    def action_every(self) -> None:
        """Ask after how many steps it is to evaluate from now on."""
        name, directory = self._run.place

        def answered(answer: str | None) -> None:
            if answer is not None:
                self.talm.send(directory, EvaluateEvery(steps=int(answer)))

        question = f"How often {name} evaluates"
        detail = "Steps between evaluations from now on; 0 evaluates only at the end."
        screen = AskScreen(question, detail, "", _no_count, yes="says so")
        self.place.app.push_screen(screen, answered)

    # --- its settings for another run --------------------------------------------------------

    def action_again(self) -> None:
        """Fill in the form for a new run with the settings of this one."""
        self.train_again({})

    def train_again(self, others: dict[str, Any]) -> None:
        """Fill in the form with the settings of this run and, in their place, others."""
        name, directory = self._run.place

        def values() -> dict[str, Any]:
            config = runner.read_config(directory)
            if config.kind != "pretrain":
                message = f"is the config of a {config.kind} job, not a run's"
                raise ArtifactError(Problem(str(directory / runner.CONFIG_FILE), message))
            settings = config.model_dump()
            return settings | {"model_name": _free(name, directory.parent)} | others

        self.look("settings", values, lambda found: self.talm.open_form("pretrain", **found))

    # --- renaming and deleting ---------------------------------------------------------------

    def action_rename(self) -> None:
        """Ask for another name."""
        name, _ = self._run.place

        def answered(new: str | None) -> None:
            if new is not None:
                self.moving = name
                self._rename(name, new)

        detail = "The directory is renamed with everything in it."
        screen = AskScreen(f"Rename {name}", detail, name, self._no_name, yes="renames")
        self.place.app.push_screen(screen, answered)

    def _no_name(self, name: str) -> str:
        try:
            directory = self.talm.workspace.directory("pretrain", name)
        except InputError as error:
            return error.problems[0].message
        return "exists already" if directory.exists() else ""

    def _rename(self, name: str, new: str) -> None:
        from talm_core.runtime import upkeep

        workspace = self.talm.workspace

        def done(_: object) -> None:
            self._renamed(name, new)

        self.look(
            "upkeep",
            lambda: upkeep.rename(workspace, "pretrain", name, new),
            done,
            changes=True,
        )

    def action_delete(self) -> None:
        """Count what it takes, ask, delete."""
        from talm_core.runtime import upkeep

        name, directory = self._run.place

        def weighed() -> tuple[int, Path | None]:
            linked = directory.resolve() if directory.is_symlink() else None
            return upkeep.size(directory), linked

        self.look("weigh", weighed, lambda found: self._ask(name, *found))

    def _ask(self, name: str, size: int, linked: Path | None) -> None:
        if name != self._run.name or len(self.place.app.screen_stack) > 1:
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._delete(name)

        saved = len(self._run.files.checkpoints)
        parts = f"{saved} checkpoint{'s' if saved != 1 else ''}, journal and log"
        detail = f"Frees {size / 1e6:,.1f} MB: {parts}. It cannot be taken back."
        if linked is not None:
            detail = f"It is a link, which alone is removed: the data stays in {line(str(linked))}"
        question = ConfirmScreen(f"Delete {name} for good?", detail, yes="delete", no="keep")
        self.place.app.push_screen(question, answered)

    def _delete(self, name: str) -> None:
        from talm_core.runtime import upkeep

        workspace = self.talm.workspace

        def done(deleted: upkeep.Deleted) -> None:
            text = f"{name} is deleted, {deleted.freed / 1e6:,.1f} MB are free"
            if deleted.kept_in is not None:
                text = f"{name} was a link and is removed; its data lies in {deleted.kept_in}"
            self.place.app.post_message(Said(text))

        self.look("upkeep", lambda: upkeep.delete(workspace, "pretrain", name), done, changes=True)


def _no_count(text: str) -> str:
    """Why a text is no number of steps; empty when it is."""
    if not text.isascii() or not text.isdigit():
        return "must be a whole number, 0 or more"
    return "" if len(text) < 16 else "is more than any run has"


def _free(name: str, folder: Path) -> str:
    """`nano-2`, or the first number after that which no run has."""
    stem, dash, number = name.rpartition("-")
    stem, first = (stem, int(number) + 1) if dash and number.isdigit() else (name, 2)
    while (folder / f"{stem}-{first}").exists():
        first += 1
    return f"{stem}-{first}"
