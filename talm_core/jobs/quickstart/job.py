"""Quick start: tokenizer, data, model and a sample, one after the other, without a network.

Each stage is a job of its own with its own directory and journal, run in this process; what is
finished already is not done again, so that an interrupted quick start goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from talm_core.data.local.corpus import reading_of
from talm_core.errors import Problem, WorkspaceError
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.pretrain.fitting import fitted
from talm_core.jobs.pretrain.presets import find_preset
from talm_core.jobs.quickstart.config import QuickstartConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime import runner
from talm_core.runtime.context import JobContext
from talm_core.runtime.events import ENDS, Event, Finished, Stage, Started, Stopped
from talm_core.runtime.journal import JournalReader
from talm_core.settings.schema import JobConfig, build
from talm_core.storage import artifact_files
from talm_core.storage.workspace import Workspace
from talm_core.training.checkpoint import checkpoints


def stages(config: QuickstartConfig, workspace: Workspace) -> tuple[JobConfig, ...]:
    """The three jobs a quick start consists of, in order."""
    sample = config.name
    preset = find_preset(workspace, config.preset)
    reading = reading_of(config)
    tokenizer = build(
        TokenizerConfig,
        {
            "name": config.name,
            "vocab_size": config.vocab_size or preset.vocab_size,
            "text_file": config.text_file,
            # The tokenizer must not have seen the text the model is judged by.
            "val_fraction": config.val_fraction,
            "special_text": config.special_text,
            **reading,
        },
    )
    data: dict[str, Any] = {
        "tokenizer_path": config.name,
        "val_fraction": config.val_fraction,
        "special_text": config.special_text,
    }
    if config.text_file:
        data |= {"source": "text", "path": config.text_file, "ds_sample": sample} | reading
    else:
        data |= {"source": "stdlib", "dir_prefix": config.name}
    data_config = build(DataConfig, data)
    said = {} if config.max_steps is None else {"max_steps": config.max_steps}
    values = PretrainConfig.completed(said) | fitted(preset.values, said) | said
    values |= {
        "model_name": config.name,
        "data_dir": data_config.artifact,
        "seed": config.seed,
        "minutes": config.minutes or values.get("minutes") or preset.minutes,
    }
    if config.prompt is not None:
        values["sample_prompt"] = (config.prompt,)
    return tokenizer, data_config, build(PretrainConfig, values)


def quickstart(ctx: JobContext, config: QuickstartConfig) -> None:
    """The job. Says its stages' events between `Stage`s; ends without `Finished` when a stage was
    stopped."""
    began = time.monotonic()
    workspace, own = ctx.workspace, ctx.directory
    first = JournalReader(own).read_new()
    going_on = any(isinstance(record.event, Stage) for record in first)
    begun_as = next((item.event.name for item in first if isinstance(item.event, Started)), None)
    if going_on and begun_as not in (None, config.artifact):
        message = f"was begun as {begun_as}, and its parts are called so"
        hint = f"give its directory the name {begun_as} again, or begin a new one"
        raise WorkspaceError(Problem("name", message, config.artifact, hint))
    parts = stages(config, workspace)
    resumed_from = _steps_kept(parts, workspace) if going_on else None
    ctx.emit(Started(job=config.kind, name=config.artifact, resumed_from=resumed_from))
    if not going_on and (problems := taken(config, workspace)):
        raise WorkspaceError(*problems)
    summary: dict[str, Any] = {}
    for index, part in enumerate(parts):
        directory = workspace.directory_of(part)
        stage = Stage(
            kind=part.kind,
            name=part.artifact,
            directory=workspace.relative(directory),
            index=index,
            count=len(parts),
        )
        ctx.emit(stage)
        # A kill may have come before a stage wrote down what it was asked.
        begun = not artifact_files.vacant(directory)
        if begun and runner.status(directory) is runner.Status.DONE:
            continue
        resume = part.kind == "pretrain" and begun
        last = runner.run(part, workspace, resume=resume, listen=[own], on_event=_told(ctx))
        if isinstance(last, Finished):
            summary |= {f"{part.kind}_{key}": value for key, value in last.summary.items()}
        if isinstance(last, Stopped):
            return
    model = workspace.relative(workspace.directory_of(parts[-1]))
    ctx.emit(Finished(seconds=time.monotonic() - began, summary=summary | {"directory": model}))


def _told(ctx: JobContext) -> Callable[[Event], None]:
    """Says what a stage says; its own beginning and end are not those of the whole."""
    return lambda event: None if isinstance(event, (Started, *ENDS)) else ctx.emit(event)


def free_name(workspace: Workspace, stem: str = "quickstart") -> str:
    """`stem`, or the first of `stem-2`, `stem-3` … under which nothing exists yet."""
    names = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
    return next(name for name in names if all(map(artifact_files.vacant, _places(name, workspace))))


def next_one(workspace: Workspace) -> QuickstartConfig:
    """A quick start under a name that is free, with everything else as usual."""
    return QuickstartConfig(name=free_name(workspace))


def taken(config: QuickstartConfig, workspace: Workspace) -> list[Problem]:
    """What is wrong with the name of a quick start that has not begun: something is there."""
    places = [
        place for place in _places(config.name, workspace)[1:] if not artifact_files.vacant(place)
    ]
    if not places:
        return []
    message = f"is taken: {', '.join(map(workspace.relative, places))}"
    return [Problem("name", message, config.name, "choose another name")]


def _places(name: str, workspace: Workspace) -> list[Path]:
    """Its own directory first, then those of its stages, from either kind of text."""
    return [
        workspace.directory("quickstart", name),
        workspace.directory("tokenizer", name),
        workspace.directory("data", f"text/{name}"),
        workspace.directory("data", f"stdlib/{name}_all"),
        workspace.directory("pretrain", name),
    ]


def _steps_kept(parts: tuple[JobConfig, ...], workspace: Workspace) -> int:
    """The step that training will go on from; what was said about later ones is said again."""
    saved = checkpoints(workspace.directory_of(parts[-1]))
    return saved[-1][0] if saved else 0
