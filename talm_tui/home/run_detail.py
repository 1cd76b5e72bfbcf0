"""The run that is chosen in Home: its loss so far, what it was asked, how it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from textual.content import Content
from textual.geometry import Region, Size
from textual.widget import Widget

from talm_core.jobs.registry import spec_of
from talm_core.jobs.spec import load
from talm_core.system.foreign_text import line, wrapped
from talm_tui.charts.outline import outline
from talm_tui.home.job_progress import detail
from talm_tui.host import host
from talm_tui.widgets.cells import left
from talm_tui.widgets.format import ago, count, duration, percent
from talm_tui.widgets.status import colour, figure

if TYPE_CHECKING:
    from talm_core.runtime.overview import Overview
    from talm_core.settings.schema import JobConfig

_LABEL = 12
_MOST_SETTINGS = 12


class RunDetail(Widget):
    """A run as a chart of its smoothed loss beside what there is to say about it."""

    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__(id="detail")
        self._run: Overview | None = None
        self._title = Content("")
        self._lines: list[Content] = []

    def show(self, run: Overview | None) -> None:
        """Show another run, or another moment of it; None hides the box."""
        if run is self._run:
            return
        self._run = run
        # Why it failed has a place on every screen: the list has no room for what to do about it.
        self.set_class(run is not None and bool(run.message), "-failed")
        if run is not None:
            status = Content.styled(f"{run.status.glyph} {run.status.value}", colour(run.status))
            title = Content.assemble(line(run.name), "  ", status)
            if not title.is_same(self._title):
                self._title = title
                self.border_title = title
        before, self._lines = self._lines, self._drawn()
        if len(before) != len(self._lines):
            self.refresh()
            return
        # A second of a run changes a few lines: over a slow line the rest is not sent again.
        for y, (old, new) in enumerate(zip(before, self._lines, strict=True)):
            if not new.is_same(old):
                self.refresh(Region(0, y, self.size.width, 1))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        return len(self._why(width))

    def _why(self, width: int) -> list[Content]:
        """Where there is no room for more: why it failed, whole."""
        said = "" if self._run is None else line(self._run.message)
        return [Content.styled(part, "$text-error") for part in wrapped(said, max(10, width))]

    def render(self) -> Content:
        self._lines = self._drawn()
        return Content("\n").join(self._lines)

    def _drawn(self) -> list[Content]:
        run, (width, height) = self._run, self.size
        if run is None or width < 20 or height < 1:
            return []
        if self.screen.has_class("-short"):
            return self._why(width)
        facts = width if width < 70 else min(60, width * 45 // 100)
        said = _facts(run, facts, host(self).key)[:height]
        if facts == width:
            return said
        chart = _chart(run, width - facts - 3, height - 1)
        lines = []
        for index in range(max(len(chart), len(said))):
            drawn = chart[index] if index < len(chart) else Content("")
            fact = said[index] if index < len(said) else Content("")
            lines.append(drawn.pad_right(width - facts - drawn.cell_length) + fact)
        return lines


def _chart(run: Overview, width: int, height: int) -> list[Content]:
    metrics = run.metrics
    if not spec_of(run.artifact.kind).makes_model:
        return []
    if metrics is None or len(run.spark) < 2:
        return [Content.styled(left("no loss yet", width), "$secondary")]
    drawn = outline(run.spark, width, height, "step 1", f"step {metrics.step:,}")
    return [Content.styled("loss, smoothed (nats/token)", "$secondary"), *drawn]


def _facts(run: Overview, width: int, key: Callable[[str], str]) -> list[Content]:
    lines: list[Content] = []
    for name, text in (*_standing(run), *_asked(run)):
        parts = wrapped(text, max(10, width - _LABEL)) or [""]
        lines += [
            Content.assemble(((name if index == 0 else "").ljust(_LABEL), "dim"), part)
            for index, part in enumerate(parts)
        ]
    return [*lines, Content(""), _keys(run, key)]


def _standing(run: Overview) -> Iterator[tuple[str, str]]:
    """How far it is and how well it does."""
    from talm_core.runtime.render import extent

    metrics = run.metrics
    if metrics is not None:
        left_over = f", {duration(run.eta)} left" if run.eta is not None else ""
        share = percent(run.fraction)
        said = extent(run.extent, over=run.status.value == "done") if run.extent else ""
        yield "step", f"{said.removeprefix('step ')}, {share}{left_over}"
        yield "training", f"{metrics.loss_ema:.3f} nats/token"
    elif run.status.active and (doing := detail(run)):
        yield "does", doing
    elif said := figure(run, 200):
        yield "made", said
    if run.val_loss is not None:
        bits = f", {run.bits_per_byte:.3f} bits/byte" if run.bits_per_byte is not None else ""
        yield "validation", f"{run.val_loss:.3f} nats/token{bits}"
    if metrics is not None:
        speed = f"{count(metrics.tokens_per_second)} tokens/s"
        yield "speed", f"{speed}, {duration(metrics.elapsed)} of training so far"
        yield "seen", f"{count(metrics.tokens)} tokens, {metrics.epoch:.2g} epochs"
    if run.message:
        yield "damaged" if run.status.value == "damaged" else "failed", line(run.message)
    if run.updated and not run.status.active:
        yield "ended", ago(run.updated)


def _asked(run: Overview) -> Iterator[tuple[str, str]]:
    """What its kind says of that, and the settings that are not the usual ones."""
    config, spec = run.config, spec_of(run.artifact.kind)
    if spec.asked and config is not None and config.kind == spec.kind:
        for name, text in load(spec.asked)(config):
            yield name, line(text)
    if config is not None and (changed := _changed(config)):
        yield "settings", changed


def _changed(config: JobConfig) -> str:
    from talm_core.settings.schema import settings_of

    changed = [
        f"{item.key} {line(str(value))}"
        for item in settings_of(type(config))
        if not item.required and (value := getattr(config, item.key)) != item.default
    ]
    more = len(changed) - _MOST_SETTINGS
    return ", ".join(changed[:_MOST_SETTINGS]) + (f" and {more} more" if more > 0 else "")


def _keys(run: Overview, key: Callable[[str], str]) -> Content:
    """What can be done with it here."""
    offers = [("home.open", "open"), ("home.log", "log")]
    if run.status.active:
        offers.insert(1, ("home.stop", "stop"))
    elif run.status.value in ("stopped", "interrupted"):
        offers.insert(1, ("home.resume", "resume"))
    parts: list[tuple[str, str] | str] = []
    for action, text in offers:
        parts += [(key(action), "bold $accent"), f"  {text}    "]
    return Content.assemble(*parts)
