"""What can be done by key. A binding is declared once, in the `BINDINGS` of the place or widget it
belongs to, with a stable id; footer, palette, help, `keymap.toml` and the texts that name a key
all read it from there."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen

from talm_tui.shell.internals import bindings
from talm_tui.shell.places import places

_SHARED = ("talm_tui.shell", "talm_tui.forms", "talm_tui.charts", "talm_tui.widgets")


@dataclass(frozen=True, slots=True)
class Action:
    """Something a key does: `keys` are its defaults, `text` says what it does."""

    id: str
    keys: tuple[str, ...]
    text: str
    priority: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """Bindings that work at the same time, so that no two of them can share a key. Those of
    Textual itself have no id and stand under their description."""

    name: str
    keys: Mapping[str, tuple[str, ...]]


def declared(cls: type) -> list[Action]:
    """The actions declared in the body of a class."""
    own = vars(cls).get("BINDINGS", ())
    assert all(isinstance(binding, Binding) and binding.id for binding in own), cls
    return [_action(binding) for binding in own]


def _action(binding: Binding) -> Action:
    keys = tuple(made.key for made in Binding.make_bindings([binding]))
    text = binding.tooltip or binding.description
    return Action(binding.id or "", keys, text, binding.priority)


def _of_places() -> list[Action]:
    """The keys of the places, which the app has beside those of its class."""
    return [_action(entry.binding) for entry in places() if entry.key]


def find(action_id: str) -> Action:
    """An action by its id, among the classes that are loaded; else all are.

    Raises:
        KeyError: there is none.
    """
    if action_id in (known := {action.id: action for action in _of_places()}):
        return known[action_id]
    return _find(action_id)


@cache
def _find(action_id: str) -> Action:
    for cls in _classes():
        for action in declared(cls):
            if action.id == action_id:
                return action
    return catalogue()[action_id]


def catalogue() -> dict[str, Action]:
    """Every action of the app by its id: what works everywhere first, then place by place. Loads
    every place."""
    _load_all()
    found = {action.id: action for action in _of_places()}
    found |= {action.id: action for cls in _classes() for action in declared(cls)}
    groups = {action_id.split(".")[0]: None for action_id in found}
    order = {group: rank for rank, group in enumerate(groups)}
    return dict(sorted(found.items(), key=lambda item: order[item[0].split(".")[0]]))


def scopes() -> tuple[Scope, ...]:
    """Which bindings work together: those of a place with the app's, those of a dialog, and those
    of a widget that has the focus."""
    _load_all()
    found = []
    app = next(cls for cls in _classes() if issubclass(cls, App))
    for cls in _classes():
        with_app = issubclass(cls, Screen) and not issubclass(cls, ModalScreen)
        works = [*bindings(cls), *(bindings(app) if with_app else ())]
        keys: dict[str, tuple[str, ...]] = {}
        if with_app or cls is app:
            works += [entry.binding for entry in places() if entry.key]
        for binding in works:
            name = binding.id or binding.description
            if name:
                keys[name] = (*keys.get(name, ()), binding.key)
        found.append(Scope(cls.__name__, keys))
    return tuple(found)


def _load_all() -> None:
    import_module("talm_tui.app")
    packages = [entry.load().__module__.rpartition(".")[0] for entry in places()]
    for package in dict.fromkeys([*packages, *_SHARED]):
        for module in pkgutil.iter_modules(import_module(package).__path__):
            import_module(f"{package}.{module.name}")


def _classes() -> list[type[DOMNode]]:
    """The classes of talm that have bindings: the app, then places, dialogs and widgets."""
    found: dict[type[DOMNode], None] = {}
    waiting: list[type[DOMNode]] = [DOMNode]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        if cls.__module__.startswith("talm_tui.") and "BINDINGS" in vars(cls):
            found[cls] = None

    def rank(cls: type[DOMNode]) -> tuple[bool, bool, bool, str, str]:
        dialog, place = issubclass(cls, ModalScreen), issubclass(cls, Screen)
        return not issubclass(cls, App), dialog, not place, cls.__module__, cls.__name__

    return sorted(found, key=rank)
