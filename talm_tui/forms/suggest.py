"""Completion of paths while they are typed."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

from textual.suggester import Suggester

from talm_tui.forms.folder import is_path

_ENTRIES = 5_000
"""Entries of a directory that are looked at; more would be felt while typing."""


def complete(text: str) -> str | None:
    """`text` with its last word completed to the first path that begins with it, None where
    there is none. Hidden files are offered only for a word that begins with a dot."""
    word = _last_word(text)
    if not word:
        return None
    folder, _, stem = word.rpartition("/")
    names = _names(folder + "/" if folder or word.startswith("/") else ".", stem)
    if not names:
        return None
    name, is_directory = min(names)
    completed = name[len(stem) :] + ("/" if is_directory else "")
    return text + completed if completed else None


def _last_word(text: str) -> str:
    """The unquoted end of a text of words; an open quote goes up to its end."""
    match = re.search(r"(?:^|\s)(?:\"([^\"]*)|'([^']*)|(\S+))$", text)
    return next((group for group in match.groups() if group), "") if match else ""


def _names(folder: str, stem: str) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    try:
        with os.scandir(Path(folder).expanduser()) as entries:
            for _, entry in zip(range(_ENTRIES), entries, strict=False):
                hidden = entry.name.startswith(".") and not stem.startswith(".")
                if entry.name.startswith(stem) and not hidden and entry.name.isprintable():
                    found.append((entry.name, entry.is_dir()))
    except (OSError, RuntimeError, ValueError):  # no such place, no such user, a null character
        return []
    return found


class PathSuggester(Suggester):
    """Shows the rest of a path in grey; the right arrow takes it. Where names can be typed as well,
    `only_paths` leaves them alone: a name is no file of the directory that talm was started in."""

    def __init__(self, *, only_paths: bool = False) -> None:
        # Files come and go: nothing is remembered.
        super().__init__(use_cache=False, case_sensitive=True)
        self._only_paths = only_paths

    async def get_suggestion(self, value: str) -> str | None:
        """The completed text, None where there is nothing to complete."""
        if self._only_paths and not is_path(value):
            return None
        return await asyncio.to_thread(complete, value)
