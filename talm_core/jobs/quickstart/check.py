"""What can be known to be wrong before a quick start, and what it is followed by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from talm_core.data.local.corpus import corpus_problems, reading_of
from talm_core.errors import InputError, Problem, problems_of
from talm_core.jobs.pretrain.presets import find_preset
from talm_core.jobs.quickstart.config import QuickstartConfig
from talm_core.jobs.quickstart.job import free_name, stages, taken
from talm_core.jobs.registry import artifact_of
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime import runner
from talm_core.storage import artifact_files
from talm_core.storage.workspace import Workspace


def check(config: QuickstartConfig, workspace: Workspace) -> Iterator[Problem]:
    """What is wrong before a quick start."""
    preset = list(problems_of(lambda: find_preset(workspace, config.preset)))
    yield from preset or problems_of(lambda: stages(config, workspace))
    if not list(problems_of(lambda: workspace.directory_of(config))):
        begun = not artifact_files.vacant(workspace.directory_of(config))
        yield from [] if begun else taken(config, workspace)
    if config.name in artifact_of(TokenizerConfig.kind).reserved:
        yield Problem("name", "is taken by the built-in tokenizer", config.name)
    if config.text_file:
        yield from corpus_problems("text", config.text_file, "text_file", **reading_of(config))
    else:
        yield from corpus_problems("stdlib", (), "text_file")


def given(
    values: dict[str, Any], preset: str | None, resume: bool, workspace: Workspace
) -> tuple[dict[str, Any], bool]:
    """The values a quick start is built from: without a name the first free one; one that was
    begun is gone on with. Its `preset` is a setting of its own."""
    del preset
    if "name" in values:
        return values, resume or _begun(workspace, str(values["name"]))
    name = "quickstart" if resume else free_name(workspace)
    return values | {"name": name}, resume


def _begun(workspace: Workspace, name: str) -> bool:
    """Whether a quick start of this name was begun and not finished."""
    try:
        directory = workspace.directory(QuickstartConfig.kind, name)
    except InputError:
        return False
    begun = not artifact_files.vacant(directory)
    return begun and runner.status(directory) is not runner.Status.DONE


def afterwards(config: QuickstartConfig, workspace: Workspace) -> tuple[str, ...]:
    """The words of the command that samples from the model, as the preset does."""
    # None of a preset's own means an empty document.
    usual = find_preset(workspace, config.preset).values.get("sample_prompt", ("",))[0]
    prompt = config.prompt or usual
    return ("sample", config.name, *(["--prompt", prompt] if prompt else []))
