"""The settings of checkpoints, and of going back to one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from talm_core.settings.schema import Component, Setting


class CheckpointConfig(Component):
    """When checkpoints are written, and which are kept."""

    checkpoint_every: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Saving",
            "Steps between checkpoints; 0 saves by time, when stopped and at the end.",
            unit="steps",
            more="Written beside the training. Unless it is 0, there is one before each evaluation"
            " as well, so that the best model can be kept.",
            resume=True,
        ),
    ] = 250
    checkpoint_minutes: Annotated[
        float | None,
        Field(gt=0),
        Setting(
            "Saving",
            "Longest time between checkpoints; none saves by steps only.",
            unit="minutes",
            more="What a crash can cost at most.",
            advanced=True,
            resume=True,
        ),
    ] = 10.0
    keep_checkpoints: Annotated[
        int,
        Field(ge=2, le=100_000),
        Setting(
            "Saving",
            "Newest checkpoints to keep, besides the best one.",
            more="At least two, so that a damaged one never is the only one.",
            advanced=True,
            resume=True,
        ),
    ] = 3


class RecoveryConfig(Component):
    """What happens after a step that must not be taken."""

    non_finite: Annotated[
        Literal["stop", "rollback"],
        Setting(
            "Training",
            "What to do about a loss or gradient that is not finite.",
            more="That step is never taken. stop ends the run; rollback goes back to the last"
            " checkpoint and on with what comes after the batches that led there.",
            advanced=True,
            resume=True,
        ),
    ] = "stop"
    max_rollbacks: Annotated[
        int,
        Field(ge=1),
        Setting(
            "Training",
            "How often a run may go back before it ends after all.",
            advanced=True,
            resume=True,
        ),
    ] = 3
