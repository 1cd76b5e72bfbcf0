"""Rolling a die."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from talm_core.errors import Problem
from talm_core.runtime.context import JobContext
from talm_core.runtime.events import Finished, Measured, Progress, Started
from talm_core.runtime.overview import Overview
from talm_core.storage.workspace import Workspace
from tests.core.dice.config import DiceConfig


def roll(ctx: JobContext, config: DiceConfig) -> None:
    """The job."""
    ctx.emit(Started(job=config.kind, name=config.name))
    generator = random.Random(0)
    total = 0
    for number in range(1, config.rolls + 1):
        ctx.poll()
        time.sleep(config.pause)
        rolled = generator.randint(1, config.sides)
        total += rolled
        ctx.emit(Measured(step=number, values={"rolled": rolled, "mean": total / number}))
        ctx.emit(Progress(phase="rolling", done=number, total=config.rolls, unit="rolls"))
    ctx.emit(Finished(seconds=0.0, summary={"total": total}))


def check(config: DiceConfig, workspace: Workspace) -> Iterator[Problem]:
    """A die of thirteen sides brings bad luck."""
    del workspace
    if config.sides == 13:
        yield Problem("sides", "brings bad luck", 13, "take 12 or 14")


def figures(item: Overview) -> Iterator[str]:
    """What was rolled."""
    if "total" in item.summary:
        yield f"{item.summary['total']} in all"


def afterwards(config: DiceConfig, workspace: Workspace) -> tuple[str, ...]:
    """Look at it."""
    del workspace
    return ("show", config.name)
