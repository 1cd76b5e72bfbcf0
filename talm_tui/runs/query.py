"""Which runs the table lists, in which order and groups.

    nano n_layer>=4 val_loss<3 sort:val_loss group:n_embd

Words are looked for in a run's name and status; `key>=value` compares a setting of its config or
one of its results; `sort:key` and `sort:-key` order, `group:key` divides.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from talm_core.errors import nearest

if TYPE_CHECKING:
    from talm_core.runtime.overview import Overview

Value = float | str | bool | None

_RESULTS: dict[str, Callable[[Overview], Value]] = {
    "name": lambda run: run.name,
    "status": lambda run: run.status.value,
    "step": lambda run: run.metrics.step if run.metrics else None,
    "loss": lambda run: run.metrics.loss_ema if run.metrics else None,
    "val_loss": lambda run: run.val_loss,
    "bits_per_byte": lambda run: run.bits_per_byte,
    "tokens": lambda run: run.metrics.tokens if run.metrics else None,
    "tokens_per_second": lambda run: run.metrics.tokens_per_second if run.metrics else None,
    "elapsed": lambda run: run.metrics.elapsed if run.metrics else None,
    "grad_norm": lambda run: run.metrics.grad_norm if run.metrics else None,
    "mfu": lambda run: run.metrics.mfu_percent if run.metrics else None,
    "parameters": lambda run: run.summary.get("parameters"),
    "updated": lambda run: run.updated or None,
}
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "==": operator.eq,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_COMPARISON = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*(>=|<=|!=|==|=|>|<)\s*(\S*)")
_SPACED = re.compile(r"\s*(>=|<=|!=|==|=|>|<)\s*")
SORTS = ("", "val_loss", "bits_per_byte", "step", "-tokens_per_second", "name", "-updated")
"""What the key for sorting goes through; empty is what runs first, then what spoke last."""
GROUPS = ("", "status", "data_dir", "n_layer", "n_embd", "optimizer", "learning_rate")
"""What the key for grouping goes through."""


@dataclass(frozen=True, slots=True)
class Condition:
    """`key` compared with `value` by `sign`; numbers as numbers, everything else as text."""

    key: str
    sign: str
    value: str

    def holds(self, run: Overview) -> bool:
        """Whether a run is so; one that does not know the key never is, but for `!=`."""
        ours = value_of(run, self.key)
        if ours is None:
            return self.sign == "!="
        number = _number(self.value)
        if isinstance(ours, int | float) and not isinstance(ours, bool):
            return number is not None and _OPERATORS[self.sign](ours, number)
        return _OPERATORS[self.sign](_text(ours), self.value.lower())


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for; `problems` says what of it cannot be understood."""

    words: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    sort: str = ""
    group: str = ""
    problems: tuple[str, ...] = field(default=(), compare=False)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys it is about, in the order in which they are named."""
        named = [condition.key for condition in self.conditions]
        return tuple(dict.fromkeys([*named, *filter(None, (self.sort.lstrip("-"), self.group))]))

    @property
    def filters(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.words or self.conditions)


@dataclass(frozen=True, slots=True)
class Heading:
    """The line above the runs of one group."""

    text: str


def parse(text: str, known: Sequence[str]) -> Query:
    """The query of a text, `known` being the settings' keys. What cannot be understood is left
    out of it and told."""
    keys = {*known, *_RESULTS}
    words: list[str] = []
    conditions: list[Condition] = []
    problems: list[str] = []
    order = {"sort": "", "group": ""}
    for term in _SPACED.sub(r"\1", text).split():
        kind, colon, key = term.partition(":")
        if colon and kind in order:
            if key.lstrip("-") in keys:
                order[kind] = key
            else:
                problems.append(f"{term}: there is no {key or 'such key'}")
        elif (match := _COMPARISON.fullmatch(term)) is not None:
            condition = Condition(*match.groups())
            problem = _problem(condition, keys)
            if problem:
                problems.append(problem)
            else:
                conditions.append(condition)
        else:
            words.append(term.lower())
    return Query(tuple(words), tuple(conditions), order["sort"], order["group"], tuple(problems))


def _problem(condition: Condition, keys: set[str]) -> str:
    if condition.key not in keys:
        return f"there is no {condition.key}, {nearest(condition.key, keys)}"
    if not condition.value:
        return f"{condition.key}{condition.sign} what?"
    ordered = condition.sign not in ("=", "==", "!=")
    numeric = condition.key in _RESULTS and condition.key not in ("name", "status")
    if (ordered or numeric) and _number(condition.value) is None:
        return f"{condition.key}{condition.sign}{condition.value}: {condition.value} is no number"
    return ""


def value_of(run: Overview, key: str) -> Value:
    """A setting of a run's config or one of its results; None where it has none."""
    value: Any = _RESULTS[key](run) if key in _RESULTS else getattr(run.config, key, None)
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, float) and math.isnan(value):
        return None
    return value  # type: ignore[no-any-return]


def shown(value: Value) -> str:
    """A value in few cells."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def chosen(query: Query, runs: Sequence[Overview]) -> list[Overview | Heading]:
    """The runs a query asks for, in its order, with a heading before each group."""
    found = [run for run in _ordered(query, runs) if _matches(query, run)]
    if not query.group:
        return [*found]
    groups: dict[Value, list[Overview]] = {}
    for run in found:
        groups.setdefault(value_of(run, query.group), []).append(run)
    rows: list[Overview | Heading] = []
    for value, members in sorted(groups.items(), key=lambda item: _rank(item[0])):
        rows.append(Heading(_heading(query.group, value, members)))
        rows += members
    return rows


def _heading(key: str, value: Value, members: Sequence[Overview]) -> str:
    losses = [run.val_loss for run in members if run.val_loss is not None]
    best = min((loss for loss in losses if math.isfinite(loss)), default=None)
    count = f"{len(members)} run" + ("s" if len(members) > 1 else "")
    text = f"{key} {shown(value)} · {count}"
    return f"{text} · best val {best:.3f}" if best is not None else text


def _matches(query: Query, run: Overview) -> bool:
    text = f"{run.name} {run.status.value}".lower()
    words = all(word in text for word in query.words)
    return words and all(condition.holds(run) for condition in query.conditions)


def _ordered(query: Query, runs: Sequence[Overview]) -> list[Overview]:
    # What works first, then what spoke last; two runs that speak in turns keep their places.
    usual = sorted(
        runs,
        key=lambda item: (not item.status.active, 0 if item.status.active else -item.updated),
    )
    if not query.sort:
        return usual
    key = query.sort.lstrip("-")
    known = [run for run in usual if value_of(run, key) is not None]
    rest = [run for run in usual if value_of(run, key) is None]
    known.sort(key=lambda run: _rank(value_of(run, key)), reverse=query.sort.startswith("-"))
    return known + rest


def _rank(value: Value) -> tuple[int, float, str]:
    """Numbers before texts, what is not known last."""
    if value is None:
        return 2, 0.0, ""
    if isinstance(value, str):
        return 1, 0.0, value.lower()
    return 0, float(value), ""


def _number(text: str) -> float | None:
    """`3`, `1e-3`, `0.5`, `10k`, `2M` as a number."""
    factor = {"k": 1e3, "m": 1e6, "g": 1e9}.get(text[-1:].lower(), 1.0)
    try:
        number = float(text[:-1] if factor > 1 else text) * factor
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _text(value: Value) -> str:
    return str(value).lower()


def following(query: Query, text: str, kind: str) -> str:
    """The text with the next usual `sort:` or `group:` in place of its own."""
    choices = SORTS if kind == "sort" else GROUPS
    now = query.sort if kind == "sort" else query.group
    key = choices[(choices.index(now) + 1) % len(choices)] if now in choices else ""
    return with_term(text, kind, key)


def with_term(text: str, kind: str, key: str) -> str:
    """The text with `sort:key` or `group:key`, in place of one that was there."""
    terms = [term for term in text.split() if not term.startswith(f"{kind}:")]
    return " ".join([*terms, f"{kind}:{key}"] if key else terms)
