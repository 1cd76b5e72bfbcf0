"""The settings of what a run shows of itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from talm_core.settings.schema import Component, Setting


class EvaluationConfig(Component):
    """When the model is evaluated, and on how much."""

    eval_every: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Watching",
            "Steps between evaluations; 0 evaluates only at the end.",
            more="Each reads eval_tokens and costs as much as a third of that in training. Usual: "
            "20 to 50 in a run.",
            unit="steps",
            resume=True,
        ),
    ] = 150
    eval_tokens: Annotated[
        int,
        Field(ge=1),
        Setting(
            "Watching",
            "Validation tokens an evaluation reads, always the same ones.",
            more="More is less noisy and takes longer. The tokens are the same each time: a run "
            "compares with itself.",
            unit="tokens",
            advanced=True,
        ),
    ] = 65_536


class SamplingConfig(Component):
    """When samples are written, and what they begin with."""

    sample_every: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Watching",
            "Steps between text samples; 0 samples only at the end.",
            more="Each takes as many passes as sample_tokens says, of one position each.",
            unit="steps",
            resume=True,
        ),
    ] = 150
    sample_prompt: Annotated[
        tuple[str, ...],
        Setting(
            "Watching",
            "Texts that samples continue; none starts from an empty document.",
            more="What the text is like that the model learns from: def for Python, Once upon a "
            "time for stories.",
            resume=True,
        ),
    ] = ("def ",)
    sample_tokens: Annotated[
        int,
        Field(ge=1, le=100_000),
        Setting(
            "Watching",
            "Tokens in a sample.",
            more="A word of English is about 1.3 tokens of a large vocabulary, more of a small "
            "one.",
            unit="tokens",
            advanced=True,
            resume=True,
        ),
    ] = 96

    @property
    def sample_prompts(self) -> tuple[str, ...]:
        """What samples begin with; one that begins with nothing where nothing is said."""
        return self.sample_prompt or ("",)


class MetricsConfig(Component):
    """How often metrics are told."""

    log_every: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Watching",
            "Steps between metrics; 0 means as often as is useful, at most ten a second.",
            more="A number makes the points of two runs stand at the same steps. Each point reads "
            "the loss from the device.",
            unit="steps",
            advanced=True,
            resume=True,
        ),
    ] = 0
