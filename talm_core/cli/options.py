"""Flags of a command: derived from a config's settings, told apart from what was not given.

Every value is taken as text here; `settings.build` knows what it must be, and says so about all of
them at once. A flag that was not given has no value at all, so that a preset or a stored config
shows through.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from talm_core.errors import Problem
from talm_core.settings.command_line import NONE
from talm_core.settings.schema import Declared, JobConfig, settings_of

ADVANCED = "Advanced"
EVERYWHERE = "Everywhere"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. `kind` is text, many (may be repeated, or take several) or switch. `bare`: it may
    stand without its flag, after what is positional."""

    key: str
    help: str
    group: str
    kind: str = "text"
    names: tuple[str, ...] = ()
    positional: bool = False
    bare: bool = False
    setting: Declared | None = None
    metavar: str = "NAME"

    @property
    def shown(self) -> str:
        """What stands for its value in the help."""
        item = self.setting
        if item is None:
            return self.metavar
        if item.choices:
            return "|".join(item.choices)
        if item.key.endswith("name"):
            return "NAME"
        picked = {
            "path": "PATH",
            "paths": "PATH",
            "tokenizer": "NAME|FILE",
            "dataset": "NAME|DIR",
            "model": "NAME",
        }
        numbers: Mapping[object, str] = {int: "N", float: "X"}
        return picked.get(item.setting.picks) or numbers.get(item.base_type, "TEXT")

    @property
    def is_text(self) -> bool:
        """Whether its value is text, not the name of a file, which may be any bytes."""
        return self.setting is not None and self.setting.setting.picks == "text"

    @property
    def long(self) -> str:
        return "--" + self.key.replace("_", "-")


WORKSPACE = Flag(
    "workspace",
    "Directory of all tokenizers, datasets and models; else $TALM_HOME.",
    EVERYWHERE,
    metavar="DIR",
)
JSON = Flag("json", "One JSON event a line on stdout, and nothing else.", EVERYWHERE, "switch")
DETACH = Flag("detach", "Run as a process of its own and return at once.", EVERYWHERE, "switch")
RESUME = Flag("resume", "Go on with a run that was stopped or interrupted.", "Run", "switch")
DOCUMENTS = Flag(
    "documents", "Show this many documents of a dataset, drawn at random.", "Run", metavar="N"
)
SEED = Flag("seed", "Which ones: the same seed draws the same.", "Run", names=("-s",), metavar="N")
OVERRIDE = Flag(
    "override", "With --resume: take settings that were changed since.", "Run", "switch"
)
NEW = Flag("new", "What it is to be called.", "Run", positional=True)
YES = Flag("yes", "Delete without asking.", "Run", "switch", names=("-y",))
PRESET = Flag(
    "preset",
    "Recipe to start from, or d1 to d48 by depth; other flags change it, and what it says of the"
    " length of a run is scaled to what they say.",
    "Run",
    names=("-p",),
)
PRESET_ALONE = replace(PRESET, bare=True)
KINDS = Flag(
    "kind", "Only these: tokenizers, data, models or quickstarts.", "Run", "many", positional=True
)
COMMAND = Flag("command", "Which one; none lists all.", "Run", positional=True, metavar="COMMAND")


_KIND_OF: Mapping[object, str] = {bool: "switch", tuple: "many"}


def flags_of(config: type[JobConfig]) -> tuple[Flag, ...]:
    """The flags of a config: its sections as groups, what is advanced in a group of its own."""
    return tuple(
        Flag(
            key=item.key,
            help=f"{item.setting.help} [{_facts(item)}]",
            group=ADVANCED if item.setting.advanced else item.setting.section,
            kind=_KIND_OF.get(item.base_type, "text"),
            names=item.setting.flags,
            positional=item.setting.positional,
            bare=item.setting.bare,
            setting=item,
        )
        for item in settings_of(config)
    )


def _facts(item: Declared) -> str:
    """What may be given and what holds otherwise: `256 to 1,000,000 tokens; default: 4,096`."""
    parts = (
        []
        if item.choices and not item.setting.positional
        else [f"{item.allowed} {item.setting.unit}".strip()]
    )
    if item.required:
        parts.append("required")
    else:
        parts.append(f"default: {_shown(item.default)}")
    return "; ".join(filter(None, parts))


def _shown(value: Any) -> str:
    if value is None or value == ():
        return NONE
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(repr(part) for part in value)
    if isinstance(value, int):
        return f"{value:,}" if value >= 10_000 else str(value)
    return f"{value:g}" if isinstance(value, float) else str(value) or "empty"


@dataclass(frozen=True, slots=True)
class Given:
    """What somebody typed: values by key, and what is wrong with the words themselves."""

    values: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    flags: tuple[Flag, ...] = ()

    def text(self, key: str) -> str | None:
        """A flag's text; None when it was not given."""
        value = self.values.get(key)
        return None if value is None else str(value)

    def on(self, key: str) -> bool:
        """Whether a switch was given."""
        return bool(self.values.get(key))

    def settings(self, *without: str) -> dict[str, Any]:
        """The values of settings, read as what they are to be."""
        return {
            flag.key: _typed(flag.setting, self.values[flag.key])
            for flag in self.flags
            if flag.setting is not None and flag.key in self.values and flag.key not in without
        }

    def number(self, key: str, *, least: int, most: int, default: int) -> tuple[int, list[Problem]]:
        """A flag's whole number, or what is wrong with it."""
        text = self.text(key)
        if text is None:
            return default, []
        try:
            found = _whole(text.replace(",", ""))
        except (ValueError, OverflowError):
            found = least - 1
        if least <= found <= most:
            return found, []
        message = f"must be a whole number, {least:,} to {most:,}"
        return default, [Problem(key, message, text)]


def _typed(item: Declared, value: Any) -> Any:
    """A text as the number it says, so that messages show it as one. What is no number stays as
    it is, for the config to refuse."""
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, str):
        return value
    if item.optional and value == NONE:
        return None
    try:
        if item.base_type is int:
            return _whole(value.replace(",", ""))
        if item.base_type is float:
            return float(value.replace(",", ""))
    except ValueError:
        return value
    return value


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if number.is_integer():
            return int(number)
        raise


def signature(flags: Sequence[Flag], order: Mapping[str, Any]) -> inspect.Signature:
    """The signature cyclopts writes the help from: every parameter a text, a list or a switch, None
    when it is not given. `order` gives the help groups by name."""
    return inspect.Signature(
        [_parameter(flag, order) for flag in flags if flag.positional]
        + [_parameter(flag, order) for flag in flags if flag.bare and not flag.positional]
        + [_parameter(flag, order) for flag in flags if not (flag.bare or flag.positional)]
    )


def _parameter(flag: Flag, groups: Mapping[str, Any]) -> inspect.Parameter:
    from cyclopts import Parameter

    kinds: dict[str, Any] = {"text": str | None, "many": list[str] | None, "switch": bool | None}
    switch_back = flag.kind == "switch" and flag.setting is not None
    about = Parameter(
        name=(flag.long, *flag.names),
        help=flag.help,
        group=groups[flag.group],
        show_default=False,
        metavar=flag.shown,
        negative_bool="no-" if switch_back else (),
        negative_iterable="empty-",
        consume_multiple=(1, None) if flag.kind == "many" else False,
        allow_leading_hyphen=_is_number(flag),
    )
    return inspect.Parameter(
        flag.key,
        inspect.Parameter.POSITIONAL_OR_KEYWORD
        if flag.positional or flag.bare
        else inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kinds[flag.kind], about],
    )


def _is_number(flag: Flag) -> bool:
    # `--temperature -1` is a wrong number, not a missing one.
    return flag.setting is not None and flag.setting.base_type in (int, float)
