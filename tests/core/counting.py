"""Two small jobs that count, to try the machinery of jobs with, and their registration, here and
in processes that are started."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, ClassVar

from talm_core.errors import InputError, Problem, RunError
from talm_core.jobs.registry import VARIABLE
from talm_core.jobs.spec import ArtifactSpec, CommandSpec, JobSpec
from talm_core.runtime.context import JobContext, StopRequested
from talm_core.runtime.events import (
    Checkpointed,
    Finished,
    Metrics,
    Planned,
    Sample,
    Sampled,
    Started,
)
from talm_core.settings.schema import JobConfig, Setting
from tests.core import registration

STATE = "state.json"


class CountConfig(JobConfig):
    """Count to `steps`, `pause` seconds each."""

    kind: ClassVar[str] = "count"
    title: ClassVar[str] = "Count"

    name: Annotated[str, Setting("Run", "Name.")]
    steps: Annotated[int, Setting("Run", "How far.")] = 10
    pause: Annotated[float, Setting("Run", "Seconds a step.", resume=True)] = 0.0
    wrong: Annotated[str, Setting("Run", "What goes wrong at step 3.", resume=True)] = ""

    @property
    def artifact(self) -> str:
        return self.name


class PlainConfig(CountConfig):
    """The same, of a job that takes no commands."""

    kind: ClassVar[str] = "plain"


def count(ctx: JobContext, config: CountConfig) -> None:
    """Takes Checkpoint and Sample, says what it saved when it is stopped; goes on from there."""
    step = _saved(ctx.directory)
    ctx.emit(Started(job=config.kind, name=config.artifact, resumed_from=step or None))
    try:
        while step < config.steps:
            time.sleep(config.pause)
            step += 1
            _go_wrong(config, step)
            ctx.emit(metrics(step, config.steps))
            while (command := ctx.poll()) is not None:
                if isinstance(command, Sample):
                    ctx.emit(Sampled(step=step, prompt=command.prompt, text=str(step)))
                    continue
                _save(ctx.directory, step)
                # Something comes before what a paused job is waited for.
                ctx.report(metrics(step, config.steps))
                ctx.emit(_checkpointed(step))
    except StopRequested as stop:
        _save(ctx.directory, step)
        if config.wrong == "closing":
            raise RunError("cannot be closed") from None
        if stop.heard and type(config) is CountConfig:
            ctx.emit(_checkpointed(step))
        raise
    ctx.emit(Finished(seconds=0.0, summary={"step": step}))


def count_plainly(ctx: JobContext, config: PlainConfig) -> None:
    """Takes no command; saves when it is stopped, and does not say so."""
    count(ctx, config)


def _checkpointed(step: int) -> Checkpointed:
    return Checkpointed(step=step, directory=STATE, bytes=1, seconds=0.0)


def metrics(step: int, steps: int = 100, loss: float = 1.0) -> Metrics:
    """Metrics of which only the step matters."""
    return Metrics(
        step=step,
        max_steps=steps,
        steps=1,
        tokens=step * 10,
        loss=loss,
        loss_ema=loss,
        learning_rate=0.1,
        grad_norm=1.0,
        tokens_per_second=10.0,
        elapsed=float(step),
        epoch=0.0,
    )


def planned(*, minutes: float | None = None) -> Planned:
    """A run of 900 steps, of which only the time limit matters."""
    return Planned(
        parameters=892_032,
        vocab_size=300,
        device="cpu",
        precision="fp32",
        compiled=False,
        tokens_per_step=2048,
        max_steps=900,
        train_tokens=2_800_000,
        val_tokens=1,
        flops_per_token=1.0,
        minutes=minutes,
    )


def _go_wrong(config: CountConfig, step: int) -> None:
    if step == 3 and config.wrong:
        if config.wrong == "input":
            raise InputError(Problem("text_file", "is damaged", "x"))
        if config.wrong == "run":
            raise RunError("the loss is not finite")
        if config.wrong == "bug":
            raise ZeroDivisionError("oh no")


def _saved(directory: Path) -> int:
    try:
        return int(json.loads((directory / STATE).read_text()))
    except FileNotFoundError:
        return 0


def _save(directory: Path, step: int) -> None:
    (directory / STATE).write_text(json.dumps(step))


SPECS = tuple(
    JobSpec(
        kind=config.kind,
        commands=(CommandSpec(config.kind, "Count.", flags=("RESUME", "DETACH")),),
        config=f"tests.core.counting:{config.__name__}",
        entry=f"tests.core.counting:{entry}",
        artifact=ArtifactSpec(
            config.kind + "s", config.kind, config.title, main_file=STATE, renamable=True
        ),
        hears=frozenset({"Checkpoint", "Sample"}) if config is CountConfig else frozenset(),
        resumable=True,
    )
    for config, entry in ((CountConfig, "count"), (PlainConfig, "count_plainly"))
)
COUNT, PLAIN = SPECS


@contextmanager
def registered() -> Iterator[None]:
    """The jobs are known in this process and in those started meanwhile."""
    root = str(Path(__file__).parents[2])
    environment = {VARIABLE: "tests.core.counting:COUNT,tests.core.counting:PLAIN"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    before = {key: os.environ.get(key) for key in environment}
    os.environ.update(environment)
    try:
        with registration.registered(*SPECS):
            yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
