"""What can be known to be wrong before a job starts, without loading anything heavy.

Forms ask while somebody types, the command line and `start` ask once. A job still checks what only
it can see, such as the middle of a file.
"""

from __future__ import annotations

from typing import Any

from talm_core.errors import InputError, Problem, problems_of
from talm_core.jobs.registry import artifact_kinds, artifact_of, spec_of
from talm_core.jobs.spec import load
from talm_core.settings.schema import Declared, JobConfig, build, settings_of
from talm_core.storage.workspace import Workspace, name_key, there, user_path


def check(config: JobConfig, workspace: Workspace) -> list[Problem]:
    """Every problem a job would run into, each under its setting's name; empty: go ahead."""
    spec = spec_of(config.kind)
    problems: list[Problem] = []
    if spec.artifact is not None:
        problems += problems_of(lambda: workspace.directory_of(config))
        if config.artifact in spec.artifact.reserved:
            message = f"is the {spec.artifact.noun} that ships with talm"
            key = name_key(config.kind)
            problems.append(Problem(key, message, config.artifact, "choose another name"))
    if spec.check:
        problems += load(spec.check)(config, workspace)
    return problems


def check_resumed(config: JobConfig, workspace: Workspace) -> list[Problem]:
    """Why a job that was begun cannot be gone on with, before anything is changed in its
    directory."""
    hook = spec_of(config.kind).check_resumed
    return list(load(hook)(config, workspace)) if hook else []


def settle(config: JobConfig, workspace: Workspace) -> JobConfig:
    """The config with every path made absolute, so that it means the same from any directory.
    Names of artifacts stay names."""
    kinds = {known.noun: kind for kind, known in artifact_kinds().items()}
    changes: dict[str, Any] = {}
    for item in settings_of(type(config)):
        value = getattr(config, item.key)
        if item.setting.picks == "paths":
            changes[item.key] = tuple(str(user_path(part).absolute()) for part in value)
        elif item.setting.picks in ("dataset", "tokenizer") and value:
            named = _named(workspace, kinds[item.setting.picks], item, value)
            changes[item.key] = named or _absolute_if_there(value)
    hook = spec_of(config.kind).settle
    if hook:
        changes |= load(hook)(config, workspace)
    return build(type(config), config.model_dump() | changes) if changes else config


def _named(workspace: Workspace, kind: str, item: Declared, text: str) -> str | None:
    """The full name of the artifact meant: `stdlib` may be `stdlib/all` today and fit several
    tomorrow."""
    if text in artifact_of(kind).reserved:
        return text
    try:
        directory = workspace.find(kind, text, key=item.key)
    except InputError:
        return None
    return directory.relative_to(workspace.folder(kind)).as_posix()


def _absolute_if_there(text: str) -> str:
    path = user_path(text)
    found = there(path.exists) or there((path.parent / f"{path.name}.json").exists)
    return str(path.absolute()) if found else text
