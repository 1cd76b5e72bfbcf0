"""The runs of a workspace, one a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from talm_core.overview import Overview
from talm_tui.theme import line
from talm_tui.widgets import axis
from talm_tui.widgets.status import ago, colour, percent


def in_order(overviews: Sequence[Overview]) -> list[Overview]:
    """What works first, then what spoke last; two runs that speak in turns keep their places."""
    return sorted(
        overviews,
        key=lambda item: (not item.status.active, 0 if item.status.active else -item.updated),
    )


def row(overview: Overview, width: int, name_width: int) -> Content:
    """`▶ nano  running  412/900  val 3.41  2.62 bits/byte  0:48 left`; what does not fit is left
    out from the end."""
    name = line(overview.name)
    if len(name) > name_width:
        name = name[: name_width - 1] + "…"
    tint = colour(overview.status.value)
    metrics = overview.metrics
    cells: list[tuple[str, str]] = []
    if metrics is not None:
        cells.append((f"{metrics.step:,}/{metrics.max_steps:,}", ""))
    elif overview.status.active:
        cells.append((f"{overview.phase} {percent(overview.fraction)}".strip(), ""))
    if overview.val_loss is not None:
        cells.append((f"val {overview.val_loss:.3f}", ""))
    if overview.bits_per_byte is not None:
        cells.append((f"{overview.bits_per_byte:.3f} bits/byte", ""))
    if overview.message and not overview.status.active:
        cells.append((line(overview.message), "$error"))
    if overview.status.active and overview.eta is not None:
        cells.append((f"{axis.duration(overview.eta)} left", ""))
    elif overview.updated and not overview.status.active:
        cells.append((ago(overview.updated), "$foreground 60%"))
    result = Content.assemble(
        (overview.status.glyph, tint),
        f" {name:<{name_width}}  ",
        (f"{overview.status.value:<11}", tint),
    )
    widths = (14, 10, 16)
    for i, (text, style) in enumerate(cells):
        padded = text.ljust(widths[i]) if i < len(widths) and i + 1 < len(cells) else text
        room = width - result.cell_length - 2
        if room < len(text):
            if style == "$error" and room > 8:
                result += Content.styled(f"  {text[: room - 1]}…", style)
            break
        result += Content("  ") + Content.styled(padded[:room], style)
    return result


class RunList(OptionList, inherit_bindings=False):
    """Highlighting a run chooses it."""

    DEFAULT_CSS = """
    RunList {
        height: auto;
        max-height: 3;
        border: none;
        padding: 0 1;
        background: $background;
        scrollbar-size-vertical: 1;
        text-wrap: nowrap;
        text-overflow: ellipsis;
        &:focus { border: none; background-tint: $foreground 0%; }
        & > .option-list--option { padding: 0; }
        & > .option-list--option-highlighted {
            color: $foreground;
            background: $panel;
            text-style: bold;
        }
        &:focus > .option-list--option-highlighted {
            color: $foreground;
            background: $primary 25%;
            text-style: bold;
        }
    }
    """

    # Without those that scroll sideways: the chart pans by the same keys.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "cursor_up", "Previous run", id="runs.previous", show=False),
        Binding("down", "cursor_down", "Next run", id="runs.next", show=False),
        Binding("home", "first", "First run", show=False, id="runs.first"),
        Binding("end", "last", "Last run", show=False, id="runs.last"),
        Binding("pageup", "page_up", "Page up", show=False, id="runs.page_up"),
        Binding("pagedown", "page_down", "Page down", show=False, id="runs.page_down"),
    ]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, markup=False)
        self._overviews: list[Overview] = []
        self._names: list[str] = []
        self._drawn: list[object] = []

    @property
    def chosen(self) -> str | None:
        """The name of the highlighted run."""
        return None if self.highlighted is None else self._names[self.highlighted]

    @property
    def names(self) -> list[str]:
        """The runs in the order they are shown in."""
        return list(self._names)

    def show(self, overviews: Sequence[Overview]) -> None:
        """Show these runs; the highlighted one stays highlighted."""
        self._overviews = in_order(overviews)
        names = [overview.name for overview in self._overviews]
        chosen = self.chosen
        if names != self._names:
            self._names, self._drawn = names, [None] * len(names)
            with self.prevent(OptionList.OptionHighlighted):
                self.clear_options()
                self.add_options([Option("") for _ in names])
                if chosen in names:
                    self.highlighted = names.index(chosen)
        self._fill()

    def choose(self, name: str) -> None:
        """Highlight a run, if it is there."""
        if name in self._names:
            with self.prevent(OptionList.OptionHighlighted):
                self.highlighted = self._names.index(name)

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002
        self._fill()

    def _fill(self) -> None:
        width = self.scrollable_content_region.width
        if width <= 0:
            return
        longest = max((len(line(name)) for name in self._names), default=0)
        name_width = max(8, min(longest, 14 if width < 100 else 28))
        for i, overview in enumerate(self._overviews):
            # Five hundred rows are quick to compare and slow to lay out.
            sign = (overview, width, name_width, ago(overview.updated))
            if sign != self._drawn[i]:
                self._drawn[i] = sign
                content = row(overview, width, name_width)
                self.replace_option_prompt_at_index(i, content)
