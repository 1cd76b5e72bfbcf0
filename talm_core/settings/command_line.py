"""A config as the `talm` command that does the same.

Forms show it, runs can be repeated by it, and the command line reads it back. Only what differs
from the defaults is said: what is required or positional always is.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from talm_core.jobs.registry import spec_of
from talm_core.settings.schema import Declared, JobConfig, settings_of

NONE = "none"
"""How a flag takes a value back that a preset or the default gives."""


def command_line(
    config: JobConfig,
    defaults: Mapping[str, Any] | None = None,
    *,
    preset: str | None = None,
    workspace: str | None = None,
) -> list[str]:
    """The words of the `talm` command that asks for `config`.

    `defaults` are values that need not be said, over the config's own defaults: those of
    `preset`, when one is named. `workspace` is said when it is given.
    """
    return words(type(config), config.model_dump(), defaults, preset=preset, workspace=workspace)


def words(
    model: type[JobConfig],
    values: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
    *,
    preset: str | None = None,
    workspace: str | None = None,
) -> list[str]:
    """`command_line` of values that need not be right yet; settings without a value are left
    out."""
    if preset is not None and defaults is not None:
        defaults = _beside(model, values, defaults)
    said: list[str] = []
    positional: list[str] = []
    for item in settings_of(model):
        if item.key not in values:
            continue
        value = values[item.key]
        usual = (defaults or {}).get(item.key, item.default)
        if item.setting.positional:
            positional.append(_text(value))
        elif item.required or _plain(value) != _plain(usual):
            said += _flag(item, value)
    head = ["talm", spec_of(model.kind).command]
    if preset is not None:
        head += ["--preset", preset]
    # After `--` nothing is taken for a flag.
    guard = ["--"] if any(word.startswith("-") for word in positional) else []
    where = [] if workspace is None else ["--workspace", workspace]
    if guard:
        return [*head, *said, *where, *guard, *positional]
    return [*head, *positional, *said, *where]


def _beside(
    model: type[JobConfig], values: Mapping[str, Any], preset: Mapping[str, Any]
) -> dict[str, Any]:
    """A preset's values as they are read beside those of `values` that must be said."""
    usual = dict(preset)
    # What a preset's value follows, such as the steps of a run, follows none itself or one other.
    for _ in range(2):
        differ = {key for key in preset if key in values and values[key] != usual.get(key)}
        said = {key: values[key] for key in differ}
        usual = model.beside(preset, said)
    return usual


def shell(command: Sequence[str]) -> str:
    """The words as one line a POSIX shell reads back as the same words."""
    return shlex.join(command)


def _flag(item: Declared, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [item.flag if value else "--no-" + item.flag[2:]]
    if isinstance(value, tuple | list):
        if not value:
            return ["--empty-" + item.flag[2:]]
        return [word for part in value for word in _pair(item.flag, _text(part))]
    return list(_pair(item.flag, NONE if value is None else _text(value)))


def _pair(flag: str, text: str) -> Iterator[str]:
    if text.startswith("-"):
        # Two words would make it a flag of its own.
        yield f"{flag}={text}"
    else:
        yield from (flag, text)


def _text(value: Any) -> str:
    # repr gives the shortest text that is read back as the same float.
    return repr(value) if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
