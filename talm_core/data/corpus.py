"""Text to learn from: the standard library on this machine, or the user's own files.

A corpus is a list of documents in an order that depends only on what they are called, never on
the machine or the directory they lie in. It is looked at in full when it is opened (missing,
empty, binary: all problems at once), and read one document at a time afterwards. How documents
come out of a file is `talm_core.data.formats`' matter.

`stdlib` is the Python standard library: its modules' sources without tests, bundled tools and
generated files, and the topics of `help()`, which are chapters of the language reference. Its
documents are ordered by a hash of their names, so that its last tenth is like the rest of it.
"""

from __future__ import annotations

import codecs
import errno
import hashlib
import json
import os
import stat
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from itertools import islice
from pathlib import Path

from talm_core.data.formats import Document as Document
from talm_core.data.formats import (
    DocumentFile,
    EncodingErrors,
    Format,
    Reading,
    shown,
)
from talm_core.errors import CorpusError, Problem, nearest
from talm_core.workspace import user_path

SAMPLES = ("all", "code", "docs")
HEAD_BYTES = 8192
"""How much of a file is looked at to tell text from binary."""

# Tests, programs that only ship with Python, what others have installed, and what is generated:
# the tables of old encodings and the topics, which are documents of their own.
_NO_LIBRARY = {
    *("__pycache__", "site-packages", "dist-packages", "test", "tests"),
    *("idlelib", "lib2to3", "turtledemo", "encodings", "pydoc_data"),
}
_NO_LIBRARY_PREFIXES = ("config-", "_sysconfigdata", "sitecustomize", "usercustomize")
_TOPICS = "pydoc_data.topics"

# Bytes that no text has: control characters without tab, line feeds, escape and their like.
_CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r\b\x1b\x1a"))


_TEXT = Format("text")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One document or several that are not read yet: a file, or for topics their text."""

    name: str
    size: int
    path: Path | None = None
    text: str = ""
    format: Format = _TEXT

    def file(self, reading: Reading) -> DocumentFile:
        assert self.path is not None
        return DocumentFile(self.path, self.name, self.format, reading)

    def exact(self, reading: Reading) -> bool:
        """Its size is its text's size, and it is one document."""
        return self.format.plain and reading.encoding_errors == "strict"


@dataclass(frozen=True, slots=True)
class _Count:
    """What was counted in an entry."""

    documents: int
    bytes: int


class Corpus:
    """Documents in a fixed order.

    `name` is `stdlib/all` or the first path, `skipped` the number of binary files that were found
    in directories and left out, `files_bytes` the size of all files as they lie on the disk.

    How many documents there are and how much text, `total_bytes` in UTF-8, is known at once where
    every file is plain text. Otherwise `counted` is False and `total_bytes` a guess until files
    have been read for it: `count`.
    """

    def __init__(
        self,
        name: str,
        entries: Sequence[_Entry],
        *,
        skipped: int = 0,
        reading: Reading | None = None,
    ) -> None:
        self.name = name
        self.skipped = skipped
        self.files_bytes = sum(entry.size for entry in entries)
        self._entries = tuple(entries)
        self._reading = reading or Reading()
        self._counts = [
            _Count(1, entry.size) if entry.exact(self._reading) else None for entry in entries
        ]
        self._read = 0
        self._current: DocumentFile | None = None
        self.counted = all(self._counts)
        self.total_bytes = sum(entry.format.likely_bytes(entry.size) for entry in entries)

    def count(self) -> Iterator[int]:
        """Read what must be read to know how many documents there are; yields how many bytes of
        the files that took since the last time, many times a second.

        Raises:
            CorpusError: as `documents`; or there is no text in all of it.
        """
        for index, entry in enumerate(self._entries):
            if self._counts[index] is None:
                file = entry.file(self._reading)
                documents = size = told = 0
                for document in file.documents():
                    documents += 1
                    size += byte_length(document.text)
                    if file.position > told:
                        yield file.position - told
                        told = file.position
                self._counts[index] = _Count(documents, size)
        self.total_bytes = sum(count.bytes for count in self._counts if count)
        self.counted = True
        if not self.total_bytes:
            raise CorpusError(Problem(self.name, "has no text in it"))

    def __len__(self) -> int:
        """The number of documents; counts them if they are not counted yet."""
        if not self.counted:
            for _ in self.count():
                pass
        return sum(count.documents for count in self._counts if count)

    def __repr__(self) -> str:
        number = f"{len(self)} documents" if self.counted else f"{len(self._entries)} files"
        return f"Corpus({self.name!r}, {number}, {self.files_bytes:,} bytes)"

    def documents(self, start: int = 0, stop: int | None = None) -> Iterator[Document]:
        """The documents from number `start` to before number `stop`, each read when it is asked
        for.

        Raises:
            CorpusError: a file that is not UTF-8 (names the byte offset), is damaged, has become
                empty or cannot be read any more, or a row without text.
        """
        for entry, skip, number in self._spans(start, stop):
            documents = self._file(entry).documents(skip) if entry.path else _topic(entry, skip)
            yield from islice(documents, number)

    def parts(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[bool, str]]:
        """The text of the same documents, long ones in parts of some megabytes, each with whether
        it begins a document. `position` tells how far into the files that is.

        Raises:
            CorpusError: as `documents`.
        """
        for entry, skip, number in self._spans(start, stop):
            if entry.path is None:
                yield from ((True, document.text) for document in _topic(entry, skip))
                continue
            file = self._file(entry)
            if entry.format.kind != "text":
                documents = islice(file.documents(skip), number)
                yield from ((True, document.text) for document in documents)
                continue
            begins = True
            for part in file.parts():
                yield begins, part
                begins = False
            if begins:
                raise CorpusError(Problem(shown(entry.path), "has become empty"))

    @property
    def position(self) -> int:
        """How many bytes of the files the last reader has read."""
        return self._read + (self._current.position if self._current else 0)

    def _spans(self, start: int, stop: int | None) -> Iterator[tuple[_Entry, int, int | None]]:
        """The entries that have documents from `start` to before `stop`: how many of each to skip
        and how many to read at most."""
        if start or stop is not None:
            len(self)
        self._read, self._current, first = 0, None, 0
        for entry, count in zip(self._entries, self._counts, strict=True):
            end = None if count is None else first + count.documents
            if stop is not None and first >= stop:
                return
            if end is None or end > start:
                skip = max(0, start - first)
                yield entry, skip, None if stop is None else stop - first - skip
            self._read, self._current = self._read + entry.size, None
            first = end or 0

    def _file(self, entry: _Entry) -> DocumentFile:
        self._current = entry.file(self._reading)
        return self._current

    @property
    def listing(self) -> str:
        """A hash over the documents' names, sizes and times of change, and how they are read:
        tells whether a corpus is still the same without reading it."""
        digest = hashlib.sha256()
        for entry in self._entries:
            changed = entry.path.stat().st_mtime_ns if entry.path else 0
            digest.update(f"{entry.name}\0{entry.size}\0{changed}\0".encode())
        if self._reading != Reading():
            digest.update(json.dumps(asdict(self._reading)).encode())
        return digest.hexdigest()


def byte_length(text: str) -> int:
    """How many bytes a text is in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def open_corpus(
    source: str,
    *,
    paths: Sequence[str] = (),
    sample: str = "all",
    text_field: str = "text",
    encoding_errors: EncodingErrors = "strict",
) -> Corpus:
    """The corpus of a source: `stdlib` with a sample of `SAMPLES`, or `text` with paths.

    Directories are read recursively. In them, files that are hidden, empty or binary are left
    out; a file named directly must be text. `text_field` is where a row of JSON Lines or parquet
    has its text, `encoding_errors` what becomes of bytes that are not UTF-8.

    Raises:
        CorpusError: with every problem: missing, unreadable, empty or binary files, nothing found.
    """
    if source == "stdlib":
        return _open_stdlib(sample)
    if source == "text":
        return _open_text(paths, Reading(text_field, encoding_errors))
    known = ("stdlib", "text")
    raise CorpusError(Problem("source", "there is no such source", source, nearest(source, known)))


def validation_count(documents: int, val_fraction: float) -> int:
    """How many of a small corpus' last documents are for validation: at least one, never all;
    0 for a single document, whose text is divided instead (`validation_cut`)."""
    return min(max(1, round(documents * val_fraction)), documents - 1)


def validation_cut(text: str, val_fraction: float) -> int:
    """Where validation begins in a corpus of one document, in characters; at least one remains
    on each side of a text of two."""
    return _cut_of(len(text), val_fraction)


def _cut_of(length: int, val_fraction: float) -> int:
    return max(1, length - max(1, round(length * val_fraction)))


def training_parts(corpus: Corpus, val_fraction: float) -> Iterator[tuple[bool, str]]:
    """The text, as of `Corpus.parts`, that data preparation with this fraction does not put into
    validation, for a corpus smaller than two shards. A fraction of 0 gives all."""
    if val_fraction == 0:
        yield from corpus.parts()
    elif len(corpus) > 1:
        yield from corpus.parts(0, len(corpus) - validation_count(len(corpus), val_fraction))
    else:
        left = _cut_of(sum(len(part) for _, part in corpus.parts()), val_fraction)
        for begins, part in corpus.parts():
            yield begins, part[:left]
            left -= len(part)
            if left <= 0:
                return


def validation_parts(corpus: Corpus, val_fraction: float) -> Iterator[tuple[bool, str]]:
    """The rest of the text; a fraction of 0 gives none."""
    if val_fraction == 0:
        return
    if len(corpus) > 1:
        yield from corpus.parts(len(corpus) - validation_count(len(corpus), val_fraction))
    else:
        before = _cut_of(sum(len(part) for _, part in corpus.parts()), val_fraction)
        begins = True
        for _, part in corpus.parts():
            if len(part) > before:
                yield begins, part[before:]
                begins = False
            before = max(0, before - len(part))


def _topic(entry: _Entry, skip: int) -> Iterator[Document]:
    return iter([Document(entry.name, entry.text)][skip:])


# --- the standard library --------------------------------------------------------------------


def _open_stdlib(sample: str) -> Corpus:
    if sample not in SAMPLES:
        problem = Problem("sample", f"stdlib has {', '.join(SAMPLES)}", sample)
        raise CorpusError(problem)
    entries: list[_Entry] = []
    if sample != "docs":
        entries += _library_sources()
    if sample != "code":
        entries += _topics()
    entries.sort(key=lambda entry: hashlib.sha256(entry.name.encode()).digest())
    return Corpus(f"stdlib/{sample}", entries)


def _library_sources() -> list[_Entry]:
    top = sysconfig.get_path("stdlib")
    entries = []
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if _in_library(name)]
        for name in files:
            if name.endswith(".py") and _in_library(name):
                path = Path(folder, name)
                size = path.stat().st_size if path.exists() else 0
                if size:
                    entries.append(_Entry(path.relative_to(top).as_posix(), size, path))
    if not entries:
        message = "this Python comes without the sources of its standard library"
        hint = "use text files of your own"
        raise CorpusError(Problem("stdlib", message, top, hint))
    return entries


def _in_library(name: str) -> bool:
    return name not in _NO_LIBRARY and not name.startswith((*_NO_LIBRARY_PREFIXES, "."))


def _topics() -> list[_Entry]:
    try:
        topics: dict[str, str] = import_module(_TOPICS).topics
    except (ImportError, AttributeError):
        message = "this Python comes without its documentation topics"
        raise CorpusError(Problem("stdlib", message, _TOPICS, "use sample code")) from None
    return [
        _Entry(f"topics/{name}.rst", len(text.encode()), text=text)
        for name, text in topics.items()
        if text
    ]


# --- files of one's own ----------------------------------------------------------------------


@dataclass
class _Search:
    """What looking through the named paths has found so far."""

    reading: Reading
    entries: list[_Entry] = field(default_factory=list)
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

    def entry(self, path: Path, name: Path, size: int) -> tuple[_Entry, bytes]:
        """An entry, its format checked as far as that can be seen at once, and its head."""
        entry = _Entry(shown(name), size, path, format=Format.of(path.name))
        file = entry.file(self.reading)
        head = file.head(HEAD_BYTES)
        file.check(head)
        return entry, head


def _open_text(paths: Sequence[str], reading: Reading) -> Corpus:
    if not paths:
        raise CorpusError(Problem("path", "at least one file or directory must be given"))
    search = _Search(reading)
    for text in paths:
        path = user_path(text)
        try:
            status = path.stat()
        except (OSError, ValueError) as error:
            missing = isinstance(error, FileNotFoundError)
            search.problem(path, "does not exist" if missing else f"cannot be read: {error}")
            continue
        if stat.S_ISDIR(status.st_mode):
            found = len(search.entries), len(search.problems)
            if search.new(status):
                _look_through(path, path, search)
            if found == (len(search.entries), len(search.problems)):
                search.problem(path, "has no text files", "binary and hidden ones do not count")
        else:
            _look_at(path, status, search)
    if search.problems:
        raise CorpusError(*search.problems)
    name = shown(Path(paths[0]))
    return Corpus(name, search.entries, skipped=search.binaries, reading=reading)


def _look_at(path: Path, status: os.stat_result, search: _Search) -> None:
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


def _look_through(folder: Path, top: Path, search: _Search) -> None:
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


def _collect(path: Path, top: Path, size: int, search: _Search) -> None:
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


def _is_empty(entry: _Entry, head: bytes) -> bool:
    return entry.format.kind != "parquet" and head in (b"", codecs.BOM_UTF8)


def _is_binary(entry: _Entry, head: bytes) -> bool:
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
