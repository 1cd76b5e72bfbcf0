"""The settings of the quick start."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from talm_core.settings.name import Name
from talm_core.settings.schema import JobConfig, Setting


class QuickstartConfig(JobConfig):
    """Tokenizer, data, model and a sample, one after the other, offline."""

    kind: ClassVar[str] = "quickstart"
    title: ClassVar[str] = "Quick start"

    name: Annotated[
        Name,
        Setting("Run", "Name of everything that is made.", flags=("-n",)),
    ] = "quickstart"
    preset: Annotated[str, Field(min_length=1), Setting("Run", "Recipe of the model to train.")] = (
        "nano"
    )
    text_file: Annotated[
        tuple[str, ...],
        Setting(
            "Run",
            "Your own text; none means the Python standard library.",
            picks="paths",
        ),
    ] = ()
    text_field: Annotated[
        str,
        Field(min_length=1, max_length=200),
        Setting(
            "Run",
            "Field that holds the text, in rows of JSON, CSV and parquet.",
            advanced=True,
        ),
    ] = "text"
    encoding_errors: Annotated[
        Literal["strict", "replace"],
        Setting(
            "Run",
            "What to do with bytes that are not UTF-8.",
            more="strict stops, naming the file and the byte; replace puts U+FFFD in their place.",
            advanced=True,
        ),
    ] = "strict"
    unreadable_files: Annotated[
        Literal["stop", "leave_out"],
        Setting(
            "Run",
            "What to do with files that cannot be read as what they are.",
            more="Damaged archives, rows without the field, a line that is no JSON: stop names the"
            " file and the place; leave_out goes on without such files, and names and counts them.",
            advanced=True,
        ),
    ] = "stop"
    special_text: Annotated[
        Literal["text", "tokens"],
        Setting(
            "Run",
            "What to do with special tokens written in the text, such as <|endoftext|>.",
            more="text takes them as ordinary characters, and says how many there are; tokens as"
            " what they mean: <|endoftext|> ends a document.",
            advanced=True,
        ),
    ] = "text"
    vocab_size: Annotated[
        int | None,
        Field(ge=256, le=1_000_000),
        Setting(
            "Run",
            "Size of the vocabulary; none means the preset's.",
            unit="tokens",
            more="4,096 for most presets, 1,000 for those of Shakespeare.",
            flags=("-vs",),
        ),
    ] = None
    minutes: Annotated[
        float | None,
        Field(gt=0),
        Setting(
            "Run",
            "Training time at most; none means the preset's.",
            unit="minutes",
            more="1.25 minutes for most presets, no limit for those of Shakespeare.",
        ),
    ] = None
    max_steps: Annotated[
        int | None,
        Field(ge=1),
        Setting("Run", "Optimizer steps at most; none means the preset's.", unit="steps"),
    ] = None
    val_fraction: Annotated[
        float,
        Field(gt=0, le=0.5),
        Setting("Run", "Share of the text kept for validation.", advanced=True),
    ] = 0.1
    prompt: Annotated[
        str | None,
        Setting("Run", "Text the finished model continues; none means the preset's."),
    ] = None
    seed: Annotated[
        int, Field(ge=0, lt=2**63), Setting("Run", "Seed of everything.", flags=("-s",))
    ] = 1337

    @property
    def artifact(self) -> str:
        return self.name
