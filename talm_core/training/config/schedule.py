"""The settings of a run's length and its learning rate."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from talm_core.errors import Problem
from talm_core.settings.schema import Component, Setting


class ScheduleConfig(Component):
    """How long a run takes, and its learning rate on the way."""

    max_steps: Annotated[
        int,
        Field(ge=1, le=100_000_000),
        Setting(
            "Training",
            "Optimizer steps of the whole run.",
            unit="steps",
            more="The learning rate reaches its end with the last of them. Resumed with more, a"
            " finished run is trained longer: each step has the learning rate of a run that long."
            " With wsd it goes on from before the fall, exactly; a cosine rises again to where the"
            " longer one is.",
            length=True,
        ),
    ] = 700
    minutes: Annotated[
        float | None,
        Field(gt=0),
        Setting(
            "Training",
            "End after this much training time, if max_steps is not reached before.",
            unit="minutes",
            more="The learning rate falls with whichever of steps and time is further, so that it"
            " reaches its end either way. A run with a time limit is not repeatable bit for bit.",
            length=True,
        ),
    ] = None
    learning_rate: Annotated[
        float,
        Field(gt=0, le=10),
        Setting(
            "Training",
            "Highest learning rate.",
            more="Too high diverges, too low wastes tokens. Usual: 1e-2 for tiny models, 6e-4 for"
            " 124 M.",
        ),
    ] = 1e-2
    min_learning_rate: Annotated[
        float,
        Field(ge=0, le=10),
        Setting(
            "Training",
            "Learning rate at the end.",
            more="Usual: a tenth of learning_rate, or less.",
            advanced=True,
        ),
    ] = 1e-4
    warmup_steps: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Training",
            "Steps over which the learning rate rises from zero.",
            more="Usual: some hundred steps of a long run, a twentieth of a short one. Without it "
            "the first steps can diverge.",
            unit="steps",
            advanced=True,
        ),
    ] = 30
    lr_schedule: Annotated[
        Literal["cosine", "wsd"],
        Setting(
            "Training",
            "How the learning rate falls after the warm-up.",
            more="cosine falls all the way. wsd (warm-up, stable, decay) stays at the top and falls"
            " in a straight line over the last decay_ratio of the run.",
            advanced=True,
        ),
    ] = "cosine"
    decay_ratio: Annotated[
        float,
        Field(gt=0, le=1),
        Setting(
            "Training",
            "Share of the run, at its end, over which wsd lets the learning rate fall.",
            advanced=True,
        ),
    ] = 0.2

    def schedule_problems(self) -> list[Problem]:
        """What is wrong between these settings."""
        problems = []
        if self.min_learning_rate > self.learning_rate:
            message = f"must not be above learning_rate ({self.learning_rate:g})"
            hint = f"at most {self.learning_rate:g}, a tenth of it is usual"
            problems.append(Problem("min_learning_rate", message, self.min_learning_rate, hint))
        if self.warmup_steps > self.max_steps:
            message = f"must not be above max_steps ({self.max_steps:,})"
            hint = f"at most {self.max_steps:,}, a twentieth of it is usual"
            problems.append(Problem("warmup_steps", message, self.warmup_steps, hint))
        return problems
