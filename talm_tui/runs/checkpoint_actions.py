"""What can be done with one checkpoint of the run that is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.worker import get_current_worker

from talm_core.jobs.export.commands import following
from talm_core.jobs.export.config import ExportConfig
from talm_core.runtime.events import Finished, Progress
from talm_core.settings.schema import build
from talm_core.storage.workspace import there, user_path
from talm_core.training.checkpoint import step_of
from talm_tui.forms.picker import PickScreen
from talm_tui.runs.export_line import ExportLine
from talm_tui.runs.run_actions import RunActions
from talm_tui.runs.text import checkpoint_notes
from talm_tui.services.clients import ExportProcess
from talm_tui.services.messages import Said, Trouble
from talm_tui.shell.ask import AskScreen

FORMATS = (
    ("gguf f16", "for llama.cpp and Ollama, 2 bytes a weight"),
    ("gguf q8_0", "about half of that, rounded"),
    ("gguf f32", "exactly what was trained, 4 bytes a weight"),
    ("huggingface", "for transformers, vLLM and the Hub"),
)
"""What a model can be exported as: format and precision, and what that is for."""


def _no_place(output: str) -> str:
    """Why nothing can be made there; empty where nothing is known against it."""
    path = user_path(output)
    return "it exists already: choose another directory" if there(path.exists) else ""


class ExportSaid(Message):
    """How far an export is."""

    def __init__(self, process: ExportProcess, progress: Progress) -> None:
        super().__init__()
        self.process = process
        self.progress = progress


class ExportEnded(Message):
    """An export has ended: `done` when it is complete, else `problem` says why not, which is
    nothing for one that was stopped."""

    def __init__(self, process: ExportProcess, done: Finished | None, problem: str = "") -> None:
        super().__init__()
        self.process = process
        self.done = done
        self.problem = problem


class CheckpointActions(RunActions):
    """A place that shows a run and its checkpoints. Which one is meant is asked for, unless one
    has been chosen or there is only one."""

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
            tooltip="Stop the export, or close what is said of it",
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._exporting: ExportProcess | None = None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with this run now is offered."""
        if action in ("play", "branch", "export_model"):
            return self._run is not None and bool(self.files.checkpoints)
        if action == "export_close":
            return self.is_mounted and self.query_one(ExportLine).display
        return super().check_action(action, parameters)

    def chosen_checkpoint(self) -> str | None:
        """The checkpoint that somebody has put the cursor on; None where none is shown."""
        return None

    def _with_checkpoint(self, question: str, then: Callable[[str], None]) -> None:
        """Go on with the checkpoint that is meant."""
        names = sorted(self.files.checkpoints, key=step_of, reverse=True)
        chosen = self.chosen_checkpoint() or (names[0] if len(names) == 1 else None)
        if chosen is not None:
            then(chosen)
            return
        notes = checkpoint_notes(self.history)
        options = [(name, notes.get(name, "")) for name in names]

        def answered(name: str | None) -> None:
            if name is not None:
                then(name)

        self.app.push_screen(PickScreen(question, options), answered)

    # --- prompting and branching -------------------------------------------------------------

    def action_play(self) -> None:
        """Prompt this model: the chosen checkpoint, else the newest."""
        assert self._run is not None
        chosen = self.chosen_checkpoint()
        newest = max(self.files.checkpoints, key=step_of)
        step = step_of(chosen) if chosen is not None and chosen != newest else None
        self.talm.open_play(self._run, step)

    def action_branch(self) -> None:
        """Fill in the form for a new run that begins with a checkpoint of this one."""
        directory, run = self._directory, self._run
        assert directory is not None
        assert run is not None

        def begin(checkpoint: str) -> None:
            self._read_settings(directory, run, {"init_from": f"{run}/{checkpoint}"})

        self._with_checkpoint(f"Branch {run} at", begin)

    # --- exporting ---------------------------------------------------------------------------

    def action_export_model(self) -> None:
        """Ask what to export and as what, then do that in a process of its own."""
        if self._exporting is not None:
            self.notify("One export at a time: this one is still being written.", markup=False)
            return
        directory, run = self._directory, self._run
        assert directory is not None
        assert run is not None

        def ask(checkpoint: str) -> None:
            name = f"{run} step {step_of(checkpoint):,}"

            def answered(kind: str | None) -> None:
                if kind is not None:
                    self._ask_directory(directory / checkpoint, name, kind)

            self.app.push_screen(PickScreen(f"Export {name} as", FORMATS), answered)

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
        self.app.push_screen(screen, answered)

    def _export_model(self, checkpoint: Path, name: str, kind: str, output: str) -> None:
        form, _, outtype = kind.partition(" ")
        values = {"model": str(checkpoint), "format": form}
        if outtype:
            values["outtype"] = outtype
        if output:
            values["output"] = output
        config = build(ExportConfig, values)
        process = ExportProcess(config, self.talm.workspace.root)
        self._exporting = process
        self.query_one(ExportLine).begin(f"{name} as {kind}")
        self.refresh_bindings()
        self._follow_export(process)

    @work(thread=True, group="export-model", exit_on_error=False)
    def _follow_export(self, process: ExportProcess) -> None:
        worker = get_current_worker()
        try:
            process.start()
        except OSError as error:
            self.post_message(ExportEnded(process, None, f"cannot be started: {error}"))
            return
        done = None
        for event in process.events(lambda: worker.is_cancelled):
            if isinstance(event, Progress):
                self.post_message(ExportSaid(process, event))
            elif isinstance(event, Finished):
                done = event
        if not worker.is_cancelled:
            self.post_message(ExportEnded(process, done, process.problem))

    def on_export_said(self, message: ExportSaid) -> None:
        message.stop()
        if message.process is self._exporting:
            self.query_one(ExportLine).show_progress(message.progress)

    def on_export_ended(self, message: ExportEnded) -> None:
        message.stop()
        self._exporting = None
        shown = self.query_one(ExportLine)
        if message.done is not None:
            root, summary = self.talm.workspace.root, message.done.summary
            directory = root / str(summary["directory"])
            shown.finish(str(directory), following(directory, summary))
            self.app.post_message(Said(f"Exported: {directory}"))
        elif message.problem:
            shown.fail(message.problem)
            self.app.post_message(Trouble(f"Not exported: {message.problem}"))
        else:
            shown.close()
            self.app.post_message(Said("The export is stopped; nothing was written."))
        self.refresh_bindings()

    def action_export_close(self) -> None:
        """Stop the export that is being written; close what is said of one that is over."""
        if self._exporting is not None:
            self._exporting.stop()
        else:
            self.query_one(ExportLine).close()
            self.refresh_bindings()
