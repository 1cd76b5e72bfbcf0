"""`talm rename` and `talm delete`: what a file manager would do, without breaking what holds."""

from __future__ import annotations

import json
import sys

from talm_core.cli.call import DONE, STOPPED, Call
from talm_core.errors import BusyError, Problem
from talm_core.jobs.registry import artifact_of
from talm_core.runtime import lock, upkeep
from talm_core.runtime.artifacts import full_name, resolve
from talm_core.runtime.render import one_line, plain, size
from talm_core.storage import artifact_files, atomic
from talm_core.storage.workspace import Artifact


def _artifact(call: Call, *others: Problem) -> Artifact:
    name = call.given.text("name")
    missing = [] if name is not None else [Problem("name", "must be given: which one")]
    call.require([*missing, *others])
    return resolve(call.workspace, str(name), whole=False)


def rename(call: Call) -> int:
    """Give a tokenizer or a model another name."""
    new = call.given.text("new")
    missing = [] if new is not None else [Problem("new", "must be given: the new name")]
    artifact = _artifact(call, *missing)
    if not artifact_of(artifact.kind).renamable:
        message = "is called after what it was made of, and keeps that name"
        hint = "only tokenizers and models can be renamed"
        call.require([Problem("name", message, full_name(artifact), hint)])
    directory = upkeep.rename(call.workspace, artifact.kind, artifact.name, str(new))
    if call.as_json:
        call.say(json.dumps({"name": str(new), "directory": str(directory)}))
    else:
        call.say(f"{one_line(full_name(artifact), 200)} is now called {directory.name}")
    return DONE


def delete(call: Call) -> int:
    """Delete an artifact for good, once somebody has agreed."""
    artifact = _artifact(call)
    name = one_line(full_name(artifact), 200)
    if lock.held(artifact.directory):
        # Before anybody is asked.
        raise BusyError(Problem("name", "is running: stop it first", full_name(artifact)))
    if not call.given.on("yes") and not _agreed(call, artifact, name):
        call.tell(f"{name} is kept")
        return STOPPED
    try:
        done = upkeep.delete(call.workspace, artifact.kind, artifact.name)
    except KeyboardInterrupt:
        _tell_what_is_left(call, artifact, name)
        raise
    kept_in = None if done.kept_in is None else str(done.kept_in)
    if call.as_json:
        more = {} if kept_in is None else {"kept_in": kept_in}
        call.say(json.dumps({"name": artifact.name, "freed": done.freed} | more))
    elif kept_in is not None:
        call.say(
            f"{name} was a link and is removed; the data still lies in {one_line(kept_in, 500)}"
        )
    else:
        call.say(f"{name} is deleted; {size(done.freed)} are free")
    return DONE


def _tell_what_is_left(call: Call, artifact: Artifact, name: str) -> None:
    left = atomic.deleted(artifact.directory.parent)
    if left:
        held = size(sum(map(artifact_files.size, left)))
        call.tell(f"{name} is deleted in part: {held} are left in {left[0]}")
        call.tell("the next talm delete removes it, or remove that folder by hand")
    else:
        call.tell(f"{name} is kept")


def _agreed(call: Call, artifact: Artifact, name: str) -> bool:
    directory = artifact.directory
    frees = f"It frees {size(upkeep.size(directory))}."
    if directory.is_symlink():
        frees = f"It is a link; what it leads to stays: {one_line(str(directory.resolve()), 500)}"
    if not sys.stdin.isatty():
        hint = frees[0].lower() + frees[1:].removesuffix(".")
        call.require([Problem("yes", "must be given where nobody can be asked", hint=hint)])
    sys.stderr.write(plain(f"Delete {name} for good? {frees} [y/N] "))
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
