"""How a setting is declared, and what every front end reads off the declaration.

A field of a config model carries its name, type, default and range, and a `Setting` with what a
person needs to choose it. `settings_of` reads both; `build` validates and tells every problem at
once, each under its setting's name. The models themselves are in `talm_core.jobs`.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from talm_core.errors import ConfigError, Problem, nearest

Kind = Literal["text", "path", "paths", "tokenizer", "dataset", "model"]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a person needs to know about one field.

    `help` is one line. `more` is what the form shows beside the focused field: what it costs and
    what is usual. `flags` are short or original names of the command-line flag; the long flag is
    always the field's name with dashes. `picks` says what a form offers instead of typing.
    `names` is what it names without a list to pick from: an artifact, or something in it.
    `bare`: on the command line it may stand without its flag, after what is positional. `also` are
    other names of values and what they mean. `resume` marks settings that may differ when a run is
    resumed. `only_with` names another setting and the values of it with which this one counts; with
    any other it must be left alone, and a form does not show it. `length` marks settings that a
    finished job may be made longer with when it is resumed (`JobConfig.extends`). `shape` marks
    settings that what a run saved could not be loaded with if they differed.
    """

    section: str
    help: str
    unit: str = ""
    more: str = ""
    flags: tuple[str, ...] = ()
    advanced: bool = False
    picks: Kind = "text"
    names: Kind | None = None
    resume: bool = False
    positional: bool = False
    bare: bool = False
    also: tuple[tuple[str, str], ...] = ()
    only_with: tuple[str, tuple[str, ...]] | None = None
    shape: bool = False
    length: bool = False


@dataclass(frozen=True, slots=True)
class Declared:
    """One field as every front end reads it."""

    key: str
    annotation: Any
    default: Any
    required: bool
    setting: Setting
    minimum: float | None
    maximum: float | None
    exclusive: bool
    exclusive_maximum: bool
    choices: tuple[str, ...]

    @property
    def flag(self) -> str:
        return "--" + self.key.replace("_", "-")

    @property
    def base_type(self) -> type:
        """int, float, bool, str or tuple (of str), with `| None` taken off."""
        return _base_type(self.annotation)

    @property
    def optional(self) -> bool:
        return type(None) in get_args(self.annotation)

    def counts(self, values: Mapping[str, Any]) -> bool:
        """Whether the setting means anything beside these values of others."""
        if self.setting.only_with is None:
            return True
        key, wanted = self.setting.only_with
        return str(values.get(key)) in wanted

    @property
    def allowed(self) -> str:
        """What may be given, in words: `1 to 128`, `nano, talm`, `above 0`, `at least 0, below 1`;
        empty: anything."""
        if self.choices:
            return ", ".join(self.choices)
        low = None if self.minimum is None else f"{self.minimum:,}"
        # The bound of a 64-bit seed is no number to choose by.
        high = None if self.maximum is None or self.maximum > 2**53 else f"{self.maximum:,}"
        if low and high and not self.exclusive and not self.exclusive_maximum:
            return f"{low} to {high}"
        above = f"{'above' if self.exclusive else 'at least'} {low}" if low else ""
        if not high:
            return above
        if self.exclusive_maximum:
            below = f"below {high}"
        else:
            below = f"up to {high}" if low else f"at most {high}"
        return f"{above}, {below}" if low else below


class Component(BaseModel):
    """Settings that belong together. Jobs that need them inherit them."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        allow_inf_nan=False,
        # A command builds the validators of the one or two configs it uses.
        defer_build=True,
    )

    order: ClassVar[tuple[str, ...]] = ()
    """All fields in the order in which forms, files and pages show them, where it is not the order
    in which they were declared: components that are composed stand among each other."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if cls.order:
            fields = cls.__pydantic_fields__
            assert sorted(cls.order) == sorted(fields)
            cls.__pydantic_fields__ = {key: fields[key] for key in cls.order}


class JobConfig(Component):
    """The settings of one job. `kind` names the job in files and events."""

    kind: ClassVar[str]
    title: ClassVar[str]

    def contradictions(self) -> list[Problem]:
        """What is wrong between fields that are each right by themselves."""
        return []

    def misplaced(self) -> list[Problem]:
        """Settings that were given beside a value of another with which they mean nothing."""
        problems = []
        values = self.model_dump()
        for item in settings_of(type(self)):
            value = values[item.key]
            if value != item.default and not item.counts(values):
                key, wanted = item.setting.only_with or ("", ())
                allowed = f"{key} {' or '.join(wanted)}"
                shown = list(value) if isinstance(value, tuple) else value
                problems.append(
                    Problem(item.key, f"only {allowed} has it", shown, f"use {allowed}")
                )
        return problems

    @classmethod
    def beside(cls, preset: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a preset as they are meant where `said` was asked for beside it."""
        del said
        return dict(preset)

    def extends(self, done: Self, directory: Path) -> bool:  # noqa: ARG002
        """Whether what a finished job has made in its directory is to be gone on with, because
        this asks for more of the same."""
        return False

    def to_extend(self, directory: Path) -> str:  # noqa: ARG002
        """What makes the finished artifact in a directory longer, as the beginning of a hint that
        goes on with `choose another name`; empty where nothing does."""
        return ""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        problems = self.contradictions()
        if problems:
            raise _ContradictionError(problems)
        return self

    @property
    def artifact(self) -> str:
        """The artifact's name below its kind's directory, such as `nano` or `stdlib/all`."""
        raise AssertionError("each job names its artifact")


class _ContradictionError(ValueError):
    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(map(str, problems)))


C = TypeVar("C", bound=JobConfig)


def settings_of(config: type[JobConfig]) -> tuple[Declared, ...]:
    """Every field of a config, in order, as forms, flags and pages read it."""
    return tuple(_declared(key, field) for key, field in config.model_fields.items())


def _declared(key: str, field: FieldInfo) -> Declared:
    setting = next(item for item in field.metadata if isinstance(item, Setting))
    low: float | None = None
    high: float | None = None
    exclusive = exclusive_maximum = False
    for item in field.metadata:
        match item:
            case Ge(ge=bound):
                low = bound  # type: ignore[assignment]
            case Gt(gt=bound):
                low, exclusive = bound, True  # type: ignore[assignment]
            case Le(le=bound):
                high = bound  # type: ignore[assignment]
            case Lt(lt=bound):
                high, exclusive_maximum = bound, True  # type: ignore[assignment]
    annotation = field.annotation
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    return Declared(
        key=key,
        annotation=annotation,
        default=None if field.is_required() else field.default,
        required=field.is_required(),
        setting=setting,
        minimum=low,
        maximum=high,
        exclusive=exclusive,
        exclusive_maximum=exclusive_maximum,
        choices=tuple(map(str, choices)),
    )


def _base_type(annotation: Any) -> type:
    origin = get_origin(annotation)
    if origin is Literal:
        return str
    if origin in (Union, types.UnionType):
        inner = next(arg for arg in get_args(annotation) if arg is not type(None))
        return _base_type(inner)
    if origin is tuple:
        return tuple
    assert isinstance(annotation, type)
    return annotation


def build(config: type[C], values: Mapping[str, Any]) -> C:
    """A validated config.

    Raises:
        ConfigError: with every problem at once; unknown keys name the nearest known one.
    """
    values = _by_usual_names(config, values)
    try:
        return config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(*_problems(config, values, error)) from None


def _by_usual_names(config: type[JobConfig], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, those that have other names by the one they are declared with."""
    found = dict(values)
    for key in found.keys() & config.model_fields.keys():
        setting = next(i for i in config.model_fields[key].metadata if isinstance(i, Setting))
        if setting.also and isinstance(found[key], str):
            found[key] = dict(setting.also).get(found[key], found[key])
    return found


def _problems(
    config: type[JobConfig], values: dict[str, Any], error: ValidationError
) -> list[Problem]:
    declared = {item.key: item for item in settings_of(config)}
    problems: list[Problem] = []
    wrong: set[str] = set()
    for item in error.errors(include_url=False):
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, _ContradictionError):
            problems.extend(cause.problems)
            continue
        key = str(item["loc"][0])
        if key in wrong:
            continue
        wrong.add(key)
        problems.append(_problem(key, item["type"], item["msg"], item.get("input"), declared))
    if wrong:
        # Fields that are right by themselves may still contradict each other: told as well.
        # A required field that is missing or wrong is stood in for, so that the rest is seen.
        rest = {key: value for key, value in values.items() if key not in wrong}
        stand_ins = {key: "x" for key, item in declared.items() if item.required}
        try:
            config.model_validate(stand_ins | rest)
        except ValidationError as second:
            causes = (item.get("ctx", {}).get("error") for item in second.errors())
            for cause in causes:
                if isinstance(cause, _ContradictionError):
                    problems.extend(p for p in cause.problems if p.key not in wrong)
    return problems


def _problem(
    key: str, kind: str, message: str, value: object, declared: Mapping[str, Declared]
) -> Problem:
    if kind == "extra_forbidden":
        return Problem(key, "there is no such setting", value, nearest(key, declared))
    item = declared[key]
    if kind == "missing":
        return Problem(key, "must be given", hint=item.setting.help)
    expected = {int: "a whole number", float: "a number", bool: "true or false"}
    if kind in ("string_too_short", "string_too_long"):
        text = "cannot be empty" if kind == "string_too_short" else "is too long"
    elif item.choices:
        return Problem(key, f"must be one of {item.allowed}", value)
    elif kind == "less_than" and "below" not in item.allowed:
        # Too large a bound to choose by, and yet the value is beyond it.
        text = f"must be below {item.maximum:,}"
    elif item.allowed:
        noun = expected.get(item.base_type, "a value")
        text = f"must be {noun}, {item.allowed}" + (" or none" if item.optional else "")
    elif item.base_type in expected:
        text = f"must be {expected[item.base_type]}"
    else:
        text = message[:1].lower() + message[1:]
    return Problem(key, text, value, _whole(value) if item.base_type is int else "")


def _whole(value: object) -> str:
    """The whole numbers beside a value that is none."""
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except ValueError:
        return ""
    if not math.isfinite(number) or number == int(number):
        return ""
    return f"{math.floor(number):,} or {math.ceil(number):,}"
