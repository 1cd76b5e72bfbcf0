"""What can be done with one checkpoint of the run that is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType

from talm_core.errors import WorkspaceError
from talm_core.jobs.export.config import ExportConfig
from talm_core.settings.schema import build
from talm_core.storage.workspace import new_path, there
from talm_core.training.checkpoint import step_of
from talm_tui.forms.picker import PickScreen
from talm_tui.runs.export_line import ExportLine
from talm_tui.runs.monitor import Monitor
from talm_tui.runs.run_control import RunControl
from talm_tui.runs.shown_run import ShownRun
from talm_tui.runs.text import checkpoint_notes
from talm_tui.shell.dialogs import AskScreen
from talm_tui.shell.screen import Part, Place

FORMATS = (
    ("gguf f16", "for llama.cpp and Ollama, 2 bytes a weight"),
    ("gguf q8_0", "about half of that, rounded"),
    ("gguf f32", "exactly what was trained, 4 bytes a weight"),
    ("huggingface", "for transformers, vLLM and the Hub"),
)
"""What a model can be exported as: format and precision, and what that is for."""


def _no_place(output: str) -> str:
    """Why nothing can be made there; empty where nothing is known against it."""
    try:
        path = new_path(output, key="output")
    except WorkspaceError as error:
        return error.problems[0].message
    return "it exists already: choose another directory" if there(path.exists) else ""


class CheckpointControl(Part):
    """The keys of a run's checkpoints. Which one is meant is asked for, unless one has been chosen
    or there is only one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "play", "play", id="runs.play", tooltip="Prompt this model"),
        Binding(
            "b",
            "branch",
            "Branch",
            id="runs.branch",
            show=False,
            tooltip="A new run that begins with a checkpoint's weights",
        ),
        Binding(
            "E",
            "export_model",
            "Export model",
            id="runs.export_model",
            show=False,
            tooltip="Export the model as GGUF or for Hugging Face",
        ),
        Binding(
            "X",
            "export_close",
            "end export",
            id="runs.export_close",
            tooltip="Stop the export, or close its message",
        ),
    ]

    def __init__(self, place: Place, run: ShownRun, control: RunControl) -> None:
        super().__init__(place)
        self._run = run
        self._control = control

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Only what can be done with this run now is offered."""
        if action == "export_close":
            return self.place.is_mounted and self._line.display
        run = self._run
        return run.artifact is not None and run.spec.makes_model and bool(run.files.checkpoints)

    def why_not(self, action: str) -> str:
        """Why it cannot be done with this run now."""
        run = self._run
        if action == "export_close":
            return "No export is being written" if run.artifact is not None else ""
        if run.artifact is None:
            return ""
        if not run.spec.makes_model:
            return "There is no model here"
        return f"{run.name} has no checkpoint yet"

    @property
    def _line(self) -> ExportLine:
        return self.place.query_one(ExportLine)

    def chosen(self) -> str | None:
        """The checkpoint under the cursor where they are listed; else None."""
        return self.place.query_one(Monitor).checkpoint

    def _with_checkpoint(self, question: str, then: Callable[[str], None]) -> None:
        """Go on with the checkpoint that is meant."""
        names = sorted(self._run.files.checkpoints, key=step_of, reverse=True)
        chosen = self.chosen() or (names[0] if len(names) == 1 else None)
        if chosen is not None:
            then(chosen)
            return
        notes = checkpoint_notes(self._run.history)
        options = [(name, notes.get(name, "")) for name in names]

        def answered(name: str | None) -> None:
            if name is not None:
                then(name)

        self.place.app.push_screen(PickScreen(question, options), answered)

    # --- prompting and branching -------------------------------------------------------------

    def action_play(self) -> None:
        """Prompt this model: the chosen checkpoint, else the newest."""
        chosen = self.chosen()
        newest = max(self._run.files.checkpoints, key=step_of)
        step = step_of(chosen) if chosen is not None and chosen != newest else None
        self.talm.open_play(self._run.known.name, step)

    def action_branch(self) -> None:
        """Fill in the form for a new run that begins with a checkpoint of this one."""
        run = self._run.known.name

        def begin(checkpoint: str) -> None:
            self._control.train_again({"init_from": f"{run}/{checkpoint}"})

        self._with_checkpoint(f"Branch {run} at", begin)

    # --- exporting ---------------------------------------------------------------------------

    def action_export_model(self) -> None:
        """Ask what to export and as what, then do that in a process of its own."""
        if self._line.process is not None:
            self.place.notify(
                "One export at a time: this one is still being written.", markup=False
            )
            return
        run, directory = self._run.known.name, self._run.known.directory

        def ask(checkpoint: str) -> None:
            name = f"{run} step {step_of(checkpoint):,}"

            def answered(kind: str | None) -> None:
                if kind is not None:
                    self._ask_directory(directory / checkpoint, name, kind)

            self.place.app.push_screen(PickScreen(f"Export {name} as", FORMATS), answered)

        self._with_checkpoint(f"Export {run} at", ask)

    def _ask_directory(self, checkpoint: Path, name: str, kind: str) -> None:
        def answered(output: str | None) -> None:
            if output is not None:
                self._export_model(checkpoint, name, kind, output)

        detail = "A directory that is not there yet; ~ is your home."
        empty = "one below exports/ in the workspace"
        screen = AskScreen(
            f"Export {name} as {kind} to", detail, "", _no_place, yes="exports", empty=empty
        )
        self.place.app.push_screen(screen, answered)

    def _export_model(self, checkpoint: Path, name: str, kind: str, output: str) -> None:
        form, _, outtype = kind.partition(" ")
        values = {"model": str(checkpoint), "format": form}
        if outtype:
            values["outtype"] = outtype
        if output:
            values["output"] = output
        config = build(ExportConfig, values)
        self._line.export(config, self.talm.workspace.root, f"{name} as {kind}")
        self.place.refresh_bindings()

    def action_export_close(self) -> None:
        """Stop the export that is being written; close what is said of one that is over."""
        self._line.stop_or_close()
        self.place.refresh_bindings()
