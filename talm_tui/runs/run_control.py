"""What can be done with the run that is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from talm_core.errors import ArtifactError, Problem
from talm_core.jobs.registry import artifact_of
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
from talm_core.storage.workspace import Artifact, name_key
from talm_tui.runs.shown_run import ShownRun
from talm_tui.shell.dialogs import AskScreen, ConfirmScreen
from talm_tui.shell.screen import Part, Place
from talm_tui.shell.upkeep import Upkeep

_RESUMABLE = (Status.STOPPED, Status.INTERRUPTED, Status.FAILED)
_HEARD = {"checkpoint": Checkpoint, "sample": Sample, "every": EvaluateEvery}


class RunControl(Part):
    """The keys of a run: what one needs is asked in a thread, what cannot be taken back is
    confirmed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "pause", id="runs.pause", tooltip="Pause or continue the run"),
        Binding("K", "stop", "stop", id="runs.stop", tooltip="Save and end the run"),
        Binding("c", "checkpoint", "save", id="runs.checkpoint", tooltip="Write a checkpoint now"),
        Binding("g", "sample", "sample", id="runs.sample", tooltip="Generate a sample now"),
        Binding("r", "resume", "resume", id="runs.resume", tooltip="Resume the run"),
        Binding(
            "L",
            "longer",
            "Longer",
            id="runs.longer",
            show=False,
            tooltip="Train a finished run longer",
        ),
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

    def __init__(
        self, place: Place, run: ShownRun, renamed: Callable[[Artifact, Artifact], object]
    ) -> None:
        """`renamed` gets a run as it was and as it is now."""
        super().__init__(place)
        self._run = run
        self.upkeep = Upkeep(place, renamed)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Only what can be done with this run now is offered."""
        if self._run.artifact is None:
            return False
        if action in _HEARD and _HEARD[action].__name__ not in self._run.spec.hears:
            return False
        if action in ("pause", "stop", *_HEARD):
            return self._run.status.active
        if action == "rename" and not artifact_of(self._run.known.kind).renamable:
            return False
        if action == "resume":
            return self._run.status in _RESUMABLE
        if action == "longer":
            return self._run.status is Status.DONE and bool(self._run.spec.length)
        if action in ("rename", "delete"):
            return not self._run.status.active
        return True

    def label_of(self, action: str) -> str:
        """What `space` does to a run that is paused."""
        return "continue" if action == "pause" and self._run.status is Status.PAUSED else ""

    def why_not(self, action: str) -> str:
        """Why it cannot be done with this run now."""
        if self._run.artifact is None:
            return ""
        name, active = self._run.known.name, self._run.status.active
        if action in _HEARD and _HEARD[action].__name__ not in self._run.spec.hears:
            return f"{name} is a {artifact_of(self._run.known.kind).noun}, which has no such thing"
        if action in ("pause", "stop", *_HEARD):
            return f"{name} is {self._run.status.value}, it is not running"
        if action == "resume":
            key = self.talm.key("runs.longer")
            longer = f": {key} trains it longer" if self._run.spec.length else ""
            return f"{name} is running already" if active else f"{name} is done{longer}"
        if action == "longer":
            return f"{name} is not done: {self.talm.key('runs.resume')} goes on with it"
        if action in ("rename", "delete") and active:
            return f"{name} is running: {self.talm.key('runs.stop')} stops it first"
        return ""

    def _send(self, command: Command) -> None:
        self.talm.send(self._run.known.directory, command)

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
        self.place.notify("A sample is generated after this step.", timeout=3)

    def action_stop(self) -> None:
        """Ask, then save and end the run."""
        name, directory = self._run.known.name, self._run.known.directory

        def answered(yes: bool | None) -> None:
            if yes:
                self.talm.send(directory, Stop())

        detail = "It saves a checkpoint first and can be resumed."
        if not self._run.spec.resumable:
            detail = "What it has made so far is kept; it cannot be resumed."
        question = ConfirmScreen(f"Stop {name}?", detail, yes="stop", no="go on")
        self.place.app.push_screen(question, answered)

    def action_resume(self) -> None:
        """Go on with a run that was stopped, failed or died."""
        directory, resumable = self._run.known.directory, self._run.spec.resumable
        self.look(
            "resume",
            lambda: runner.resumed_config(directory, {}),
            lambda config: self.talm.start_job(config, resume=resumable),
        )

    def action_longer(self) -> None:
        """Ask how many steps a finished run is to have, and train the rest."""
        run, spec = self._run.known, self._run.spec
        metrics = self._run.history.last_metrics
        done = metrics.step if metrics is not None else 0
        # With the limit that has ended it, it would be over before its first new step.
        limited = bool(spec.limit) and metrics is not None and done < metrics.max_steps
        lifted = {spec.limit: None} if limited else {}

        def refused(text: str) -> str:
            return _no_count(text) or ("" if int(text) > done else f"must be more than {done:,}")

        def answered(answer: str | None) -> None:
            if answer is not None:
                self.look(
                    "resume",
                    lambda: runner.resumed_config(
                        run.directory, lifted | {spec.length: int(answer)}
                    ),
                    lambda config: self.talm.start_job(config, resume=True),
                )

        ended = ", until its time limit, which is lifted" if limited else ""
        detail = f"It has trained {done:,} steps{ended}. How many are there to be in all?"
        screen = AskScreen(f"Train {run.name} longer", detail, "", refused, yes="trains it")
        self.place.app.push_screen(screen, answered)

    # --- how often it evaluates --------------------------------------------------------------

    def action_every(self) -> None:
        """Ask after how many steps it is to evaluate from now on."""
        name, directory = self._run.known.name, self._run.known.directory

        def answered(answer: str | None) -> None:
            if answer is not None:
                self.talm.send(directory, EvaluateEvery(steps=int(answer)))

        question = f"How often {name} evaluates"
        detail = "Steps between evaluations from now on; 0 evaluates only at the end."
        screen = AskScreen(question, detail, "", _no_count, yes="sets it")
        self.place.app.push_screen(screen, answered)

    # --- its settings for another run --------------------------------------------------------

    def action_again(self) -> None:
        """Fill in the form for a new run with the settings of this one."""
        self.train_again({})

    def train_again(self, others: dict[str, Any]) -> None:
        """Fill in the form with the settings of this run and, in their place, others."""
        run = self._run.known

        def values() -> dict[str, Any]:
            config = runner.read_config(run.directory)
            if config.kind != run.kind:
                message = f"is the config of a {config.kind} job, not a run's"
                raise ArtifactError(Problem(str(run.directory / runner.CONFIG_FILE), message))
            name = {name_key(run.kind): _free(run.name, run.directory.parent)}
            return config.model_dump() | name | others

        self.look("settings", values, lambda found: self.talm.open_form(run.kind, **found))

    # --- renaming and deleting ---------------------------------------------------------------

    def action_rename(self) -> None:
        """Ask for another name."""
        self.upkeep.rename(self._run.known)

    def action_delete(self) -> None:
        """Count what it takes, ask, delete."""
        run, saved = self._run.known, len(self._run.files.checkpoints)
        parts = f"{saved} checkpoint{'s' if saved != 1 else ''}, journal and log"
        self.upkeep.delete(run, parts, lambda: run == self._run.artifact)


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
