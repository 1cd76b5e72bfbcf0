"""What the monitor says about a run in words: how far it is, its numbers, how it ended, what can
be done about it. Plain functions of a history, so that each sentence can be tested."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from talm_core.jobs.registry import artifact_of
from talm_core.runtime import render
from talm_core.runtime.events import (
    Failed,
    Finished,
    Metrics,
    Notice,
    Record,
    Stopped,
)
from talm_core.runtime.history import Extent, History
from talm_core.runtime.render import facts as facts_of
from talm_core.runtime.runner import Status
from talm_core.system.foreign_text import line, plain
from talm_core.training.checkpoint import step_of
from talm_tui.widgets.cells import left
from talm_tui.widgets.format import count, elapsed, percent, short_number
from talm_tui.widgets.status import bar, colour, steps_of

if TYPE_CHECKING:
    from talm_core.settings.schema import JobConfig

_MUTED = "$foreground 65%"
_LEAST_BAR = 6
_LOG_LINES = 300


KeyOf = Callable[[str], str]
"""The key of an action, by the action's id."""


def headline(
    name: str, status: Status, history: History, width: int, now: float, key: KeyOf
) -> Content:
    """The line that says what the run does: `nano ▶ running 412/900 ▕██▏ 46 % …`."""
    metrics = history.last_metrics
    tint = colour(status.value)
    start = Content.assemble((line(name), "bold"), "  ", (f"{status.glyph} {status.value}", tint))
    if not status.active:
        whole = start + Content("  ") + ending(status, history, key)
        return Content("\n").join(whole.wrap(width)) if width > 0 else whole
    phase = _phase(history)
    if metrics is None:
        return _phase_bar(start + Content("  "), history, width)
    fraction = Extent.of(metrics, history.planned).fraction
    start += Content(f"  {steps_of(Extent.of(metrics, history.planned))} ")
    end = [percent(fraction)]
    if phase:
        end.append(phase)
    end.append(f"{short_number(metrics.tokens_per_second)} tokens/s")
    if metrics.mfu_percent is not None:
        end.append(f"MFU {metrics.mfu_percent:.0f} %")
    if metrics.eta is not None and status is Status.RUNNING:
        end.append(f"{elapsed(metrics.eta)} left, {clock(now + metrics.eta, now)}")
    return _with_bar(start, fraction, end, width)


def _phase_bar(start: Content, history: History, width: int) -> Content:
    """Before the first step, or where there are no steps: how far its phase is."""
    progress = history.progress.get(history.phase)
    if progress is None or history.phase == "training":
        return _fit(start + Content("starting"), width)
    start += Content(line(progress.phase))
    if not progress.total or progress.done >= progress.total:
        return _fit(start, width)
    start += Content(" ")
    fraction = progress.done / progress.total
    end = [percent(fraction), f"{count(progress.done)}/{count(progress.total)}"]
    if progress.eta is not None:
        end.append(f"{elapsed(progress.eta)} left")
    return _with_bar(start, fraction, end, width)


def _with_bar(start: Content, fraction: float, end: Sequence[str], width: int) -> Content:
    """The bar takes what the words leave; where that is too little, words go, middle first."""
    words = list(end)
    while len(words) > 1:
        room = width - start.cell_length - len("  ".join(words)) - 1
        if room >= _LEAST_BAR:
            break
        del words[1 if len(words) > 2 else -1]
    room = width - start.cell_length - len("  ".join(words)) - 1
    drawn = bar(fraction, min(60, room)) + Content(" ") if room >= 3 else Content("")
    return _fit(start + drawn + Content("  ".join(words)), width)


def _fit(content: Content, width: int) -> Content:
    return content.truncate(max(0, width), ellipsis=True)


def clock(then: float, now: float) -> str:
    """The time of day something will be: `18:04`, with its weekday when that is not today."""
    moment, today = time.localtime(then), time.localtime(now)
    if (moment.tm_year, moment.tm_yday) == (today.tm_year, today.tm_yday):
        return time.strftime("%H:%M:%S", moment)
    return time.strftime("%a %H:%M", moment)


def _phase(history: History) -> str:
    """What the run does when it is not training: `evaluating 40 %`."""
    progress = history.progress.get(history.phase)
    if history.phase in ("", "training") or progress is None:
        return ""
    share = percent(progress.done / progress.total) if progress.total else ""
    return f"{line(progress.phase)} {share}".strip()


def ending(status: Status, history: History, key: KeyOf) -> Content:
    """How a run that works no more came to its end, and which key helps."""
    metrics = history.last_metrics
    at = _at(history)
    end = history.end
    if status is Status.DONE:
        hints = ["runs.play play"] if metrics is not None else []
        return _with_keys(_done(history, metrics), key, *hints)
    if status is Status.FAILED:
        message = line(end.message) if isinstance(end, Failed) else ""
        said = f"{at}: {message}" if message else at
        return _with_keys(said, key, "runs.log log", "runs.resume resume")
    if status is Status.STOPPED:
        reason = line(end.reason) if isinstance(end, Stopped) else ""
        known = {"asked to stop": "", "closed": ""}
        why = known.get(reason, f" ({reason})" if reason else "")
        return _with_keys(f"{at}{why}", key, "runs.resume resume")
    if status is Status.DAMAGED:
        return _with_keys("its files are damaged; the list says how", key, "runs.log log")
    saved = history.checkpoints[-1].step if history.checkpoints else None
    kept = f", saved at {saved:,}" if saved is not None else ", nothing saved yet"
    return _with_keys(f"{at}: its process died{kept}", key, "runs.resume resume", "runs.log log")


def _at(history: History) -> str:
    """How far it came: `at step 412 of 900`, `at 40 % of encoding`."""
    progress = history.progress.get(history.phase)
    if history.last_metrics is not None:
        return f"at {render.extent(Extent.of(history.last_metrics, history.planned))}"
    if progress is None or not progress.total:
        return "before its first step"
    return f"at {percent(progress.done / progress.total)} of {line(progress.phase)}"


def _done(history: History, metrics: Metrics | None) -> str:
    parts = []
    if metrics is not None:
        limit = ", its time limit" if metrics.step < metrics.max_steps else ""
        parts.append(f"{metrics.step:,} steps in {elapsed(metrics.elapsed)}{limit}")
    elif isinstance(history.end, Finished):
        facts = (f"{name.replace('_', ' ')} {said}" for name, said in facts_of(history.summary))
        parts = [f"in {elapsed(history.end.seconds)}", *facts]
    if history.last_evaluated is not None:
        parts.append(f"validation loss {history.last_evaluated.val_loss:.3f}")
    return ", ".join(parts)


def _with_keys(text: str, key: KeyOf, *hints: str) -> Content:
    """The text, then for each hint, an action's id and a word, its key and the word."""
    parts: list[str | tuple[str, str]] = [text]
    for hint in hints:
        action, _, word = hint.partition(" ")
        # A key and its word stay together.
        parts += ["   ", (key(action), "bold $accent"), f"\u00a0{word}"]
    return Content.assemble(*parts)


def numbers(history: History, width: int, *, short: bool = False) -> Content:
    """The newest numbers in one line; `short` leaves out what the tiles show."""
    metrics, evaluated = history.last_metrics, history.last_evaluated
    if metrics is None and evaluated is None and not history.measured:
        return Content.styled(_planned(history)[:width], _MUTED)
    pairs: list[tuple[str, str]] = []
    if metrics is not None:
        pairs.append(("loss", f"{metrics.loss:.3f}"))
    if evaluated is not None:
        pairs.append(("val", f"{evaluated.val_loss:.3f}"))
        losses = history.evaluations["val_loss"]
        best = min((loss for loss in losses if math.isfinite(loss)), default=math.nan)
        if short and len(losses) and best < losses[-1]:
            pairs.append(("best val", f"{best:.3f}"))
        if not short:
            pairs.append(("bits/byte", f"{evaluated.bits_per_byte:.3f}"))
    if metrics is not None:
        if not short:
            pairs.append(("lr", short_number(metrics.learning_rate)))
            pairs.append(("grad", short_number(metrics.grad_norm)))
            pairs.append(("tok/s", short_number(metrics.tokens_per_second)))
        pairs.append(("epoch", f"{metrics.epoch:.2f}"))
        pairs.append(("tokens", short_number(metrics.tokens)))
        pairs.append(("trained", elapsed(metrics.elapsed)))
    for name, series in history.measured.items():
        pairs.append((line(name)[:20], short_number(series["value"][-1])))
    result = Content("")
    for name, value in pairs:
        piece = Content.assemble((f"{name} ", _MUTED), value)
        longer = result + Content("  ") + piece if result else piece
        if longer.cell_length > width:
            break
        result = longer
    if short and (rest := width - result.cell_length - 3) > 20:
        result += Content.styled("   " + _planned(history)[:rest], _MUTED)
    return result


def _planned(history: History) -> str:
    plan = history.planned
    if plan is None:
        return ""
    compiled = ", compiled" if plan.compiled else ""
    return (
        f"{short_number(plan.parameters)} parameters on {line(plan.device)}"
        f" ({line(plan.precision)}{compiled})"
    )


def log_page(history: History, log: str) -> Content:
    """What the run has said from step to step, then what its process has printed beside. `log` is
    the end of that."""
    said = list(history.said)[-_LOG_LINES:]
    earlier = [record for record in history.notices if said and record.time < said[0].time]
    parts: list[str | tuple[str, str]] = []
    for record in [*earlier, *said]:
        tint = ""
        if isinstance(record.event, Notice):
            tint = {"warning": "$warning", "error": "$error"}.get(record.event.level, "")
        elif isinstance(record.event, Failed):
            tint = "bold $error"
        parts += [(f"{text}\n", tint) for text in _log_lines(record, history)]
    if log.strip():
        parts += [("\noutput of its process (log.txt)\n", "bold"), plain(log)]
    return Content.assemble(*parts).rstrip() if parts else Content("Nothing logged yet.")


def _log_lines(record: Record, history: History) -> list[str]:
    event = record.event
    if isinstance(event, Failed | Notice):
        moment = time.strftime("%H:%M:%S", time.localtime(record.time))
        what = "failed" if isinstance(event, Failed) else event.level
        return [f"{moment}  {line(what)}: {plain(event.message)}"]
    # Without the day.
    return list(render.log_lines([record], history.planned))[1:]


def config_page(
    config: str, configs: Mapping[str, JobConfig | None], names: Mapping[str, str], width: int
) -> Content:
    """How the run's settings differ from those of the runs laid over it, then its config.toml.
    `configs` and `names` are by the runs' letters; the run's own is empty and comes first."""
    text = Content(plain(config).rstrip("\n") or "There is no config.")
    if len(configs) < 2:
        return text
    return differences(configs, names, width) + Content("\n\n") + text


def differences(
    configs: Mapping[str, JobConfig | None], names: Mapping[str, str], width: int
) -> Content:
    """A table of the settings in which runs differ, a run a column; where not all of them fit into
    `width` cells, several, each with the first run."""
    heads = [f"{letter or '━'} {line(names[letter])}" for letter in configs]
    known = [config for config in configs.values() if config is not None]
    values = [config.model_dump() if config is not None else {} for config in configs.values()]
    own = {artifact_of(config.kind).name_key for config in known}
    keys = dict.fromkeys(key for each in values for key in each if key not in own)
    rows = [
        [key, *(_value(each, key) for each in values)]
        for key in keys
        if len({_value(each, key) for each in values}) > 1
    ]
    if not rows:
        return Content.styled("The settings are the same.", _MUTED)
    table = [["", *heads], *rows]
    widths = [min(24, max(len(row[column]) for row in table)) for column in range(len(table[0]))]
    parts = []
    while len(widths) > 2:
        # The setting and the run itself begin every part; at least one other stands beside them.
        fit = 3
        while fit < len(widths) and sum(widths[: fit + 1]) + 2 * fit <= width:
            fit += 1
        parts.append(_table([row[:fit] for row in table], widths[:fit]))
        table = [row[:2] + row[fit:] for row in table]
        widths = widths[:2] + widths[fit:]
    return Content("\n\n").join(parts)


def _table(table: Sequence[Sequence[str]], widths: Sequence[int]) -> Content:
    lines = []
    for number, row in enumerate(table):
        cells = [left(cell, width) for cell, width in zip(row, widths, strict=True)]
        style = "bold" if number == 0 else ""
        lines.append(Content.assemble((cells[0], _MUTED), "  ", ("  ".join(cells[1:]), style)))
    return Content("\n").join(lines)


def _value(values: Mapping[str, object], key: str) -> str:
    if key not in values:
        return "–"
    value = values[key]
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def checkpoint_notes(history: History) -> dict[str, str]:
    """What is known of checkpoints, by name: size, validation loss, and which has the best."""
    steps, losses = history.evaluations["step"], history.evaluations["val_loss"]
    loss_at = {int(step): loss for step, loss in zip(steps, losses, strict=True)}
    saved = [loss_at.get(item.step, math.nan) for item in history.checkpoints]
    best = min((loss for loss in saved if math.isfinite(loss)), default=math.nan)
    notes = {}
    for item, loss in zip(history.checkpoints, saved, strict=True):
        note = f"{item.bytes / 1e6:>10,.1f} MB"
        if not math.isnan(loss):
            note += f"   validation loss {loss:.3f}"
        notes[item.directory] = note + ("   best" if loss == best else "")
    return notes


def checkpoint_rows(there: Collection[str], history: History) -> list[tuple[str, Content]]:
    """Every checkpoint that is still there, newest first: its name and its line."""
    notes = checkpoint_notes(history)
    return [
        (name, Content.assemble((f"{plain(name):<20}", "bold"), notes.get(name, "")))
        for name in sorted(there, key=step_of, reverse=True)
    ]
