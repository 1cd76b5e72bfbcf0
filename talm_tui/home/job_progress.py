"""How far jobs are that work now: the stages of a quick start, and all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content
from textual.widget import Widget

from talm_core.jobs.registry import spec_of
from talm_core.system.foreign_text import line
from talm_tui.widgets.cells import left, name
from talm_tui.widgets.format import count, duration, percent, short_number, size
from talm_tui.widgets.hint import with_keys
from talm_tui.widgets.status import bar, colour, figure, steps

if TYPE_CHECKING:
    from talm_core.runtime.overview import Overview

_BYTES = ("bytes", "byte", "B")
_MOST_JOBS = 4


@dataclass(frozen=True)
class StageView:
    """A stage of a quick start; `overview` is None while it has not begun."""

    kind: str
    overview: Overview | None


def detail(overview: Overview, width: int = 1000) -> str:
    """What a running job says beside its bar: amounts, rate, time left. Where there is no room
    for all, what stands in the middle is left out."""
    metrics, progress = overview.metrics, overview.progress
    parts = []
    if metrics is not None:
        parts.append(f"step {steps(overview)}")
        parts.append(f"loss {metrics.loss:.2f}")
        if overview.phase not in ("", "training"):
            parts.append(line(overview.phase))
        else:
            parts.append(_rate(metrics.tokens_per_second, "tokens"))
    elif progress is not None:
        parts.append(line(progress.phase))
        if progress.total:
            parts.append(_amount(progress.done, progress.total, progress.unit))
        elif progress.done:
            parts.append(_amount(progress.done, 0, progress.unit))
        if progress.note:
            parts.append(line(progress.note))
        if progress.rate:
            parts.append(_rate(progress.rate, progress.unit))
    if overview.eta is not None:
        parts.append(f"{duration(overview.eta)} left")
    parts = [part for part in parts if part]
    while len(parts) > 1 and len("  ".join(parts)) > width:
        del parts[1 if len(parts) > 2 else 0]
    return "  ".join(parts)


def _rate(rate: float, unit: str) -> str:
    if not 0 < rate < 1e15:
        return ""
    if unit in _BYTES:
        return f"{size(int(rate))}/s"
    return f"{short_number(rate)} {line(unit)}/s"


def _amount(done: int, total: int, unit: str) -> str:
    if unit in _BYTES:
        return f"{size(done)} of {size(total)}" if total else size(done)
    return f"{count(done)}/{count(total)}" if total else f"{count(done)} {line(unit)}".rstrip()


class StageProgress(Widget):
    """A quick start: one line a stage with bar and figures, then how it ended, if it failed."""

    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__(id="whole")
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
            self._fit_height()
        self.refresh()

    def on_resize(self) -> None:
        self._fit_height()

    def _fit_height(self) -> None:
        self.styles.height = 2 + len(self._lines(self.size.width or 76))

    def render(self) -> Content:
        return Content("\n").join(self._lines(self.size.width))

    def _lines(self, width: int) -> list[Content]:
        whole = self._whole
        if whole is None:
            return [Content("")]
        lines = [_stage_line(stage, width) for stage in self._stages]
        if whole.status.value == "failed":
            style = colour("failed")
            log = with_keys(self.app, "  {home.log}  log")
            said = line(whole.message)[:1000] or "failed"
            whole_line = Content.assemble(("✕ ", style), (said, "$text-error"), log)
            lines += whole_line.wrap(max(10, width))
        elif not whole.status.active:
            lines.append(
                Content.assemble(
                    (f"{whole.status.glyph} {whole.status.value}", colour(whole.status.value)),
                    with_keys(self.app, "  {home.resume}  go on   {home.log}  log"),
                )
            )
        return lines


def _stage_line(stage: StageView, width: int) -> Content:
    spec = spec_of(stage.kind)
    name = f"{spec.place.step.lower() if spec.place else spec.kind:<10}"
    overview = stage.overview
    if overview is None:
        return Content.styled(f"· {name}", "$secondary")
    style = colour(overview.status.value)
    head: list[tuple[str, str]] = [(f"{overview.status.glyph} ", style), (name, "bold")]
    if not overview.status.active:
        return Content.assemble(*head, (figure(overview), "$secondary"))
    length = max(6, min(30, width - 62))
    room = max(0, width - length - 20)
    return Content.assemble(
        *head,
        bar(overview.fraction, length),
        f" {percent(overview.fraction):>5}  ",
        (left(detail(overview, room), room).rstrip(), "$secondary"),
    )


class ActiveJobs(Widget):
    """Every job that works now, from whatever terminal, a line each: how far, how fast, how much
    longer. The last line says how many more there are."""

    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__(id="jobs")
        self._jobs: tuple[Overview, ...] = ()

    def show(self, jobs: Sequence[Overview]) -> None:
        """Show these jobs; none hides the lines."""
        before, self._jobs = self._jobs, tuple(jobs)
        self.display = bool(self._jobs)
        if before != self._jobs:
            # Without a new layout, which would send the whole screen again, unless lines came.
            self.refresh(layout=len(before) != len(self._jobs))

    def render(self) -> Content:
        width = self.size.width
        shown = self._jobs if len(self._jobs) <= _MOST_JOBS else self._jobs[: _MOST_JOBS - 1]
        lines = [_job_line(job, width) for job in shown]
        if len(shown) < len(self._jobs):
            lines.append(Content.styled(f"  {len(self._jobs) - len(shown)} more", "$secondary"))
        return Content("\n").join(lines)


def _job_line(job: Overview, width: int) -> Content:
    style = colour(job.status.value)
    names = max(10, min(24, width - 70))
    length = max(6, min(30, width - names - 57))
    room = max(0, width - names - length - 11)
    return Content.assemble(
        (f"{job.status.glyph} ", style),
        (name(job.name, names), "bold"),
        " ",
        bar(job.fraction, length),
        f" {percent(job.fraction):>5}  ",
        (left(detail(job, room), room).rstrip(), "$secondary"),
    )
