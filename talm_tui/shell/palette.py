"""What the palette offers of the app's own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from textual.app import App, SystemCommand
from textual.screen import Screen

from talm_tui.host import host
from talm_tui.shell.places import PLACES

_LISTED = {"app.palette", "app.quit", *(f"app.{entry.mode}" for entry in PLACES)}


def commands(app: App[Any], screen: Screen[Any]) -> Iterator[SystemCommand]:
    """The places, then what can be done on this screen."""
    talm = host(app)
    for entry in PLACES:
        go = partial(talm.action_place, entry.mode)
        yield SystemCommand(f"Go to {entry.title}", f"Key {talm.key(f'app.{entry.mode}')}", go)
    done: set[str] = set()
    for node, binding, enabled, tooltip in screen.active_bindings.values():
        said = binding.show or tooltip
        # The places stand above, these below.
        listed = node is app and binding.id in _LISTED
        if not enabled or not said or binding.action in done or listed:
            continue
        done.add(binding.action)
        key = f"Key {app.get_key_display(binding)}"
        run = partial(app.run_action, binding.action, node)
        yield SystemCommand(tooltip or binding.description, key, run)
