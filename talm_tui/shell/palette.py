"""What the palette offers of the app's own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from textual.app import App, SystemCommand
from textual.command import Hit, Hits, Provider
from textual.screen import Screen

from talm_tui.host import host
from talm_tui.shell.internals import bindings
from talm_tui.shell.places import places


def commands(app: App[Any], screen: Screen[Any]) -> Iterator[SystemCommand]:
    """The places, then what can be done on this screen."""
    talm = host(app)
    for entry in places():
        go = partial(talm.action_place, entry.mode)
        key = f"Key {talm.key(entry.action_id)}" if entry.key else "A form and what it made"
        yield SystemCommand(f"Go to {entry.title}", key, go)
    apart = {"app.palette", "app.quit", *(entry.action_id for entry in places())}
    done: set[str] = set()
    for node, binding, enabled, tooltip in screen.active_bindings.values():
        said = binding.show or tooltip
        # The places stand above, these below.
        listed = node is app and binding.id in apart
        if not enabled or not said or binding.action in done or listed:
            continue
        done.add(binding.action)
        key = f"Key {app.get_key_display(binding)}"
        run = partial(app.run_action, binding.action, node)
        yield SystemCommand(tooltip or binding.description, key, run)


class OtherPlaces(Provider):
    """What can be done at the places that are not shown, found by whoever searches for it."""

    async def search(self, query: str) -> Hits:
        """Go to the place, and do it there."""
        matcher, listed = self.matcher(query), set()
        for entry in places():
            cls = entry.load()
            if isinstance(self.screen, cls):
                continue
            for binding in bindings(cls):
                text = binding.tooltip or binding.description
                if not binding.id or not text or (entry.mode, binding.action) in listed:
                    continue
                listed.add((entry.mode, binding.action))
                title = f"{entry.title}: {text}"
                if (score := matcher.match(title)) > 0:
                    run = partial(_at, self.app, entry.mode, binding.action)
                    key = f"Key {self.app.get_key_display(binding)}"
                    yield Hit(score, matcher.highlight(title), run, text=title, help=key)


def _at(app: App[Any], mode: str, action: str) -> None:
    """Do something at a place; what cannot be done there now says why."""
    host(app).action_place(mode)

    async def act() -> None:
        place = app.screen
        if not await app.run_action(action, place):
            why_not = getattr(place, "why_not", None)
            why = "" if why_not is None else why_not(action.partition("(")[0])
            app.notify(why or "It cannot be done there now", markup=False, timeout=4)

    app.call_later(act)
