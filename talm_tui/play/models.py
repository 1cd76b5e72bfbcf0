"""Which models can be prompted, and at which of their checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from talm_core.jobs.registry import specs
from talm_core.runtime.overview import Overview
from talm_core.training import checkpoint

NEWEST = "newest"
_STEP = "step "


@dataclass(frozen=True, slots=True)
class Playable:
    """A model with checkpoints: what is said beside its name, its steps newest first, and a
    prompt it was trained to continue. A name alone means one of the first kind that makes models:
    others are not `known_by_name`."""

    name: str
    directory: Path
    note: str = ""
    steps: tuple[int, ...] = ()
    prompt: str | None = None
    known_by_name: bool = True

    def at(self, step: int | None) -> str:
        """What `SampleConfig.model` calls this model at a step; None: the newest that is whole."""
        if step is not None:
            return str(self.directory / checkpoint.name_of(step))
        return self.name if self.known_by_name else str(self.directory)


def playable(overviews: Iterable[Overview]) -> list[Playable]:
    """The models among these that have a checkpoint, in their order. Looks into directories."""
    found = []
    usual = next(spec.kind for spec in specs() if spec.makes_model)
    for overview in overviews:
        try:
            known = checkpoint.checkpoints(overview.artifact.directory)
        except OSError:
            continue
        if known:
            prompts = getattr(overview.config, "sample_prompt", ())
            loss = overview.val_loss
            found.append(
                Playable(
                    overview.name,
                    overview.artifact.directory,
                    f"val loss {loss:.3f}" if loss is not None else "",
                    tuple(step for step, _ in reversed(known)),
                    prompts[0] if prompts else None,
                    overview.artifact.kind == usual,
                )
            )
    return found


def step_value(step: int | None) -> str:
    """The value of `step_options` that stands for a step; None for the newest."""
    return NEWEST if step is None else f"{_STEP}{step}"


def step_options(model: Playable | None) -> list[tuple[str, str]]:
    """The checkpoints of a model: (value, what is said beside it)."""
    if model is None:
        return [(NEWEST, "")]
    steps = [(step_value(step), "") for step in model.steps]
    return [(NEWEST, f"step {model.steps[0]:,}"), *steps]


def step_of(value: str) -> int | None:
    """The step a value of `step_options` names; None for the newest."""
    number = value.removeprefix(_STEP)
    return int(number) if value.startswith(_STEP) and number.isdecimal() else None


def beside_options(
    model: Playable | None, step: int | None, models: Iterable[Playable]
) -> list[tuple[str, str]]:
    """What a model at a step (None: its newest) can be compared with: nothing, another of its
    checkpoints, another model."""
    options = [("", "")]
    if model is not None:
        chosen = model.steps[0] if step is None else step
        others = (other for other in model.steps if other != chosen)
        options += [(step_value(other), f"of {model.name}") for other in others]
    return options + [(other.name, other.note) for other in models if other is not model]
