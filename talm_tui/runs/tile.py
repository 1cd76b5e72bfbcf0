"""A number in a frame with its course below it."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.content import Content
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from talm_tui.charts import plot
from talm_tui.widgets.format import short_number

if TYPE_CHECKING:
    from talm_tui.charts.series import Trace


class Tile(Widget):
    """The newest value of a series and a small picture of all of it."""

    DEFAULT_CSS = """
    Tile {
        width: 1fr;
        height: 4;
        color: $primary;
        border: round $foreground 25%;
        border-title-color: $foreground 65%;
        border-subtitle-color: $foreground;
        border-subtitle-style: bold;
    }
    """

    def __init__(self, name: str, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._xs: array[float] | None = None
        self._values: array[float] = array("d")
        self._trace: Trace | None = None
        self._drawn: tuple[object, int] = (None, -1)
        self._text = ""
        self._rows: list[str] = []
        self._size = Size(-1, -1)
        self.border_title = Content(name)

    @property
    def value(self) -> str:
        """The newest value as it is shown."""
        return self._text

    def show(
        self,
        values: array[float],
        xs: array[float] | None = None,
        sign: object = 0,
        *,
        number_only: bool = False,
    ) -> None:
        """Show a series over `xs`; the last value that is a number stands in the lower edge. With
        another `sign` than the last time, values may differ that were there before. With
        `number_only` the picture may stay as it is if there is one of this series."""
        from talm_tui.charts.series import Trace

        self._xs, self._values = xs, values
        self._trace = (self._trace or Trace()).keep(sign)
        newest = next((value for value in reversed(values) if math.isfinite(value)), math.nan)
        text = short_number(newest)
        if text != self._text:
            self._text = text
            # By its public name it would have all of the tile painted again.
            self._border_subtitle = Content(text)
            self.refresh(Region(0, self.size.height, self.size.width, 1))
        wanted = (sign, len(values))
        if self._size == self.size and (
            wanted == self._drawn or (number_only and sign == self._drawn[0])
        ):
            return
        self._drawn = wanted
        before = self._rows if self._size == self.size else []
        self._draw()
        for y, row in enumerate(self._rows):
            if y >= len(before) or row != before[y]:
                self.refresh(Region(0, y, self.size.width, 1))

    def _draw(self) -> None:
        width, height = self._size = self.size
        self._rows = []
        if width and height:
            self._rows = plot.spark(self._values, width, height, xs=self._xs, trace=self._trace)

    def render_line(self, y: int) -> Strip:
        if self._size != self.size:
            self._draw()
        style = self.visual_style.rich_style
        if y >= len(self._rows):
            return Strip.blank(self.size.width, style)
        return Strip([Segment(self._rows[y], style)], self.size.width)
