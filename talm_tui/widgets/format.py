"""Numbers as somebody reads them at a glance."""

from __future__ import annotations

UNKNOWN = "?"
_LARGEST = 1e18


def count(number: float) -> str:
    """`4,096`, `31,500`, `3.4 M`, `12 G`: exact up to a hundred thousand."""
    if not _sayable(number):
        return UNKNOWN
    if abs(number) < 100_000:
        return f"{round(number):,}"
    return _scaled(number, ("k", "M", "G", "T"))


def size(number: float) -> str:
    """Bytes as `640 B`, `31 kB`, `3.4 MB`, `12 GB`."""
    if not _sayable(number):
        return UNKNOWN
    if abs(number) < 1000:
        return f"{round(number)} B"
    return _scaled(number, ("kB", "MB", "GB", "TB"))


def memory(number: float) -> str:
    """Bytes as `640 B`, `31 KiB`, `3.4 MiB`, `12 GiB`, as memory is sold and shown."""
    if not _sayable(number):
        return UNKNOWN
    power = 0
    while power < 4 and abs(number) >= 999.5 * 1024**power:
        power += 1
    if power == 0:
        return f"{round(number)} B"
    return f"{_short(number / 1024**power)} {('KiB', 'MiB', 'GiB', 'TiB')[power - 1]}"


def duration(seconds: float) -> str:
    """`0:48`, `12:05`, `3 h 20 min`, `4 d 2 h`."""
    if not _sayable(seconds):
        return UNKNOWN
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    minutes = whole // 60
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = minutes // 60
    return f"{hours // 24} d {hours % 24} h"


def _sayable(number: float) -> bool:
    """A journal may hold any number; one that is none, or beyond all measure, has no words."""
    return abs(number) < _LARGEST


def _scaled(number: float, suffixes: tuple[str, ...]) -> str:
    power = 1
    # Rounded first: 999,960 is 1.0 M, not 1,000 k.
    while power < len(suffixes) and abs(number) >= 999.5 * 1000**power:
        power += 1
    return f"{_short(number / 1000**power)} {suffixes[power - 1]}"


def _short(number: float) -> str:
    """Two digits that count, or all before the point."""
    return f"{number:.1f}" if abs(number) < 9.95 else f"{round(number):,}"
