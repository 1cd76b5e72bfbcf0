"""A config as a TOML text, and back."""

from __future__ import annotations

import tomllib

from talm_core.errors import ConfigError, Problem, nearest
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.export.config import ExportConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.quickstart.config import QuickstartConfig
from talm_core.jobs.sample.config import SampleConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.settings.schema import JobConfig, build, settings_of

CONFIG_VERSION = 1

CONFIGS: dict[str, type[JobConfig]] = {
    cls.kind: cls
    for cls in (
        TokenizerConfig,
        DataConfig,
        PretrainConfig,
        SampleConfig,
        ExportConfig,
        QuickstartConfig,
    )
}


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


def loads(text: str, *, where: str = "config.toml") -> JobConfig:
    """The config a TOML text holds.

    Raises:
        ConfigError: not TOML, no known job, a version from a newer talm, or wrong settings.
    """
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(Problem(where, f"is not valid TOML: {error}")) from None
    job = values.pop("job", None)
    version = values.pop("version", CONFIG_VERSION)
    if not isinstance(job, str) or job not in CONFIGS:
        raise ConfigError(Problem(f"{where}: job", "unknown", job, nearest(str(job), CONFIGS)))
    if version != CONFIG_VERSION:
        message = f"this talm reads version {CONFIG_VERSION}"
        raise ConfigError(Problem(f"{where}: version", message, version, "update talm"))
    return build(CONFIGS[job], values)
