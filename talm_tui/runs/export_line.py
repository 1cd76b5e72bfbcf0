"""How far an export is, and where its outcome lies."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static

from talm_core.runtime.events import Progress
from talm_core.system.foreign_text import line
from talm_tui.charts import axis
from talm_tui.widgets.hint import plain_keys
from talm_tui.widgets.status import bar, percent

_BAR = 24


class ExportLine(Static):
    """Shown from the beginning of an export until somebody closes it."""

    DEFAULT_CSS = """
    ExportLine {
        display: none;
        height: auto;
        max-height: 10;
        padding: 0 1;
        background: $surface;
    }
    """

    def __init__(self) -> None:
        super().__init__("", id="run-export", markup=False)
        self._title = ""

    def begin(self, title: str) -> None:
        """An export begins; `title` says what of."""
        self._title = line(title)
        self._say(Content(f"export  {self._title}  starting"), "stops")

    def show_progress(self, progress: Progress) -> None:
        """How far it is."""
        total = progress.total or 0
        share = progress.done / total if total else 0.0
        size = f"{progress.done / 1e6:,.1f}/{total / 1e6:,.1f} MB"
        left = f"  {axis.duration(progress.eta)} left" if progress.eta else ""
        said = Content(f"export  {self._title}  {line(progress.phase)} ")
        self._say(
            said + bar(share, _BAR) + Content(f" {percent(share)}  {size}{left}"),
            "stops",
        )

    def finish(self, directory: str, commands: Sequence[Sequence[str]]) -> None:
        """It is complete in this directory; `commands` use it."""
        said = Content.assemble(("● ", "$success"), f"{self._title} is exported")
        below = Content.assemble("\n", (line(directory), "bold"))
        for words in commands:
            below += Content.assemble("\n", (line(shlex.join(words)), "$secondary"))
        self._say(said, "closes this", below)

    def fail(self, problem: str) -> None:
        """It has failed."""
        said = Content.styled(f"✕ {self._title} is not exported: {line(problem)}", "$text-error")
        self._say(said, "closes this")

    def close(self) -> None:
        """Take it away."""
        self.display = False

    def _say(self, content: Content, closing: str, below: Content | str = "") -> None:
        self.display = True
        key = plain_keys(self.app, "{runs.export_close}")
        hint = Content.assemble("   ", (key, "bold $accent"), f" {closing}")
        self.update(content + hint + below)
