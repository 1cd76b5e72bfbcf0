"""The commands that make something: each builds a config and runs its job, here or detached."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from talm_core.cli.call import DONE, STOPPED, Call
from talm_core.cli.output import Delayed, output
from talm_core.errors import DoneError, InputError, Problem, UnforeseenError
from talm_core.jobs.registry import spec_of
from talm_core.jobs.spec import JobSpec, load
from talm_core.runtime import control, runner
from talm_core.runtime.events import Checkpointed, Event, Finished
from talm_core.settings.command_line import command_line
from talm_core.settings.schema import JobConfig, build
from talm_core.settings.toml import config_class
from talm_core.storage.workspace import name_key
from talm_core.training.checkpoint import checkpoints


def run_job(call: Call, spec: JobSpec) -> int:
    """Do a job with what was given: flags over a preset over the defaults; where it goes on with
    one that was begun, flags over the stored config."""
    values, resume = call.given.settings(), call.given.on("resume")
    model = config_class(spec.kind)
    if spec.given:
        preset = call.given.text("preset")
        try:
            values, resume = load(spec.given)(values, preset, resume, call.workspace)
        except InputError as error:
            # What was given with it may be wrong as well.
            if resume:
                return _resume(call, spec, values, error.problems)
            return _work(call, _built(call, model, values, error.problems))
    if resume:
        return _resume(call, spec, values)
    if call.given.on("override"):
        call.require([Problem("override", "is for a run that is gone on with, by --resume")])
    return _work(call, _built(call, model, values))


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
    call: Call, spec: JobSpec, values: dict[str, Any], problems: Sequence[Problem] = ()
) -> int:
    key = name_key(spec.kind)
    name = values.pop(key, None)
    if name is None:
        message = "must be given: which run to go on with"
        call.require([*problems, Problem(key, message)])
    try:
        directory = call.workspace.find(spec.kind, str(name), key=key)
        config = runner.resumed_config(directory, values)
    except InputError as error:
        call.require([*problems, *error.problems])
        raise
    call.require(problems)
    return _work(call, config, resume=True, override=call.given.on("override"))


# --- running ---------------------------------------------------------------------------------


def _work(call: Call, config: JobConfig, *, resume: bool = False, override: bool = False) -> int:
    try:
        return _do(call, config, resume=resume, override=override)
    except DoneError:
        # Its process may have been killed before it could say so.
        call.tell(f"{config.artifact} is done as it is asked for here: nothing is left to do")
        raise


def _do(call: Call, config: JobConfig, *, resume: bool, override: bool) -> int:
    if call.detach:
        directory = runner.start(config, call.workspace, resume=resume, override=override)
        return _detached(call, directory, config)
    control.stop_on_signals()
    try:
        last, saved = _run(call, config, resume=resume, override=override)
    except UnforeseenError as error:
        log = call.workspace.directory_of(config) / runner.LOG_FILE
        raise UnforeseenError(f"{error}\ntalm: the traceback is in {log}") from error
    except BrokenPipeError:
        # Whoever read what it says has gone: it has saved and ended, and told nobody.
        directory = call.workspace.directory_of(config)
        _tell_stopped(call, config, directory, _newest(directory))
        return STOPPED
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
    saved: Checkpointed | None = None

    def told(event: Event) -> None:
        nonlocal saved
        show(event)
        if isinstance(event, Checkpointed):
            saved = event

    with Delayed(lambda: output(as_json=call.as_json)) as show:
        last = runner.run(config, call.workspace, resume=resume, override=override, on_event=told)
    return last, saved


def _newest(directory: Path) -> Checkpointed | None:
    """The newest checkpoint as if its run had said so."""
    for step, path in reversed(checkpoints(directory)):
        return Checkpointed(step=step, directory=path.name, bytes=0, seconds=0.0)
    return None


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
    follows = spec_of(config.kind).afterwards
    if follows and not call.as_json:
        call.tell(f"next: {call.command_line(*load(follows)(config, call.workspace))}")


def _tell_stopped(
    call: Call, config: JobConfig, directory: Path, saved: Checkpointed | None
) -> None:
    """Say what was saved, and the command that goes on."""
    words = call.command_line(*going_on(config))
    if spec_of(config.kind).begins_anew:
        call.tell(f"stopped; begin again with: {words}")
        return
    if saved is not None:
        call.tell(f"stopped; saved step {saved.step:,} in {saved.directory}")
    else:
        call.tell(f"stopped; what was done is kept in {directory}")
    call.tell(f"go on with: {words}")


def going_on(config: JobConfig) -> list[str]:
    """The words that go on with a job that was stopped."""
    going_on = spec_of(config.kind).goes_on
    return [*going_on, config.artifact, "--resume"] if going_on else command_line(config)[1:]
