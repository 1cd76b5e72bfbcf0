"""Text to learn from: the standard library on this machine, or the user's own files.

A corpus is a list of documents in an order that depends only on what they are called, never on
the machine or the directory they lie in. It is looked at in full when it is opened (`library`,
`search`), and read one document at a time afterwards; how documents come out of a file is
`formats`' matter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from talm_core.data.local.entries import Entry
from talm_core.data.local.formats import Document as Document
from talm_core.data.local.formats import DocumentFile, EncodingErrors, Reading, shown
from talm_core.data.local.search import search
from talm_core.data.local.stdlib import library
from talm_core.errors import CorpusError, Problem, nearest, problems_of


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
        entries: Sequence[Entry],
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
        self._characters: int | None = None
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
                documents = size = characters = told = 0
                for begins, part in _parts(entry, file):
                    documents += begins
                    size += byte_length(part)
                    characters += len(part)
                    if file.position > told:
                        yield file.position - told
                        told = file.position
                self._counts[index] = _Count(documents, size)
                if documents == len(self._entries) == 1:
                    self._characters = characters
        self.total_bytes = sum(count.bytes for count in self._counts if count)
        self.counted = True
        if not self.total_bytes:
            raise CorpusError(Problem(self.name, "has no text in it"))

    def measure(self) -> Iterator[int]:
        """Read what must be read to divide the text by documents, or a single one by characters.
        Yields and raises as `count`."""
        if not self.counted:
            yield from self.count()
        if len(self) == 1 and self._characters is None:
            characters = told = 0
            for _, part in self.parts():
                characters += len(part)
                yield self.position - told
                told = self.position
            self._characters = characters

    @property
    def characters(self) -> int:
        """How many a single document has; counts them if they are not counted yet."""
        for _ in self.measure():
            pass
        assert self._characters is not None, "there are several documents"
        return self._characters

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
            yield from _parts(entry, self._file(entry), skip, number)

    @property
    def position(self) -> int:
        """How many bytes of the files the last reader has read."""
        return self._read + (self._current.position if self._current else 0)

    def _spans(self, start: int, stop: int | None) -> Iterator[tuple[Entry, int, int | None]]:
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

    def _file(self, entry: Entry) -> DocumentFile:
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
    """The corpus of a source: `stdlib` with a sample of it, or `text` with paths. `text_field` is
    where a row of JSON Lines or parquet has its text, `encoding_errors` what becomes of bytes that
    are not UTF-8.

    Raises:
        CorpusError: as `library` or `search`; there is no such source.
    """
    if source == "stdlib":
        return Corpus(f"stdlib/{sample}", library(sample))
    if source == "text":
        reading = Reading(text_field, encoding_errors)
        found = search(paths, reading)
        name = shown(Path(paths[0]))
        return Corpus(name, found.entries, skipped=found.binaries, reading=reading)
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


def divided_parts(corpus: Corpus, val_fraction: float) -> Iterator[tuple[bool, str, bool]]:
    """The text, as of `Corpus.parts`, each with whether data preparation with this fraction puts
    it into validation, for a corpus smaller than two shards. Training comes first."""
    if val_fraction == 0:
        yield from ((begins, part, False) for begins, part in corpus.parts())
    elif len(corpus) > 1:
        left = len(corpus) - validation_count(len(corpus), val_fraction)
        for begins, part in corpus.parts():
            left -= begins
            yield begins, part, left < 0
    else:
        left, begins_rest = _cut_of(corpus.characters, val_fraction), True
        for begins, part in corpus.parts():
            if left > 0:
                yield begins, part[:left], False
            if len(part) > left:
                yield begins_rest, part[left:], True
                begins_rest = False
            left = max(0, left - len(part))


def _parts(
    entry: Entry, file: DocumentFile, skip: int = 0, number: int | None = None
) -> Iterator[tuple[bool, str]]:
    """The text of a file's documents, one of plain text in parts of some megabytes."""
    if entry.format.kind != "text":
        yield from ((True, document.text) for document in islice(file.documents(skip), number))
        return
    begins = True
    for part in file.parts():
        yield begins, part
        begins = False
    if begins:
        assert entry.path is not None
        raise CorpusError(Problem(shown(entry.path), "has become empty"))


def _topic(entry: Entry, skip: int) -> Iterator[Document]:
    return iter([Document(entry.name, entry.text)][skip:])


def corpus_problems(
    source: str, paths: tuple[str, ...], key: str, **reading: Any
) -> Iterator[Problem]:
    """Problems of a corpus, told under the setting `key` that named it; `reading` as `open_corpus`
    takes it."""
    for problem in problems_of(lambda: open_corpus(source, paths=paths, **reading)):
        yield Problem(key, problem.message, problem.value or problem.key, problem.hint)


class ReadsText(Protocol):
    """A config that says how text is read from files."""

    @property
    def text_field(self) -> str: ...

    @property
    def encoding_errors(self) -> EncodingErrors: ...


def reading_of(config: ReadsText) -> dict[str, Any]:
    """How files are read, as `open_corpus` takes it."""
    return {"text_field": config.text_field, "encoding_errors": config.encoding_errors}
