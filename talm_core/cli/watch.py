"""`talm attach` and `talm stop`: watch a job of any process, and end it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from talm_core.cli.call import DONE, FAILED, STOPPED, Call
from talm_core.cli.output import output
from talm_core.cli.run import going_on
from talm_core.errors import ArtifactError, InputError, Problem
from talm_core.runtime import lock, runner
from talm_core.runtime.artifacts import full_name, resolve
from talm_core.runtime.events import (
    Checkpointed,
    Evaluated,
    Event,
    Failed,
    Finished,
    Measured,
    Metrics,
    Notice,
    Planned,
    Progress,
    Record,
    Sampled,
    Stage,
    Started,
    Stop,
    Stopped,
)
from talm_core.runtime.journal import JournalReader
from talm_core.runtime.render import one_line
from talm_core.storage import artifact_files
from talm_core.storage.workspace import Artifact

_STOP_SECONDS = 120.0
_POLL_SECONDS = 0.1
_LOG_LINES = 12
_LOG_BYTES = 64 * 1024


def _artifact(call: Call) -> Artifact:
    name = call.given.text("name")
    if name is None:
        call.require([Problem("name", "must be given: which one")])
    call.require()
    return resolve(call.workspace, str(name), active=True)


def attach(call: Call) -> int:
    """Show a job that runs elsewhere; ctrl-c leaves it running."""
    artifact = _artifact(call)
    directory = artifact.directory
    reader = JournalReader(directory)
    past = reader.read_all()
    last = past[-1] if past else None
    with output(as_json=call.as_json) as screen:
        try:
            for record in past if call.as_json else _condensed(past):
                screen.show(record)
            for record in runner.follow(directory, reader=reader):
                last = record
                screen.show(record)
        except KeyboardInterrupt:
            left = True
        else:
            left = False
    if left:
        call.tell(f"left {artifact.name}; it goes on")
        call.tell(f"watch it again with: {call.command_line('attach', full_name(artifact))}")
        return DONE
    return _ending(call, artifact, last.event if last else None)


def _condensed(past: list[Record]) -> list[Record]:
    """What of the past is worth showing: the newest of each kind and phase, in order."""
    newest: dict[object, Record] = {}
    for record in past:
        event = record.event
        if isinstance(event, Started) and event.resumed_from is None:
            newest.clear()
        if isinstance(event, Stage):
            newest = {key: old for key, old in newest.items() if key is Started}
        kinds = (
            Started,
            Stage,
            Planned,
            Metrics,
            Measured,
            Evaluated,
            Sampled,
            Checkpointed,
            Failed,
            Finished,
        )
        key = event.phase if isinstance(event, Progress) else type(event)
        if isinstance(event, (*kinds, Progress)):
            # Moved to the end: the order is that of the newest.
            newest.pop(key, None)
            newest[key] = record
    return list(newest.values())


def _ending(call: Call, artifact: Artifact, last: Event | None) -> int:
    """Say how a job ended that was watched; the exit code that fits."""
    if isinstance(last, Finished):
        return DONE
    if isinstance(last, Stopped):
        call.tell(f"{artifact.name} was stopped ({one_line(last.reason)})")
        _tell_how_to_go_on(call, artifact.directory)
        return STOPPED
    if isinstance(last, Failed):
        call.tell(f"{artifact.name} failed: {one_line(last.message, 500)}")
        return FAILED
    call.tell(f"{artifact.name} was interrupted: its process ended without a word")
    for text in _log_tail(artifact.directory):
        call.tell(f"  {text}")
    _tell_how_to_go_on(call, artifact.directory)
    return FAILED


def _tell_how_to_go_on(call: Call, directory: Path) -> None:
    try:
        config = runner.read_config(directory)
    except InputError:
        return
    call.tell(f"go on with: {call.command_line(*going_on(config))}")


def _log_tail(directory: Path) -> list[str]:
    try:
        with artifact_files.reading(directory / runner.LOG_FILE) as file:
            file.seek(-min(_LOG_BYTES, file.seek(0, os.SEEK_END)), os.SEEK_END)
            text = file.read(_LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    return [one_line(part, 200) for part in text.splitlines() if part.strip()][-_LOG_LINES:]


def stop(call: Call) -> int:
    """Ask a job to save and end, and wait until it has."""
    artifact = _artifact(call)
    directory = artifact.directory
    if not lock.held(directory):
        state = runner.status(directory)
        message = f"is not running; it is {state}"
        raise ArtifactError(Problem("name", message, artifact.name))
    reader = JournalReader(directory)
    reader.read_all()
    runner.send(directory, Stop())
    saved: Checkpointed | None = None
    last: Event | None = None
    with output(as_json=True) if call.as_json else _Silent() as screen:
        for record in _until_free(directory, reader):
            screen.show(record)
            last = record.event
            if isinstance(last, Checkpointed):
                saved = last
            if isinstance(last, Notice) and last.level == "error":
                # What kept it from saving.
                call.tell(one_line(last.message, 500))
    if lock.held(directory):
        who = lock.owner(directory)
        call.tell(f"{artifact.name} has not ended after {_STOP_SECONDS:.0f} s ({who})")
        call.tell(f"see what it does with: {call.command_line('attach', full_name(artifact))}")
        return FAILED
    if isinstance(last, Finished):
        call.tell(f"{artifact.name} was finished before it could be stopped")
        return DONE
    if isinstance(last, Failed):
        return _ending(call, artifact, last)
    kept = f"; saved step {saved.step:,} in {saved.directory}" if saved else ""
    call.tell(f"{artifact.name} was stopped{kept}")
    _tell_how_to_go_on(call, directory)
    return DONE


class _Silent:
    """Shows nothing: what matters is said at the end."""

    def show(self, record: Record) -> None:
        pass

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _until_free(directory: Path, reader: JournalReader) -> Iterator[Record]:
    deadline = time.monotonic() + _STOP_SECONDS
    while True:
        held = lock.held(directory)
        yield from reader.read_all()
        if not held or time.monotonic() > deadline:
            return
        time.sleep(_POLL_SECONDS)
