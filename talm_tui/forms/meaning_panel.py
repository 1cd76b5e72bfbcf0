"""What the values of a form amount to."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.reactive import reactive

from talm_core.system.foreign_text import wrapped
from talm_tui.forms.meaning import Meaning
from talm_tui.widgets.format import memory
from talm_tui.widgets.sheet import Sheet

_FILLS = ("█", "▓", "▒", "░", "╱")
_COLOURS = ("$primary", "$accent", "$secondary", "$warning", "$foreground 45%")
_TITLE = "What this means"
_STALE = "What this meant before the error"


class MeaningPanel(Sheet):
    """Consequences as a list with a bar of memory; `brief` says them in two lines. They are
    `stale` while the values they are of are not those of the form: dim, and under another title."""

    brief: reactive[bool] = reactive(False)

    def __init__(self) -> None:
        super().__init__("", id="meaning", markup=False)
        self.border_title = Content(_TITLE)
        self.meaning = Meaning()
        self.stale = False

    def watch_brief(self) -> None:
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def show(self, meaning: Meaning | None) -> None:
        """Show other consequences; None: there are none to be told of values that cannot be, and
        those shown last stay, marked as such."""
        stale = meaning is None and self.meaning != Meaning()
        meaning = self.meaning if meaning is None else meaning
        if (meaning, stale) != (self.meaning, self.stale):
            self.meaning, self.stale = meaning, stale
            self.border_title = Content(_STALE if stale else _TITLE)
            self._draw()

    def _draw(self) -> None:
        meaning, width = self.meaning, self.content_size.width
        if self.brief:
            before = f"({_STALE.lower()}) " if self.stale else ""
            self.update(Content(before + meaning.brief))
            return
        label = max((len(row.name) for row in meaning.rows), default=0) + 2
        lines = []
        for row in meaning.rows:
            for index, part in enumerate(wrapped(row.value, max(10, width - label))):
                name = row.name if index == 0 else ""
                lines.append(Content.assemble((name.ljust(label), "dim"), part))
            if row.name == "memory" and meaning.bar:
                lines += _bar(meaning, max(10, width))
        for warning in meaning.warnings:
            first, *rest = wrapped(warning, max(10, width - 2))
            lines += [Content.styled(f"! {first}", "$text-warning")]
            lines += [Content.styled(f"  {part}", "$text-warning") for part in rest]
        self.update(Content("\n").join(lines).stylize(self._style))

    @property
    def _style(self) -> str:
        return "dim" if self.stale else ""


def _bar(meaning: Meaning, width: int) -> list[Content]:
    """The parts as a bar as wide as there is room, each with a fill of its own, and what the
    fills mean."""
    widths = _widths([part.amount for part in meaning.bar], width - 5)
    cells: list[tuple[str, str]] = [("  ▕", "dim")]
    legend = [Content("  ")]
    for index, part in enumerate(meaning.bar):
        fill, colour = _FILLS[index % len(_FILLS)], _COLOURS[index % len(_COLOURS)]
        if not part.amount:
            continue
        cells.append((fill * widths[index], colour))
        said = Content.assemble((fill, colour), f" {part.name} {memory(part.amount)}  ")
        if legend[-1].cell_length + said.cell_length > width + 2:
            legend.append(Content("  "))
        legend[-1] += said
    cells.append(("▏", "dim"))
    return [Content.assemble(*cells).truncate(width), *legend]


def _widths(amounts: Sequence[float], room: int) -> list[int]:
    """Cells for each amount, `room` in all; what is there at all has one at least, which the
    largest gives."""
    total = sum(amounts) or 1
    widths = [max(1, int(room * amount / total)) if amount else 0 for amount in amounts]
    widths[max(range(len(amounts)), key=lambda index: amounts[index])] += room - sum(widths)
    return widths
