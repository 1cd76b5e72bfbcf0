"""What a training run amounts to, from its plan and from the runs before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime.overview import Overview
from talm_core.system.foreign_text import line
from talm_core.system.hardware import Room
from talm_core.training.concerns import concerns, steps_in_time
from talm_core.training.estimate import Plan, plan
from talm_core.training.throughput import PastRun, Speed, key_of, like
from talm_tui.forms.checker import Findings
from talm_tui.forms.meaning import Meaning, Part, Row
from talm_tui.train.timeline import Timeline, of_run
from talm_tui.widgets.format import count, duration, memory, size

USUAL_VOCABULARY = 4100
"""Ids of the vocabulary that ships with talm, reckoned with while no dataset is chosen."""


@dataclass(frozen=True)
class RunMeaning(Meaning):
    """And how the run would go."""

    timeline: Timeline | None = None


def of_training(
    config: PretrainConfig,
    findings: Findings | None,
    models: Iterable[Overview],
    available: int = 0,
) -> RunMeaning:
    """The consequences of a run's settings. `available` is the memory there is, in bytes."""
    manifest = findings.manifest if findings else None
    vocab_size = manifest.tokenizer.n_vocab if manifest else USUAL_VOCABULARY
    room = findings.room if findings else Room()
    planned = plan(config, manifest, vocab_size, room)
    speed = _measured(config, findings, vocab_size) or like(
        planned.flops_per_token, _ran(models, vocab_size)
    )
    steps = steps_in_time(config, planned, speed)
    if steps is not None:
        planned = _within(planned, steps / config.max_steps)
    open_end = config.minutes is not None and speed is None
    used = planned.memory
    need = memory(used.on_device if room.accelerator else used.total)
    available = (room.memory or 0) if room.accelerator else available
    where = f" on {line(room.accelerator)}" if room.accelerator else ""
    time = time_left(config, speed)
    rows = [
        Row(
            "parameters",
            f"{planned.parameters.total:,}",
            f"{count(planned.parameters.total)} parameters",
        ),
        Row(
            "memory",
            need + (f" of {memory(available)}" if available else "") + where,
            f"{need} memory",
        ),
        Row("steps", _steps(config, planned, steps, open_end=open_end)),
        _tokens(planned, "at most " * open_end),
        Row("time", time, time.split(" at ")[0] if speed or config.minutes else ""),
    ]
    if speed is not None:
        rows.append(Row("", line(speed.source)))
    disk = size(planned.disk_bytes)
    rows.append(Row("disk", f"{disk} for {config.keep_checkpoints} checkpoints", f"{disk} on disk"))
    bar = (
        Part("weights", used.weights),
        Part("gradients", used.gradients),
        Part("optimizer", used.optimizer),
        Part("activations", used.activations + used.logits),
        Part("process", 0 if room.accelerator else used.snapshot + used.process),
    )
    # What is fatal stands under its field.
    warnings = [
        f"{concern.problem.message}: {concern.problem.hint}"
        for concern in concerns(config, planned, room)
        if not concern.fatal
    ]
    timeline = of_run(config, speed.tokens_per_second if speed else None)
    return RunMeaning(tuple(rows), bar, float(available), tuple(warnings), timeline)


def _measured(config: PretrainConfig, findings: Findings | None, vocab_size: int) -> Speed | None:
    """What was found measured, where what it depends on has not been changed since."""
    if findings is None or findings.speed is None or not isinstance(findings.of, PretrainConfig):
        return None
    same = key_of(findings.of, vocab_size) == key_of(config, vocab_size)
    return findings.speed if same else None


def _ran(models: Iterable[Overview], vocab_size: int) -> Iterator[PastRun]:
    for overview in models:
        if overview.metrics is not None and isinstance(overview.config, PretrainConfig):
            flops = plan(overview.config, None, vocab_size).flops_per_token
            yield PastRun(overview.name, overview.metrics.tokens_per_second, flops)


def _within(planned: Plan, share: float) -> Plan:
    """The plan of a run of which a time limit leaves this share."""
    return replace(
        planned,
        tokens=round(share * planned.tokens),
        epochs=None if planned.epochs is None else share * planned.epochs,
        tokens_per_parameter=share * planned.tokens_per_parameter,
    )


def _steps(config: PretrainConfig, planned: Plan, steps: int | None, *, open_end: bool) -> str:
    most, each = f"{config.max_steps:,}", f"of {count(planned.tokens_per_step)} tokens"
    if open_end:
        return f"at most {most} {each}, fewer if the time limit (minutes) comes first"
    if steps is not None:
        return f"about {steps:,} {each}, not {most}: the time limit (minutes) comes first"
    return f"{most} {each}"


def _tokens(planned: Plan, at_most: str) -> Row:
    parts = [f"{at_most}{count(planned.tokens)}"]
    brief = f"{parts[0]} tokens"
    if planned.epochs is not None:
        epochs = f"{planned.epochs:.2g}" if planned.epochs < 10 else count(planned.epochs)
        parts.append(f"{epochs} epochs")
        brief += f" ({epochs} epochs)"
    ratio = planned.tokens_per_parameter
    parts.append(f"{f'{ratio:.2g}' if ratio < 10 else count(ratio)} per parameter")
    return Row("tokens", ", ".join(parts), brief)


def time_left(config: PretrainConfig, speed: Speed | None) -> str:
    """How long a run is going to take, and how that is known."""
    tokens = config.max_steps * config.tokens_per_step
    limit = None if config.minutes is None else config.minutes * 60
    if speed is None:
        return "not known until a first run" if limit is None else f"at most {duration(limit)}"
    seconds = tokens / speed.tokens_per_second
    if limit is not None and limit < seconds:
        return f"{duration(limit)}, the time limit"
    return f"about {duration(seconds)} at {count(speed.tokens_per_second)} tokens/s"
