"""What talm uses of Textual that Textual does not offer to others, all of it in one place:
`tests/tui/test_internals.py` tells when a new version of Textual has it no more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from textual._context import NoActiveAppError
from textual.app import App
from textual.binding import Binding, BindingsMap
from textual.dom import DOMNode
from textual.screen import Screen


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
