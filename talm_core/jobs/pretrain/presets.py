"""Recipes: named settings of a training run.

Some are built in; `d1` to `d48` are worked out from a depth (`talm_core.training.scaling`). A
user's own are TOML files in `<workspace>/presets/`:

    version = 1
    description = "what it is good for"

    [settings]
    n_layer = 6

A recipe says what it changes; every other setting keeps its default.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from talm_core.errors import ConfigError, Problem, WorkspaceError, nearest
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.pretrain.recipes import BUILT_IN, NOT_PRESET, Preset
from talm_core.settings.schema import build, settings_of
from talm_core.settings.toml import parsed
from talm_core.storage.atomic import write_text
from talm_core.storage.workspace import Workspace

VERSION = 1
_FOLDER = "presets"
_LARGEST_FILE = 1 << 20


def presets(workspace: Workspace, *, problems: list[Problem] | None = None) -> list[Preset]:
    """The built-in recipes, then the user's own by name. Files that cannot be used are left out;
    why is appended to `problems`."""
    found = list(BUILT_IN.values())
    told: list[Problem] = []
    for name, path in _files(workspace).items():
        if name in BUILT_IN:
            told.append(Problem(str(path), "has the name of a built-in preset, rename it"))
            continue
        try:
            found.append(_load(path))
        except ConfigError as error:
            told += error.problems
    if problems is not None:
        problems += told
    return found


def find_preset(workspace: Workspace, name: str, *, key: str = "preset") -> Preset:
    """The recipe of this name; `key` is the setting the name came from.

    Raises:
        ConfigError: there is none (names the nearest), or its file cannot be used (names what is
            wrong in it).
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    if dial := _DIAL.fullmatch(name):
        return _of_depth(int(dial[1]), key)
    files = _files(workspace)
    if name in files:
        return _load(files[name])
    known = [*BUILT_IN, *files]
    raise ConfigError(Problem(key, "there is no such preset", name, nearest(name, known)))


_DIAL = re.compile(r"d([1-9][0-9]{0,3})")


def _of_depth(depth: int, key: str) -> Preset:
    # Not at the top: few ask for it.
    from talm_core.training.scaling import DEEPEST, of_depth

    if depth > DEEPEST:
        raise ConfigError(Problem(key, "is too deep", f"d{depth}", f"d1 to d{DEEPEST}"))
    layers = "1 layer" if depth == 1 else f"{depth} layers"
    return Preset(f"d{depth}", f"{layers}, everything else to match.", of_depth(depth))


def save_preset(
    workspace: Workspace, name: str, values: Mapping[str, Any], description: str = ""
) -> Preset:
    """Keep settings as the user's own recipe, over an older one of the same name. What is chosen
    with each run (name, dataset, tokenizer) and settings that are none are not kept.

    Raises:
        ConfigError: values that no run could have.
        WorkspaceError: a name that cannot be a file's or is a built-in recipe's.
    """
    _refuse_built_in(workspace, name, "choose another name")
    kept = {
        key: value for key, value in values.items() if key not in NOT_PRESET and value is not None
    }
    checked = _checked(kept)
    path = workspace.root / _FOLDER / f"{name}.toml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, _toml(checked, description))
    except OSError as error:
        message = f"cannot be written: {error.strerror}"
        raise WorkspaceError(Problem("workspace", message, str(path))) from None
    return Preset(name, description, checked, path)


def delete_preset(workspace: Workspace, name: str) -> Path:
    """Delete one of the user's own recipes, whatever is in its file; returns where it was.

    Raises:
        ConfigError: there is none (names the nearest).
        WorkspaceError: it is built in, or the disk refuses.
    """
    _refuse_built_in(workspace, name, "only your own can be deleted")
    files = _files(workspace)
    if name not in files:
        raise ConfigError(Problem("preset", "there is no such preset", name, nearest(name, files)))
    try:
        files[name].unlink()
    except OSError as error:
        message = f"cannot be deleted: {error.strerror}"
        raise WorkspaceError(Problem("preset", message, str(files[name]))) from None
    return files[name]


def _refuse_built_in(workspace: Workspace, name: str, hint: str) -> None:
    # Names follow the same rule as those of models.
    workspace.directory("pretrain", name, key="preset")
    if name in BUILT_IN or _DIAL.fullmatch(name):
        raise WorkspaceError(Problem("preset", "is built in", name, hint))


def _files(workspace: Workspace) -> dict[str, Path]:
    try:
        found = sorted((workspace.root / _FOLDER).glob("*.toml"))
    except OSError:
        return {}
    return {path.stem: path for path in found if not path.name.startswith(".")}


def _toml(values: Mapping[str, Any], description: str) -> str:
    # Not at the top: whoever only reads does without it.
    import tomlkit

    document = tomlkit.document()
    document.add("version", tomlkit.item(VERSION))
    document.add("description", tomlkit.item(description))
    table = tomlkit.table()
    for item in settings_of(PretrainConfig):
        if item.key in values:
            value = values[item.key]
            entry = tomlkit.item(list(value) if isinstance(value, tuple) else value)
            table.add(item.key, entry.comment(item.setting.help))
    document.add("settings", table)
    return tomlkit.dumps(document)


def _load(path: Path) -> Preset:
    """A user's recipe; every problem names the file and the key in it."""
    values = _parsed(path)
    unknown = [
        Problem(f"{path}: {key}", "there is no such entry", hint="settings go below [settings]")
        for key in values.keys() - {"version", "description", "settings"}
    ]
    if unknown:
        raise ConfigError(*unknown)
    version = values.get("version", VERSION)
    if version != VERSION:
        message = f"this talm reads version {VERSION}"
        raise ConfigError(Problem(f"{path}: version", message, version, "update talm"))
    description, settings = values.get("description", ""), values.get("settings", {})
    if not isinstance(description, str):
        raise ConfigError(Problem(f"{path}: description", "must be a text", description))
    if not isinstance(settings, dict):
        raise ConfigError(Problem(f"{path}: settings", "must be a table of settings", settings))
    try:
        return Preset(path.stem, description, _checked(settings), path)
    except ConfigError as error:
        raise ConfigError(
            *(
                Problem(f"{path}: settings.{item.key}", item.message, item.value, item.hint)
                for item in error.problems
            )
        ) from None


def _parsed(path: Path) -> dict[str, Any]:
    try:
        # A preset of somebody's own may be a link into their dotfiles, but never a pipe.
        if not path.is_file():
            raise ConfigError(Problem(str(path), "is no regular file"))
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigError(Problem(str(path), "is too large for a preset"))
        # Editors on Windows write UTF-16, which begins with a mark, or put one before UTF-8.
        content = path.read_bytes()
        marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if marked else "utf-8")
        return parsed(text.replace("\r\n", "\n"), where=str(path))
    except ConfigError:
        raise
    except UnicodeDecodeError:
        raise ConfigError(Problem(str(path), "is not UTF-8")) from None
    except OSError as error:
        raise ConfigError(Problem(str(path), f"cannot be read: {error.strerror}")) from None


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as a run would have them.

    Raises:
        ConfigError: with every problem at once.
    """
    problems = [
        Problem(key, "is chosen with each run", values[key], "take it out")
        for key in values
        if key in NOT_PRESET
    ]
    rest = {key: value for key, value in values.items() if key not in NOT_PRESET}
    try:
        config = build(PretrainConfig, rest | {"model_name": "x", "data_dir": "x"})
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return {key: getattr(config, key) for key in rest}
