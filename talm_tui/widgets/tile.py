"""A number in a frame with its course below it."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from talm_tui.widgets import axis, plot

if TYPE_CHECKING:
    from talm_tui.widgets.trace import Trace


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
        self._text = ""
        self._drawn = ""
        # Drawn already, for the next painting of this size.
        self._ready = (Size(-1, -1), "")
        self.border_title = Content(name)

    @property
    def value(self) -> str:
        """The newest value as it is shown."""
        return self._text

    def show(self, values: array[float], xs: array[float] | None = None, sign: object = 0) -> None:
        """Show a series over `xs`; the last value that is a number stands in the lower edge. With
        another `sign` than the last time, values may differ that were there before."""
        from talm_tui.widgets.trace import Trace

        self._xs, self._values = xs, values
        self._trace = (self._trace or Trace()).keep(sign)
        newest = next((value for value in reversed(values) if math.isfinite(value)), math.nan)
        text = axis.short_number(newest)
        if text != self._text:
            self._text = text
            self.border_subtitle = Content(text)
        drawn = self._draw()
        if drawn != self._drawn:
            self._ready = (self.size, drawn)
            self.refresh()

    def _draw(self) -> str:
        width, height = self.size
        if not width or not height:
            return ""
        drawn = plot.spark(self._values, width, height, xs=self._xs, trace=self._trace)
        return "\n".join(drawn)

    def render(self) -> Content:
        size, drawn = self._ready
        self._drawn = drawn if size == self.size else self._draw()
        self._ready = (Size(-1, -1), "")
        return Content(self._drawn)
