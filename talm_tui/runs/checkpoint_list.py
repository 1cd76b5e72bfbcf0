"""The checkpoints of a run, to choose the one that something is done with."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from talm_tui.widgets.hint import plain_keys


class CheckpointList(OptionList):
    """One checkpoint a line, newest first. The newest is chosen until somebody chooses another,
    which then stays chosen however many are added."""

    DEFAULT_CSS = """
    CheckpointList {
        background: $background;
        border: round $foreground 25%;
        border-title-color: $foreground;
        border-subtitle-color: $foreground 70%;
        padding: 0 1;
        scrollbar-size-vertical: 1;
        &:focus { border: round $primary; }
        & > .option-list--option-highlighted { background: $panel; text-style: bold; }
        &:focus > .option-list--option-highlighted { background: $primary 25%; }
    }
    """
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, markup=False)
        self._names: list[str] = []
        self._rows: list[tuple[str, Content]] = []
        self.border_title = "checkpoints"

    def on_mount(self) -> None:
        self.border_subtitle = Content(
            plain_keys(
                self.app,
                "{runs.newer} {runs.older} choose  {runs.play} play  {runs.branch} branch"
                "  {runs.export_model} export",
            )
        )

    def show(self, rows: Sequence[tuple[str, Content]]) -> None:
        """Show these checkpoints: their names, and what is said of each."""
        if list(rows) == self._rows:
            return
        chosen = self.chosen if self.highlighted else None
        self._rows, self._names = list(rows), [name for name, _ in rows]
        self.clear_options()
        self.add_options(Option(content) for _, content in rows)
        if rows:
            self.highlighted = self._names.index(chosen) if chosen in self._names else 0

    @property
    def chosen(self) -> str | None:
        """The name of the chosen checkpoint; None where there is none."""
        index = self.highlighted
        return self._names[index] if index is not None and index < len(self._names) else None

    def leaf(self, direction: int) -> None:
        """To the next older (-1) or newer (1) checkpoint."""
        if self._names:
            index = (self.highlighted or 0) - direction
            self.highlighted = max(0, min(len(self._names) - 1, index))

    def follow(self) -> None:
        """Choose the newest again, as for another run."""
        self.highlighted = 0 if self._names else None
