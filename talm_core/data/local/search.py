"""Which of the user's own files are text, and in which order.

Directories are looked through recursively in the order of names. Whether a file is text, its first
bytes tell; every problem is told at once.
"""

from __future__ import annotations

import codecs
import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from talm_core.data.local.entries import Entry
from talm_core.data.local.formats import Format, Reading, shown
from talm_core.errors import CorpusError, Problem
from talm_core.storage.workspace import user_path

HEAD_BYTES = 8192
"""How much of a file is looked at to tell text from binary."""

# Bytes that no text has: control characters without tab, line feeds, escape and their like.
_CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r\b\x1b\x1a"))


@dataclass
class Search:
    """What looking through the named paths has found so far."""

    reading: Reading
    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)
    binaries: int = 0

    def new(self, status: os.stat_result) -> bool:
        """Whether a file or directory is met for the first time, by whatever path."""
        identity = (status.st_dev, status.st_ino)
        if identity in self.seen:
            return False
        self.seen.add(identity)
        return True

    def problem(self, path: Path, message: str, hint: str = "") -> None:
        self.problems.append(Problem(shown(path), message, hint=hint))

    def entry(self, path: Path, name: Path, size: int) -> tuple[Entry, bytes]:
        """An entry, its format checked as far as that can be seen at once, and its head."""
        entry = Entry(shown(name), size, path, format=Format.of(path.name))
        file = entry.file(self.reading)
        head = file.head(HEAD_BYTES)
        file.check(head)
        if entry.format.plain and head.startswith(codecs.BOM_UTF8):
            entry = replace(entry, mark=len(codecs.BOM_UTF8))
        return entry, head


def search(paths: Sequence[str], reading: Reading) -> Search:
    """Look through files, and through directories recursively. In those, files that are hidden,
    empty or binary are left out; a file named directly must be text.

    Raises:
        CorpusError: with every problem: missing, unreadable, empty or binary files, nothing found.
    """
    if not paths:
        raise CorpusError(Problem("path", "at least one file or directory must be given"))
    found = Search(reading)
    for text in paths:
        path = user_path(text)
        try:
            status = path.stat()
        except (OSError, ValueError) as error:
            missing = isinstance(error, FileNotFoundError)
            found.problem(path, "does not exist" if missing else f"cannot be read: {error}")
            continue
        if stat.S_ISDIR(status.st_mode):
            before = len(found.entries), len(found.problems)
            if found.new(status):
                _look_through(path, path, found)
            if before == (len(found.entries), len(found.problems)):
                found.problem(path, "has no text files", "binary and hidden ones do not count")
        else:
            _look_at(path, status, found)
    if found.problems:
        raise CorpusError(*found.problems)
    return found


def _look_at(path: Path, status: os.stat_result, search: Search) -> None:
    """A file that was named directly: whatever is wrong with it is a problem."""
    if not stat.S_ISREG(status.st_mode):
        search.problem(path, "is neither a file nor a directory")
        return
    try:
        entry, head = search.entry(path, Path(path.name), status.st_size)
    except CorpusError as error:
        search.problems += error.problems
        return
    if _is_empty(entry, head):
        search.problem(path, "is empty")
    elif _is_binary(entry, head):
        search.problem(path, "is a binary file, not text")
    elif search.new(status):
        search.entries.append(entry)


def _look_through(folder: Path, top: Path, search: Search) -> None:
    """A directory and all below it in name order; a link that leads back is not followed."""
    # A stack, not recursion: directories may be nested deeper than Python calls functions.
    stack = [folder]
    while stack:
        path = stack.pop()
        try:
            status = path.stat()
            if stat.S_ISDIR(status.st_mode):
                if path == top or search.new(status):
                    inside = (item for item in path.iterdir() if not item.name.startswith("."))
                    stack += sorted(inside, key=lambda item: item.name, reverse=True)
            elif stat.S_ISREG(status.st_mode) and search.new(status):
                _collect(path, top, status.st_size, search)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP):
                continue  # a link to nowhere, or to itself
            search.problem(path, f"cannot be read: {error.strerror}")


def _collect(path: Path, top: Path, size: int, search: Search) -> None:
    try:
        entry, head = search.entry(path, path.relative_to(top), size)
    except CorpusError as error:
        search.problems += error.problems
        return
    if _is_empty(entry, head):
        return
    if _is_binary(entry, head):
        search.binaries += 1
        return
    search.entries.append(entry)


def _is_empty(entry: Entry, head: bytes) -> bool:
    return entry.format.kind != "parquet" and head in (b"", codecs.BOM_UTF8)


def _is_binary(entry: Entry, head: bytes) -> bool:
    """NUL is in no text. Other control characters are in some, but not together with bytes that
    are not UTF-8: those are compressed or drawn."""
    if entry.format.kind != "text":
        return False
    if b"\0" in head:
        return True
    if len(head.translate(None, _CONTROL)) == len(head):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return True
    return False
