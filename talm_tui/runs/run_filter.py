"""The line above the table of runs: what it is filtered, sorted and grouped by."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from talm_core.jobs.registry import specs
from talm_core.jobs.spec import load
from talm_core.system.foreign_text import plain
from talm_tui.runs import query as run_query


def _keys() -> list[str]:
    """The settings of all kinds of runs."""
    return [key for spec in specs() if spec.is_run for key in load(spec.config).model_fields]


class RunFilter(Vertical):
    """Shown while it is being typed into or says something."""

    DEFAULT_CSS = """
    RunFilter {
        height: auto;
        padding: 0 1;
        #run-filter-line { height: 1; }
        #run-filter-name { width: auto; color: $secondary; }
        Input { width: 1fr; }
        #run-filter-said { width: auto; color: $foreground 65%; }
        #run-filter-wrong { height: auto; color: $text-error; display: none; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape,enter,down",
            "leave",
            "to the table",
            id="filter.leave",
            tooltip="Back to the table",
        ),
    ]

    class Changed(Message):
        """Something else is asked for."""

    class Left(Message):
        """Somebody is done typing."""

    def __init__(self) -> None:
        super().__init__(id="run-filter")
        self.display = False
        self.query_now = run_query.Query()

    def compose(self) -> ComposeResult:
        with Horizontal(id="run-filter-line"):
            yield Static("filter ", id="run-filter-name", markup=False)
            yield Input(
                placeholder="n_layer>=4 val_loss<3 sort:val_loss group:n_embd", compact=True
            )
            yield Static("", id="run-filter-said", markup=False)
        # Below: what was meant instead must not be cut off.
        yield Static("", id="run-filter-wrong", markup=False)

    @property
    def text(self) -> str:
        """What was typed."""
        return self.query_one(Input).value

    @property
    def typing(self) -> bool:
        """Whether somebody types what is to be listed."""
        # Not `has_focus`, which the field learns of later than the screen.
        return self.screen.focused is self.query_one(Input)

    def open(self) -> None:
        """Let somebody type."""
        # Both at once: what is typed next belongs into the field already.
        self.display = True
        self.screen.set_focus(self.query_one(Input))

    def clear(self) -> None:
        """Ask for everything."""
        self._set("")

    def next_order(self, kind: str) -> None:
        """The next usual `sort:` or `group:`."""
        self._set(run_query.following(self.query_now, self.text, kind))

    def sort_by(self, key: str) -> None:
        """Sort by a key; by the same again the other way round."""
        if self.query_now.sort == key:
            key = key[1:] if key.startswith("-") else f"-{key}"
        self._set(run_query.with_term(self.text, "sort", key))

    def _set(self, text: str) -> None:
        self.query_one(Input).value = text
        self.display = bool(text)

    def say(self, found: int, count: int) -> None:
        """How many runs are listed, or why not those that were meant."""
        problems = self.query_now.problems
        wrong = self.query_one("#run-filter-wrong", Static)
        if wrong.display != bool(problems):
            wrong.display = bool(problems)
        if problems:
            wrong.update(f"✕ {plain('; '.join(problems))}")
            content = Content("")
        elif self.query_now.filters:
            content = Content(f" {found:,} of {count:,} runs")
        else:
            content = Content(f" {count:,} runs" if count != 1 else " 1 run")
        said = self.query_one("#run-filter-said", Static)
        if said.content != content:
            said.update(content)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.query_now = run_query.parse(event.value, _keys())
        self.post_message(self.Changed())

    def action_leave(self) -> None:
        """Back to the table; an empty line goes away."""
        self.display = bool(self.text.strip())
        self.post_message(self.Left())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_leave()
