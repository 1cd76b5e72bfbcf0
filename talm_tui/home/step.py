"""A step of the pipeline: a box that lists what there is of one kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.widget import Widget

from talm_core.jobs.spec import JobSpec
from talm_tui.host import host
from talm_tui.widgets import cells
from talm_tui.widgets.cells import left, right
from talm_tui.widgets.status import colour, figure

if TYPE_CHECKING:
    from talm_core.runtime.overview import Overview


class Step(Widget):
    """The newest artifacts of a kind, and the key that makes one more. A click is that key."""

    ALLOW_SELECT = False

    def __init__(self, spec: JobSpec) -> None:
        assert spec.place is not None
        assert spec.artifact is not None
        super().__init__(id=f"step-{spec.place.step.lower()}")
        self.kind = spec.kind
        self.border_title = Content(spec.place.step)
        self._about = spec.place.about
        self._action = f"home.{spec.place.name}"
        self._verb = f"{spec.place.verb} one"
        self._built_in = (*spec.artifact.reserved[:1], spec.artifact.about_reserved)
        self._items: Sequence[Overview] = ()
        self._complete = False

    def show(self, items: Sequence[Overview], *, complete: bool) -> None:
        """List these. Before the first look is complete, nothing is said to be missing."""
        if (tuple(items), complete) != (tuple(self._items), self._complete):
            self._items, self._complete = tuple(items), complete
            self.refresh()

    def render(self) -> Content:
        width, height = self.size
        if width < 8 or height < 2:
            return Content("")
        name = host(self).key(self._action)
        key = Content.assemble(
            (name, "bold $accent"), f"  {left(self._verb, width - 2 - len(name)).rstrip()}"
        )
        lines = self._list(width, height - 1)
        if not self._items and self._complete:
            about = Content(self._about).wrap(width)[: height - 1]
            lines = [part.stylize("$secondary") for part in about]
        lines += [Content("")] * (height - 1 - len(lines))
        return Content("\n").join([*lines[: height - 1], key])

    def _list(self, width: int, room: int) -> list[Content]:
        shown = list(self._items[:room])
        hidden = len(self._items) - len(shown)
        lines = [self._line(item, width) for item in shown]
        if hidden:
            more = f"  … {hidden + 1:,} more"
            lines[-1] = Content.styled(more, "$secondary")
        elif len(self._built_in) > 1 and len(lines) < room and self._complete:
            name, said = self._built_in
            said = said if len(name) + len(said) + 4 <= width else ""
            lines.append(_row("●", colour("done"), name, said, width))
        return lines

    def _line(self, item: Overview, width: int) -> Content:
        name = item.name
        # The name is what tells two apart: it gets its cells, or twelve, before the figure.
        room = width - 3 - min(12, cell_len(name))
        return _row(item.status.glyph, colour(item.status.value), name, figure(item, room), width)

    def on_click(self, event: events.Click) -> None:
        """Make one more."""
        event.stop()
        self.jump()

    def jump(self) -> None:
        """The same, from jump mode."""
        host(self).press(self._action)


def _row(glyph: str, style: str, name: str, said: str, width: int) -> Content:
    room = width - 3 - len(said)
    return Content.assemble(
        (glyph, style), " ", cells.name(name, room), " ", (right(said, len(said)), "$secondary")
    )
