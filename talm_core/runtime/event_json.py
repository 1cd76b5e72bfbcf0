"""Events and commands as lines of JSON, and back. What cannot be understood is left out."""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from talm_core.runtime.events import Command, Event, Record, Telemetry
from talm_core.system.memory import DeviceMemory

_EVENTS: dict[str, type[Event]] = {cls.__name__: cls for cls in Event.__subclasses__()}
_COMMANDS: dict[str, type[Command]] = {cls.__name__: cls for cls in Command.__subclasses__()}

T = TypeVar("T", Event, Command)


def to_json(thing: Event | Command, *, time: float | None = None, lane: int = 0) -> str:
    """One line of JSON, without the newline. Non-finite floats become the strings `"nan"`,
    `"inf"` and `"-inf"`, which every JSON reader accepts and `float()` reads back."""
    head: dict[str, Any] = {
        "event" if isinstance(thing, Event) else "command": type(thing).__name__
    }
    if time is not None:
        head["time"] = round(time, 3)
    if lane:
        head["lane"] = lane
    return json.dumps(_plain(head | _shallow(thing)), ensure_ascii=False, allow_nan=False)


def decode(line: str | bytes) -> Record | None:
    """The record of one journal line; None for a torn, foreign or unknown one."""
    values = _loads(line)
    if values is None:
        return None
    event = _build(_EVENTS, values.get("event"), values)
    time = _number(values.get("time", 0.0))
    if event is None or not isinstance(time, float | int) or not math.isfinite(time):
        return None
    lane = values.get("lane", 0)
    return Record(float(time), event, lane if isinstance(lane, int) else 0)


def decode_command(line: str | bytes) -> Command | None:
    """The command of one line; None for a torn, foreign or unknown one."""
    values = _loads(line)
    return None if values is None else _build(_COMMANDS, values.get("command"), values)


def _loads(line: str | bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _shallow(thing: object) -> dict[str, Any]:
    return {item.name: getattr(thing, item.name) for item in fields(thing)}  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        # A lone surrogate cannot be written as UTF-8.
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, DeviceMemory):
        return _plain(_shallow(value))
    return value


def _number(value: Any) -> Any:
    return float(value) if value in _NOT_FINITE else value


_NOT_FINITE = ("nan", "inf", "-inf")
_BEYOND = 1 << 63
_MISSING = object()
_PLAIN: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "None": (type(None),),
}


def _slots(cls: type[Any]) -> tuple[tuple[str, frozenset[type], bool, bool], ...]:
    """Each field of a dataclass: its name, the types of JSON it takes, whether a string may stand
    for a float that is not finite, whether it must be there."""
    slots = []
    for item in fields(cls):
        types: set[type] = set()
        for option in map(str.strip, str(item.type).split("|")):
            # Containers are checked by their outer type: readers treat what is inside as data.
            container = {"list": list, "dict": dict}.get(option.partition("[")[0])
            types.update(_PLAIN.get(option, ()) if container is None else (container,))
        needed = item.default is MISSING and item.default_factory is MISSING
        slots.append((item.name, frozenset(types), "float" in str(item.type), needed))
    return tuple(slots)


# Worked out once: a journal has as many lines as a run has steps.
_SLOTS = {cls: _slots(cls) for cls in (*_EVENTS.values(), *_COMMANDS.values(), DeviceMemory)}


def _build(known: dict[str, type[T]], name: Any, values: dict[str, Any]) -> T | None:
    cls = known.get(name) if isinstance(name, str) else None
    arguments = None if cls is None else _arguments(cls, values)
    if cls is None or arguments is None:
        return None
    if cls is Telemetry:
        devices = [_device(item) for item in arguments["devices"]]
        if None in devices:
            return None
        arguments["devices"] = devices
    return cls(**arguments)


def _device(item: Any) -> DeviceMemory | None:
    arguments = _arguments(DeviceMemory, item) if isinstance(item, dict) else None
    return None if arguments is None else DeviceMemory(**arguments)


def _arguments(cls: type[Any], values: dict[str, Any]) -> dict[str, Any] | None:
    """The values of a dataclass's fields; None where one is missing or of another type."""
    arguments: dict[str, Any] = {}
    for name, types, number, needed in _SLOTS[cls]:
        value = values.get(name, _MISSING)
        kind = type(value)
        if kind in types:
            # No count of ours is that large, and arrays of floats could not hold it.
            if kind is int and not -_BEYOND < value < _BEYOND:
                return None
            arguments[name] = value
        elif value is _MISSING:
            if needed:
                return None
        elif number and value in _NOT_FINITE:
            arguments[name] = float(value)
        else:
            return None
    return arguments
