"""Text to learn from: the standard library on this machine, or the user's own files.

A corpus is a list of documents in an order that depends only on what they are called, never on
the machine or the directory they lie in. It is looked at in full when it is opened (missing,
empty, binary: all problems at once), and read one document at a time afterwards.

`stdlib` is the Python standard library: its modules' sources without tests, bundled tools and
generated files, and the topics of `help()`, which are chapters of the language reference. Its
documents are ordered by a hash of their names, so that its last tenth is like the rest of it.
"""

from __future__ import annotations

import codecs
import errno
import hashlib
import os
import stat
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

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


@dataclass(frozen=True, slots=True)
class Document:
    """One text. `name` is its path relative to what was named, with forward slashes."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """A document that is not read yet: a file, or for topics its text."""

    name: str
    size: int
    path: Path | None = None
    text: str = ""


class Corpus:
    """Documents in a fixed order.

    `name` is `stdlib/all` or the first path, `total_bytes` the sum of the files' sizes, `skipped`
    the number of binary files that were found in directories and left out.
    """

    def __init__(self, name: str, entries: Sequence[_Entry], *, skipped: int = 0) -> None:
        self.name = name
        self.total_bytes = sum(entry.size for entry in entries)
        self.skipped = skipped
        self._entries = tuple(entries)

    def __len__(self) -> int:
        """The number of documents."""
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Corpus({self.name!r}, {len(self)} documents, {self.total_bytes:,} bytes)"

    def documents(self, start: int = 0, stop: int | None = None) -> Iterator[Document]:
        """The documents from number `start` to before number `stop`, each read when it is asked
        for.

        Raises:
            CorpusError: a file that is not UTF-8 (names the byte offset), has become empty or
                cannot be read any more.
        """
        for entry in self._entries[start:stop]:
            yield Document(entry.name, _read(entry) if entry.path else entry.text)

    @property
    def listing(self) -> str:
        """A hash over the documents' names, sizes and times of change: tells whether a corpus is
        still the same without reading it."""
        digest = hashlib.sha256()
        for entry in self._entries:
            changed = entry.path.stat().st_mtime_ns if entry.path else 0
            digest.update(f"{entry.name}\0{entry.size}\0{changed}\0".encode())
        return digest.hexdigest()


def open_corpus(source: str, *, paths: Sequence[str] = (), sample: str = "all") -> Corpus:
    """The corpus of a source: `stdlib` with a sample of `SAMPLES`, or `text` with paths.

    Directories are read recursively. In them, files that are hidden, empty or binary are left
    out; a file named directly must be text.

    Raises:
        CorpusError: with every problem: missing, unreadable, empty or binary files, nothing found.
    """
    if source == "stdlib":
        return _open_stdlib(sample)
    if source == "text":
        return _open_text(paths)
    known = ("stdlib", "text")
    raise CorpusError(Problem("source", "there is no such source", source, nearest(source, known)))


def validation_count(documents: int, val_fraction: float) -> int:
    """How many of a small corpus' last documents are for validation: at least one, never all;
    0 for a single document, whose text is divided instead (`validation_cut`)."""
    return min(max(1, round(documents * val_fraction)), documents - 1)


def validation_cut(text: str, val_fraction: float) -> int:
    """Where validation begins in a corpus of one document, in characters; at least one remains
    on each side of a text of two."""
    return max(1, len(text) - max(1, round(len(text) * val_fraction)))


def training_documents(corpus: Corpus, val_fraction: float) -> Iterator[Document]:
    """The documents that data preparation with this fraction does not put into validation, for
    a corpus smaller than two shards. A fraction of 0 gives all."""
    if val_fraction == 0:
        yield from corpus.documents()
    elif len(corpus) > 1:
        yield from corpus.documents(0, len(corpus) - validation_count(len(corpus), val_fraction))
    else:
        for document in corpus.documents():
            cut = validation_cut(document.text, val_fraction)
            yield Document(document.name, document.text[:cut])


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

    entries: list[_Entry]
    problems: list[Problem]
    seen: set[tuple[int, int]]
    binaries: int = 0

    def new(self, status: os.stat_result) -> bool:
        """Whether a file or directory is met for the first time, by whatever path."""
        identity = (status.st_dev, status.st_ino)
        if identity in self.seen:
            return False
        self.seen.add(identity)
        return True

    def problem(self, path: Path, message: str, hint: str = "") -> None:
        self.problems.append(Problem(_shown(path), message, hint=hint))


def _open_text(paths: Sequence[str]) -> Corpus:
    if not paths:
        raise CorpusError(Problem("path", "at least one file or directory must be given"))
    search = _Search([], [], set())
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
    return Corpus(_shown(Path(paths[0])), search.entries, skipped=search.binaries)


def _look_at(path: Path, status: os.stat_result, search: _Search) -> None:
    """A file that was named directly: whatever is wrong with it is a problem."""
    if not stat.S_ISREG(status.st_mode):
        search.problem(path, "is neither a file nor a directory")
        return
    try:
        head = _head(path)
    except OSError as error:
        search.problem(path, f"cannot be read: {error.strerror}")
        return
    if head in (b"", codecs.BOM_UTF8):
        search.problem(path, "is empty")
    elif _is_binary(head):
        search.problem(path, "is a binary file, not text")
    elif search.new(status):
        search.entries.append(_Entry(_shown(Path(path.name)), status.st_size, path))


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
    head = _head(path)
    if head in (b"", codecs.BOM_UTF8):
        return
    if _is_binary(head):
        search.binaries += 1
        return
    search.entries.append(_Entry(_shown(path.relative_to(top)), size, path))


def _head(path: Path) -> bytes:
    with path.open("rb", buffering=0) as file:
        return file.read(HEAD_BYTES)


def _is_binary(head: bytes) -> bool:
    """NUL is in no text. Other control characters are in some, but not together with bytes that
    are not UTF-8: those are compressed or drawn."""
    if b"\0" in head:
        return True
    if len(head.translate(None, _CONTROL)) == len(head):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return True
    return False


def _read(entry: _Entry) -> str:
    assert entry.path is not None
    where = _shown(entry.path)
    try:
        data = entry.path.read_bytes()
    except OSError as error:
        raise CorpusError(Problem(where, f"cannot be read: {error.strerror}")) from None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8: byte {error.start:,} is 0x{data[error.start]:02x}"
        hint = "convert it to UTF-8 or leave it out"
        raise CorpusError(Problem(where, message, hint=hint)) from None
    text = text.removeprefix("\ufeff")
    if not text:
        raise CorpusError(Problem(where, "has become empty"))
    return text


def _shown(path: Path) -> str:
    """A path as text that can be written anywhere, whatever bytes the file system holds."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")
