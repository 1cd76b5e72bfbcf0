"""The last line of every place: the keys that work here."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from textual import events
from textual.app import App
from textual.binding import Binding
from textual.content import Content
from textual.dom import DOMNode
from textual.keys import KEY_NAME_REPLACEMENTS, key_to_character
from textual.widget import Widget

from talm_tui.shell.internals import bindings

_ROOM_FOR_JUMP = 100
_UNICODE_NAMES = {short: name for name, short in KEY_NAME_REPLACEMENTS.items()}


@cache
def _declared_at(cls: type[DOMNode]) -> dict[str | None, int]:
    """The places of a class's bindings, by their ids, in the order they are declared in."""
    return {binding.id: place for place, binding in enumerate(bindings(cls))}


class KeyLine(Widget):
    """The bindings of the focused widget and its screen at the left, the app's at the right.

    One widget that draws one line: changing the focus costs a repaint of a line, where
    a widget a key would cost a new layout. What does not fit is left out at the end of the
    left side; the palette and the help panel have everything.
    """

    DEFAULT_CSS = """
    KeyLine { dock: bottom; height: 1; background: $footer-background; color: $foreground; }
    """
    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__(id="keys")
        self._spans: list[tuple[int, int, str]] = []
        self._last: tuple[list[Binding], list[Binding]] | None = None

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self._look())

    def _look(self) -> None:
        shown = self._shown()
        if shown != self._last:
            self._last = shown
            self.refresh()

    def _shown(self) -> tuple[list[Binding], list[Binding]]:
        own: dict[str, Binding] = {}
        places: dict[str, tuple[int, int]] = {}
        nodes: dict[DOMNode, int] = {}
        general: dict[str, Binding] = {}
        for node, binding, enabled, _ in self.screen.active_bindings.values():
            if not enabled or not binding.show or self._typed(binding):
                continue
            if (label_of := getattr(node, "label_of", None)) and (text := label_of(binding.action)):
                binding = replace(binding, description=text)
            if isinstance(node, App):
                general.setdefault(binding.action, binding)
            elif not binding.system and binding.action not in own:
                own[binding.action] = binding
                rank = nodes.setdefault(node, len(nodes))
                places[binding.action] = rank, _declared_at(type(node)).get(binding.id, 0)
        # The palette is the way to everything that is not shown; quitting is always last.
        order = {"jump": 0, "command_palette": 1, "quit": 3}
        last = sorted(general.values(), key=lambda binding: order.get(binding.action, 2))
        # As declared: Textual puts those with a key of somebody's own behind all others.
        return [own[action] for action in sorted(own, key=places.__getitem__)], last

    def _typed(self, binding: Binding) -> bool:
        """Whether the key would only be typed into the field that has the focus. Textual leaves
        these out itself, but for the keys it has a short name for, such as `plus`."""
        focused = self.screen.focused
        if focused is None or binding.priority:
            return False
        character = key_to_character(_UNICODE_NAMES.get(binding.key, binding.key))
        return focused.check_consume_key(binding.key, character)

    def render(self) -> Content:
        width = self.size.width
        own, general = self._shown()
        if width < _ROOM_FOR_JUMP:
            general = [binding for binding in general if binding.action != "jump"]
        parts: list[tuple[str, str] | str] = []
        self._spans = []
        right = [self._text(binding) for binding in general]
        room = width - sum(len(key) + len(text) + 3 for key, text in right) - 1
        position = 0
        for binding in own:
            key, text = self._text(binding)
            length = len(key) + len(text) + 3
            if position + length > room:
                break
            position = self._add(parts, position, key, text, binding.key)
        gap = max(0, width - 1 - sum(len(key) + len(text) + 3 for key, text in right) - position)
        parts.append(" " * gap)
        position += gap
        for (key, text), binding in zip(right, general, strict=True):
            position = self._add(parts, position, key, text, binding.key)
        return Content.assemble(*parts)

    def _text(self, binding: Binding) -> tuple[str, str]:
        return self.app.get_key_display(binding), binding.description

    def _add(
        self, parts: list[tuple[str, str] | str], position: int, key: str, text: str, press: str
    ) -> int:
        end = position + len(key) + len(text) + 3
        parts += [" ", (key, "bold $footer-key-foreground"), " ", text, " "]
        self._spans.append((position, end, press))
        return end

    def on_click(self, event: events.Click) -> None:
        """A click on a key is the key."""
        for start, end, press in self._spans:
            if start <= event.x < end:
                self.app.simulate_key(press)
