"""One line of a form: name, editor, whether it differs, unit; under it what is wrong."""

from __future__ import annotations

import contextlib
from pathlib import Path

from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.widget import Widget

from talm_core.errors import Problem
from talm_core.settings.schema import Declared
from talm_core.system.foreign_text import plain, wrapped
from talm_tui.forms.editors import ChoiceEditor, PickEditor, TextEditor
from talm_tui.forms.setting_help import whole
from talm_tui.forms.state import FormState
from talm_tui.forms.text import TextError, parse

NARROW = 100
"""Columns of the screen below which a form does without what is only nice to have."""

FLAT = 18
"""Rows of the screen below which fields are all there is room for."""

Editor = TextEditor | ChoiceEditor | PickEditor


def reason(problem: Problem) -> str:
    """What is wrong in one sentence, for where the value stands beside it."""
    hint = f": {problem.hint}" if problem.hint else ""
    return plain(f"{problem.message}{hint}")


def named(problem: Problem, item: Declared, text: str) -> str:
    """What is wrong with a field of this text, in one sentence. Where it is about something else
    than what stands there, such as a file in the folder that does, it begins with that."""
    other = problem.value
    if not isinstance(other, str) or other in _given(item, text):
        return reason(problem)
    return f"{plain(other)}: {reason(problem)}"


def _given(item: Declared, text: str) -> set[str]:
    """All that a field's text names, as it stands there and as a job makes a path of it."""
    try:
        value = parse(item, text)
    except TextError:
        value = None
    values = value if isinstance(value, tuple) else (value,)
    words = {text, *(word for word in values if isinstance(word, str))}
    for word in tuple(words):
        # Nobody of that name has a home: then it is no path.
        with contextlib.suppress(RuntimeError):
            words.add(Path(word).expanduser().absolute().as_posix())
    return words


def counts(state: FormState) -> Content:
    """How much of a form was changed, and how much cannot be."""
    changed, wrong = len(state.changed), len(state.problems)
    return Content("  ").join(
        Content.styled(text, style)
        for number, text, style in (
            (changed, f"* {changed} changed", "$text-warning"),
            (wrong, f"✕ {wrong} {'error' if wrong == 1 else 'errors'}", "$text-error"),
        )
        if number
    )


def unplaced(state: FormState) -> Content:
    """What is wrong and belongs to no field, a line each."""
    others = [problem for problem in state.problems if problem.key not in state.by_key]
    lines = [f"✕ {plain(problem.key)}{_of(problem)}: {reason(problem)}" for problem in others]
    return Content.styled("\n".join(lines), "$text-error")


def _of(problem: Problem) -> str:
    """The value of what has no field in which it stands."""
    return "" if problem.value is None else f" = {plain(repr(problem.value))}"


class Field(Widget):
    """A setting in a form.

    Name, unit and reason are drawn by this widget itself behind its one child, the editor: a
    form of forty settings stays at eighty widgets.
    """

    LABEL = 19
    TAIL = 11
    ROOMY_TAIL = 20
    """On a screen of a hundred columns and more: there is room for what a changed value was.
    `forms.tcss` gives the editor the rest."""

    problem: reactive[Problem | None] = reactive(None, layout=True)
    changed: reactive[bool] = reactive(False)
    active: reactive[bool] = reactive(False)
    default: reactive[str] = reactive("")

    def __init__(self, item: Declared, editor: Editor) -> None:
        super().__init__(editor, id=f"field-{item.key}")
        self.item = item
        self.editor = editor
        self.about = whole(item)
        self.label = item.key

    def _reasons(self, width: int) -> list[str]:
        if self.problem is None or width < 10:
            return []
        lines = wrapped(named(self.problem, self.item, self.editor.value), width - 6) or [""]
        return [f"  ✕ {lines[0]}", *(f"    {line}" for line in lines[1:])]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        return 1 + len(self._reasons(width))

    def on_click(self) -> None:
        """A click beside the editor is one into it."""
        self.editor.focus()

    def _tail(self, mark: str, width: int) -> str:
        """Mark, unit and, where it was changed and there is room, what it was."""
        tail = f" {mark} {self.item.setting.unit}"
        was = f"was {self.default}"
        if self.changed and width >= self.ROOMY_TAIL:
            tail = f"{tail:<11}{was}" if len(tail) <= 11 and len(was) <= width - 11 else tail
        return tail[:width].ljust(width)

    def render(self) -> Content:
        width = self.size.width
        mark = "✕" if self.problem else "*" if self.changed else " "
        label = self.label[: self.LABEL - 1].ljust(self.LABEL)
        tail = self._tail(mark, self.TAIL if self.screen.size.width < NARROW else self.ROOMY_TAIL)
        gap = " " * max(0, width - self.LABEL - len(tail))
        style = "$accent bold" if self.active else ""
        line = Content.assemble(
            (label, style),
            gap,
            (tail[:3], "$text-error bold" if self.problem else "$text-warning bold"),
            (tail[3:], "dim"),
        )
        reasons = "\n".join(self._reasons(width))
        if not reasons:
            return line
        return Content.assemble(line, "\n", (reasons, "$text-error"))
