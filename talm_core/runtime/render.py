"""How events and numbers look as text: for a terminal, for a pipe, and as JSON.

Text from outside (samples, names, messages) is data: control characters are taken out and nothing
in it is markup.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from talm_core.jobs.registry import known, spec_of
from talm_core.runtime.events import (
    Checkpointed,
    Evaluated,
    Event,
    Failed,
    Finished,
    Measured,
    Metrics,
    Notice,
    Paused,
    Planned,
    Progress,
    Record,
    Sampled,
    Stage,
    Started,
    Stopped,
    Tried,
    Tuned,
    Unpaused,
    counted,
    measured,
)
from talm_core.runtime.history import Extent

# C0 and C1 controls except newline and tab, DEL, and what reorders or hides text.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_CONTROL_OR_BREAK = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

_CENTURY = 3.2e9  # seconds; what is later has no date worth telling


def plain(text: str) -> str:
    """A text without control characters; newlines and tabs stay."""
    return _CONTROL.sub("", text)


def one_line(text: str, width: int = 100) -> str:
    """A text on one line with single spaces, cut to `width` characters."""
    line = " ".join(plain(_CONTROL_OR_BREAK.sub(" ", text)).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def count(number: float) -> str:
    """1,234 · 12.3 k · 4.56 M · 7.89 G."""
    if abs(number) < 10_000:
        return f"{number:,.0f}"
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if abs(number) >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number / 1e3:.3g} k" if abs(number) < 999_500 else "1 M"


def size(number: float) -> str:
    """Bytes: 512 B · 4.1 kB · 11.2 MB · 2.15 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(number) < 999.5:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.3g} TB"


def memory(number: float) -> str:
    """Memory in the units it is sold and measured in: 512 B · 31 KiB · 412 MiB · 5.62 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(number) < 999.5:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:,.3g} TiB"


def duration(seconds: float) -> str:
    """0.4 s · 12 s · 3 min 20 s · 2 h 5 min · 3 d 4 h."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    for large, small, names in (
        (86_400, 3_600, ("d", "h")),
        (3_600, 60, ("h", "min")),
        (60, 1, ("min", "s")),
    ):
        if whole >= large:
            rest = whole % large // small
            return f"{whole // large} {names[0]}" + (f" {rest} {names[1]}" if rest else "")
    return f"{whole} s"


def amount(number: float, unit: str) -> str:
    """A number of something: `11.2 MB` for bytes, `4,096 tokens` for the rest."""
    return size(number) if unit == "bytes" else f"{count(number)} {unit}".strip()


def progress_line(event: Progress) -> str:
    """`reading 45 %, 5.1 MB of 11.2 MB, 6.2 MB/s, 1.0 s left`."""
    parts = []
    if event.total > 0:
        parts.append(f"{min(100, 100 * event.done // event.total)} %")
        parts.append(f"{amount(event.done, '')} of {amount(event.total, event.unit)}")
        if event.unit == "bytes":
            parts[-1] = f"{size(event.done)} of {size(event.total)}"
    elif event.done:
        parts.append(amount(event.done, event.unit))
    told = (rate(event), left(event.eta), *counts(event), one_line(event.note))
    parts += [part for part in told if part]
    return f"{one_line(event.phase)} {', '.join(parts)}".strip()


_COUNTS = {
    "tokens": ("token", "tokens"),
    "tokens_per_second": ("token/s", "tokens/s"),
    "documents": ("document", "documents"),
    "bytes_in": ("read", "read"),
    "bytes_out": ("written", "written"),
    "shards": ("shard", "shards"),
    "retries": ("retry", "retries"),
}


def counts(
    event: Progress,
    number: Callable[[float], str] = count,
    in_bytes: Callable[[float], str] = size,
) -> list[str]:
    """What a progress counts, each with its noun: `310 documents`, `4.1 MB read`."""
    return [
        f"{(in_bytes if key.startswith('bytes') else number)(found)} {_COUNTS[key][found != 1]}"
        for key, found in counted(event)
    ]


def rate(event: Progress) -> str:
    """`6.2 MB/s`; empty when it is not known."""
    return f"{amount(event.rate, event.unit)}/s" if event.rate else ""


def left(eta: float | None) -> str:
    """`1 min 5 s left`; empty when it is not known."""
    return "" if eta is None else f"{duration(eta)} left"


def ends(eta: float | None, now: datetime | None = None) -> str:
    """` (14:32)`, ` (Nov 26 02:05)`: the time on the clock at which `eta` seconds are over; empty
    for less than a minute."""
    if eta is None or not 60 <= eta < _CENTURY:
        return ""
    now = now or datetime.now().astimezone()
    end = now + timedelta(seconds=eta)
    return f" ({end:%H:%M})" if end.date() == now.date() else f" ({end:%b %d %H:%M})"


def extent(found: Extent, *, over: bool = False) -> str:
    """How far a run is: `step 300 of 900`; where its time limit ends it before its last step,
    `step 80, 12 s of 24 s`, and once that is `over`, `step 160, ended by its time limit of 24 s`.
    """
    if not found.by_time or found.seconds is None:
        return f"step {found.step:,} of {found.max_steps:,}"
    limit = duration(found.seconds)
    if over:
        return f"step {found.step:,}, ended by its time limit of {limit}"
    return f"step {found.step:,}, {duration(min(found.elapsed, found.seconds))} of {limit}"


def metrics_line(event: Metrics, planned: Planned | None = None) -> str:
    """`step 300 of 900, loss 3.214, learning rate 2.9e-03, 41.2 k tokens/s, 20 s left`."""
    parts = [
        extent(Extent.of(event, planned)),
        f"loss {event.loss:.3f}",
        f"learning rate {event.learning_rate:.2e}",
        f"{count(event.tokens_per_second)} tokens/s",
    ]
    if event.eta is not None:
        parts.append(left(event.eta) + ends(event.eta))
    return ", ".join(parts)


def measured_line(event: Measured) -> str:
    """`step 300: reward 0.31, kl 0.02`."""
    said = (f"{one_line(name)} {value:.4g}" for name, value in measured(event))
    return f"step {event.step:,}: {', '.join(said)}"


def metrics_in_short(event: Metrics, val_loss: float | None, planned: Planned | None = None) -> str:
    """The same beside a bar: `300 of 900, loss 3.214, val 3.301, 41.2 k tok/s, 20 s left`."""
    val = "" if val_loss is None else f"val {val_loss:.3f}"
    found = Extent.of(event, planned)
    parts = [
        extent(found) if found.by_time else f"{event.step:,} of {event.max_steps:,}",
        f"loss {event.loss:.3f}",
        val,
        f"{count(event.tokens_per_second)} tok/s",
        left(event.eta) + ends(event.eta),
    ]
    return ", ".join(filter(None, parts))


def planned_line(event: Planned) -> str:
    """What a run is going to be, in a line."""
    limit = f" or {duration(60 * event.minutes)}, whichever ends first" if event.minutes else ""
    return (
        f"{count(event.parameters)} parameters, {event.max_steps:,} steps of"
        f" {count(event.tokens_per_step)} tokens{limit},"
        f" {count(event.train_tokens)} tokens to learn from, on {one_line(event.device)} in"
        f" {one_line(event.precision)}" + (", compiled" if event.compiled else "")
    )


def tried_line(event: Tried) -> str:
    """One way to compute the run, as a row of a table."""
    if event.tokens_per_second is None:
        speed = one_line(event.note)
    else:
        speed = f"{count(event.tokens_per_second):>7} tokens/s"
    return f"tried {_way(event)}  {speed}"


def tuned_line(event: Tuned) -> str:
    """The way that was chosen."""
    how = "as found before" if event.remembered else f"after {duration(event.seconds)}"
    return f"takes {_way(event)}  {how}"


def _way(event: Tried | Tuned) -> str:
    compiled = "compiled" if event.compiled else "eager"
    return (
        f"{one_line(event.precision):<4}  {one_line(event.attention):<9} attention"
        f"  {event.batch_size:>4} windows a pass  {compiled:<8}"
    )


def started_line(event: Started) -> str:
    """Which job has begun, and where it goes on from."""
    text = f"{one_line(event.job)} {one_line(event.name)}"
    if event.resumed_from is None:
        return text
    unit = spec_of(event.job).unit if known(event.job) else "step"
    return f"{text}, going on from {unit} {event.resumed_from:,}"


def summary_line(seconds: float, summary: Mapping[str, object]) -> str:
    """How long a job took and the numbers it ended with; of a quick start those of its model."""
    prefix = "pretrain_"
    of_model = {k.removeprefix(prefix): v for k, v in summary.items() if k.startswith(prefix)}
    summary = of_model or summary
    told = [f"{one_line(label_of(key))} {value}" for key, value in facts(summary)]
    return ", ".join([f"done in {duration(seconds)}", *told])


_LABELS = {
    "vocab_size": "vocabulary",
    "n_vocab": "with special tokens",
    "elapsed": "seconds of training",
}


def label_of(key: str) -> str:
    """What a number of a summary is called for people, also behind the name of a stage."""
    for ending, label in _LABELS.items():
        if key == ending or key.endswith(f"_{ending}"):
            return key.removesuffix(ending).replace("_", " ") + label
    return key.replace("_", " ")


def facts(summary: Mapping[str, object]) -> list[tuple[str, str]]:
    """The numbers and words of a summary as text."""
    shown = []
    for key, value in summary.items():
        if isinstance(value, bool | str):
            text = one_line(str(value))
        elif isinstance(value, int):
            text = f"{value:,}"
        elif isinstance(value, float):
            text = f"{value:.4g}"
        else:
            continue
        if not key.endswith("directory"):
            shown.append((key, text))
    return shown


def table(title: str, rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    """A heading after an empty line, and rows under it, the keys in a column."""
    width = max(len(key) for key, _ in rows)
    yield ""
    yield title
    for key, value in rows:
        yield f"  {key.ljust(width)}  {value}"


def result(summary: Mapping[str, object]) -> Iterator[str]:
    """The summary a job ended with as a table; nothing while there is none."""
    if shown := facts(summary):
        yield from table("Result", [(label_of(key), value) for key, value in shown])


def stage_line(event: Stage) -> str:
    """Which of how many parts has begun."""
    return f"{event.index + 1} of {event.count}: {one_line(event.kind)} {one_line(event.name)}"


def evaluated_line(event: Evaluated) -> str:
    """The validation loss in both units."""
    bits = f"{event.bits_per_byte:.3f} bits per byte"
    return f"step {event.step:,}: validation loss {event.val_loss:.4f}, {bits}"


def sampled_line(event: Sampled) -> str:
    """The beginning of a sample."""
    return f"step {event.step:,}: sample: {one_line(event.prompt + event.text)}"


def checkpointed_line(event: Checkpointed) -> str:
    """What was saved."""
    return f"step {event.step:,}: saved {one_line(event.directory)}, {size(event.bytes)}"


def notice_line(event: Notice) -> str:
    """A notice, with its level unless that is info."""
    level = "" if event.level == "info" else f"{one_line(event.level)}: "
    return level + one_line(event.message, 2_000)


_LINES: dict[type[Event], Callable[[Any], str]] = {
    Started: started_line,
    Stage: stage_line,
    Progress: progress_line,
    Planned: planned_line,
    Tried: tried_line,
    Tuned: tuned_line,
    Metrics: metrics_line,
    Measured: measured_line,
    Evaluated: evaluated_line,
    Sampled: sampled_line,
    Checkpointed: checkpointed_line,
    Notice: notice_line,
    Paused: lambda _: "paused",
    Unpaused: lambda _: "goes on",
    Finished: lambda event: summary_line(event.seconds, event.summary),
    Stopped: lambda event: f"stopped: {one_line(event.reason)}",
    Failed: lambda event: f"failed: {one_line(event.message, 2_000)}",
}


def _step_line(event: Metrics, planned: Planned | None) -> str:
    """A step in a log: short, and without what was left of the run then."""
    return (
        f"{extent(Extent.of(event, planned))}, loss {event.loss:.3f},"
        f" lr {event.learning_rate:.1e}, {count(event.tokens_per_second)} tok/s"
    )


def log_lines(records: Iterable[Record], planned: Planned | None = None) -> Iterator[str]:
    """A log for people: each record in a line after its time of day, and the day where it is
    another than that of the line before. `planned` is what
    a run said it was going to be."""
    day = ""
    for record in records:
        event = record.event
        text = _step_line(event, planned) if isinstance(event, Metrics) else line(event)
        if not text:
            continue
        moment = datetime.fromtimestamp(min(max(record.time, 0.0), _CENTURY), UTC).astimezone()
        if day != (today := f"{moment:%a %b %d %Y}"):
            day = today
            yield day
        yield f"{moment:%H:%M:%S}  {text}"


def line(event: Event) -> str:
    """An event as a line of text; empty: not worth one."""
    return _LINES[type(event)](event) if type(event) in _LINES else ""
