"""`checkpoint.json`: what a checkpoint says of itself, sealed with a checksum of its own.

It has the version, the step, the state of the run there, and size and SHA-256 of every other file
of the directory.
"""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path
from typing import Any

from talm_core.errors import ArtifactError, Problem, RunError, TalmError
from talm_core.storage import artifact_files
from talm_core.storage.own_json import read_json

INDEX = artifact_files.CHECKPOINT
VERSION = 1

# What says nothing of a file: with more descriptors, memory or rights it can be read.
_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES)


def read(path: Path) -> dict[str, Any]:
    """The index of the checkpoint in a directory, checked against its own checksum; what it says
    of other files is not compared with them.

    Raises:
        ArtifactError: it is missing, damaged, or from a newer talm.
        RunError: the system cannot read it now.
    """
    file = path / INDEX
    try:
        index = read_json(file)
        if not isinstance(index, dict):
            raise ValueError("it holds no JSON object")
        version = index["version"]
        if version == VERSION:
            if index.pop("checksum") != checksum(index):
                raise ValueError("its checksum differs")
            for name, entry in index["files"].items():
                # What is read from outside must not lead out of the directory.
                if Path(name).name != name or set(entry) != {"bytes", "sha256"}:
                    raise ValueError(f"{name!r} is no file entry")
            if not isinstance(index["state"], dict):
                raise ValueError("its state is no JSON object")
    except OSError as error:
        raise unreadable(file, error) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        hint = "delete this checkpoint; a run goes on from the one before"
        raise ArtifactError(Problem(str(file), f"is damaged: {_why(error)}", hint=hint)) from None
    if version != VERSION:
        message = f"this talm reads version {VERSION} of checkpoints"
        raise ArtifactError(Problem(str(file), message, version, "update talm"))
    return index


def _why(error: Exception) -> str:
    """What is wrong in words that are not the interpreter's."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    if isinstance(error, TypeError | AttributeError):
        return "an entry is of the wrong kind"
    return str(error)


def unreadable(file: Path, error: OSError) -> TalmError:
    """A checkpoint that only cannot be read now must not be passed over for an older one."""
    if error.errno in _PASSING:
        return RunError(f"{file} cannot be read now: {error.strerror}")
    return ArtifactError(Problem(str(file), f"cannot be read: {error.strerror}"))


def sealed(index: dict[str, Any]) -> str:
    """An index as the text of its file, with its checksum."""
    return json.dumps(index | {"checksum": checksum(index)}, indent=1) + "\n"


def checksum(index: dict[str, Any]) -> str:
    """The checksum of an index that has none yet."""
    return hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()
