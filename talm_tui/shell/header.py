"""The first line of every place: where you are, and the pulse of the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.content import Content
from textual.widget import Widget

from talm_core.system.foreign_text import line
from talm_tui.host import Host, host
from talm_tui.shell.internals import stacks
from talm_tui.shell.places import places
from talm_tui.widgets.format import percent, share_of_memory

if TYPE_CHECKING:
    from talm_tui.services.watcher import Snapshot


def pulse(snapshot: Snapshot, width: int) -> str:
    """Machine, device, memory and what runs, as much as fits; what runs is the last to go."""
    machine = snapshot.machine
    parts = []
    if snapshot.active:
        first = snapshot.active[0]
        share = f" {percent(first.fraction)}" if first.fraction is not None else ""
        others = f" +{len(snapshot.active) - 1}" if len(snapshot.active) > 1 else ""
        name = line(first.name)
        room = width - len(share) - len(others) - 2
        if len(name) > room:
            name = name[: max(0, room - 1)] + "…"
        parts.append(f"{first.status.glyph} {name}{share}{others}")
    if machine.memory_total:
        of_host = "host " if machine.device_total else ""
        parts.insert(0, of_host + share_of_memory(machine.memory_used, machine.memory_total))
    if machine.name:
        memory = (
            machine.device_total
            and f" {share_of_memory(machine.device_used, machine.device_total)}"
        )
        parts.insert(0, f"{line(machine.name)}{memory or ''}")
    if machine.host:
        parts.insert(0, line(machine.host))
    # The job is what somebody looks for; the machine's name is known to its owner.
    while parts and len(" · ".join(parts)) > width:
        del parts[0]
    return " · ".join(parts)


class HeaderLine(Widget):
    """Places with their keys at the left, the pulse at the right. A click goes there."""

    DEFAULT_CSS = """
    HeaderLine { dock: top; height: 1; background: $panel; color: $foreground; }
    """
    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__(id="header")
        self._spans: list[tuple[int, int, str]] = []
        self._room = 0
        self._shown = ""

    @property
    def talm(self) -> Host:
        return host(self)

    def on_mount(self) -> None:
        self.watch(self.app, "snapshot", self._redraw, init=False)

    def _redraw(self) -> None:
        if self._pulse(self._room) != self._shown:
            self.refresh()

    def _pulse(self, room: int) -> str:
        return pulse(self.talm.snapshot, room)

    def render(self) -> Content:
        width = self.size.width
        mode = self._mode()
        shown = [entry for entry in places() if entry.key or entry.mode == mode]
        titles = width >= sum(len(entry.title) + 4 for entry in shown) + 6
        parts: list[tuple[str, str]] = [(" talm ", "bold $accent")]
        self._spans = []
        position = 6
        for entry in shown:
            here = entry.mode == mode
            key = self.talm.key(entry.action_id) if entry.key else "·"
            text = f" {key} {entry.title} " if titles or here else f" {key} "
            style = "bold $background on $primary" if here else "$foreground"
            self._spans.append((position, position + len(text), entry.mode))
            position += len(text)
            parts.append((text, style))
        self._room = max(0, width - position - 2)
        text = self._shown = self._pulse(self._room)
        gap = " " * max(0, width - position - len(text) - 1)
        return Content.assemble(*parts, gap, (text, "$secondary"), " ")

    def _mode(self) -> str:
        """The place this line belongs to: the screen may be shown before the app's mode says so."""
        for name, stack in stacks(self.app).items():
            if self.screen in stack:
                return name
        return ""

    def on_click(self, event: events.Click) -> None:
        """Go to the place that was clicked."""
        for start, end, mode in self._spans:
            if start <= event.x < end:
                self.talm.action_place(mode)
