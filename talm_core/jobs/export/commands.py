"""What can be done with a model that was exported. Loads nothing: screens say it, too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TEXT = "Once upon a time"


def following(directory: Path, summary: Mapping[str, Any]) -> list[list[str]]:
    """The commands, as words, that use what the job `export` summed up so."""
    if summary["format"] == "huggingface":
        return [["hf", "upload", directory.name, str(directory)]]
    name, file = str(summary["ollama"]), str(directory / str(summary["file"]))
    # A base model goes on with a text; `llama-cli` would hold a conversation with it.
    text = ["llama-completion", "-m", file, "-no-cnv", "-p", _TEXT]
    return [
        ["ollama", "create", name, "-f", str(directory / str(summary["modelfile"]))],
        ["ollama", "run", name],
        ["llama-cli", "-m", file] if summary.get("chat") else text,
    ]
