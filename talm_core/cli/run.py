"""The commands that make something: each builds a config and runs its job, here or detached."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from talm_core.cli.call import DONE, STOPPED, Call
from talm_core.cli.output import output
from talm_core.errors import InputError, Problem, UnforeseenError
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.pretrain.presets import find_preset
from talm_core.jobs.quickstart.config import QuickstartConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime import control, runner
from talm_core.runtime.events import Checkpointed, Event, Finished, Record
from talm_core.settings.command_line import command_line
from talm_core.settings.schema import JobConfig, build
from talm_core.storage.workspace import Workspace


def train_tokenizer(call: Call) -> int:
    """`talm train-tokenizer`."""
    return _work(call, _built(call, TokenizerConfig, call.given.settings()))


def prepare_data(call: Call) -> int:
    """`talm prepare-data`."""
    return _work(call, _built(call, DataConfig, call.given.settings()))


def train_model(call: Call) -> int:
    """`talm train-model`: flags over preset over defaults; with --resume, flags over the stored
    config."""
    values = call.given.settings()
    preset = call.given.text("preset")
    if call.given.on("resume"):
        problems = []
        if preset is not None:
            message = "cannot be given with --resume"
            problems.append(Problem("preset", message, preset, "a resumed run keeps its settings"))
        return _resume(call, "pretrain", "model_name", values, problems)
    if call.given.on("override"):
        call.require([Problem("override", "is for a run that is gone on with, by --resume")])
    if preset is not None:
        try:
            values = dict(find_preset(call.workspace, preset).values) | values
        except InputError as error:
            # What was given with it may be wrong as well.
            return _work(call, _built(call, PretrainConfig, values, error.problems))
    return _work(call, _built(call, PretrainConfig, values))


def quickstart(call: Call) -> int:
    """`talm quickstart`: without a name the first free one; one that was begun is gone on with."""
    from talm_core.jobs.quickstart.job import free_name

    values = call.given.settings()
    if "name" in values:
        begun = _begun(call.workspace, str(values["name"]))
        if begun or call.given.on("resume"):
            return _resume(call, "quickstart", "name", values, [])
    elif call.given.on("resume"):
        return _resume(call, "quickstart", "name", {"name": "quickstart"} | values, [])
    else:
        values["name"] = free_name(call.workspace)
    return _work(call, _built(call, QuickstartConfig, values))


def _begun(workspace: Workspace, name: str) -> bool:
    """Whether a quick start of this name was begun and not finished."""
    try:
        directory = workspace.directory("quickstart", name)
    except InputError:
        return False
    return directory.is_dir() and runner.status(directory) is not runner.Status.DONE


def _built(
    call: Call,
    model: type[JobConfig],
    values: dict[str, Any],
    problems: tuple[Problem, ...] = (),
) -> JobConfig:
    """The config, or every problem at once: with the words, with the values."""
    try:
        config = build(model, values)
    except InputError as error:
        call.require([*problems, *error.problems])
        raise
    call.require(problems)
    return config


def _resume(
    call: Call, kind: str, key: str, values: dict[str, Any], problems: list[Problem]
) -> int:
    name = values.pop(key, None)
    if name is None:
        message = "must be given: which run to go on with"
        call.require([*problems, Problem(key, message)])
    try:
        directory = call.workspace.find(kind, str(name), key=key)
        config = runner.resumed_config(directory, values)
    except InputError as error:
        call.require([*problems, *error.problems])
        raise
    call.require(problems)
    return _work(call, config, resume=True, override=call.given.on("override"))


# --- running ---------------------------------------------------------------------------------


def _work(call: Call, config: JobConfig, *, resume: bool = False, override: bool = False) -> int:
    if call.detach:
        directory = runner.start(config, call.workspace, resume=resume, override=override)
        return _detached(call, directory, config)
    control.stop_on_signals()
    try:
        last, saved = _run(call, config, resume=resume, override=override)
    except UnforeseenError as error:
        log = call.workspace.directory_of(config) / runner.LOG_FILE
        raise UnforeseenError(f"{error}\ntalm: the traceback is in {log}") from error
    directory = call.workspace.directory_of(config)
    if isinstance(last, Finished):
        _tell_done(call, config)
        return DONE
    _tell_stopped(call, config, directory, saved)
    return STOPPED


def _run(
    call: Call, config: JobConfig, *, resume: bool, override: bool
) -> tuple[Event | None, Checkpointed | None]:
    """Run the job here; its last event, and what it saved last."""
    last: Event | None = None
    saved: Checkpointed | None = None
    events = runner.run(config, call.workspace, resume=resume, override=override)
    # The first event comes before the screen is touched: what is wrong is said plainly.
    first = next(events, None)
    with closing(events), output(as_json=call.as_json) as screen:
        for last in _from(first, events):
            screen.show(Record(time.time(), last))
            if isinstance(last, Checkpointed):
                saved = last
    return last, saved


def _from(first: Event | None, events: Iterator[Event]) -> Iterator[Event]:
    if first is not None:
        yield first
        yield from events


def _detached(call: Call, directory: Path, config: JobConfig) -> int:
    name = config.artifact
    if call.as_json:
        found = {"event": "Detached", "job": config.kind, "name": name, "directory": str(directory)}
        call.say(json.dumps(found))
        return DONE
    call.say(f"{name} runs in the background, in {directory}")
    call.say(f"  watch it   {call.command_line('attach', name)}")
    call.say(f"  stop it    {call.command_line('stop', name)}")
    return DONE


def _tell_done(call: Call, config: JobConfig) -> None:
    if call.as_json:
        return
    match config:
        case TokenizerConfig():
            follows = call.command_line("show", f"tokenizers/{config.name}")
        case DataConfig():
            follows = call.command_line("train-model", "-n", "NAME", "-d", config.artifact)
        case QuickstartConfig():
            # None of a preset's own means an empty document.
            prompt = (
                config.prompt
                or find_preset(call.workspace, config.preset).values.get("sample_prompt", ("",))[0]
            )
            follows = call.command_line(
                "sample", config.name, *(["--prompt", prompt] if prompt else [])
            )
        case _:
            follows = call.command_line("sample", config.artifact)
    call.tell(f"next: {follows}")


def _tell_stopped(
    call: Call, config: JobConfig, directory: Path, saved: Checkpointed | None
) -> None:
    """Say what was saved, and the command that goes on."""
    words = call.command_line(*going_on(config))
    if isinstance(config, TokenizerConfig):
        call.tell(f"stopped; begin again with: {words}")
        return
    if saved is not None:
        call.tell(f"stopped; saved step {saved.step:,} in {saved.directory}")
    else:
        call.tell(f"stopped; what was done is kept in {directory}")
    call.tell(f"go on with: {words}")


def going_on(config: JobConfig) -> list[str]:
    """The words that go on with a job that was stopped."""
    if isinstance(config, PretrainConfig):
        return ["train-model", "-n", config.model_name, "--resume"]
    if isinstance(config, QuickstartConfig):
        return ["quickstart", "-n", config.name, "--resume"]
    return command_line(config)[1:]
