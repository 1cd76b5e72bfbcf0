"""What lies in a directory, for somebody who looks for text in it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

MOST = 5_000
"""Entries of a directory that are listed; nobody goes through more by eye."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a directory. `size` is a file's bytes."""

    name: str
    is_directory: bool
    size: int = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """The entries of a directory: directories first, each kind by name. `problem` says why there
    are none, `more` that not all are listed."""

    folder: Path
    entries: tuple[Entry, ...] = ()
    problem: str = ""
    more: bool = False


def listing(folder: Path) -> Listing:
    """Look into a directory. Names that no terminal can show are left out."""
    found: list[Entry] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.isprintable():
                    continue
                if len(found) == MOST:
                    return Listing(folder, _ordered(found), more=True)
                found.append(_entry(entry))
    except OSError as error:
        return Listing(folder, problem=error.strerror or str(error))
    return Listing(folder, _ordered(found))


def _entry(entry: os.DirEntry[str]) -> Entry:
    try:
        if entry.is_dir():
            return Entry(entry.name, is_directory=True)
        return Entry(entry.name, is_directory=False, size=entry.stat().st_size)
    except OSError:  # a link that leads nowhere
        return Entry(entry.name, is_directory=False)


def _ordered(entries: list[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(entries, key=lambda entry: (not entry.is_directory, entry.name.lower())))


def is_path(text: str) -> bool:
    """Whether a text is written as a path, not as a name to look for."""
    return text.lstrip().startswith(("/", "~", "./", "../"))


def expanded(text: str) -> Path:
    """The absolute path that somebody means by `text`; `~` is their home."""
    path = Path(text)
    with contextlib.suppress(RuntimeError):  # no such user
        path = path.expanduser()
    # Not resolved: a link is shown where it lies, and no disk is asked.
    return Path(os.path.normpath(path.absolute()))


def shortened(path: Path) -> str:
    """The path with the home directory as `~`."""
    try:
        return "~/" + path.relative_to(Path.home()).as_posix() if path != Path.home() else "~"
    except (ValueError, RuntimeError):
        return str(path)
