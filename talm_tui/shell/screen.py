"""What every place has: the header line, its own content, the line of keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar, TypeVar

from textual import events, on
from textual.actions import parse
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from talm_tui.host import Host, host
from talm_tui.services.messages import Trouble
from talm_tui.shell.footer import KeyLine
from talm_tui.shell.header import HeaderLine
from talm_tui.shell.internals import begin_styled, bindings, styles_have_changed
from talm_tui.shell.places import HOME

T = TypeVar("T")


class Part:
    """What can be done at a place in one respect: the keys for it, which the place lists among its
    own, and what they do."""

    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, place: Place) -> None:
        self.place = place

    @property
    def talm(self) -> Host:
        """The app."""
        return self.place.talm

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Whether one of its actions can be done now."""
        return True

    def label_of(self, action: str) -> str:  # noqa: ARG002
        """What one is called now; empty where it is always called the same."""
        return ""

    def why_not(self, action: str) -> str:  # noqa: ARG002
        """Why one that cannot be done now cannot; empty where that goes without saying."""
        return ""

    def look(
        self,
        group: str,
        work: Callable[[], T],
        then: Callable[[T], object],
        *,
        failed: Callable[[OSError], str] = str,
        changes: bool = False,
    ) -> None:
        """Do some work in a thread, then go on with what came of it; what cannot be done is said.
        Newer work of a group takes the place of older, but of what `changes` the workspace."""

        async def done() -> None:
            from talm_core.errors import InputError

            try:
                found = await asyncio.to_thread(work)
            except InputError as error:
                self.place.app.post_message(Trouble(str(error)))
            except OSError as error:
                self.place.app.post_message(Trouble(failed(error)))
            else:
                then(found)
            if changes:
                self.talm.refresh_workspace()

        self.place.run_worker(done(), group=group, exclusive=not changes, exit_on_error=False)


class Place(Screen[None]):
    """One of the screens that a digit leads to. A subclass gives `compose_place`."""

    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave_field", "Leave the field", show=False, id="place.leave"),
        Binding("q", "back", "Back", show=False, id="place.back", tooltip="Back, at last to Home"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._parts: dict[str, Part] = {}
        begin_styled(self)

    @property
    def talm(self) -> Host:
        """The app, with its own type."""
        return host(self)

    def have(self, *parts: Part) -> None:
        """Make the actions of some parts the place's own."""
        for part in parts:
            for name in dir(part):
                if name.startswith("action_"):
                    setattr(self, name, getattr(part, name))
                    self._parts[name.removeprefix("action_")] = part

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done now is offered."""
        part = self._parts.get(action)
        if part is not None:
            return part.check_action(action, parameters)
        return super().check_action(action, parameters)

    def compose(self) -> ComposeResult:
        yield HeaderLine()
        yield from self.compose_place()
        yield KeyLine()

    def compose_place(self) -> ComposeResult:
        """The widgets between header and footer."""
        yield from ()

    @on(events.ScreenResume)
    def _keep_styles(self, event: events.ScreenResume) -> None:
        # Nothing that decides about its styles has changed while it was not shown, unless the theme
        # or a style sheet has: to look through all rules again takes longer than to paint it.
        event.refresh_styles = styles_have_changed(self)

    def action_leave_field(self) -> None:
        """Take the focus off the field, so that digits switch places again."""
        self.set_focus(None)

    @property
    def inside(self) -> bool:
        """Whether there is anything at this place to go back from."""
        return self.focused is not None

    def action_back(self) -> None:
        """Leave what is open here; else go Home."""
        if self.inside:
            self.action_leave_field()
        else:
            self.talm.action_place(HOME)

    def why_not(self, action: str) -> str:
        """Why an action that cannot be done now cannot; empty where that goes without saying."""
        part = self._parts.get(action)
        return "" if part is None else part.why_not(action)

    def label_of(self, action: str) -> str:
        """What an action is called now; empty where it is always called the same."""
        part = self._parts.get(action.partition("(")[0])
        return "" if part is None else part.label_of(action)

    def on_key(self, event: events.Key) -> None:
        """A key that does nothing now says why. It comes here before it comes to the bindings."""
        for binding in bindings(type(self)):
            if binding.id and event.key in self.talm.keys(binding.id):
                _, action, parameters = parse(binding.action)
                if not self.check_action(action, parameters) and (why := self.why_not(action)):
                    self.notify(why, markup=False, timeout=4)
                return
