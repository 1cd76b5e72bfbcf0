"""The page of all settings, written from their declarations.

python -m talm_core.settings.reference
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby

from talm_core.jobs.registry import spec_of
from talm_core.settings.schema import Declared, settings_of
from talm_core.settings.toml import config_classes


def page() -> str:
    """The page as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield "Each setting has one name: in the form, as `--flag`, and as key in `config.toml`."
    yield "This page is written from the declarations in `talm_core/jobs` (`make reference`)."
    for kind, config in config_classes().items():
        yield ""
        yield f"## {config.title}: `talm {spec_of(kind).command}`"
        yield ""
        yield str(config.__doc__).strip()
        for section, items in groupby(settings_of(config), key=lambda item: item.setting.section):
            yield ""
            yield f"### {section}"
            yield ""
            yield "| setting | flag | default | allowed | what it is |"
            yield "|---|---|---|---|---|"
            yield from map(_row, items)


def _row(item: Declared) -> str:
    flags = item.key.upper() if item.setting.positional else ", ".join(_flags(item))
    help_text = " ".join(part for part in (item.setting.help, item.setting.more) if part)
    unit = f" {item.setting.unit}" if item.setting.unit else ""
    cells = (
        f"`{item.key}`",
        f"`{flags}`",
        "required" if item.required else _shown(item.default) + (unit if item.default else ""),
        item.allowed,
        help_text,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _flags(item: Declared) -> Iterator[str]:
    yield from item.setting.flags
    yield item.flag


def _shown(value: object) -> str:
    match value:
        case None | () | "":
            return "none"
        case bool():
            return "on" if value else "off"
        case tuple():
            return ", ".join(f"`{part}`" for part in value)
        case int() | float():
            return f"{value:,}"
        case _:
            return f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(page())
