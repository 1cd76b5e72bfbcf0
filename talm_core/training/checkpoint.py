"""Checkpoint directories: written complete or not at all, checked before they are trusted.

    checkpoint-000500/
      config.json generation_config.json model.safetensors tokenizer.json ...   a model as it stands
      training.safetensors    what exact resumption needs besides the weights
      checkpoint.json         version, step, state, and size and SHA-256 of every other file

Nothing here loads torch: who lists checkpoints must not wait for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talm_core.errors import ArtifactError, InputError, Problem, RunError, nearest
from talm_core.storage import artifact_files, atomic
from talm_core.storage.workspace import Workspace
from talm_core.training import checkpoint_index
from talm_core.training.checkpoint_index import INDEX, VERSION

_NAME = re.compile(r"checkpoint-([0-9]{6,})")
_BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """The newest checkpoint that can be trusted, None where there is none, and what is wrong
    with newer ones."""

    path: Path | None = None
    step: int = 0
    state: dict[str, Any] = field(default_factory=dict)
    damaged: tuple[Problem, ...] = ()

    def to_json(self) -> str:
        """For other processes of the run."""
        name = None if self.path is None else self.path.name
        return json.dumps({"name": name, "step": self.step, "state": self.state})

    @classmethod
    def from_json(cls, directory: Path, text: str) -> Found:
        """What another process found in the same directory."""
        values = json.loads(text)
        path = None if values["name"] is None else directory / values["name"]
        return cls(path, values["step"], values["state"])


def name_of(step: int) -> str:
    """The directory's name: `checkpoint-000500`."""
    return f"checkpoint-{step:06d}"


def kept_as(step: int) -> str:
    """What the finished checkpoint of a run is called that goes on from an earlier one."""
    return f"finished-{step:06d}"


def step_of(name: str) -> int:
    """The step in a directory's name; -1 for what is no checkpoint's."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else -1


def checkpoints(directory: Path) -> list[tuple[int, Path]]:
    """Step and path of every checkpoint in a model's directory, oldest first, unchecked."""
    found = []
    for path in directory.glob("checkpoint-*"):
        match = _NAME.fullmatch(path.name)
        if match and artifact_files.is_folder(path):
            found.append((int(match[1]), path))
    return sorted(found)


def named(workspace: Workspace, text: str, *, key: str) -> Path | None:
    """The checkpoint that `nano/checkpoint-000500` means; None for any other text.

    Raises:
        ArtifactError: that model has other checkpoints (names the nearest).
    """
    name, _, which = text.rpartition("/")
    try:
        known = checkpoints(workspace.directory("pretrain", name)) if name else []
    except InputError:
        return None
    paths = {path.name: path for _, path in known}
    if known and which not in paths and _NAME.fullmatch(which):
        message = f"{name} has no such checkpoint"
        raise ArtifactError(Problem(key, message, text, nearest(which, paths)))
    return paths.get(which)


def find(directory: Path) -> Found:
    """The newest valid checkpoint, and why newer ones were passed over.

    Raises:
        RunError: the system cannot read one now, which may be in order.
    """
    damaged: list[Problem] = []
    for step, path in reversed(checkpoints(directory)):
        try:
            state = verify(path)
        except ArtifactError as error:
            damaged += error.problems
        else:
            return Found(path, step, state, tuple(damaged))
    return Found(damaged=tuple(damaged))


def glance(directory: Path) -> Found:
    """What the newest checkpoint whose index can be read says, without a look at its tensors."""
    for step, path in reversed(checkpoints(directory)):
        try:
            return Found(path, step, dict(checkpoint_index.read(path)["state"]))
        except (ArtifactError, KeyError, TypeError, ValueError):
            continue
    return Found()


def best(directory: Path, *, certain: bool = False) -> tuple[int, float] | None:
    """Step and validation loss of the best checkpoint that was evaluated, unchecked; the newest of
    equals. None where none was. One that cannot be read now is passed over.

    Raises:
        RunError: with `certain`, one cannot be read now, which may be the best.
    """
    scores = []
    for step, path in checkpoints(directory):
        try:
            state = checkpoint_index.read(path)["state"]
            if state["evaluated_step"] == step:
                scores.append((float(state["evaluated"]["val_loss"]), -step))
        except RunError:
            if certain:
                raise
        except (ArtifactError, KeyError, TypeError, ValueError):
            continue
    loss, step = min((score for score in scores if math.isfinite(score[0])), default=(0.0, 0))
    return (-step, loss) if step else None


def config_of(directory: Path) -> str | None:
    """The config the newest checkpoint that can be read was trained with, as TOML; None where
    there is none."""
    for _, path in reversed(checkpoints(directory)):
        try:
            text = checkpoint_index.read(path)["state"].get("config")
        except (ArtifactError, AttributeError):
            continue
        return text if isinstance(text, str) else None
    return None


def verify(path: Path) -> dict[str, Any]:
    """The state a checkpoint was written with, after comparing every byte with its checksums.

    Raises:
        ArtifactError: something is missing, damaged, or from a newer talm.
    """
    index = checkpoint_index.read(path)
    _require_own_files(path)
    for name, entry in index["files"].items():
        file = path / name
        if not artifact_files.is_file(file) or file.lstat().st_size != entry["bytes"]:
            raise ArtifactError(Problem(str(file), "is missing or cut short"))
        try:
            found = _sha256(file)
        except OSError as error:
            raise checkpoint_index.unreadable(file, error) from None
        if found != entry["sha256"]:
            raise ArtifactError(Problem(str(file), "is damaged: its checksum differs"))
    state: dict[str, Any] = index["state"]
    return state


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep a checkpoint, or any model's directory, for as long as it is read: its run does not
    prune it meanwhile. Any number of readers may hold one.

    Raises:
        ArtifactError: it is not there, or not any more.
    """
    try:
        descriptor = artifact_files.open_folder(path)
    except OSError as error:
        raise ArtifactError(Problem(str(path), f"cannot be read: {error.strerror}")) from None
    try:
        # Some network file systems have no locks; there, it is read without one.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        # The run may have taken it away after it was found and before it was held.
        if not path.is_dir():
            message = "has just been removed by its run"
            raise ArtifactError(Problem(str(path), message, hint="take a newer one"))
        yield
    finally:
        os.close(descriptor)


def require_own(path: Path, workspace: Workspace) -> Path:
    """The same directory of a model, once it is known that everything in it is its own; of one
    that talm did not write and that lies elsewhere nothing is asked: people link to downloads.

    Raises:
        ArtifactError: a link, a pipe or the like in the place of a file.
    """
    if artifact_files.occupied(path / INDEX) or path.is_relative_to(workspace.root):
        _require_own_files(path)
    return path


def _require_own_files(path: Path) -> None:
    problems = [
        Problem(entry.path, said)
        for entry in os.scandir(path)
        if not artifact_files.is_folder(Path(entry.path))
        and (said := artifact_files.fault(Path(entry.path)))
    ]
    if problems:
        raise ArtifactError(*problems)


def write(
    directory: Path,
    step: int,
    fill: Callable[[Path], None],
    state: dict[str, Any],
    *,
    keep: int,
    expected_bytes: int,
    level: int = 0,
    told: Callable[[str], object] = lambda _: None,
) -> Path:
    """Publish a checkpoint: `fill` writes its files into a temporary directory. Returns the
    path; older checkpoints beyond the `keep` newest, the best one and that of the step `level` are
    removed after, and `told` is what could not be.

    Raises:
        RunError: the disk has too little room or refuses; what was there before is untouched.
    """
    # Not at the top: forms and lists look for checkpoints, too.
    from safetensors import SafetensorError

    require_space(directory, expected_bytes)
    path = directory / name_of(step)
    try:
        with atomic.new_directory(path) as temporary:
            fill(temporary)
            files = {
                file.name: {"bytes": file.stat().st_size, "sha256": _sha256(file)}
                for file in sorted(temporary.iterdir())
            }
            index = {"version": VERSION, "step": step, "files": files, "state": state}
            (temporary / INDEX).write_text(checkpoint_index.sealed(index), encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise _unwritten(path, error) from None
    prune(directory, step, keep=keep, level=level, told=told)
    return path


def amend(path: Path, state: dict[str, Any]) -> None:
    """Change some of a checkpoint's state: what was found out about it after it was written. Its
    tensors stay as they are.

    Raises:
        ArtifactError: its index is missing or damaged.
        RunError: the disk refuses; the state is as it was.
    """
    index = checkpoint_index.read(path)
    index["state"] = index["state"] | state
    try:
        atomic.write_text(path / INDEX, checkpoint_index.sealed(index))
    except OSError as error:
        raise _unwritten(path, error) from None


def _unwritten(path: Path, error: Exception) -> RunError:
    reason = getattr(error, "strerror", None) or error
    return RunError(f"{path.name} could not be written: {reason}")


def require_space(directory: Path, expected_bytes: int) -> None:
    """Check that a checkpoint fits before anything is written.

    Raises:
        RunError: it does not.
    """
    free = shutil.disk_usage(directory).free
    if free < expected_bytes:
        raise RunError(
            f"a checkpoint takes {expected_bytes / 1e6:,.0f} MB and the disk of {directory} has"
            f" {free / 1e6:,.0f} MB left"
        )


def go_back(directory: Path, step: int, finished: int) -> None:
    """Make the checkpoint of `step` the newest. The one of the step `finished` stays under another
    name, at which nothing is gone on from; those between go.

    Raises:
        RunError: the disk refuses.
    """
    try:
        for number, path in checkpoints(directory):
            if number == finished:
                kept = directory / kept_as(number)
                artifact_files.remove(kept)
                path.rename(kept)
            elif number > step:
                _remove(path)
    except OSError as error:
        raise RunError(f"{directory} cannot be changed: {error.strerror}") from None


def prune(
    directory: Path, step: int, *, keep: int, level: int, told: Callable[[str], object]
) -> None:
    """Remove what is not to be kept beside the checkpoint of `step`, the newest, see `write`. What
    the system refuses now is for the next time: that checkpoint is there."""
    try:
        for left in atomic.deleted(directory):
            artifact_files.remove(left)
        known = checkpoints(directory)
        leader = best(directory, certain=True) or (0, 0.0)
    except (OSError, RunError) as error:
        told(f"old checkpoints could not be looked at: {getattr(error, 'strerror', None) or error}")
        return
    # A run that is at `step` and finds a later checkpoint could not use it when it began.
    later = [path for number, path in known if number > step]
    old = [path for number, path in known if number <= step][:-keep]
    kept = {name_of(leader[0]), name_of(level)}
    for path in later + [path for path in old if path.name not in kept]:
        try:
            refused = _remove(path)
        except OSError as error:
            refused = [error]
        if refused:
            reason = refused[0].strerror or refused[0]
            told(f"{path.name} is not needed any more and could not be removed: {reason}")


def _remove(path: Path) -> list[OSError]:
    """Remove a checkpoint, unless somebody holds it: then it is for the next time. Returns what
    could not be removed."""
    descriptor = artifact_files.open_folder(path)
    try:
        # Some network file systems have no locks; there, nobody can hold one either.
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return []
        # Renamed first: what is half removed must not look like a checkpoint.
        aside = atomic.set_aside(path)
    finally:
        os.close(descriptor)
    return artifact_files.remove(aside)


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with artifact_files.reading(file) as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
