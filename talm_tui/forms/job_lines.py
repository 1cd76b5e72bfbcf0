"""A job's progress as lines of text: phases with bars, the newest merges, how it ended."""

from __future__ import annotations

import re
from collections.abc import Callable

from rich.cells import cell_len
from textual.content import Content

from talm_core.jobs.registry import artifact_of, spec_of
from talm_core.runtime.events import Failed, Finished, Merged, Notice, Progress, Stopped
from talm_core.runtime.history import History
from talm_core.runtime.render import counts, label_of
from talm_core.runtime.runner import Status
from talm_core.system.foreign_text import line, plain, wrapped
from talm_tui.widgets.format import count, duration, size

_BYTES = ("bytes", "byte", "B")
_MOST_SAID = 10
"""Lines of an error message: with them a screen of 24 still has room for some fields."""
_WHITE = re.compile(r"\s")
_STYLES = {
    Status.RUNNING: "$accent bold",
    Status.DONE: "$text-success bold",
    Status.FAILED: "$text-error bold",
}


def amount(number: float, unit: str) -> str:
    """A quantity in its unit: bytes as kB and MB, everything else counted."""
    if unit in _BYTES:
        return size(number)
    return f"{count(number)} {unit}".rstrip()


def bar(fraction: float, width: int) -> str:
    """A bar of `width` cells between two edges."""
    inner = max(1, width - 2)
    full = round(max(0.0, min(1.0, fraction)) * inner)
    return "▕" + "█" * full + "░" * (inner - full) + "▏"


def phase_line(progress: Progress, width: int) -> str:
    """One phase: name, bar and percent where the total is known, amounts, rate, time left. Of
    one that only waits, such as for an answer of the Hub, there is nothing to count: dots."""
    name = plain(progress.phase)[:11].ljust(11)
    parts = []
    if progress.total:
        fraction = progress.done / progress.total
        parts += [bar(fraction, max(10, min(34, width - 64))), f"{min(1.0, fraction):4.0%}"]
        total = amount(progress.total, progress.unit)
        in_bytes = progress.unit in _BYTES
        done = amount(progress.done, progress.unit if in_bytes else "")
        parts.append(f"{done} of {total}")
    elif progress.done:
        parts.append(amount(progress.done, progress.unit))
    if progress.rate:
        parts.append(f"{amount(progress.rate, progress.unit)}/s")
    if progress.eta:
        parts.append(f"{duration(progress.eta)} left")
    if progress.note:
        parts.append(plain(progress.note))
    parts = parts or ["…"]
    return _fitting(f"  {name}", parts, "  ", width)


def counts_line(progress: Progress, width: int) -> str:
    """What there is so far, as much as fits; what had to be fetched again goes first."""
    parts = counts(progress, count, size)
    parts = [*parts[-1:], *parts[:-1]] if progress.counts.get("retries") else parts
    head = "  " + "so far".ljust(11) + "  "
    return _fitting(head + parts[0], parts[1:], " · ", width) if parts else ""


def _fitting(head: str, parts: list[str], between: str, width: int) -> str:
    """The head with as many parts as there is room for, the first ones first."""
    for part in parts:
        if len(head) + len(between) + len(part) > width:
            break
        head += between + part
    return head


def phases(history: History, width: int) -> list[str]:
    """Every phase so far, and what has been learned last."""
    told = []
    for progress in history.progress.values():
        told += [phase_line(progress, width), counts_line(progress, width)]
    if history.merged:
        told.append(newest_line(history.merged, width))
    return [text for text in told if text]


def newest_line(merged: Merged, width: int) -> str:
    """The newest tokens, newest first, as many as fit; spaces shown. At the end what they have
    brought."""
    ratio = merged.bytes_per_token
    tail = f"  {ratio:.2f} bytes a token" if ratio is not None else ""
    room = max(0, width - len(tail))
    words = newest_words(merged.newest, room)
    return words + " " * (room - cell_len(words)) + tail


def newest_words(tokens: list[str], width: int) -> str:
    """The newest tokens first, as many as fit."""
    text = "  " + "newest".ljust(11) + " "
    for token in reversed(tokens):
        word = f' "{_WHITE.sub("␣", plain(str(token)))}"'
        if cell_len(text) + cell_len(word) > width - 2:
            return text + " …"
        text += word
    return text


def lines(
    kind: str,
    name: str,
    status: Status,
    history: History,
    width: int,
    key: Callable[[str], str],
    *,
    next_step: str = "",
) -> Content:
    """Everything to be said about a job in `width` columns. `key` tells the key of an action,
    `next_step` is what to do once the job is done."""
    hide, log = f"{key('place.leave')}  hide", f"{key('form.log')}  log"
    again = _again(kind, key)
    head = f"{artifact_of(kind).noun.capitalize()} {plain(name)}"
    tail, body = "", []
    match history.end:
        case Finished(seconds=seconds):
            tail = "   ".join(part for part in (f"in {duration(seconds)}", next_step, hide) if part)
            body = [summary(history, width), *_warnings(history, width)]
        case Failed(message=message):
            tail = f"{log}   {hide}"
            why = wrapped(plain(message), width - 2)
            if len(why) > _MOST_SAID:
                why[_MOST_SAID - 1 :] = [f"… {key('form.log')}  shows the rest"]
            body = [f"  {text}" for text in why]
        case Stopped(reason=reason):
            tail = f"{plain(reason)}   {again}"
        case _ if status.active:
            tail = f"{key('form.stop')}  stop"
            body = phases(history, width)
            if history.notices and isinstance(said := history.notices[-1].event, Notice):
                body += _note_lines(line(said.message), width)
        case _:
            tail = f"its process died   {log}   {again}"
    word = Content.styled(
        f"{status.glyph} {status.value}", _STYLES.get(status, "$text-warning bold")
    )
    first = Content.assemble(word, f"  {head}  ", (tail, "dim"))
    below = []
    if first.cell_length > width:
        # Which key helps is never what there is no room for.
        first = Content.assemble(word, f"  {head}").truncate(width, ellipsis=True)
        below = [Content.styled(f"  {text}", "dim") for text in wrapped(tail, width - 2)]
    told = [Content(text).truncate(width, ellipsis=True) for text in body if text]
    return Content("\n").join([first, *below, *told])


def _note_lines(message: str, width: int) -> list[str]:
    """A note whole: its end often says what is done about it."""
    parts = wrapped(message, max(10, width - 15))
    return [f"  {'' if index else 'note':<11}  {part}" for index, part in enumerate(parts)]


def _warnings(history: History, width: int) -> list[str]:
    """What the job has warned of: whoever looks at its result should know."""
    found: list[str] = []
    for record in history.notices:
        if isinstance(said := record.event, Notice) and said.level == "warning":
            first, *others = wrapped(line(said.message), max(10, width - 4))
            found += [f"  ! {first}", *(f"    {other}" for other in others)]
    return found


def _again(kind: str, key: Callable[[str], str]) -> str:
    """What goes on with a job that ended too early, unless it begins from the beginning."""
    spec = spec_of(kind)
    if spec.is_run and spec.resumable:
        return f"{key('app.runs')} {key('runs.resume')} continues it"
    return f"{key('form.start')} {'starts it again' if spec.begins_anew else 'continues it'}"


def summary(history: History, width: int) -> str:
    """The numbers a job ended with, as many as fit."""
    said = []
    for key, value in history.summary.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        label = plain(label_of(str(key)))
        if isinstance(value, float):
            said.append(f"{label} {value:.3g}")
        elif "bytes" in key:
            said.append(f"{label} {size(value)}")
        else:
            said.append(f"{label} {count(value)}")
    return _fitting(f"  {said[0]}", said[1:], " · ", width) if said else ""
