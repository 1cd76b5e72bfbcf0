"""The keys of somebody's own, as the app has them."""

from __future__ import annotations

from typing import Any, Protocol

from textual.app import App
from textual.widget import Widget

from talm_tui.shell import actions, keymap
from talm_tui.shell.internals import stacks


class Say(Protocol):
    """Shows a text as a notification."""

    def __call__(self, text: str, *, severity: str = "error") -> None: ...


class OwnKeys:
    """What `keymap.toml` asks for. What cannot be is found once every place is loaded."""

    def __init__(self, app: App[Any], say: Say) -> None:
        self._app = app
        self._say = say
        self._asked = keymap.read()
        self._keys = self._asked.keys
        app.set_keymap(self._keys)

    def of(self, action_id: str) -> tuple[str, ...]:
        """The keys of an action, as Textual calls them."""
        own = self._keys.get(action_id)
        return tuple(own.split(",")) if own else actions.find(action_id).keys

    @property
    def alt(self) -> bool:
        """Whether a key with alt is one of them, which most terminals send as an escape before the
        key."""
        return any("alt+" in keys for keys in self._keys.values())

    def check(self) -> None:
        """Leave out of the keymap what cannot be, and say so."""
        if self._asked == keymap.Keymap():
            return
        checked = keymap.check(self._asked)
        if checked.keys != self._keys:
            self._take(checked.keys)
        if checked.problems:
            said = "\n".join(checked.problems[:8])
            more = len(checked.problems) - 8
            self._say(f"{keymap.path()}\n{said}" + (f"\nand {more} more" if more > 0 else ""))

    def _take(self, keys: dict[str, str]) -> None:
        self._keys = keys
        self._app.set_keymap(keys)
        for stack in stacks(self._app).values():
            for screen in stack:
                for widget in screen.walk_children(Widget):
                    widget.refresh()

    def read(self) -> None:
        """Take the keys as the file is now."""
        self._asked = keymap.read()
        self._take(self._asked.keys)
        self.check()
        self._say(f"{len(self._keys)} of your own keys", severity="information")

    def write(self) -> None:
        """Make a file to edit."""
        try:
            path = keymap.write()
        except FileExistsError:
            self._say(f"{keymap.path()} is there already: edit it", severity="information")
        except OSError as error:
            self._say(f"{keymap.path()} cannot be written: {error}")
        else:
            self._say(f"Every action and its key: {path}", severity="information")
