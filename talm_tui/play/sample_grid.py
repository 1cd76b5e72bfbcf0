"""Texts that are written at the same time, side by side."""

from __future__ import annotations

import math

from textual import events
from textual.containers import Container
from textual.content import Content

from talm_core.system.foreign_text import line
from talm_tui.play.token_view import TokenView
from talm_tui.widgets.hint import plain_keys

MOST = 8
"""Texts at once; more are too narrow to read."""

_NARROWEST = 34


class SamplePane(TokenView):
    """One text: what it is in the title, how far and how fast below."""

    def __init__(self, number: int) -> None:
        super().__init__(id="play-text" if number == 0 else f"play-text-{number + 1}")
        self.label = "continuation"
        self.writing = False
        self.rate: float | None = None
        self.said = ""

    def start(self, prompt: str, label: str) -> None:
        """Begin another text."""
        self.label, self.writing, self.rate, self.said = label, True, None, ""
        self.begin(prompt)
        self.show_state()

    def finish(self, said: str = "") -> None:
        """The text is over; `said` is why, where it did not simply end."""
        self.writing, self.said = False, said
        self.show_state()

    def show_state(self) -> None:
        """Say in the border how it stands."""
        count = len(self.tokens)
        loading = self.writing and not count
        self.border_title = Content(f"{line(self.label)}  loading" if loading else line(self.label))
        parts = [f"{count:,} tokens"] if count else []
        if self.rate:
            parts.append(f"{self.rate:,.0f} tokens/s")
        if self.writing:
            parts.append(plain_keys(self.app, "{play.stop} stops"))
        elif self.said:
            parts.append(line(self.said))
        self.border_subtitle = Content(
            "  ".join(parts) or plain_keys(self.app, "{play.generate} starts")
        )


class SampleGrid(Container):
    """One to eight panes in as many columns as there is room for."""

    DEFAULT_CSS = """
    SampleGrid { layout: grid; grid-size: 1 1; }
    """

    def __init__(self) -> None:
        super().__init__(SamplePane(0), id="play-texts")
        self._columns: int | None = None

    @property
    def panes(self) -> list[SamplePane]:
        """The panes, row by row."""
        return list(self.query_children(SamplePane))

    @property
    def current(self) -> SamplePane:
        """The pane with the focus, else the first."""
        panes = self.panes
        return next((pane for pane in panes if pane.has_focus), panes[0])

    async def have(self, count: int, columns: int | None = None) -> None:
        """Have so many panes, in so many columns; none: as many as fit."""
        panes = self.panes
        if len(panes) > count:
            await self.remove_children(panes[count:])
        elif len(panes) < count:
            await self.mount_all(SamplePane(number) for number in range(len(panes), count))
        self._columns = columns
        self._lay()

    def _lay(self) -> None:
        count = max(1, len(self.panes))
        most = max(1, self.size.width // _NARROWEST)
        columns = self._columns or min(count, most)
        if self._columns is None:
            # Four in three columns would leave a hole: two rows of two.
            columns = math.ceil(count / math.ceil(count / columns))
        self.styles.grid_size_columns = columns
        self.styles.grid_size_rows = math.ceil(count / columns)

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002
        self._lay()
