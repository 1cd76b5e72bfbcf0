"""Which of the user's own files are text, and in which order.

Directories are looked through recursively in the order of names. Whether a file is text, its first
bytes tell; every problem is told at once.
"""

from __future__ import annotations

import codecs
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from talm_core.data.local.decompress import marked
from talm_core.data.local.entries import Entry
from talm_core.data.local.formats import Format, Reading, shown
from talm_core.data.local.looks import binary, no_rows, other_than_text
from talm_core.errors import CorpusError, Problem
from talm_core.storage.workspace import user_path

HEAD_BYTES = 8192
"""How much of a file is looked at to tell text from binary."""


@dataclass
class Search:
    """What looking through the named paths has found so far."""

    reading: Reading
    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)
    binaries: list[str] = field(default_factory=list)
    left_out: list[Problem] = field(default_factory=list)
    as_text: dict[str, list[str]] = field(default_factory=dict)

    def new(self, status: os.stat_result) -> bool:
        """Whether a file or directory is met for the first time, by whatever path."""
        identity = (status.st_dev, status.st_ino)
        if identity in self.seen:
            return False
        self.seen.add(identity)
        return True

    def problem(self, path: Path, message: str, hint: str = "") -> None:
        self.problems.append(Problem(shown(path), message, hint=hint))

    def entry(self, path: Path, name: Path, size: int, *, named: bool) -> tuple[Entry, bytes]:
        """An entry, its format checked as far as that can be seen at once, and its head. A file
        whose name says that it has rows, and that has none, is text; so are rows without the field
        in files that were not `named`."""
        entry = Entry(shown(name), size, path, format=Format.of(path.name))
        file = entry.file(self.reading)
        head = file.head(HEAD_BYTES)
        file.check(head)
        kind = entry.format.kind
        if kind in ("json", "csv", "tsv") and head.strip(_BLANK):
            problem = no_rows(file, kind, head, self.reading)
            if problem is not None and named and problem.rows:
                raise CorpusError(Problem(shown(path), problem.message, hint=problem.hint))
            if problem is not None:
                self.as_text.setdefault(problem.kind, []).append(f"{shown(name)} {problem.message}")
                entry = replace(entry, format=replace(entry.format, kind="text"))
        elif kind == "text" and (look := other_than_text(head, path.name)):
            self.as_text.setdefault(look, []).append(shown(name))
        if entry.format.plain:
            begin = file.first_bytes()
            mark = len(codecs.BOM_UTF8) if begin.startswith(codecs.BOM_UTF8) else 0
            entry = replace(entry, mark=mark, encoding=marked(begin) or "UTF-8")
        return entry, head

    def refuse(self, error: CorpusError) -> None:
        """A file cannot be read."""
        if self.reading.unreadable_files == "leave_out":
            self.left_out += error.problems
        else:
            self.problems += error.problems

    @property
    def notes(self) -> Iterator[str]:
        """What there is to say of the files that were left out, or are not what they seem."""
        if self.binaries:
            count = len(self.binaries)
            noun = "binary file was" if count == 1 else "binary files were"
            yield f"{count:,} {noun} left out: {some(self.binaries)}"
        for look, names in self.as_text.items():
            count = len(names)
            looks = "file looks" if count == 1 else "files look"
            read = "is read" if count == 1 else "are read"
            note = f"{count:,} {looks} like {look} and {read} as plain text: {some(names)}"
            if look in _ROWS:
                note += f"; {_ROWS[look]}"
            yield note


_BLANK = codecs.BOM_UTF8 + b" \t\r\n"
_NAMED = 3
_ROWS = {
    "JSON Lines": "the ending .jsonl has its rows read",
    "JSON": "text_field names the field that holds the text of rows",
    "CSV": "text_field names the column that holds the text",
}


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def search(paths: Sequence[str], reading: Reading) -> Search:
    """Look through files, and through directories recursively. In those, files that are hidden,
    empty or binary are left out; a file named directly must be text. Where `reading` says so,
    files that cannot be read are left out.

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
            if before == (len(found.entries), len(found.problems)) and not found.left_out:
                found.problem(path, "has no text files", "binary and hidden ones do not count")
        else:
            _look_at(path, status, found)
    if not found.problems and not found.entries:
        found.problems += found.left_out
    if found.problems:
        raise CorpusError(*found.problems)
    return found


def _look_at(path: Path, status: os.stat_result, search: Search) -> None:
    """A file that was named directly: whatever is wrong with it is a problem."""
    if not stat.S_ISREG(status.st_mode):
        search.problem(path, "is neither a file nor a directory")
        return
    try:
        entry, head = search.entry(path, Path(path.name), status.st_size, named=True)
    except CorpusError as error:
        search.refuse(error)
        return
    if _is_empty(entry, head):
        search.problem(path, "is empty")
    elif (found := _binary(entry, head)) is not None:
        search.problem(path, *found)
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
        entry, head = search.entry(path, path.relative_to(top), size, named=False)
    except CorpusError as error:
        search.refuse(error)
        return
    if _is_empty(entry, head):
        return
    if _binary(entry, head) is not None:
        search.binaries.append(entry.name)
        return
    search.entries.append(entry)


def _is_empty(entry: Entry, head: bytes) -> bool:
    return entry.format.kind != "parquet" and head in (b"", codecs.BOM_UTF8)


def _binary(entry: Entry, head: bytes) -> tuple[str, str] | None:
    return binary(head) if entry.format.kind == "text" else None
