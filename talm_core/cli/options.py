"""Flags of a command: derived from a config's settings, parsed by cyclopts, told apart from what
was not given.

Every value is taken as text here; `settings.build` knows what it must be, and says so about all of
them at once. A flag that was not given has no value at all, so that a preset or a stored config
shows through.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from talm_core.errors import Problem, nearest
from talm_core.settings.command_line import NONE
from talm_core.settings.schema import Declared, JobConfig, settings_of

ADVANCED = "Advanced"
EVERYWHERE = "Everywhere"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. `kind` is text, many (may be repeated, or take several) or switch."""

    key: str
    help: str
    group: str
    kind: str = "text"
    names: tuple[str, ...] = ()
    positional: bool = False
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
        picked = {"paths": "PATH", "tokenizer": "NAME|FILE", "dataset": "NAME|DIR", "model": "NAME"}
        numbers: Mapping[object, str] = {int: "N", float: "X"}
        return picked.get(item.setting.picks) or numbers.get(item.base_type, "TEXT")

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
    "preset", "Recipe to start from, or d1 to d48 by depth; other flags change it.", "Run"
)


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
    """The signature cyclopts reads: every parameter a text, a list or a switch, None when it is
    not given. `order` gives the help groups by name."""
    return inspect.Signature(
        [_parameter(flag, order) for flag in flags if flag.positional]
        + [_parameter(flag, order) for flag in flags if not flag.positional]
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
        if flag.positional
        else inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kinds[flag.kind], about],
    )


def _is_number(flag: Flag) -> bool:
    # `--temperature -1` is a wrong number, not a missing one.
    return flag.setting is not None and flag.setting.base_type in (int, float)


def at_once(words: Sequence[str], flags: tuple[Flag, ...]) -> Given | None:
    """What simple words say: names in their order, switches, `--flag value`. None where that is not
    enough. Loading cyclopts would take longer than what `talm list` does."""
    if any(flag.setting is not None for flag in flags):
        return None
    by_long = {flag.long: flag for flag in flags}
    free = [flag for flag in flags if flag.positional]
    values: dict[str, Any] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        flag = by_long.get(word)
        if flag is None and not word.startswith("-") and free:
            flag, left = free.pop(0), [word, *left]
        if flag is None or flag.key in values:
            return None
        if flag.kind == "switch":
            values[flag.key] = True
        elif left and not left[0].startswith("-"):
            values[flag.key] = left.pop(0)
        else:
            return None
    return Given(values, (), flags)


def parse(
    call: Callable[[Sequence[str]], tuple[dict[str, Any], list[str]]],
    words: Sequence[str],
    flags: tuple[Flag, ...],
) -> Given:
    """What `words` say. `call` has cyclopts bind them: it returns the values and what is left.
    A word cyclopts stumbles over is noted and taken out, so that everything else is seen, too."""
    from cyclopts import CycloptsError

    left = _with_dashes(words, flags)
    problems: list[Problem] = []
    while True:
        try:
            values, unused = call(left)
        except CycloptsError as error:
            problem, index, count = _stumbled(error, left, flags)
            problems.append(problem)
            if index is None:
                return Given({}, tuple(problems), flags)
            del left[index : index + count]
            continue
        wrong = {problem.key for problem in problems}
        problems += [item for item in _unused(unused, flags) if item.key not in wrong]
        given = {key: value for key, value in values.items() if value is not None}
        return Given(given, tuple(problems), flags)


def _with_dashes(words: Sequence[str], flags: Sequence[Flag]) -> list[str]:
    """`--prompt -` as `--prompt=-`: cyclopts would take the dash for a flag."""
    texts = {name for flag in flags if flag.kind == "text" for name in (flag.long, *flag.names)}
    joined: list[str] = []
    for word in words:
        if word == "-" and joined and joined[-1] in texts:
            joined[-1] += "=-"
        else:
            joined.append(word)
    return joined


def _stumbled(
    error: Exception, words: Sequence[str], flags: Sequence[Flag]
) -> tuple[Problem, int | None, int]:
    """What is wrong, and which words to go on without: where they begin and how many."""
    word = _word(error, words)
    index = next((i for i, w in enumerate(words) if w == word or w.startswith(f"{word}=")), None)
    kind = type(error).__name__
    key = _key(word, flags)
    if word is None or index is None:
        return Problem("command line", _message(error)), None, 0
    alone = "=" in words[index]
    follows = index + 1 < len(words) and not words[index + 1].startswith("-")
    if kind == "UnknownOptionError":
        return _unknown(words[index], flags), index, 1 if alone or not follows else 2
    if kind == "RepeatArgumentError":
        count = 1 if alone or not follows else 2
        return Problem(key, "may be given once"), index, count
    if kind == "CoercionError":
        return Problem(key, "is a switch and takes no value", words[index]), index, 1
    if "MissingArgument" in kind or kind == "ConsumeMultipleError":
        return Problem(key, "needs a value after it"), index, 1
    return Problem(key, _message(error)), index, 1


def _word(error: Exception, words: Sequence[str]) -> str | None:
    """The flag an error of cyclopts is about, as it was typed."""
    token = getattr(error, "token", None)
    for said in (
        getattr(token, "keyword", None),
        getattr(error, "keyword", None),
        getattr(token, "value", None),
    ):
        if said and any(word == said or word.startswith(f"{said}=") for word in words):
            return str(said)
    argument = getattr(error, "argument", None)
    name = getattr(argument, "name", None)
    return str(name) if name else None


def _key(word: str | None, flags: Sequence[Flag]) -> str:
    for flag in flags:
        if word in (flag.long, *flag.names):
            return flag.key
    return word or "command line"


def _message(error: Exception) -> str:
    error.verbose = False  # type: ignore[attr-defined]
    text = " ".join(str(error).split())
    return text[:1].lower() + text[1:]


def _unused(words: Sequence[str], flags: Sequence[Flag]) -> list[Problem]:
    problems = []
    after_unknown = False
    for word in words:
        if word.startswith("-") and word != "-":
            problems.append(_unknown(word, flags))
            after_unknown = "=" not in word
        elif not after_unknown:
            problems.append(Problem("command line", "there is no place for this", word))
        else:
            after_unknown = False
    return problems


def _unknown(word: str, flags: Sequence[Flag]) -> Problem:
    name = word.split("=", 1)[0]
    known = [name for flag in flags for name in (flag.long, *flag.names)]
    return Problem(name, "there is no such flag", hint=nearest(name, known))
