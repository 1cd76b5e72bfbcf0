"""An export: how far it is, and where its outcome lies."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from textual import work
from textual.content import Content
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from talm_core.jobs.export.commands import following
from talm_core.jobs.export.config import ExportConfig
from talm_core.runtime.events import Finished, Progress
from talm_core.system.foreign_text import line
from talm_tui.services.clients import ExportProcess
from talm_tui.services.messages import Said, Trouble
from talm_tui.widgets.format import elapsed, percent
from talm_tui.widgets.hint import plain_keys
from talm_tui.widgets.status import bar

_BAR = 24


class ExportLine(Static):
    """Follows one export at a time; shown from its beginning until somebody closes it."""

    DEFAULT_CSS = """
    ExportLine {
        display: none;
        height: auto;
        max-height: 10;
        padding: 0 1;
        background: $surface;
    }
    """

    class Progressed(Message):
        """How far an export is."""

        def __init__(self, process: ExportProcess, progress: Progress) -> None:
            super().__init__()
            self.process = process
            self.progress = progress

    class Ended(Message):
        """An export has ended: `done` when it is complete, else `problem` says why not, which is
        nothing for one that was stopped."""

        def __init__(self, root: Path, done: Finished | None, problem: str = "") -> None:
            super().__init__()
            self.root = root
            self.done = done
            self.problem = problem

    def __init__(self) -> None:
        super().__init__("", id="run-export", markup=False)
        self._title = ""
        self.process: ExportProcess | None = None
        """The export that is being written."""

    def export(self, config: ExportConfig, root: Path, title: str) -> None:
        """Begin an export in the workspace at `root`; `title` says what of."""
        self._title = line(title)
        self._say(Content(f"export  {self._title}  starting"), "stops")
        self.process = ExportProcess(config, root)
        self._follow(self.process, root)

    def stop_or_close(self) -> None:
        """Stop what is being written; take away what is said of one that is over."""
        if self.process is not None:
            self.process.stop()
        else:
            self.display = False

    @work(thread=True, group="export-model", exit_on_error=False)
    def _follow(self, process: ExportProcess, root: Path) -> None:
        worker = get_current_worker()
        try:
            process.start()
        except OSError as error:
            self.post_message(self.Ended(root, None, f"cannot be started: {error}"))
            return
        done = None
        for event in process.events(lambda: worker.is_cancelled):
            if isinstance(event, Progress):
                self.post_message(self.Progressed(process, event))
            elif isinstance(event, Finished):
                done = event
        if not worker.is_cancelled:
            self.post_message(self.Ended(root, done, process.problem))

    def on_export_line_progressed(self, message: Progressed) -> None:
        message.stop()
        if message.process is self.process:
            self._show_progress(message.progress)

    def on_export_line_ended(self, message: Ended) -> None:
        message.stop()
        self.process = None
        if message.done is not None:
            summary = message.done.summary
            directory = message.root / str(summary["directory"])
            self._finish(str(directory), following(directory, summary))
            self.app.post_message(Said(f"Exported: {directory}"))
        elif message.problem:
            problem = message.problem
            said = Content.styled(
                f"✕ {self._title} is not exported: {line(problem)}", "$text-error"
            )
            self._say(said, "closes this")
            self.app.post_message(Trouble(f"Not exported: {problem}"))
        else:
            self.display = False
            self.app.post_message(Said("The export is stopped; nothing was written."))
        self.screen.refresh_bindings()

    def _show_progress(self, progress: Progress) -> None:
        """How far it is."""
        total = progress.total or 0
        share = progress.done / total if total else 0.0
        size = f"{progress.done / 1e6:,.1f}/{total / 1e6:,.1f} MB"
        left = f"  {elapsed(progress.eta)} left" if progress.eta else ""
        said = Content(f"export  {self._title}  {line(progress.phase)} ")
        self._say(
            said + bar(share, _BAR) + Content(f" {percent(share)}  {size}{left}"),
            "stops",
        )

    def _finish(self, directory: str, commands: Sequence[Sequence[str]]) -> None:
        """It is complete in this directory; `commands` use it."""
        said = Content.assemble(("● ", "$success"), f"{self._title} is exported")
        below = Content.assemble("\n", (line(directory), "bold"))
        for words in commands:
            below += Content.assemble("\n", (line(shlex.join(words)), "$secondary"))
        self._say(said, "closes this", below)

    def _say(self, content: Content, closing: str, below: Content | str = "") -> None:
        self.display = True
        key = plain_keys(self.app, "{runs.export_close}")
        hint = Content.assemble("   ", (key, "bold $accent"), f" {closing}")
        self.update(content + hint + below)
