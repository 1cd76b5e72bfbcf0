"""What there is of one kind already, beside the form that makes one more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.content import Content
from textual.strip import Strip
from textual.visual import RenderOptions

from talm_core.jobs.registry import spec_of
from talm_core.jobs.spec import ColumnSpec, load
from talm_tui.widgets.cells import left, name, right
from talm_tui.widgets.format import ago, count, percent
from talm_tui.widgets.status import colour
from talm_tui.widgets.table import Table

if TYPE_CHECKING:
    from talm_core.runtime.overview import Overview

_LEAST_NAME, _MOST_NAME, _MOST_CELL, _AGO = 10, 40, 28, 12


@dataclass(frozen=True, slots=True)
class More:
    """How many artifacts there is no room for."""

    count: int


class ArtifactLook:
    """Artifacts of a kind, with what tells them apart; columns for which there is no room are left
    out, the last ones first."""

    def __init__(self, kind: str) -> None:
        self._columns = columns_of(kind)
        self._widths: list[int] = []
        self._name = self._when = 0

    def fit(self, rows: Sequence[Overview | More], width: int) -> bool:
        before = self._name, self._when, self._widths
        items = [row for row in rows if not isinstance(row, More)]
        figures = [_figures(item) for item in items]
        widths = [
            min(_MOST_CELL, max(len(column.head), *(cell_len(row[i]) for row in figures), 0)) + 2
            for i, column in enumerate(self._columns)
        ]
        names = max((cell_len(item.name) for item in items), default=0)
        room = width - 2 - max(_LEAST_NAME, min(_MOST_NAME, names))
        kept = 0
        while kept < len(widths) and sum(widths[: kept + 1]) <= room:
            kept += 1
        self._widths = widths[:kept]
        self._when = _AGO if sum(self._widths) + _AGO <= room else 0
        most = max(0, width - 2 - sum(self._widths) - self._when)
        self._name = min(most, max(_LEAST_NAME, names))
        return before != (self._name, self._when, self._widths)

    def _cells(self, texts: Sequence[str]) -> str:
        parts = zip(self._columns, texts, self._widths, strict=False)
        return "".join(
            "  " + left(text, width - 2) if column.left else right(text, width)
            for column, text, width in parts
        )

    def head(self) -> Content:
        heads = [column.head for column in self._columns]
        return Content.styled(" " * (2 + self._name) + self._cells(heads), "$secondary")

    def line(self, row: Overview | More) -> Content:
        if isinstance(row, More):
            return Content.styled(f"  … {row.count:,} more", "$secondary")
        said = ago(row.updated) if row.updated and not row.status.active else ""
        return Content.assemble(
            (row.status.glyph, colour(row.status.value)),
            " ",
            name(row.name, self._name),
            (self._cells(_figures(row)) + right(said, self._when), "$secondary"),
        )

    def chosen(self, *, focused: bool) -> str:  # noqa: ARG002
        return ""


class ArtifactList(Table["Overview | More"]):
    """The newest artifacts of a kind, as many as there is room for."""

    DEFAULT_CSS = "ArtifactList { overflow-y: hidden; }"

    def __init__(self, kind: str, heading: str, empty: str) -> None:
        """`empty` is said while there is none."""
        super().__init__(ArtifactLook(kind), id="there")
        self.can_focus = False
        self.border_title = Content(heading)
        self._empty = empty
        self._items: tuple[Overview, ...] = ()

    def show(self, items: Sequence[Overview]) -> None:
        """List these, newest first."""
        self._items = tuple(items)
        self._fill()

    def on_resize(self) -> None:
        super().on_resize()
        self._fill()

    def _fill(self) -> None:
        self.put(fitting(self._items, self.size.height), -1)

    def render_line(self, y: int) -> Strip:
        if self._items:
            return super().render_line(y)
        width = self.size.width
        lines = Content.styled(self._empty, "$secondary").render_strips(
            width, None, self.visual_style, RenderOptions(self._get_style, {})
        )
        return lines[y] if y < len(lines) else Strip.blank(width, self.rich_style)


def fitting(items: Sequence[Overview], height: int) -> list[Overview | More]:
    """The rows of a table of `height` lines with its head; the last one says how many more there
    are."""
    if len(items) < height:
        return list(items)
    shown = items[: max(0, height - 2)]
    rows: list[Overview | More] = [*shown, More(len(items) - len(shown))]
    return rows[: max(0, height - 1)]


def columns_of(kind: str) -> tuple[ColumnSpec, ...]:
    """The columns of a kind's list; of one that declares none, its figures in one."""
    return spec_of(kind).columns or (ColumnSpec("", left=True, going=True),)


def _figures(item: Overview) -> tuple[str, ...]:
    """One text for each column of the kind."""
    spec = spec_of(item.artifact.kind)
    going = percent(item.fraction)
    if not item.status.active:
        going = "" if item.status.value == "done" else f"{item.status.value} {going}".rstrip()
    if spec.cells:
        texts = load(spec.cells)(item, count)
    else:
        texts = ("  ".join(load(spec.figures)(item)) if spec.figures else "",)
    return tuple(
        (going if column.going else "") or text
        for column, text in zip(columns_of(spec.kind), texts, strict=True)
    )
