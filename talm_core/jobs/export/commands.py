"""What can be done with a model that was exported. Loads nothing: screens say it, too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def following(directory: Path, summary: Mapping[str, Any]) -> list[list[str]]:
    """The commands, as words, that use what the job `export` summed up so."""
    if summary["format"] == "huggingface":
        return [["hf", "upload", directory.name, str(directory)]]
    name = str(summary["ollama"])
    return [
        ["ollama", "create", name, "-f", str(directory / str(summary["modelfile"]))],
        ["ollama", "run", name],
        ["llama-cli", "-m", str(directory / str(summary["file"]))],
    ]
