"""What a form knows, without a widget: texts, values, what differs, what is wrong.

A form's values come from three places: the config model's defaults, a preset over them, and what
somebody typed. `auto` values, such as a free name, are filled in by the form and replaced by it
until somebody types there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from talm_core.errors import ConfigError, Problem
from talm_core.settings.schema import Declared, JobConfig, build, settings_of
from talm_tui.forms.text import TextError, parse, show

_MOST_STEPS = 500
"""Changes that can be taken back."""

EVERY = ""
"""The field of a change to all of them."""


@dataclass(frozen=True, slots=True)
class _Step:
    """Where a form was before the field `key` was changed."""

    key: str
    preset: str | None
    defaults: dict[str, Any]
    texts: dict[str, str]
    auto: frozenset[str]
    touched: frozenset[str]


class FormState:
    """The values of one form and what is to be said about them.

    `problems` are in the order of the fields; those that belong to no field come last.
    """

    def __init__(self, model: type[JobConfig]) -> None:
        self.model = model
        self.items: tuple[Declared, ...] = settings_of(model)
        self.by_key: dict[str, Declared] = {item.key: item for item in self.items}
        self.preset: str | None = None
        self.defaults: dict[str, Any] = {
            item.key: item.default for item in self.items if not item.required
        }
        self.texts: dict[str, str] = {
            item.key: show(item, self.defaults.get(item.key)) for item in self.items
        }
        self.auto: set[str] = set()
        self.touched: set[str] = set()
        self.config: JobConfig | None = None
        self._own: list[Problem] = []
        self._told: dict[str, list[Problem]] = {}
        self._values: dict[str, Any] = {}
        self._done: list[_Step] = []
        self._undone: list[_Step] = []
        self._went_back = False
        self._judge()

    # --- changing --------------------------------------------------------------------------

    def set_text(self, key: str, text: str) -> bool:
        """Take what somebody typed; returns whether it is something new."""
        if self.texts[key] == text:
            return False
        self._remember(key)
        self.texts[key] = text
        self.auto.discard(key)
        self.touched.add(key)
        self._forget(key)
        self._judge()
        return True

    def set_value(self, key: str, value: Any) -> None:
        """Take a value, as if somebody had typed it."""
        self.set_text(key, show(self.by_key[key], value))

    def fill(self, key: str, value: Any) -> bool:
        """Propose a value for a field nobody has typed into; returns whether that changed it."""
        if key in self.touched:
            return False
        text = show(self.by_key[key], value)
        new = self.texts[key] != text
        self.auto.add(key)
        if new:
            self.texts[key] = text
            self._forget(key)
            self._judge()
        return new

    def reset(self, key: str) -> None:
        """Give a field its default back; the form may propose a value for it again."""
        self.set_text(key, show(self.by_key[key], self.defaults.get(key)))
        self.touched.discard(key)

    def reset_all(self) -> None:
        """Give every field its default back, except those without one."""
        self._remember(EVERY)
        self._give_defaults()

    def _give_defaults(self) -> None:
        for key, value in self.defaults.items():
            self.texts[key] = show(self.by_key[key], value)
            self.touched.discard(key)
        self._told.clear()
        self._judge()

    def load_preset(self, name: str, values: Mapping[str, Any]) -> None:
        """Make a preset's values the defaults; what was typed into other fields is replaced by
        theirs, so that the form says exactly what the preset says."""
        self._remember(EVERY)
        self.preset = name
        self.defaults = {item.key: item.default for item in self.items if not item.required}
        self.defaults |= {key: value for key, value in values.items() if key in self.defaults}
        self._give_defaults()

    def take(self, values: Mapping[str, Any]) -> None:
        """Take several values as one change, as if somebody had typed them."""
        self._remember(EVERY)
        for key, value in values.items():
            self.texts[key] = show(self.by_key[key], value)
            self.auto.discard(key)
            self.touched.add(key)
            self._forget(key)
        self._judge()

    def drop_preset(self, name: str) -> None:
        """Measure against the settings' own defaults from now on, and after taking changes back:
        there is no preset of that name any more. Values stay."""
        usual = {item.key: item.default for item in self.items if not item.required}
        for steps in (self._done, self._undone):
            steps[:] = [
                replace(step, preset=None, defaults=usual) if step.preset == name else step
                for step in steps
            ]
        if self.preset == name:
            self.preset, self.defaults = None, usual
            self._judge()

    # --- taking back -----------------------------------------------------------------------

    def undo(self) -> str | None:
        """Take the last change back. The field it was in, `EVERY` for all of them, None where
        nothing was changed. What is typed into one field in a row is one change."""
        return self._go_back(self._done, self._undone)

    def redo(self) -> str | None:
        """Make the change that was taken back last again; answers as `undo`."""
        return self._go_back(self._undone, self._done)

    def _remember(self, key: str) -> None:
        self._undone.clear()
        goes_on = self._done and self._done[-1].key == key != EVERY and not self._went_back
        if not goes_on:
            self._done.append(self._step(key))
            del self._done[:-_MOST_STEPS]
        self._went_back = False

    def _step(self, key: str) -> _Step:
        return _Step(
            key,
            self.preset,
            dict(self.defaults),
            dict(self.texts),
            frozenset(self.auto),
            frozenset(self.touched),
        )

    def _go_back(self, steps: list[_Step], others: list[_Step]) -> str | None:
        if not steps:
            return None
        step = steps.pop()
        others.append(self._step(step.key))
        self.preset, self.defaults, self.texts = step.preset, dict(step.defaults), dict(step.texts)
        self.auto, self.touched = set(step.auto), set(step.touched)
        self._went_back = True
        self._told.clear()
        self._judge()
        return step.key

    def _forget(self, key: str) -> None:
        """What was said about another value of this field no longer counts."""
        for source, problems in self._told.items():
            self._told[source] = [problem for problem in problems if problem.key != key]

    # --- judging ---------------------------------------------------------------------------

    def _judge(self) -> None:
        self._own = []
        self._values = {}
        for item in self.items:
            try:
                value = parse(item, self.texts[item.key])
            except TextError as error:
                self._own.append(Problem(item.key, str(error), self.texts[item.key]))
                continue
            if value is not None or (item.optional and self.defaults.get(item.key) is not None):
                self._values[item.key] = value
            elif not item.required and not item.optional:
                # A field that was emptied is wrong rather than silently its default.
                self._values[item.key] = ""
        wrong = {problem.key for problem in self._own}
        try:
            config = build(self.model, self._values)
        except ConfigError as error:
            self.config = None
            self._own += [problem for problem in error.problems if problem.key not in wrong]
        else:
            self.config = None if self._own else config

    def tell(self, source: str, problems: Iterable[Problem]) -> None:
        """Take what `source` says is wrong, in place of what it said before. What is said of a
        field is forgotten when its value changes."""
        self._told[source] = list(problems)

    @property
    def values(self) -> dict[str, Any]:
        """The values that are set, right or wrong."""
        return dict(self._values)

    @property
    def draft(self) -> JobConfig | None:
        """The config, with something made up for what is still missing: enough to reckon with.
        None while a value is wrong."""
        if self.config is not None:
            return self.config
        if any(problem.key in self._values for problem in self._own):
            return None
        required = {item.key: "x" for item in self.items if item.required}
        try:
            return build(self.model, required | self._values)
        except ConfigError:
            return None

    @property
    def problems(self) -> list[Problem]:
        """Everything wrong, one problem a field at most, fields in order."""
        first: dict[str, Problem] = {}
        told = [problem for said in self._told.values() for problem in said]
        # What was told knows more than "must be given".
        missing = {problem.key for problem in told} if told else set()
        own = [p for p in self._own if p.key not in missing or p.key in self._values]
        for problem in (*own, *told):
            first.setdefault(problem.key, problem)
        order = {item.key: index for index, item in enumerate(self.items)}
        return sorted(first.values(), key=lambda problem: order.get(problem.key, len(order)))

    @property
    def changed(self) -> list[str]:
        """The fields that differ from their default or preset, in order; fields without a
        default and those the form filled in are not counted."""
        return [
            item.key
            for item in self.items
            if not item.required
            and item.key not in self.auto
            and self.texts[item.key].strip() != show(item, self.defaults.get(item.key))
            and self._values.get(item.key) != self.defaults.get(item.key)
        ]
