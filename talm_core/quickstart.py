"""Quick start: tokenizer, data, model and a sample, one after the other, without a network.

Each stage is a job of its own with its own directory and journal, run in this process; what is
finished already is not done again, so that an interrupted quick start goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

from talm_core import jobs
from talm_core.config import (
    DataConfig,
    JobConfig,
    PretrainConfig,
    QuickstartConfig,
    TokenizerConfig,
    build,
)
from talm_core.errors import Problem, WorkspaceError
from talm_core.events import ENDS, Command, Event, Finished, Stage, Started, Stopped
from talm_core.journal import JournalReader
from talm_core.presets import find_preset
from talm_core.workspace import Workspace


def stages(config: QuickstartConfig, workspace: Workspace) -> tuple[JobConfig, ...]:
    """The three jobs a quick start consists of, in order."""
    sample = config.name
    tokenizer = TokenizerConfig(
        name=config.name,
        vocab_size=config.vocab_size,
        text_file=config.text_file,
        # The tokenizer must not have seen the text the model is judged by.
        val_fraction=config.val_fraction,
    )
    data: dict[str, Any] = {
        "tokenizer_path": config.name,
        "val_fraction": config.val_fraction,
    }
    if config.text_file:
        data |= {"source": "text", "path": config.text_file, "ds_sample": sample}
    else:
        data |= {"source": "stdlib", "dir_prefix": config.name}
    data_config = build(DataConfig, data)
    values = dict(find_preset(workspace, config.preset).values)
    values |= {
        "model_name": config.name,
        "data_dir": data_config.artifact,
        "seed": config.seed,
        "minutes": config.minutes,
        "sample_prompt": (config.prompt,),
    }
    if config.max_steps is not None:
        values["max_steps"] = config.max_steps
        shortest = min(int(values.get("warmup_steps", 40)), config.max_steps)
        values["warmup_steps"] = shortest
    return tokenizer, data_config, build(PretrainConfig, values)


def quickstart(
    config: QuickstartConfig, workspace: Workspace
) -> Generator[Event, Command | None, None]:
    """The job. Yields its stages' events between `Stage`s; ends without `Finished` when a stage
    was stopped."""
    began = time.monotonic()
    own = workspace.directory_of(config)
    first = JournalReader(own).read_new()
    going_on = any(isinstance(record.event, Stage) for record in first)
    yield Started(job=config.kind, name=config.artifact, resumed_from=0 if going_on else None)
    summary: dict[str, Any] = {}
    parts = stages(config, workspace)
    if not going_on:
        _check_free(parts, workspace)
    for index, part in enumerate(parts):
        directory = workspace.directory_of(part)
        yield Stage(
            kind=part.kind,
            name=part.artifact,
            directory=workspace.relative(directory),
            index=index,
            count=len(parts),
        )
        if directory.is_dir() and jobs.status(directory) is jobs.Status.DONE:
            continue
        last: Event | None = None
        resume = part.kind == "pretrain" and directory.is_dir()
        with closing(jobs.run(part, workspace, resume=resume, listen=[own])) as events:
            for last in events:
                # The stage's own end is not the end of the whole.
                if not isinstance(last, (Started, *ENDS)):
                    yield last
        if isinstance(last, Finished):
            summary |= {f"{part.kind}_{key}": value for key, value in last.summary.items()}
        if isinstance(last, Stopped):
            return
    model = workspace.relative(workspace.directory_of(parts[-1]))
    yield Finished(seconds=time.monotonic() - began, summary=summary | {"directory": model})


def free_name(workspace: Workspace, stem: str = "quickstart") -> str:
    """`stem`, or the first of `stem-2`, `stem-3` … under which nothing exists yet."""
    number = 1
    while True:
        name = stem if number == 1 else f"{stem}-{number}"
        parts = stages(QuickstartConfig(name=name), workspace)
        directories = [workspace.directory_of(part) for part in parts]
        if not any(map(Path.exists, [*directories, workspace.directory("quickstart", name)])):
            return name
        number += 1


def _check_free(parts: tuple[JobConfig, ...], workspace: Workspace) -> None:
    taken = [
        workspace.relative(directory)
        for part in parts
        if (directory := workspace.directory_of(part)).is_dir()
    ]
    if taken:
        message = f"is taken: {', '.join(taken)}"
        raise WorkspaceError(Problem("name", message, parts[0].artifact, "choose another name"))
