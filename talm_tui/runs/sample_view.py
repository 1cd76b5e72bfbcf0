"""What the model wrote along the way, to leaf back through training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from talm_core.runtime.events import Sampled
from talm_core.system.foreign_text import plain
from talm_tui.widgets.hint import plain_keys


class SampleView(VerticalScroll):
    """One sample at a time: the newest until somebody leafs back, and again once they have
    leafed forward to it."""

    DEFAULT_CSS = """
    SampleView {
        border: round $foreground 25%;
        border-title-color: $foreground;
        border-subtitle-color: $foreground 60%;
        padding: 0 1;
        scrollbar-size-vertical: 1;
        &:focus { border: round $primary; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "left,comma,less_than_sign", "leaf(-1)", "Older sample", id="sample.older", show=False
        ),
        Binding(
            "right,full_stop,greater_than_sign",
            "leaf(1)",
            "Newer sample",
            id="sample.newer",
            show=False,
        ),
    ]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._samples: Sequence[Sampled] = ()
        self._step: int | None = None
        self._shown: tuple[object, ...] = ()
        self.border_title = "sample"

    def compose(self) -> ComposeResult:
        yield Static("", markup=False)

    def show(self, samples: Sequence[Sampled]) -> None:
        """Show the newest of these, or the one leafed back to."""
        self._samples = samples
        self._redraw()

    @property
    def index(self) -> int:
        """Which sample is shown; -1 without any."""
        if self._step is not None:
            for i, sample in enumerate(self._samples):
                if sample.step >= self._step:
                    return i
        return len(self._samples) - 1

    def action_leaf(self, direction: int) -> None:
        """To the next older (-1) or newer (1) sample."""
        index = max(0, min(len(self._samples) - 1, self.index + direction))
        at_end = index >= len(self._samples) - 1
        self._step = None if at_end else self._samples[index].step
        self._redraw()
        self.scroll_home(animate=False)

    def follow(self) -> None:
        """Show the newest again, as for another run."""
        self._step = None

    def _redraw(self) -> None:
        index, count = self.index, len(self._samples)
        sample = self._samples[index] if count else None
        if (index, count, sample) == self._shown or not self.is_mounted:
            return
        self._shown = (index, count, sample)
        if sample is None:
            title, text = "sample", Content.styled("no sample yet", "$foreground 65%")
        else:
            title = f"sample at step {sample.step:,}  ◀ {index + 1}/{count} ▶"
            text = Content.assemble(
                (plain(sample.prompt).expandtabs(4), "bold $accent"),
                plain(sample.text).expandtabs(4),
            )
        self.border_title = Content(title)
        keys = plain_keys(self.app, "{runs.older} older  {runs.newer} newer")
        self.border_subtitle = Content(keys) if count > 1 else ""
        self.query_one(Static).update(text)
