"""A config as a TOML text, and back."""

from __future__ import annotations

import tomllib
from typing import Any, cast

from talm_core.errors import ConfigError, Problem, nearest
from talm_core.jobs.registry import known, spec_of, specs
from talm_core.jobs.spec import load
from talm_core.settings.schema import JobConfig, build, settings_of

CONFIG_VERSION = 1


def config_class(kind: str) -> type[JobConfig]:
    """The settings of a kind of job."""
    return cast(type[JobConfig], load(spec_of(kind).config))


def config_classes() -> dict[str, type[JobConfig]]:
    """The settings of every kind of job."""
    return {spec.kind: config_class(spec.kind) for spec in specs()}


def dumps(config: JobConfig) -> str:
    """The config as TOML: its job, the format's version, then every setting that is not none,
    each with its help as a comment."""
    # Not at the top: whoever only reads does without it.
    import tomlkit

    document = tomlkit.document()
    document.add("job", tomlkit.item(config.kind))
    document.add("version", tomlkit.item(CONFIG_VERSION))
    section = None
    for item in settings_of(type(config)):
        value = getattr(config, item.key)
        if value is None:
            continue
        if item.setting.section != section:
            section = item.setting.section
            document.add(tomlkit.nl())
            document.add(tomlkit.comment(section))
        entry = tomlkit.item(list(value) if isinstance(value, tuple) else value)
        document.add(item.key, entry.comment(item.setting.help))
    return tomlkit.dumps(document)


def parsed(text: str, *, where: str) -> dict[str, Any]:
    """What a TOML text says.

    Raises:
        ConfigError: it is none.
    """
    try:
        # Editors on Windows put a mark in front.
        return tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        why = str(error)
    except ValueError:
        # None of TOML's own, and its words are for programmers.
        why = "a number in it has thousands of digits"
    except RecursionError:
        why = "it is nested too deeply"
    raise ConfigError(Problem(where, f"is not valid TOML: {why}"))


def loads(text: str, *, where: str = "config.toml") -> JobConfig:
    """The config a TOML text holds.

    Raises:
        ConfigError: not TOML, no known job, a version from a newer talm, or wrong settings.
    """
    values = parsed(text, where=where)
    job = values.pop("job", None)
    version = values.pop("version", CONFIG_VERSION)
    if not isinstance(job, str) or not known(job):
        kinds = [spec.kind for spec in specs()]
        raise ConfigError(Problem(f"{where}: job", "unknown", job, nearest(str(job), kinds)))
    if version != CONFIG_VERSION:
        message = f"this talm reads version {CONFIG_VERSION}"
        raise ConfigError(Problem(f"{where}: version", message, version, "update talm"))
    return build(config_class(job), values)
