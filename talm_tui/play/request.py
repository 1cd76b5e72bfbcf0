"""What Play's fields ask for: one text or several, of one model or two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from talm_core.errors import ConfigError, Problem
from talm_core.jobs.sample.config import SampleConfig
from talm_core.settings.schema import build, settings_of
from talm_tui.forms.text import parse, show
from talm_tui.play.sample_grid import MOST

SAMPLES = "samples"
FIELDS = {
    "temperature": "temperature",
    "top_p": "top-p",
    "top_k": "top-k",
    "max_tokens": "max",
    "seed": "seed",
    SAMPLES: SAMPLES,
}
"""The settings in the row, with their labels."""

_ITEMS = {item.key: item for item in settings_of(SampleConfig)}


@cache
def defaults() -> dict[str, str]:
    """What the fields begin with."""
    return {
        key: "1" if key == SAMPLES else show(_ITEMS[key], _ITEMS[key].default) for key in FIELDS
    }


@dataclass(frozen=True, slots=True)
class Lane:
    """One text: its settings and what tells it from the others. `newest` where the model is the
    newest checkpoint of a run, whichever that will be."""

    config: SampleConfig
    model: str
    seed_said: bool = False

    @property
    def newest(self) -> bool:
        return "checkpoint-" not in self.config.model and " step " in self.model

    @property
    def label(self) -> str:
        return self.model + (f" · seed {self.config.seed}" if self.seed_said else "")

    def at_step(self, step: int) -> str:
        """The label with the step that was really read."""
        name = self.model.rpartition(" step ")[0]
        return Lane(self.config, f"{name} step {step:,}", self.seed_said).label

    @property
    def settings(self) -> str:
        """How it was sampled, to stand above a text that is kept."""
        config = self.config
        return (
            f"seed {config.seed}, temperature {config.temperature:g}, top-p {config.top_p:g}, "
            f"top-k {config.top_k}"
        )


@dataclass(frozen=True, slots=True)
class Request:
    """The texts, row by row where two models are compared. `columns` None: as many as fit."""

    lanes: tuple[Lane, ...]
    columns: int | None


def read(
    texts: Mapping[str, str], models: Mapping[str, str]
) -> tuple[Request | None, tuple[Problem, ...]]:
    """The request that the fields' texts make of `models` (what is said of each, and what
    `SampleConfig.model` is), or what is wrong with them."""
    problems: list[Problem] = []
    samples = _samples(texts[SAMPLES], problems)
    values = {
        key: parse(_ITEMS[key], text) if key != "prompt" else text
        for key, text in texts.items()
        if key != SAMPLES
    }
    # An empty field is wrong rather than silently the default.
    values = {key: "" if value is None else value for key, value in values.items()}
    configs = []
    for said, model in models.items():
        try:
            configs.append((said, build(SampleConfig, values | {"model": model})))
        except ConfigError as error:
            known = {problem.key for problem in problems}
            problems += [problem for problem in error.problems if problem.key not in known]
    if problems:
        return None, tuple(problems)
    lanes = []
    for number in range(samples):
        for said, config in configs:
            # The largest seed has none after it.
            seed = (config.seed + number) % 2**63
            lanes.append(Lane(config.model_copy(update={"seed": seed}), said, samples > 1))
    return Request(tuple(lanes), len(models) if len(models) > 1 else None), ()


def _samples(text: str, problems: list[Problem]) -> int:
    most = MOST
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= most:
        problems.append(Problem(SAMPLES, f"must be a whole number, 1 to {most}", text))
    return number
