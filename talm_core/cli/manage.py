"""`talm rename` and `talm delete`: what a file manager would do, without breaking what holds."""

from __future__ import annotations

import json
import sys

from talm_core.cli.call import DONE, STOPPED, Call
from talm_core.errors import BusyError, Problem
from talm_core.jobs.registry import artifact_of
from talm_core.runtime import lock, upkeep
from talm_core.runtime.artifacts import full_name, resolve
from talm_core.runtime.render import one_line, size
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
    freed = upkeep.delete(call.workspace, artifact.kind, artifact.name)
    if call.as_json:
        call.say(json.dumps({"name": artifact.name, "freed": freed}))
    else:
        call.say(f"{name} is deleted; {size(freed)} are free")
    return DONE


def _agreed(call: Call, artifact: Artifact, name: str) -> bool:
    if not sys.stdin.isatty():
        hint = "it frees " + size(upkeep.size(artifact.directory))
        call.require([Problem("yes", "must be given where nobody can be asked", hint=hint)])
    frees = size(upkeep.size(artifact.directory))
    sys.stderr.write(f"Delete {name} for good? It frees {frees}. [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
