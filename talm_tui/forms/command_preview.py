"""The `talm` command that does what the form says."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from talm_core.settings.command_line import shell
from talm_core.system.foreign_text import plain
from talm_tui.widgets.sheet import Sheet


class CommandPreview(Sheet):
    """The equivalent command, one or two lines of it; `command` is the whole."""

    def __init__(self) -> None:
        super().__init__("", id="command", markup=False)
        self.command = ""

    def show(self, words: Sequence[str]) -> None:
        """Show another command."""
        command = shell(words)
        if command != self.command:
            self.command = command
            self.update(Content.assemble(("$ ", "dim"), plain(command)))
