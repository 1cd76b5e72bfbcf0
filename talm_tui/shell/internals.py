"""What talm uses of Textual that Textual does not offer to others, all of it in one place:
`tests/tui/test_internals.py` tells when a new version of Textual has it no more."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from textual._context import NoActiveAppError
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.binding import Binding, BindingsMap
from textual.dom import DOMNode
from textual.message import Message
from textual.screen import Screen

_ESCAPE = "\x1b"
_KEY_AFTER = re.compile(r"(?<=\x1b)(?=[^\x1b\x7f\[\]NOPX^_\\bf])")
"""Between an escape and what does not go on with it. Terminals tell by `[`, `O` and the like that
more than an escape was meant; ESC b, ESC f and ESC DEL move and delete by words on a Mac."""


def begin_styled(screen: Screen[Any]) -> None:
    """Let a new screen count as styled by the theme there is. Textual takes it for styled by an
    older one and would read all styles again on its first and on its second visit."""
    with contextlib.suppress(NoActiveAppError):
        screen._css_update_count = screen.app._css_update_count  # noqa: SLF001


def styles_have_changed(screen: Screen[Any]) -> bool:
    """Whether the theme or a style sheet is another than when the screen was styled."""
    return screen._css_update_count != screen.app._css_update_count  # noqa: SLF001


def stacks(app: App[Any]) -> Mapping[str, Sequence[Screen[Any]]]:
    """The screens of each mode."""
    return app._screen_stacks  # noqa: SLF001


def bindings(cls: type[DOMNode]) -> Iterator[Binding]:
    """The bindings of a class, with those it inherits."""
    for _, binding in cls._merged_bindings or ():
        yield binding


def bind(app: App[Any], own: Sequence[Binding]) -> None:
    """Give an app bindings beside those of its class. Its own `bind` takes no id and no tooltip."""
    app._bindings = BindingsMap.merge([BindingsMap(own), app._bindings])  # noqa: SLF001


class EscapeParser(XTermParser):
    """Reads what a terminal sends, and takes an escape for the escape key unless it begins a
    sequence. Textual's parser waits for what comes after it: on a busy machine, where several keys
    are read at once, `escape 3` would be an inverted exclamation mark, `escape s down` a `^`."""

    _pasting = False
    _escaped = False

    def feed(self, data: str) -> Iterable[Message]:
        """The keys and other events in what was read."""
        begins, ends = data.rfind("\x1b[200~"), data.rfind("\x1b[201~")
        if self._pasting or begins >= 0:
            # What is pasted is no key.
            self._pasting = begins > ends or (self._pasting and ends < 0)
            yield from super().feed(data)
            return
        # Whether an escape that was read last was a key, what follows it tells.
        first, *others = _KEY_AFTER.split(_ESCAPE * self._escaped + data)
        first = first[self._escaped :]
        self._escaped = data.endswith(_ESCAPE)
        if first or not data:
            yield from super().feed(first)
        for part in others:
            if self._timeout_time is not None:
                self._timeout_time = 0.0
                yield from self.tick()
            yield from super().feed(part)


def tell_escape_from_alt(app: App[Any]) -> None:
    """Let the app's terminal be read by `EscapeParser`."""
    driver = vars(sys.modules[app.driver_class.__module__])
    if "XTermParser" in driver:
        driver["XTermParser"] = EscapeParser
