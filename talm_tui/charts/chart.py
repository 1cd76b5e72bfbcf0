"""A line chart in Braille dots that follows a growing series.

Whoever owns the data calls `show` when there is something new; the chart draws at once when it
can be seen and asks only for the lines that changed to be painted again. Zoom, pan, smoothing,
scale and the read-out of values work by keyboard and by mouse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from talm_tui.charts import caption, plot
from talm_tui.charts.axis import Kind
from talm_tui.charts.canvas import Row
from talm_tui.charts.ink import AXIS, BRIGHT, CURSOR, LABEL, MARK, RAW, SERIES
from talm_tui.charts.plot import Curve, View

SMOOTHING = (0.0, 0.8, 0.95, 0.99, 0.998)
"""How much a step weighs of the next: an average over about 1, 5, 20, 100 or 500 steps."""

_STYLED = (RAW, BRIGHT, MARK, AXIS, LABEL, CURSOR)
_ZOOM = 1.6
_PAN = 0.2


@dataclass(frozen=True, slots=True)
class XAxis:
    """One of the quantities the chart can have along x."""

    name: str
    kind: Kind = "number"


class Chart(Widget, can_focus=True):
    """Curves over one of several x axes. The title says what is shown and how, the lower edge
    holds the legend or, with a cursor, the values under it."""

    HELP = """\
# Chart

`+` `-` zoom, `←` `→` pan, `f` follows the newest point again, `0` shows everything. The wheel
zooms about the mouse, dragging pans.
`i` reads values off the curves: then `←` `→` move the cursor, `esc` ends it. `x` changes the axis,
`y` switches to a logarithmic scale and back, `s` smooths more or less.
"""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"chart--{ink}" for ink in _STYLED}

    DEFAULT_CSS = """
    Chart {
        height: 1fr;
        border: round $foreground 25%;
        border-title-color: $foreground;
        border-subtitle-color: $foreground 80%;
        &:focus { border: round $primary; }
        .chart--raw { color: $primary 45%; }
        .chart--line { color: $primary; text-style: bold; }
        .chart--marker { color: $accent; text-style: bold; }
        .chart--axis { color: $foreground 35%; }
        .chart--label { color: $foreground 70%; }
        .chart--cursor { color: $foreground 55%; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("plus,equals_sign", "zoom(1)", "Zoom in", key_display="+", id="chart.zoom_in"),
        Binding("minus,underscore", "zoom(-1)", "Zoom out", key_display="-", id="chart.zoom_out"),
        Binding("left", "pan(-1)", "Pan left", id="chart.pan_left", show=False),
        Binding("right", "pan(1)", "Pan right", id="chart.pan_right", show=False),
        Binding("0", "whole", "Show everything", id="chart.whole", show=False),
        Binding("f", "follow", "Follow", id="chart.follow", show=False),
        Binding("x", "next_axis", "X axis", id="chart.x", show=False),
        Binding("y", "log", "Log scale", id="chart.log", show=False),
        Binding("s", "smooth", "Smoothing", id="chart.smooth", show=False),
        Binding("i", "inspect", "Read values", id="chart.inspect", show=False),
        Binding("escape", "leave", "End reading", id="chart.leave", show=False),
    ]

    class ViewChanged(Message):
        """Somebody zoomed, panned, or changed axis, scale or smoothing."""

        def __init__(self, chart: Chart) -> None:
            super().__init__()
            self.chart = chart

        @property
        def control(self) -> Chart:
            return self.chart

    def __init__(
        self,
        title: str = "",
        axes: Sequence[XAxis] = (XAxis("step", "whole"),),
        *,
        empty: str = "no points yet",
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.caption = title
        self.axes = tuple(axes)
        self.empty = empty
        self.view = View(x=self.axes[0].name, kind=self.axes[0].kind)
        self.curves: tuple[Curve, ...] = ()
        self.redraws = 0
        self._picture = plot.Picture([])
        self._rows: list[Row] = []
        self._strips: list[Strip] = []
        self._edges: dict[str, str] = {}
        self._drawn_size = (-1, -1)
        self._stale = True
        self._inked_for: object = None
        self._inked: dict[str, Style] = {}
        self._drawn_inks = self._inked
        self._by_mouse = False
        self._dragged: tuple[int, float] | None = None

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _: self._touch())
        self._name_edges()

    # --- drawing -----------------------------------------------------------------------------

    def show(self, curves: Sequence[Curve]) -> None:
        """Show these curves; their arrays may be the ones that grow elsewhere."""
        self.curves = tuple(curves)
        self._name_edges()
        if not self.is_on_screen or not self.size:
            self._touch()
            return
        before = self._strips if self._drawn_size == self.size else []
        self._draw()
        changed = [
            Region(0, y, self.size.width, 1)
            for y, strip in enumerate(self._strips)
            if y >= len(before) or strip is not before[y]
        ]
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        if self._stale or self._drawn_size != self.size:
            self._draw()
        return (
            self._strips[y]
            if y < len(self._strips)
            else Strip.blank(self.size.width, self.rich_style)
        )

    def _touch(self) -> None:
        self._stale = True
        self.refresh()

    def _draw(self) -> None:
        width, height = self.size
        self._picture = plot.draw(self.curves, self.view, width, height)
        inks = self._inks()
        rows = self._picture.rows
        if not any(len(curve.y) for curve in self.curves):
            rows = self._say_empty(rows, width)
        base, before = inks[""], self._strips
        same = self._drawn_size == (width, height) and self._drawn_inks is inks
        kept = self._rows if same else []
        self._strips = [
            before[y]
            if y < len(kept) and row == kept[y]
            else Strip([Segment(text, inks[ink]) for text, ink in row]).adjust_cell_length(
                width, base
            )
            for y, row in enumerate(rows)
        ]
        self._rows, self._drawn_inks = rows, inks
        self._drawn_size, self._stale = (width, height), False
        self.redraws += 1

    def _inks(self) -> dict[str, Style]:
        # Looked up anew only where they can differ: it takes as long as drawing the chart.
        key = (self.app.theme, self.has_focus, self.visual_style)
        if key != self._inked_for:
            self._inked_for, self._inked = key, self._look_up_inks()
        return self._inked

    def _look_up_inks(self) -> dict[str, Style]:
        # With their background: only then are translucent colours blended.
        base = self.rich_style
        inks = {ink: self.get_component_rich_style(f"chart--{ink}") for ink in _STYLED}
        colours = self.app.theme_variables
        for ink in SERIES:
            # No component class: a style sheet cannot do with a theme that lacks the variable.
            inks[ink] = base + Style(color=colours[ink]) if ink in colours else inks[BRIGHT]
        return inks | {"": base}

    def _say_empty(self, rows: list[Row], width: int) -> list[Row]:
        rows = list(rows)
        middle = max(0, len(rows) - 2) // 2
        if rows:
            rows[middle] = [(self.empty[:width].center(width), LABEL)]
        return rows

    def _name_edges(self) -> None:
        self._set_edge("border_title", caption.title(self.caption, self.view))
        shown = self.reading() or caption.legend(self.curves, self.view)
        self._set_edge("border_subtitle", shown)

    def _set_edge(self, name: str, text: str) -> None:
        # Assigning it repaints the frame, so only when it differs.
        if self._edges.get(name, "") != text:
            self._edges[name] = text
            setattr(self, name, Content(text))

    def reading(self) -> str:
        """The values under the cursor as text; empty without a cursor."""
        return caption.reading(self.curves, self.view)

    # --- looking at a part -------------------------------------------------------------------

    def _look(self, view: View) -> None:
        changed = replace(view, cursor=None) != replace(self.view, cursor=None)
        self.view = view
        self._name_edges()
        self._touch()
        if changed:
            self.post_message(self.ViewChanged(self))

    def _zoom_about(self, x: float, factor: float) -> None:
        """Show `factor` times as much, with `x` staying where it is."""
        end = plot.extent(self.curves, self.view.x)
        low, high = plot.bounds(self.curves, self.view)
        least = 4.0 if self.view.kind == "whole" else end * 1e-6
        span = max(least, (high - low) * factor)
        if not end or span >= end:
            self._look(replace(self.view, span=None, right=None))
            return
        right = None
        if not self._follows or x < end - 0.05 * (high - low):
            right = x + (high - x) * span / (high - low)
        self._look(self._clamped(replace(self.view, span=span, right=right)))

    @property
    def _follows(self) -> bool:
        return self.view.right is None

    def _clamped(self, view: View) -> View:
        """The view with its right edge within the data; following when it is at the end."""
        assert view.span is not None
        if view.right is None or view.right >= plot.extent(self.curves, view.x):
            return replace(view, right=None)
        return replace(view, right=max(view.right, view.span))

    def action_zoom(self, direction: int) -> None:
        """Zoom in (1) or out (-1): about the cursor, else the newest point while following."""
        low, high = plot.bounds(self.curves, self.view)
        end = plot.extent(self.curves, self.view.x)
        about = self.view.cursor
        if about is None or not low <= about <= high:
            about = end if self._follows else (low + high) / 2
        self._zoom_about(about, _ZOOM**-direction)

    def action_pan(self, direction: int) -> None:
        """Move the window, or the cursor while values are read out."""
        if self.view.cursor is not None and not self._by_mouse:
            self._move_cursor(direction)
        elif self.view.span is not None:
            _, high = plot.bounds(self.curves, self.view)
            right = high + direction * _PAN * self.view.span
            self._look(self._clamped(replace(self.view, right=right)))

    def action_whole(self) -> None:
        """Show everything and follow."""
        self._look(replace(self.view, span=None, right=None))

    def action_follow(self) -> None:
        """Follow the newest point again, as near as the chart is zoomed."""
        self._look(replace(self.view, right=None))

    def action_next_axis(self) -> None:
        """The next x axis that the curves know."""
        names = [item.name for item in self.axes]
        chosen = self.axes[(names.index(self.view.x) + 1) % len(names)]
        self._look(
            replace(self.view, x=chosen.name, kind=chosen.kind, span=None, right=None, cursor=None)
        )

    def action_log(self) -> None:
        """Logarithmic or linear y."""
        self._look(replace(self.view, log=not self.view.log))

    def action_smooth(self) -> None:
        """The next strength of smoothing, none after the strongest."""
        following = [beta for beta in SMOOTHING if beta > self.view.beta]
        self._look(replace(self.view, beta=following[0] if following else SMOOTHING[0]))

    def action_inspect(self) -> None:
        """Put the cursor on the newest visible point, or take it away."""
        if self.view.cursor is not None and not self._by_mouse:
            self.action_leave()
            return
        low, high = plot.bounds(self.curves, self.view)
        end = plot.extent(self.curves, self.view.x)
        self._by_mouse = False
        self._look(replace(self.view, cursor=max(low, min(high, end))))

    def action_leave(self) -> None:
        """Take the cursor away."""
        self._look(replace(self.view, cursor=None))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        # Without a cursor, escape belongs to whatever is around the chart.
        return self.view.cursor is not None if action == "leave" else True

    def _move_cursor(self, direction: int) -> None:
        assert self.view.cursor is not None
        low, high = plot.bounds(self.curves, self.view)
        end = plot.extent(self.curves, self.view.x)
        cursor = min(end, max(0.0, self.view.cursor + direction * self._picture.cell))
        view = replace(self.view, cursor=cursor)
        if view.span is not None and not low <= cursor <= high:
            right = cursor if cursor > high else cursor + view.span
            view = self._clamped(replace(view, right=right))
        self._look(view)

    # --- the mouse ---------------------------------------------------------------------------

    def _x_under(self, event: events.MouseEvent) -> float | None:
        offset = event.get_content_offset(self)
        if offset is None or not self._picture.columns:
            return None
        return self._picture.x_at(offset.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        x = self._x_under(event)
        if self._dragged is not None:
            column, right = self._dragged
            moved = (event.screen_x - column) * self._picture.cell
            if self.view.span is not None:
                self._look(self._clamped(replace(self.view, right=right - moved)))
        elif x is not None and self.curves:
            self._by_mouse = True
            self._look(replace(self.view, cursor=x))

    def on_leave(self) -> None:
        if self._by_mouse:
            self._by_mouse = False
            self.action_leave()

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if self.view.span is not None:
            self._dragged = (event.screen_x, plot.bounds(self.curves, self.view)[1])
            self.capture_mouse()

    def on_mouse_up(self) -> None:
        if self._dragged is not None:
            self._dragged = None
            self.release_mouse()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, 1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, -1)

    def _wheel(self, event: events.MouseEvent, direction: int) -> None:
        x = self._x_under(event)
        if x is not None:
            event.stop()
            self._zoom_about(x, _ZOOM**-direction)
