"""What can be done with the run that is shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.message import Message

from talm_core.errors import InputError
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
from talm_core.runtime.history import History
from talm_core.runtime.runner import Status
from talm_tui.services.follower import Files
from talm_tui.services.messages import Said, Trouble
from talm_tui.shell.ask import AskScreen
from talm_tui.shell.confirm import ConfirmScreen
from talm_tui.shell.screen import Place

if TYPE_CHECKING:
    from talm_core.settings.schema import JobConfig

_RESUMABLE = (Status.STOPPED, Status.INTERRUPTED, Status.FAILED)


class ResumeReady(Message):
    """The config a stopped run goes on with has been read."""

    def __init__(self, config: JobConfig) -> None:
        super().__init__()
        self.config = config


class SettingsReady(Message):
    """The settings of a run that another is going to begin with."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__()
        self.values = values


class Renamed(Message):
    """A run has another name."""

    def __init__(self, name: str, new: str) -> None:
        super().__init__()
        self.name = name
        self.new = new


class Weighed(Message):
    """How much of the disk a run takes has been counted."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__()
        self.name = name
        self.size = size


class RunActions(Place):
    """A place that shows a run, and what can be done with it: what a key of it needs is asked in
    a thread, what cannot be taken back is confirmed."""

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

    def __init__(self) -> None:
        super().__init__()
        self.history = History()
        # What is read behind a sketch of a long journal.
        self.coming: History | None = None
        self.status = Status.INTERRUPTED
        self.files = Files()
        self._run: str | None = None
        self._directory: Path | None = None
        # The run that is being renamed: for a moment it is nowhere.
        self._moving: str | None = None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with this run now is offered."""
        if action in ("pause", "stop", "checkpoint", "sample", "every"):
            return self._run is not None and self.status.active
        if action == "resume":
            return self._run is not None and self.status in _RESUMABLE
        if action == "again":
            return self._run is not None
        if action in ("rename", "delete"):
            return self._run is not None and not self.status.active
        return super().check_action(action, parameters)

    def _send(self, command: Command) -> None:
        assert self._directory is not None
        self.talm.send(self._directory, command)

    def action_pause(self) -> None:
        """Pause the run, or let it go on."""
        self._send(Unpause() if self.status is Status.PAUSED else Pause())

    def action_checkpoint(self) -> None:
        """Write a checkpoint now."""
        self._send(Checkpoint())
        self.notify("A checkpoint is written after this step.", timeout=3)

    def action_sample(self) -> None:
        """Let the model write a sample now."""
        self._send(Sample())
        self.notify("A sample is drawn after this step.", timeout=3)

    def action_stop(self) -> None:
        """Ask, then save and end the run."""
        directory = self._directory

        def answered(yes: bool | None) -> None:
            if yes and directory is not None:
                self.talm.send(directory, Stop())

        question = f"Stop {self._run}?"
        detail = "It saves a checkpoint first and can be resumed."
        self.app.push_screen(ConfirmScreen(question, detail, yes="stop", no="go on"), answered)

    def action_resume(self) -> None:
        """Go on with a run that was stopped, failed or died."""
        assert self._directory is not None
        self._read_config(self._directory)

    @work(thread=True, exclusive=True, group="resume", exit_on_error=False)
    def _read_config(self, directory: Path) -> None:
        try:
            self.post_message(ResumeReady(runner.resumed_config(directory, {})))
        except InputError as error:
            self.app.post_message(Trouble(str(error)))

    def on_resume_ready(self, message: ResumeReady) -> None:
        message.stop()
        self.talm.start_job(message.config, resume=True)

    # --- how often it evaluates --------------------------------------------------------------

    def action_every(self) -> None:
        """Ask after how many steps it is to evaluate from now on."""
        directory = self._directory

        def answered(answer: str | None) -> None:
            if answer is not None and directory is not None:
                self.talm.send(directory, EvaluateEvery(steps=int(answer)))

        question = f"How often {self._run} evaluates"
        detail = "Steps between evaluations from now on; 0 evaluates only at the end."
        self.app.push_screen(AskScreen(question, detail, "", _no_count, yes="says so"), answered)

    # --- its settings for another run --------------------------------------------------------

    def action_again(self) -> None:
        """Fill in the form for a new run with the settings of this one."""
        assert self._directory is not None
        assert self._run is not None
        self._read_settings(self._directory, self._run, {})

    @work(thread=True, exclusive=True, group="settings", exit_on_error=False)
    def _read_settings(self, directory: Path, name: str, others: dict[str, Any]) -> None:
        try:
            config = runner.read_config(directory)
        except InputError as error:
            self.app.post_message(Trouble(str(error)))
            return
        if config.kind != "pretrain":
            file = directory / runner.CONFIG_FILE
            self.app.post_message(
                Trouble(f"{file} is the config of a {config.kind} job, not a run's")
            )
            return
        values = config.model_dump()
        values["model_name"] = _free(name, directory.parent)
        self.post_message(SettingsReady(values | others))

    def on_settings_ready(self, message: SettingsReady) -> None:
        message.stop()
        self.talm.open_form("pretrain", **message.values)

    # --- renaming and deleting ---------------------------------------------------------------

    def action_rename(self) -> None:
        """Ask for another name."""
        name = self._run
        assert name is not None

        def answered(new: str | None) -> None:
            if new is not None:
                self._moving = name
                self._rename(name, new)

        detail = "The directory is renamed with everything in it."
        self.app.push_screen(
            AskScreen(f"Rename {name}", detail, name, self._no_name, yes="renames"), answered
        )

    def _no_name(self, name: str) -> str:
        try:
            directory = self.talm.workspace.directory("pretrain", name)
        except InputError as error:
            return error.problems[0].message
        return "exists already" if directory.exists() else ""

    @work(thread=True, group="upkeep", exit_on_error=False)
    def _rename(self, name: str, new: str) -> None:
        from talm_core.runtime import upkeep

        try:
            upkeep.rename(self.talm.workspace, "pretrain", name, new)
        except InputError as error:
            self.app.post_message(Trouble(str(error)))
        else:
            self.post_message(Renamed(name, new))
        self.talm.refresh_workspace()

    def action_delete(self) -> None:
        """Count what it takes, ask, delete."""
        assert self._directory is not None
        assert self._run is not None
        self._weigh(self._directory, self._run)

    @work(thread=True, exclusive=True, group="weigh", exit_on_error=False)
    def _weigh(self, directory: Path, name: str) -> None:
        from talm_core.runtime import upkeep

        self.post_message(Weighed(name, upkeep.size(directory)))

    def on_weighed(self, message: Weighed) -> None:
        message.stop()
        name = message.name
        if name != self._run or len(self.app.screen_stack) > 1:
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._delete(name)

        saved = len(self.files.checkpoints)
        parts = f"{saved} checkpoint{'s' if saved != 1 else ''}, journal and log"
        detail = f"Frees {message.size / 1e6:,.1f} MB: {parts}. It cannot be taken back."
        self.app.push_screen(
            ConfirmScreen(f"Delete {name} for good?", detail, yes="delete", no="keep"), answered
        )

    @work(thread=True, group="upkeep", exit_on_error=False)
    def _delete(self, name: str) -> None:
        from talm_core.runtime import upkeep

        try:
            done = upkeep.delete(self.talm.workspace, "pretrain", name)
        except InputError as error:
            self.app.post_message(Trouble(str(error)))
        else:
            said = f"{name} is deleted, {done.freed / 1e6:,.1f} MB are free"
            if done.kept_in is not None:
                said = f"{name} was a link and is removed; its data lies in {done.kept_in}"
            self.app.post_message(Said(said))
        self.talm.refresh_workspace()


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
