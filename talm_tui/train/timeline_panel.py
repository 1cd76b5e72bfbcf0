"""How a run is going to go, drawn."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

from talm_tui.charts.outline import gutter, outline
from talm_tui.train.timeline import Recurring, Timeline
from talm_tui.widgets.format import count, duration

_LABEL = 11
_TIMES = 8
"""Cells right of the plot, for how often something happens."""
_GLYPHS = ("◆", "▲", "■")


class TimelinePanel(Widget):
    """The learning rate from the first step to the last, and below it when the run evaluates,
    samples and saves."""

    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__(id="timeline")
        self.border_title = Content("Learning rate over the run")
        self._timeline: Timeline | None = None
        self._stale = False

    def show(self, timeline: Timeline | None) -> None:
        """Show another; None leaves the last one, marked as no longer that of the form."""
        stale = timeline is None
        timeline = timeline or self._timeline
        if (timeline, stale) != (self._timeline, self._stale):
            self._timeline, self._stale = timeline, stale
            self.border_subtitle = Content("as before the error" if stale and timeline else "")
            self.refresh()

    def render(self) -> Content:
        if self._timeline is None:
            return Content("")
        drawn = picture(self._timeline, *self.size)
        return drawn.stylize("dim" if self._stale else "")


def picture(timeline: Timeline, width: int, height: int) -> Content:
    """A timeline in `height` lines of `width` cells; the chart needs some of them, or is left
    out."""
    margin = max(_LABEL, gutter(timeline.rates))
    indent = Content(" " * (margin - gutter(timeline.rates)))
    steps = f"step {timeline.steps:,}"
    if timeline.seconds is not None:
        steps += f", after about {duration(timeline.seconds)}"
    columns = width - margin - _TIMES
    rows = [
        _row(each, glyph, timeline.steps, margin, columns)
        for each, glyph in zip(timeline.recurring, _GLYPHS, strict=True)
    ]
    wide = width - _TIMES - indent.cell_length
    chart = outline(timeline.rates, wide, height - len(rows), "step 1", steps)
    return Content("\n").join([indent + line for line in chart] + rows)


def _row(each: Recurring, glyph: str, steps: int, margin: int, columns: int) -> Content:
    """Where below the axis something happens, and how often in all."""
    marks = "".join(
        glyph
        if each.within(steps * column // columns + 1, steps * (column + 1) // columns, steps)
        else "·"
        for column in range(columns)
    )
    times = f"{count(each.times(steps))}×".rjust(_TIMES)
    return Content.assemble(
        (each.name.ljust(margin), "dim"), (marks, "$series-2"), (times, "$secondary")
    )
