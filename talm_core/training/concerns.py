"""Why a plan's numbers are what they are, and what is worrying about them. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from talm_core.errors import Problem
from talm_core.runtime.render import count, duration, memory, one_line, size
from talm_core.system.hardware import Room
from talm_core.training.config import ModelTrainingConfig
from talm_core.training.estimate import Plan, largest_batch, tokens_at_once

if TYPE_CHECKING:
    from talm_core.training.throughput import Speed

# A text read four times teaches nearly as much as four texts, read sixteen times hardly more than
# before (Muennighoff et al. 2023, https://arxiv.org/abs/2305.16264).
SENSIBLE_EPOCHS = 16
# Hoffmann et al. 2022, https://arxiv.org/abs/2203.15556.
_OPTIMAL_TOKENS = 20


@dataclass(frozen=True, slots=True)
class Reason:
    """One number of a plan: what it is called, as text, and where it comes from."""

    name: str
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class Concern:
    """Something about a plan that its owner should hear. `fatal`: the run could not end well."""

    problem: Problem
    fatal: bool


def steps_in_time(config: ModelTrainingConfig, plan: Plan, speed: Speed | None) -> int | None:
    """How many steps a time limit leaves of a run's, at the speed that is to be expected; None
    where it leaves all of them, there is none, or the speed is not known."""
    if config.minutes is None or speed is None:
        return None
    steps = max(1, int(60 * config.minutes * speed.tokens_per_second / plan.tokens_per_step))
    return steps if steps < config.max_steps else None


def reasons(config: ModelTrainingConfig, plan: Plan, speed: Speed | None = None) -> list[Reason]:
    """Every number of a plan with its reason, in the order in which one follows from another.
    `speed` is what to expect of the machine, None: not known."""
    parts, used = plan.parameters, plan.memory
    steps = steps_in_time(config, plan, speed)
    share = 1.0 if steps is None else steps / config.max_steps
    found = [
        Reason(
            "parameters",
            f"{parts.total:,}",
            f"embedding {count(parts.embedding)}, attention {count(parts.attention)},"
            f" feed-forward {count(parts.feed_forward)}, norms {count(parts.norms)}"
            + (f", output {count(parts.output)}" if parts.output else "; the output is shared"),
        ),
        Reason(
            "flops_per_token",
            f"{count(plan.flops_per_token)}",
            "6 for each weight of a product, and attention over"
            f" {config.context_len:,} tokens in {config.n_layer} layers",
        ),
        Reason(
            "tokens_per_step",
            f"{plan.tokens_per_step:,}",
            f"{config.micro_batches} x {config.batch_size} windows of {config.context_len:,}",
        ),
        _length(config, plan, steps),
        Reason(
            "tokens_per_parameter",
            _times(share * plan.tokens_per_parameter),
            f"{_OPTIMAL_TOKENS} make the most of the computing; more makes a better model of its"
            " size",
        ),
    ]
    if plan.epochs is not None:
        why = f"how often the text is read; beyond {SENSIBLE_EPOCHS} little is learned from it"
        found.append(Reason("epochs", _times(share * plan.epochs), why))
    each = "" if used.processes == 1 else f", in each of {used.processes} processes"
    muon = config.optimizer == "muon"
    moments = "one average for each matrix, two for the rest" if muon else "two averages"
    found += [
        Reason(
            "memory",
            memory(used.total),
            f"weights {memory(used.weights)}, gradients {memory(used.gradients)}, optimizer"
            f" {memory(used.optimizer)} ({moments}), activations"
            f" {memory(used.activations + used.logits)} in {plan.computing.precision} for"
            f" {tokens_at_once(config):,} tokens at once, the process {memory(used.process)}{each};"
            f" a copy of the checkpoint being written {memory(used.snapshot)}",
        ),
        Reason(
            "disk",
            size(plan.disk_bytes),
            f"{config.keep_checkpoints} checkpoints of {size(plan.checkpoint_bytes)} (weights and"
            " optimizer), the best one, and one while it is written",
        ),
        _time(config, plan, speed),
    ]
    return found


def _length(config: ModelTrainingConfig, plan: Plan, steps: int | None) -> Reason:
    """How many steps, and what a time limit leaves of them."""
    whole = f"{config.max_steps:,}"
    if config.minutes is None:
        return Reason("max_steps", whole, f"{count(plan.tokens)} tokens in all")
    limit = duration(60 * config.minutes)
    if steps is None:
        why = f"{count(plan.tokens)} tokens in all, unless {limit} are over before"
        return Reason("max_steps", whole, why)
    tokens = count(steps * plan.tokens_per_step)
    why = f"{limit} end it there, after {tokens} tokens; of {whole} steps asked for"
    return Reason("max_steps", f"about {steps:,}", why)


def _times(number: float) -> str:
    return f"{number:.3g}" if number < 100 else count(number)


def _time(config: ModelTrainingConfig, plan: Plan, speed: Speed | None) -> Reason:
    limit = None if config.minutes is None else 60 * config.minutes
    if speed is None:
        value = "not known" if limit is None else f"at most {duration(limit)}"
        return Reason("time", value, "neither measured by autotune nor by a run of about its size")
    seconds = plan.tokens / speed.tokens_per_second
    why = f"at {count(speed.tokens_per_second)} tokens/s ({one_line(speed.source)})"
    if limit is not None and limit < seconds:
        return Reason("time", duration(limit), f"cut by minutes; whole: {duration(seconds)} {why}")
    return Reason("time", f"about {duration(seconds)}", f"{why}, evaluations not included")


def concerns(
    config: ModelTrainingConfig, plan: Plan, room: Room, *, kept: int = 0
) -> list[Concern]:
    """What is worrying about a plan on a machine with this much room. `kept` is how many of the
    run's checkpoints lie on the disk already."""
    found = [*_memory(config, plan, room), *_disk(config, plan, room, kept)]
    if plan.epochs is not None and plan.epochs > SENSIBLE_EPOCHS:
        steps = int(config.max_steps * SENSIBLE_EPOCHS / plan.epochs)
        message = (
            f"the text is read {plan.epochs:,.0f} times; after some {SENSIBLE_EPOCHS} times a"
            " model learns it by heart and little else"
        )
        hint = f"more text, or about {max(1, steps):,}"
        found.append(Concern(Problem("max_steps", message, config.max_steps, hint), fatal=False))
    return found


def _memory(config: ModelTrainingConfig, plan: Plan, room: Room) -> list[Concern]:
    need = plan.memory.on_device if room.accelerator else plan.memory.total
    if room.memory is None or need <= room.memory:
        return []
    owner = room.accelerator or "the machine"
    message = f"needs about {memory(need)} of memory, {owner} has {memory(room.memory)}"
    batch = largest_batch(
        config,
        plan.vocab_size,
        room.memory,
        on_device=bool(room.accelerator),
        computing=plan.computing,
    )
    if not batch:
        message += ", and one window alone does not fit"
        hint = "a smaller n_embd, n_layer or context_len"
        return [Concern(Problem("n_embd", message, config.n_embd, hint), fatal=True)]
    hint = f"at most {batch}, with a total_batch_size of {plan.tokens_per_step} for the same steps"
    return [Concern(Problem("batch_size", message, config.batch_size, hint), fatal=True)]


def _disk(config: ModelTrainingConfig, plan: Plan, room: Room, kept: int) -> list[Concern]:
    one = plan.checkpoint_bytes
    besides = plan.disk_bytes // one - config.keep_checkpoints
    need = plan.disk_bytes - one * min(kept, config.keep_checkpoints + besides - 1)
    if room.disk is None or need <= room.disk:
        return []
    message = (
        f"with the best one and one being written, checkpoints take {size(need)}, and the disk"
        f" has {size(room.disk)} left"
    )
    fitting = room.disk // one + kept - besides
    hint = f"at most {fitting}" if fitting >= 2 else "free some of it, or train a smaller model"
    problem = Problem("keep_checkpoints", message, config.keep_checkpoints, hint)
    return [Concern(problem, fatal=True)]
