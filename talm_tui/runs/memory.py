"""Memory and load of the machine a run trains on, as a panel or in one line."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from textual.content import Content
from textual.widget import Widget

from talm_core.runtime.events import Record, Telemetry
from talm_core.system.foreign_text import line
from talm_core.system.memory import DeviceMemory
from talm_tui.charts import plot
from talm_tui.widgets.format import gib, of_total

_LABEL = "$foreground 65%"
_AT_ITS_END = "memory at its end"
_KEY = "█ allocated ▓ reserved ▒ others"
_KEY_DEVICES = 4


def stacked(parts: Sequence[tuple[float, str, str]], total: float, width: int) -> Content:
    """A bar of `width` cells between two ticks; each part is (amount, glyph, colour), and the
    glyphs tell the parts apart where there is no colour."""
    inside = max(1, width - 2)
    pieces: list[tuple[str, str]] = [("▕", _LABEL)]
    done = reached = 0.0
    for amount, glyph, colour in parts:
        reached += max(0.0, amount)
        upto = round(min(1.0, reached / total) * inside) if total > 0 else 0
        # What there is at all is worth a cell.
        if amount > 0 and upto == done and upto < inside:
            upto += 1
        pieces.append((glyph * int(upto - done), colour))
        done = upto
    pieces += [("░" * int(inside - done), "$foreground 25%"), ("▏", _LABEL)]
    return Content.assemble(*pieces)


def _device_parts(device: DeviceMemory) -> list[tuple[float, str, str]]:
    mine = device.reserved or device.allocated or 0
    allocated = device.allocated or 0
    return [
        (allocated, "█", "$primary"),
        (mine - allocated, "▓", "$primary"),
        (device.used - mine, "▒", "$secondary"),
    ]


def _load(device: DeviceMemory) -> str:
    parts = []
    if device.utilisation is not None:
        parts.append(f"{device.utilisation:.0%}".replace("%", " %") + " busy")
    if device.temperature is not None:
        parts.append(f"{device.temperature:.0f} °C")
    if device.power is not None:
        parts.append(f"{device.power:.0f} W")
    return "  ".join(parts)


def _host_parts(now: Telemetry) -> list[tuple[float, str, str]]:
    return [
        (now.process_memory, "█", "$primary"),
        (now.host_used - now.process_memory, "▒", "$secondary"),
    ]


def panel(history: Sequence[Record], width: int) -> list[Content]:
    """Lines for a panel `width` cells wide: accelerators with their course, then the host."""
    events = [record.event for record in history if isinstance(record.event, Telemetry)]
    if not events or width < 8:
        return [Content.styled("nothing measured yet", _LABEL)] if width >= 8 else []
    now = events[-1]
    lines: list[Content] = []
    for i, device in enumerate(now.devices):
        used = array("d", (e.devices[i].used for e in events if i < len(e.devices)))
        lines.append(Content(f"GPU {i}  {line(device.name)}"[:width]))
        lines += _bar_and_size(
            _device_parts(device), of_total(device.used, device.total), device.total, width
        )
        load = _load(device)
        room = min(16, width - len(load) - 2)
        course = ""
        if room >= 4 and len(used) > 1:
            course = plot.spark(used, room, 1, scale=(0.0, max(1.0, device.total)))[0] + "  "
        lines.append(Content.assemble((course, "$primary"), (load[:width], _LABEL)))
    if lines:
        if width >= len(_KEY) and len(now.devices) <= _KEY_DEVICES:
            lines.append(Content.styled(_KEY, _LABEL))
        text = f"host {of_total(now.host_used, now.host_total)}  cpu {now.cpu:.0%}"
        lines.append(Content.styled(text.replace("%", " %"), _LABEL))
        return lines
    size = of_total(now.host_used, now.host_total)
    lines += _bar_and_size(_host_parts(now), size, now.host_total, width)
    lines.append(Content.assemble(("█", "$primary"), f" this run {gib(now.process_memory)} GiB"))
    cpu = array("d", (event.cpu for event in events))
    lines.append(Content(f"cpu {now.cpu:.0%}".replace("%", " %")))
    lines += [
        Content.styled(row, "$primary") for row in plot.spark(cpu, width, 2, scale=(0.0, 1.0))
    ]
    return lines


def _bar_and_size(
    parts: Sequence[tuple[float, str, str]], size: str, total: float, width: int
) -> list[Content]:
    return [stacked(parts, total, max(6, width - len(size) - 1)) + Content(f" {size}")]


def one_line(history: Sequence[Record], width: int, *, over: bool = False) -> Content:
    """Everything that matters in one line; what does not fit is left out at its end. Of a run that
    is `over` it says that this is not of now."""
    now = next((r.event for r in reversed(history) if isinstance(r.event, Telemetry)), None)
    if now is None:
        return Content.styled("memory  nothing measured yet"[:width], _LABEL)
    host = of_total(now.host_used, now.host_total)
    label = _AT_ITS_END if over else "memory"
    bar = max(8, min(24, width - 50 - len(label)))
    pieces: list[Content] = []
    several = len(now.devices) > 1
    for i, device in enumerate(now.devices):
        bar_of = stacked(_device_parts(device), device.total, 8 if several else bar)
        size = of_total(device.used, device.total)
        load = f"  {_load(device)}"
        if several:
            busy = device.utilisation
            load = "" if busy is None else f" {busy:.0%}".replace("%", " %")
        pieces.append(Content(f"GPU {i} ") + bar_of + Content(f" {size}{load}"))
    if pieces:
        pieces.append(Content(f"host {host}"))
        if over:
            pieces[0] = Content("at its end  ") + pieces[0]
    else:
        bar_of = stacked(_host_parts(now), now.host_total, bar)
        pieces.append(Content(f"{label} ") + bar_of + Content(f" {host}"))
        pieces.append(Content(f"this run {gib(now.process_memory)} GiB"))
    pieces.append(Content(f"cpu {now.cpu:.0%}".replace("%", " %")))
    shown = Content("")
    for piece in pieces:
        longer = shown + Content("   ") + piece if shown else piece
        if longer.cell_length > width and shown:
            break
        shown = longer
    return shown


class MemoryPanel(Widget):
    """What `Telemetry` said, as a framed panel; with the class `-line` in one line."""

    DEFAULT_CSS = """
    MemoryPanel {
        height: auto;
        border: round $foreground 25%;
        border-title-color: $foreground;
        padding: 0 1;
        &.-line { border: none; height: 1; padding: 0 1; }
    }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.border_title = "memory"
        self._over = False
        self._history: Sequence[Record] = ()
        self._newest: Record | None = None
        self._lines: list[Content] = []
        self._width = -1

    def show(self, history: Sequence[Record], *, over: bool = False) -> None:
        """Show the newest of these records, and the course of all; `over` when the run is."""
        newest = history[-1] if history else None
        if newest is self._newest and over is self._over:
            return
        self._over = over
        self.border_title = _AT_ITS_END if over and newest is not None else "memory"
        lines = len(self._lines)
        self._history, self._newest = history, newest
        self._draw()
        self.refresh(layout=len(self._lines) != lines)

    def _draw(self) -> None:
        self._width = self.size.width
        if self.has_class("-line"):
            self._lines = [one_line(self._history, self._width, over=self._over)]
        else:
            self._lines = panel(self._history, max(8, self._width))

    def render(self) -> Content:
        if self._width != self.size.width:
            self._draw()
        return Content("\n").join(self._lines)
