"""The settings of a text's continuation."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from talm_core.settings.name import Model
from talm_core.settings.schema import JobConfig, Setting


class SampleConfig(JobConfig):
    """Continue a text with a trained model."""

    kind: ClassVar[str] = "sample"
    title: ClassVar[str] = "Play"

    model: Model
    prompt: Annotated[
        str,
        Setting(
            "Text",
            "Text to continue; - reads standard input.",
            more="Without one, what is piped in is continued; on a terminal, texts are asked for.",
            flags=("-p",),
            bare=True,
        ),
    ] = ""
    token_healing: Annotated[
        bool,
        Setting(
            "Text",
            "Leave a space that ends the prompt to the token that comes next.",
            more="In text a space belongs to the word after it. Other programs read it as a token "
            "of its own: off continues as they do.",
            advanced=True,
        ),
    ] = True
    max_tokens: Annotated[
        int,
        Field(ge=1, le=1_000_000),
        Setting("Text", "Longest continuation.", unit="tokens"),
    ] = 200
    temperature: Annotated[
        float,
        Field(ge=0, le=100),
        Setting(
            "Sampling",
            "Below 1 is safer, above 1 is wilder; 0 always takes the likeliest token.",
        ),
    ] = 0.8
    top_k: Annotated[
        int,
        Field(ge=0),
        Setting("Sampling", "Choose among this many likeliest tokens; 0 is off.", unit="tokens"),
    ] = 0
    top_p: Annotated[
        float,
        Field(gt=0, le=1),
        Setting(
            "Sampling",
            "Choose among the likeliest tokens that together have this probability; 1 is off.",
        ),
    ] = 0.95
    seed: Annotated[
        int,
        Field(ge=0, lt=2**63),
        Setting("Sampling", "The same seed gives the same text.", flags=("-s",)),
    ] = 1337
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        Setting("Sampling", "Where to compute.", advanced=True),
    ] = "auto"

    @property
    def artifact(self) -> str:
        return self.model
