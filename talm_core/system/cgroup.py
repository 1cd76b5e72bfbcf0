"""What Linux lets this process have of the machine: a container, a batch system or a service
manager may give it less memory and fewer cores than there are. Both versions of control groups.

https://docs.kernel.org/admin-guide/cgroup-v2.html, …/cgroup-v1/memory.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class _Names:
    """Where one version says what: the limit, what is used, what of that could be given back."""

    limit: str
    used: str
    reclaimable: str


_UNLIMITED = 2**60  # version 1 writes a number near 2^63 where there is no limit
_V1 = _Names("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Names("memory.max", "memory.current", "inactive_file")


def memory(root: Path = ROOT, own: Path = OWN) -> tuple[int, int] | None:
    """Bytes used and allowed in the group with the lowest limit around this process; None where
    there is no limit. Files that are only cached do not count as used."""
    found: list[tuple[int, int]] = []
    for version, group in _groups(root, own, "memory"):
        names = _V2 if version == 2 else _V1
        limit = _number(group / names.limit)
        if limit is not None and limit < _UNLIMITED:
            found.append((limit, _used(group, names)))
    if not found:
        return None
    limit, used = min(found)
    return used, limit


def cores(root: Path = ROOT, own: Path = OWN) -> int | None:
    """How many cores' time this process may use, rounded up; None where there is no limit."""
    shares = []
    for version, group in _groups(root, own, "cpu"):
        if version == 2:
            quota, _, period = _text(group / "cpu.max").partition(" ")
        else:
            quota = _text(group / "cpu.cfs_quota_us")
            period = _text(group / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period) > 0:
            shares.append(int(quota) / int(period))
    return max(1, math.ceil(min(shares))) if shares else None


def _groups(root: Path, own: Path, controller: str) -> Iterator[tuple[int, Path]]:
    """The version and directory of every group around this process, from its own outwards."""
    for entry in _text(own).splitlines():
        number, _, rest = entry.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            version, top = 2, root
        elif controller in controllers.split(","):
            version, top = 1, root / controller
        else:
            continue
        # Inside a container its own group is the top of what it sees.
        group = top / path.lstrip("/")
        inside = group.is_relative_to(top) and ".." not in group.parts
        places = [group, *group.parents] if inside else [top]
        for place in places:
            yield version, place
            if place == top:
                break


def _used(group: Path, names: _Names) -> int:
    used = _number(group / names.used) or 0
    for entry in _text(group / "memory.stat").splitlines():
        name, _, size = entry.partition(" ")
        if name == names.reclaimable and size.isdecimal():
            return max(0, used - int(size))
    return used


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    """The file's text; nothing where there is none, or none for us."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
