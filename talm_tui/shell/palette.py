"""What the palette offers of the app's own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from textual.app import App, SystemCommand
from textual.screen import Screen

from talm_tui.host import host
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
