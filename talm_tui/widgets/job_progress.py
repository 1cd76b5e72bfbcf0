"""How far the stages of a quick start are, or why it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content
from textual.widget import Widget

from talm_tui.forms.quantity import count, duration, size
from talm_tui.theme import line
from talm_tui.widgets.cells import left
from talm_tui.widgets.status import bar, colour, percent
from talm_tui.widgets.step import figure

if TYPE_CHECKING:
    from talm_core.overview import Overview

_NAMES = {"tokenizer": "tokenizer", "data": "data", "pretrain": "model"}


@dataclass(frozen=True)
class StageView:
    """A stage of a quick start; `overview` is None while it has not begun."""

    kind: str
    overview: Overview | None


def detail(overview: Overview) -> str:
    """What a running job says beside its bar: amounts, rate, time left."""
    metrics, progress = overview.metrics, overview.progress
    parts = []
    if metrics is not None:
        parts.append(f"step {metrics.step:,}/{metrics.max_steps:,}")
        parts.append(f"loss {metrics.loss_ema:.2f}")
        if overview.phase not in ("", "training"):
            parts.append(line(overview.phase))
    elif progress is not None:
        parts.append(line(progress.phase))
        if progress.total:
            parts.append(_amount(progress.done, progress.total, progress.unit))
        elif progress.done:
            parts.append(_amount(progress.done, 0, progress.unit))
        if progress.note:
            parts.append(line(progress.note))
    if overview.eta is not None:
        parts.append(f"{duration(overview.eta)} left")
    return "  ".join(parts)


def _amount(done: int, total: int, unit: str) -> str:
    if unit in ("bytes", "byte", "B"):
        return f"{size(done)} of {size(total)}" if total else size(done)
    return f"{count(done)}/{count(total)}" if total else f"{count(done)} {line(unit)}".rstrip()


class StageProgress(Widget):
    """A quick start: one line a stage with bar and figures, then how it ended, if it failed."""

    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__(id="quickstart")
        self._stages: tuple[StageView, ...] = ()
        self._whole: Overview | None = None

    def show(self, whole: Overview | None, stages: Sequence[StageView]) -> None:
        """Show a quick start; None hides the box."""
        self.display = whole is not None
        if (whole, tuple(stages)) == (self._whole, self._stages):
            return
        self._whole, self._stages = whole, tuple(stages)
        if whole is not None:
            self.border_title = Content(f"Quick start: {line(whole.name)}")
            self.styles.height = 2 + len(self._lines(80))
        self.refresh()

    def render(self) -> Content:
        return Content("\n").join(self._lines(self.size.width))

    def _lines(self, width: int) -> list[Content]:
        whole = self._whole
        if whole is None:
            return [Content("")]
        lines = [_stage_line(stage, width) for stage in self._stages]
        if whole.status.value == "failed":
            style = colour("failed")
            lines.append(
                Content.assemble(
                    ("✕ ", style),
                    (
                        left(whole.message[:1000] or "failed", max(0, width - 11)).rstrip(),
                        "$text-error",
                    ),
                    ("  l", "bold $accent"),
                    "  log",
                )
            )
        elif not whole.status.active:
            lines.append(
                Content.assemble(
                    (f"{whole.status.glyph} {whole.status.value}", colour(whole.status.value)),
                    ("  r", "bold $accent"),
                    "  go on   ",
                    ("l", "bold $accent"),
                    "  log",
                )
            )
        return lines


def _stage_line(stage: StageView, width: int) -> Content:
    name = f"{_NAMES.get(stage.kind, stage.kind):<10}"
    overview = stage.overview
    if overview is None:
        return Content.styled(f"· {name}", "$secondary")
    style = colour(overview.status.value)
    head: list[tuple[str, str]] = [(f"{overview.status.glyph} ", style), (name, "bold")]
    if not overview.status.active:
        return Content.assemble(*head, (figure(overview), "$secondary"))
    length = max(6, min(30, width - 62))
    return Content.assemble(
        *head,
        bar(overview.fraction, length),
        f" {percent(overview.fraction):>5}  ",
        (left(detail(overview), max(0, width - length - 20)).rstrip(), "$secondary"),
    )
