"""Text to learn from: the standard library on this machine, or the user's own files.

A corpus is a list of documents in an order that depends only on what they are called, never on
the machine or the directory they lie in. It is looked at in full when it is opened (`library`,
`search`), and read one document at a time afterwards; how documents come out of a file is
`document_file`'s matter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from talm_core.data import division
from talm_core.data.division import Division, LastDocuments, Rule
from talm_core.data.gaps import Gaps
from talm_core.data.local.document_file import Document, DocumentFile
from talm_core.data.local.entries import Entry
from talm_core.data.local.formats import EncodingErrors, Reading, UnreadableFiles, shown
from talm_core.data.local.parts import Part, both_sides, byte_length, cut_at, length, one_side
from talm_core.data.local.search import search, some
from talm_core.data.local.stdlib import library
from talm_core.errors import CorpusError, Problem, nearest, problems_of


@dataclass(frozen=True, slots=True)
class _Count:
    """What was counted in an entry: `texts` is how many of its rows have one."""

    rows: int
    texts: int
    bytes: int


class Corpus:
    """Documents in a fixed order.

    `name` is `stdlib/all` or the first path, `files_bytes` the size of all files as they lie on the
    disk. `notes` say what was found out about files, `left_out` which ones cannot be read and why;
    there may be more of them once files are counted. `gaps` are the rows without a text that the
    last reader has come past; with `missing_are_empty` they are empty documents instead, as they
    were in the first datasets.

    How many documents there are and how much text, `total_bytes` in UTF-8, is known at once where
    every file is plain text. Otherwise `counted` is False and `total_bytes` a guess until files
    have been read for it: `count`.
    """

    def __init__(
        self,
        name: str,
        entries: Sequence[Entry],
        *,
        reading: Reading | None = None,
        notes: Sequence[str] = (),
        left_out: Sequence[Problem] = (),
    ) -> None:
        self.name = name
        self.notes = tuple(notes)
        self.left_out = list(left_out)
        self.missing_are_empty = False
        self.gaps = Gaps()
        self.files_bytes = sum(entry.size for entry in entries)
        self._entries = tuple(entries)
        self._reading = reading or Reading()
        self._counts = [
            _Count(1, 1, entry.text_bytes) if entry.exact(self._reading) else None
            for entry in entries
        ]
        self._read = 0
        self._current: DocumentFile | None = None
        self.counted = all(self._counts)
        self.total_bytes = sum(entry.format.likely_bytes(entry.text_bytes) for entry in entries)

    def count(self) -> Iterator[int]:
        """Read what must be read to know how many documents there are; yields how many bytes of
        the files that took since the last time, many times a second.

        Raises:
            CorpusError: as `documents`; or there is no text in all of it.
        """
        kept = []
        for index, entry in enumerate(self._entries):
            try:
                if self._counts[index] is None:
                    self._counts[index] = yield from self._counted(entry)
                kept.append(index)
            except CorpusError as error:
                if self._reading.unreadable_files == "stop":
                    raise
                self.left_out += error.problems
        self._entries = tuple(self._entries[index] for index in kept)
        self._counts = [self._counts[index] for index in kept]
        if not kept:
            raise CorpusError(*self.left_out)
        self.total_bytes = sum(count.bytes for count in self._counts if count)
        self.counted = True
        if not self.total_bytes:
            raise CorpusError(Problem(self.name, "has no text in it"))

    def _counted(self, entry: Entry) -> Generator[int, None, _Count]:
        """Read a file; yields as `count`."""
        file = entry.file(self._reading)
        rows = texts = size = told = 0
        for begins, text in _texts(entry, file):
            rows += begins
            if text is not None or self.missing_are_empty:
                texts += begins
            size += byte_length(text or "")
            if file.position > told:
                yield file.position - told
                told = file.position
        return _Count(rows, texts, size)

    @property
    def unreadable(self) -> str:
        """That files were left out because they cannot be read, and why; empty if none were."""
        count = len(self.left_out)
        noun = "file that cannot be read is" if count == 1 else "files that cannot be read are"
        names = [f"{problem.key} ({problem.message})" for problem in self.left_out]
        return f"{count:,} {noun} left out: {some(names)}" if count else ""

    def rule(self, fraction: float, *, version: int = division.VERSION) -> Rule:
        """How the text is divided where `fraction` of it is for validation, as data preparation
        did when its manifest had this `version`. Counts the documents if they are not counted
        yet."""
        if version == 1:
            return LastDocuments(len(self), fraction)
        documents = len(self)
        return Division(documents, self.total_bytes, division.share(self.total_bytes, fraction))

    def __len__(self) -> int:
        """The number of documents; counts them if they are not counted yet. Rows without a text are
        none."""
        if not self.counted:
            for _ in self.count():
                pass
        return sum(count.texts for count in self._counts if count)

    def __repr__(self) -> str:
        number = f"{len(self)} documents" if self.counted else f"{len(self._entries)} files"
        return f"Corpus({self.name!r}, {number}, {self.files_bytes:,} bytes)"

    def documents(self) -> Iterator[Document]:
        """The documents, each read whole when it is asked for.

        Raises:
            CorpusError: a file that is not UTF-8 (names the byte offset), is damaged, has become
                empty or cannot be read any more, or a row without text.
        """
        for entry in self._entries:
            yield from self._file(entry).documents() if entry.path else _topic(entry)

    def parts(
        self,
        rule: Rule | None = None,
        *,
        held_out: bool | None = None,
        start: int = 0,
        left_out: int = 0,
    ) -> Iterator[Part]:
        """The text of the documents from row `start` on, before which `left_out` rows had none,
        long ones in parts of some megabytes. By a `rule` all of it, or, `held_out` or not, one
        side. Where that takes long to be read, a part without text that begins nothing stands for
        a moment of it. `position` tells how far into the files that is.

        Raises:
            CorpusError: as `documents`.
        """
        self._read, self._current, number = 0, None, 0
        self.gaps = Gaps(left_out)
        for entry, count in zip(self._entries, self._counts, strict=True):
            if rule is None and count is not None and number + count.rows <= start:
                number += count.rows
            elif entry.rows:
                for found in self._file(entry).texts():
                    text = "" if found is None and self.missing_are_empty else found
                    if text is None:
                        if number >= start:
                            self.gaps.add(0, number)
                        number += 1
                        continue
                    cut = None if rule is None else rule.cut(length(text, rule))
                    if number >= start:
                        yield from one_side(number, both_sides([text], cut, rule), held_out)
                    number += 1
            else:
                cut = None if rule is None else rule.cut(self._size(entry, count, rule))
                if number >= start:
                    sides = self._sides(entry, cut, rule, held_out)
                    yield from one_side(number, sides, held_out)
                number += 1
            self._read, self._current = self._read + entry.size, None

    @property
    def position(self) -> int:
        """How many bytes of the files the last reader has read."""
        return self._read + (self._current.position if self._current else 0)

    def _size(self, entry: Entry, count: _Count | None, rule: Rule) -> int:
        """How long the one document of an entry is."""
        if rule.in_characters:
            return sum(len(text) for text in self._whole(entry))
        assert count is not None, "the rule has counted the documents"
        return count.bytes

    def _sides(
        self, entry: Entry, cut: int | None, rule: Rule | None, held_out: bool | None
    ) -> Iterator[tuple[bool, str]]:
        """An entry's one document; no more of it is read than the side that is wanted takes."""
        if held_out is not None and cut == (None if held_out else 0):
            return iter(())
        if held_out and cut and entry.exact(self._reading) and not (rule and rule.in_characters):
            return ((True, text) for text in self._whole(entry, cut))
        return both_sides(self._whole(entry), cut, rule)

    def _whole(self, entry: Entry, skip: int = 0) -> Iterator[str]:
        """The text of an entry's one document in parts, without its first bytes."""
        if entry.path is None:
            return iter([cut_at(entry.text, skip, None)[1]])
        return _not_empty(entry.path, self._file(entry).parts(skip))

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
            if entry.format.kind in ("json", "csv", "tsv") or entry.encoding != "UTF-8":
                # There was a time when such files were read otherwise.
                digest.update(f"{entry.format.kind}\0{entry.encoding}\0".encode())
        if self._reading != Reading():
            how = asdict(self._reading)
            if self._reading.unreadable_files == "stop":
                del how["unreadable_files"]
            digest.update(json.dumps(how).encode())
        return digest.hexdigest()


def open_corpus(
    source: str,
    *,
    paths: Sequence[str] = (),
    sample: str = "all",
    text_field: str = "text",
    encoding_errors: EncodingErrors = "strict",
    unreadable_files: UnreadableFiles = "stop",
) -> Corpus:
    """The corpus of a source: `stdlib` with a sample of it, or `text` with paths. `text_field` is
    where a row has its text, `encoding_errors` what becomes of bytes that are not UTF-8,
    `unreadable_files` of files that cannot be read.

    Raises:
        CorpusError: as `library` or `search`; there is no such source.
    """
    if source == "stdlib":
        return Corpus(f"stdlib/{sample}", library(sample))
    if source == "text":
        reading = Reading(text_field, encoding_errors, unreadable_files)
        found = search(paths, reading)
        return Corpus(
            shown(Path(paths[0])),
            found.entries,
            reading=reading,
            notes=tuple(found.notes),
            left_out=found.left_out,
        )
    known = ("stdlib", "text")
    raise CorpusError(Problem("source", "there is no such source", source, nearest(source, known)))


def divided_parts(corpus: Corpus, val_fraction: float) -> Iterator[tuple[bool, str, bool]]:
    """The text in parts, each with whether it begins a document, or goes on with the part before
    on its side, and whether data preparation with this fraction puts it into validation."""
    for part in corpus.parts(corpus.rule(val_fraction) if val_fraction else None):
        yield part.begins, part.text, part.held_out


def _texts(entry: Entry, file: DocumentFile) -> Iterator[tuple[bool, str | None]]:
    """All text of a file in parts, each with whether it begins a document."""
    if entry.rows:
        yield from ((True, text) for text in file.texts())
        return
    assert entry.path is not None
    for number, text in enumerate(_not_empty(entry.path, file.parts())):
        yield number == 0, text


def _not_empty(path: Path, texts: Iterator[str]) -> Iterator[str]:
    empty = True
    for text in texts:
        yield text
        empty = False
    if empty:
        raise CorpusError(Problem(shown(path), "has become empty"))


def _topic(entry: Entry) -> Iterator[Document]:
    return iter([Document(entry.name, entry.text)])


def corpus_problems(
    source: str, paths: tuple[str, ...], key: str, **reading: Any
) -> Iterator[Problem]:
    """Problems of a corpus, told under the setting `key` that named it, each with the file that it
    is about; `reading` as `open_corpus` takes it."""
    for problem in problems_of(lambda: open_corpus(source, paths=paths, **reading)):
        yield Problem(key, problem.message, problem.value or problem.key, problem.hint)


class ReadsText(Protocol):
    """A config that says how text is read from files."""

    @property
    def text_field(self) -> str: ...

    @property
    def encoding_errors(self) -> EncodingErrors: ...

    @property
    def unreadable_files(self) -> UnreadableFiles: ...


def reading_of(config: ReadsText) -> dict[str, Any]:
    """How files are read, as `open_corpus` takes it."""
    keys = ("text_field", "encoding_errors", "unreadable_files")
    return {key: getattr(config, key) for key in keys}
