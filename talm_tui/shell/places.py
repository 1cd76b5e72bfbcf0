"""The places one key leads to. A place is a mode of the app: its screen is imported and built
when it is first gone to, and keeps its state from then on.

Between Home and Runs stand the forms of the kinds of jobs that have a place; behind Play those of
all others, whose forms are made of their settings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from textual.binding import Binding
from textual.screen import Screen

from talm_core.jobs.registry import spec_of, specs
from talm_core.jobs.spec import load
from talm_core.system.foreign_text import line

HOME = "home"
"""The mode of the place that the app begins with."""

_DIGITS = 9
_MADE = "talm_tui.forms.of_kind:screen_of"


@dataclass(frozen=True, slots=True)
class Entry:
    """A place: its mode, its title in the header, `module:name` of its screen, the kind of job it
    is the form of, and its key, if there is a digit left. What is named is called with the kind
    where the form is `made` of its settings."""

    mode: str
    title: str
    screen: str
    kind: str = ""
    made: bool = False
    key: str = ""

    def load(self) -> type[Screen[None]]:
        """Import the screen."""
        found = load(self.screen)
        return cast("type[Screen[None]]", found(self.kind) if self.made else found)

    def open(self) -> Screen[None]:
        """Import and build the screen."""
        return self.load()()

    @property
    def action_id(self) -> str:
        """The id of the key that leads there."""
        return f"app.{self.mode}"

    @property
    def binding(self) -> Binding:
        """That key."""
        return Binding(
            self.key,
            f"place('{self.mode}')",
            self.title,
            show=False,
            id=self.action_id,
            tooltip=f"Go to {self.title}",
        )


def places() -> tuple[Entry, ...]:
    """Every place in the order of the digits that lead there."""
    forms = [spec for spec in specs() if spec.has_form]
    placed = [
        Entry(spec.place.name, spec.place.title, spec.place.screen, spec.kind)
        for spec in forms
        if spec.place is not None
    ]
    others = [
        Entry(spec.kind, line(spec.artifact.title), _MADE, spec.kind, made=True)
        for spec in forms
        if spec.place is None and spec.artifact is not None
    ]
    found = (
        Entry(HOME, "Home", "talm_tui.home.screen:HomeScreen"),
        *placed,
        Entry("runs", "Runs", "talm_tui.runs.screen:RunsScreen"),
        Entry("play", "Play", "talm_tui.play.screen:PlayScreen"),
        *others,
    )
    return tuple(
        replace(entry, key=str(number) if number <= _DIGITS else "")
        for number, entry in enumerate(found, 1)
    )


def form_of(kind: str) -> str:
    """The mode in which a kind's form is."""
    place = spec_of(kind).place
    return kind if place is None else place.name
