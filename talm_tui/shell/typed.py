"""Keys, one after the other: each finds the screen as the one before has left it.

Textual gives a key to what has the focus at that moment, while what the key before it set off (a
dialog that opens, a focus that moves, a list that is filtered) may still be on its way through the
queues of a dozen widgets. Whoever types quickly, or on a busy machine, then types into what is no
more, or is not yet. So a key waits here until all that is done. Letters for a field that has the
letters before them need not: its own queue keeps them in order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from textual import events
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, TextArea

Typed = events.Key | events.Paste
Give = Callable[[Typed], Awaitable[None]]

_ANSWER_SECONDS = 0.06
_PATIENCE = 10.0
"""Seconds that a key waits at most: whatever hangs, ctrl+q is answered."""
_LOOK = 2.0
"""Seconds that a key waits for what a dialog reads: a disk on a slow network may take longer."""
_AGAIN = 0.25
"""Seconds after which is looked anew at whom to wait for: a widget may be gone by then."""


class TypedApp(App[None]):
    """An app in which somebody types: no key is lost, comes twice or goes astray."""

    def __init__(self) -> None:
        super().__init__()
        self._pressed = 0.0
        self._typed = KeysInOrder(self, super().on_event)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.InputEvent):
            self._pressed = time.monotonic()
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            self._typed.put(event)
        else:
            await super().on_event(event)

    @property
    def busy(self) -> bool:
        """Whether a key or the mouse is being answered, as long as that usually takes: whoever
        has time leaves the interpreter to it."""
        return time.monotonic() - self._pressed < _ANSWER_SECONDS

    def pop_screen(self) -> AwaitComplete:
        """Leave a dialog. One that is answered twice, such as by two clicks before it was gone, is
        left once."""
        if len(self.screen_stack) <= 1:
            return AwaitComplete()
        return super().pop_screen()

    def on_unmount(self) -> None:
        self._typed.close()


class KeysInOrder:
    """Gives the keys that arrive to the app, each as soon as the one before is done with."""

    def __init__(self, app: App[Any], give: Give) -> None:
        """`give` is how the app itself handles a key; it is called in the app's own turn."""
        self._app = app
        self._give = give
        self._arrived: asyncio.Queue[Typed] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._field: Widget | None = None

    def put(self, event: Typed) -> None:
        """Take a key that has arrived."""
        self._arrived.put_nowait(event)
        if self._task is None:
            self._task = asyncio.create_task(self._hand_on(), name="keys")
            self._task.add_done_callback(self._ended)

    def close(self) -> None:
        """Give no more keys."""
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A bug here ends the app as anywhere else; keys that do nothing would be worse."""
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._app.call_later(partial(_raise, error))

    async def _hand_on(self) -> None:
        while True:
            event = await self._arrived.get()
            if self._field is None or self._field is not self._letter_for(event):
                await self._quiet()
            self._field = self._letter_for(event)
            self._app.call_later(self._give, event)

    def _letter_for(self, event: Typed) -> Widget | None:
        """The field in which this is text; None where it may be anything else."""
        field = self._app.focused
        if not isinstance(field, Input | TextArea):
            return None
        is_text = isinstance(event, events.Paste) or (
            event.is_printable and field.check_consume_key(event.key, event.character)
        )
        return field if is_text else None

    async def _quiet(self) -> None:
        """Wait until whoever may get the next key has nothing left to do, and stays who it is."""
        began = time.monotonic()
        while (waited := time.monotonic() - began) < _PATIENCE:
            screen, pumps = self._app.screen, self._listening()
            for pump in pumps:
                await _has_come_to(pump)
            if (
                screen.is_mounted
                and pumps == self._listening()
                and not any(pump.message_queue_size for pump in pumps)
                and (waited > _LOOK or not _looks(screen))
            ):
                return
            await asyncio.sleep(0.001)

    def _listening(self) -> Sequence[MessagePump]:
        """Whom a key is passed on to, from the focused widget up to the app: what one of them
        tells another goes the same way."""
        return (self._app.focused or self._app.screen).ancestors_with_self


def _looks(screen: Screen[Any]) -> bool:
    """Whether a dialog still reads what the next key may choose from."""
    return screen.is_modal and any(
        worker.node is screen and not worker.is_finished for worker in screen.workers
    )


async def _has_come_to(pump: MessagePump) -> None:
    """Wait until a widget has done what it was told before now."""
    done = asyncio.Event()
    if pump.call_later(done.set):
        try:
            async with asyncio.timeout(_AGAIN):
                await done.wait()
        except TimeoutError:
            return


def _raise(error: BaseException) -> None:
    raise error
