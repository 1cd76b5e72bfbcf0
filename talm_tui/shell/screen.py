"""What every place has: the header line, its own content, the line of keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar, TypeVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from talm_tui.host import Host, host
from talm_tui.services.messages import Trouble
from talm_tui.shell.footer import KeyLine
from talm_tui.shell.header import HeaderLine
from talm_tui.shell.internals import begin_styled, styles_have_changed

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
