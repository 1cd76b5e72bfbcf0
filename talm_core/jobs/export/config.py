"""The settings of a model's export."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from talm_core.errors import Problem
from talm_core.settings.name import Model
from talm_core.settings.schema import JobConfig, Setting


class ExportConfig(JobConfig):
    """Write a model for other programs."""

    kind: ClassVar[str] = "export"
    title: ClassVar[str] = "Export"

    model: Model
    format: Annotated[
        Literal["gguf", "huggingface"],
        Setting(
            "Output",
            "gguf: one file for llama.cpp and Ollama. huggingface: a directory for transformers.",
            flags=("-f",),
            also=(("hf", "huggingface"), ("transformers", "huggingface")),
        ),
    ] = "gguf"
    outtype: Annotated[
        Literal["f32", "f16", "q8_0"],
        Setting(
            "Output",
            "How precise the weights in a GGUF file are.",
            more="f16 halves the size, q8_0 takes about a quarter and rounds more.",
            only_with=("format", ("gguf",)),
        ),
    ] = "f16"
    output: Annotated[
        str | None,
        Field(min_length=1),
        Setting(
            "Output",
            "Directory to make; none means one below exports/ in the workspace.",
            flags=("-o",),
            picks="path",
        ),
    ] = None

    @property
    def artifact(self) -> str:
        return self.model

    def contradictions(self) -> list[Problem]:
        if self.format == "gguf" or self.outtype == "f16":
            return []
        return [
            Problem("outtype", "only format gguf has it", self.outtype, "use format gguf"),
        ]
