"""Keys of somebody's own: `keymap.toml` in the user's configuration directory.

    [home]
    quickstart = "f5"
    open = "enter, o"

A key is given to an action by the action's stable id. What the file asks for and cannot be is told
and left out; everything else holds.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from textual.keys import (
    KEY_DISPLAY_ALIASES,
    KEY_NAME_REPLACEMENTS,
    Keys,
    _character_to_key,
    key_to_character,
)

from talm_tui.shell import actions, preferences

FILE_NAME = "keymap.toml"

_MODIFIERS = ("ctrl", "alt", "shift", "super", "hyper", "meta")
_ALIASES = {
    **{
        shown: name for name, shown in KEY_DISPLAY_ALIASES.items() if name not in ("minus", "space")
    },
    "return": "enter",
    "page_up": "pageup",
    "page_down": "pagedown",
    "ins": "insert",
}
_TAKEN = {
    "ctrl+i": "tab",
    "ctrl+m": "enter",
    "ctrl+h": "backspace",
    "ctrl+j": "enter",
    "ctrl+left_square_bracket": "escape",
}
"""What a terminal sends for these is another key."""

HEAD = """\
# The keys of talm-tui. Take the # off a line and change what stands in quotes.
#
# Several keys are separated by commas: "j, down". A key is a character ("j", "J", "/"), or a name
# such as enter, space, escape, tab, up, pageup, home, f5, with ctrl+, alt+ or shift+ before it.
# A terminal sends ctrl+i, ctrl+m, ctrl+h and ctrl+j as tab, enter and backspace.
#
# "Read keymap.toml again" in the palette takes the file without leaving talm-tui.
"""


@dataclass(frozen=True)
class Keymap:
    """Keys by the id of an action, as Textual wants them, and what could not be understood."""

    keys: dict[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def path() -> Path:
    """Where the file is, or would be."""
    return preferences.directory() / FILE_NAME


def read() -> Keymap:
    """The file as it stands, each key by its full name; no file, no keys. Ids and clashes are not
    looked at: that takes every place, and waits until they are loaded."""
    try:
        text = path().read_text(encoding="utf-8")
        import tomllib

        values = tomllib.loads(text)
    except FileNotFoundError:
        return Keymap()
    except (OSError, ValueError, RecursionError) as error:
        return Keymap(problems=(f"{path()} cannot be read: {error}",))
    keys: dict[str, str] = {}
    problems = []
    for action, value in _flat(values):
        words = value.split(",") if isinstance(value, str) else value
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            problems.append(f'{action} = {value!r}: keys are written "j" or "j, down"')
            continue
        if value == ",":
            words = [","]
        named = [_named(word) for word in words]
        wrong = [problem for _, problem in named if problem]
        problems += [f"{action}: {problem}" for problem in wrong]
        if not wrong:
            keys[action] = ",".join(name for name, _ in named)
    return Keymap(keys, tuple(problems))


def check(asked: Keymap) -> Keymap:
    """What of a keymap can be: every id there is, and no two actions on one key where both work.
    Loads every place."""
    known = actions.catalogue()
    problems = list(asked.problems)
    keys: dict[str, str] = {}
    for action, value in asked.keys.items():
        problem = _unfit(action, value, known)
        if problem:
            problems.append(problem)
        else:
            keys[action] = value
    while (clash := _clash(keys)) is not None:
        action, key, other = clash
        text = known[other].text if other in known else "Textual's own"
        problems.append(
            f"{action}: {key} is the key of {other} ({text}); choose another, or move that too"
        )
        del keys[action]
    return Keymap(keys, tuple(problems))


def _unfit(action: str, value: str, known: Mapping[str, actions.Action]) -> str:
    if action not in known:
        near = difflib.get_close_matches(action, known, n=1)
        hint = f"do you mean {near[0]}?" if near else "talm-tui --write-keymap lists them"
        return f"{action}: there is no such action; {hint}"
    typed = [key for key in value.split(",") if _is_typed(key) and key not in known[action].keys]
    if known[action].priority and typed:
        return (
            f"{action}: {typed[0]} could not be typed into a field any more; use ctrl or f1 to f12"
        )
    return ""


def _clash(keys: Mapping[str, str]) -> tuple[str, str, str] | None:
    """An action of the keymap, its key, and who else has it."""
    for scope in actions.scopes():
        owners: dict[str, str] = {}
        for action, defaults in scope.keys.items():
            for key in keys[action].split(",") if action in keys else defaults:
                other = owners.setdefault(key, action)
                if other == action:
                    continue
                if action in keys:
                    return action, key, other
                if other in keys:
                    return other, key, action
    return None


def template() -> str:
    """Every action with its keys, commented out."""
    lines = [HEAD]
    group = ""
    for action in actions.catalogue().values():
        head, _, name = action.id.partition(".")
        if head != group:
            group = head
            lines.append(f"\n[{group}]\n")
        keys = ", ".join(action.keys)
        lines.append(f"# {f'{name} = {chr(34)}{keys}{chr(34)}':<34} # {action.text}\n")
    return "".join(lines)


def write() -> Path:
    """Make the file, with every action and its keys commented out.

    Raises:
        FileExistsError: there is one already.
        OSError: it cannot be written.
    """
    target = path()
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("x", encoding="utf-8") as file:
        file.write(template())
    return target


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@cache
def _names() -> set[str]:
    """The names of keys that are no characters."""
    values = {key.value for key in Keys}
    known = {value for value in values if "+" not in value and not value.startswith("<")}
    return (known | {*KEY_NAME_REPLACEMENTS.values(), "backspace"}) - {"return", "ctrl-at"}


def _named(word: str) -> tuple[str, str]:
    """A key's full name and what is wrong with it: `/` is `slash`, `^r` is `ctrl+r`."""
    text = word.strip() or word[:1]
    if len(text) == 1 and text not in _ALIASES:
        return _character_to_key(text), "" if text.isprintable() else f"{text!r} is no key"
    if not text:
        return "", "a key is missing"
    if text.startswith("^"):
        text = f"ctrl+{text[1:]}"
    *modifiers, base = text.split("+") if not text.endswith("++") else [*text[:-2].split("+"), "+"]
    modifiers = [modifier.lower() for modifier in modifiers]
    base = base if len(base) == 1 else base.lower()
    base = _ALIASES.get(base, _character_to_key(base) if len(base) == 1 else base)
    wrong = [modifier for modifier in modifiers if modifier not in _MODIFIERS]
    if wrong or not (base in _names() or key_to_character(base)):
        near = difflib.get_close_matches(base, _names(), n=1, cutoff=0.7)
        hint = f"; do you mean {near[0]}?" if near and not wrong else ""
        return "", f'there is no key "{word.strip()}"{hint}'
    if modifiers == ["shift"] and len(base) == 1 and base.isalpha():
        return base.upper(), ""
    if modifiers and len(base) == 1:
        base = base.lower()
    name = "+".join([*sorted(modifiers, key=_MODIFIERS.index), base])
    if name in _TAKEN:
        return "", f"a terminal sends {name} as {_TAKEN[name]}; choose another"
    return name, ""


def _is_typed(key: str) -> bool:
    return key == "space" or key_to_character(key) is not None
