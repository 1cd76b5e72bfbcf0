"""Numbers as somebody reads them at a glance: counts, sizes, shares, durations, times."""

from __future__ import annotations

import math
import time

UNKNOWN = "?"
UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
GIB = 2**30
_LARGEST = 1e18
_EVER = 1e11
_DAY = 86400


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


def short_number(value: float) -> str:
    """A number in few cells: `0.71`, `41 k`, `2.1e-3`, `–` where there is none."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    if size and size < 0.01:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    for unit, suffix in UNITS:
        if size >= unit * 0.9995 and size >= 9_999.5:
            scaled = value / unit
            return f"{scaled:.0f} {suffix}" if abs(scaled) >= 99.95 else f"{scaled:.3g} {suffix}"
    return f"{value:,.0f}" if size >= 99.95 else f"{value:.3g}"


def brief_loss(number: float | None) -> str:
    """A loss with two digits; one that no table could hold as `1e+09`."""
    if number is None:
        return ""
    return f"{number:.2f}" if not abs(number) >= 1000 else f"{number:.0e}"


def brief_rate(number: float) -> str:
    """`640`, `4.1 k`, `41 k`, `1.2 M`: a rate at a glance."""
    if not 0 <= number < 1e12:
        return UNKNOWN
    for factor, suffix in ((1e6, " M"), (1e3, " k")):
        if number >= factor:
            scaled = number / factor
            return f"{scaled:.1f}{suffix}" if scaled < 10 else f"{scaled:,.0f}{suffix}"
    return f"{number:.0f}"


def gib(size: float) -> str:
    """`4.1`, `139`: gibibytes in few cells."""
    value = size / GIB
    return f"{value:.0f}" if value >= 99.5 else f"{value:.1f}"


def of_total(used: float, total: float) -> str:
    """`4.1/23 GiB`."""
    return f"{gib(used)}/{total / GIB:.0f} GiB"


def share_of_memory(used: int, total: int) -> str:
    """`4.1/23 GiB`, with a digit however much it is."""
    return f"{used / GIB:.1f}/{total / GIB:.0f} GiB"


def percent(fraction: float | None) -> str:
    """`46 %`; what is not done never reads 100; empty where it is not known."""
    if fraction is None or math.isnan(fraction):
        return ""
    return f"{100 if fraction >= 1 else min(99, int(100 * fraction + 0.5))} %"


def elapsed(seconds: float) -> str:
    """`0:48`, `1:04:10`, `3 d 4:00:00`, `–` where there is none."""
    if not math.isfinite(seconds):
        return "–"
    whole = max(0, round(seconds))
    days, rest = divmod(whole, _DAY)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    text = f"{hours}:{minutes:02}:{rest:02}" if hours or days else f"{minutes}:{rest:02}"
    return f"{days} d {text}" if days else text


def now() -> float:
    """Seconds since the epoch."""
    return time.time()


def ago(then: float) -> str:
    """When something was: `just now`, `5 min ago`, `3 h ago`, `yesterday`, `12 days ago`."""
    seconds = now() - then
    if not abs(seconds) < _EVER:
        return ""
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if seconds < 20 * 3600:
        return f"{int(seconds // 3600)} h ago"
    days = max(1, round(seconds / 86400))
    return "yesterday" if days == 1 else f"{days:,} days ago"


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
