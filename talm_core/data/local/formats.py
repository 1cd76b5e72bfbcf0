"""Documents out of one file: text, JSON Lines or parquet, plain or compressed.

What a file is, its name says: `.jsonl` and `.ndjson` hold a document a line, `.parquet` one a row,
each in a named field; every other file is a document of its own. Text and JSON Lines may be
compressed, `.gz` or `.zst` behind the rest of the name. Nothing is unpacked onto the disk, and of
rows only those at hand are in memory.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, cast

from talm_core.data.local.decompress import Counted, Zstd
from talm_core.errors import CorpusError, Problem, nearest

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

Kind = Literal["text", "jsonl", "parquet"]
Compression = Literal["", "gzip", "zstd"]
EncodingErrors = Literal["strict", "replace"]

PART_BYTES = 1 << 22
"""How much of a text is read at once."""
LONGEST_LINE = 1 << 30
"""A line of JSON of more bytes is an error: it would not fit into memory beside all else."""

_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}
_KINDS: dict[str, Kind] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_PARQUET_MAGIC = b"PAR1"
# What text comes to when it is unpacked, as a rule of thumb.
_GROWTH = {"gzip": 3.0, "zstd": 3.3, "parquet": 1.8}

_ROWS = 256
_CONTINUATION = bytes(range(0x80, 0xC0))


@dataclass(frozen=True, slots=True)
class Format:
    """What a file's name says it is."""

    kind: Kind
    compression: Compression = ""

    @classmethod
    def of(cls, name: str) -> Format:
        """The format of a file of this name; case does not count."""
        path = Path(name.lower())
        compression = _COMPRESSIONS.get(path.suffix, "")
        kind = _KINDS.get(Path(path.stem).suffix if compression else path.suffix, "text")
        # Parquet is packed inside; whoever packs it once more has no row at hand to begin with.
        return cls("text" if compression and kind == "parquet" else kind, compression)

    @property
    def plain(self) -> bool:
        """The file is the text."""
        return self.kind == "text" and not self.compression

    def likely_bytes(self, size: int) -> int:
        """A guess at how much text there is in so many bytes of file."""
        return round(size * _GROWTH.get(self.compression or self.kind, 1.0))


@dataclass(frozen=True, slots=True)
class Document:
    """One text. `name` is its path relative to what was named, with forward slashes, and for a
    row `#` and its line or row, counted from 1."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are read: which field of a row is its text, and whether bytes that are not UTF-8
    are an error or replaced by U+FFFD."""

    text_field: str = "text"
    encoding_errors: EncodingErrors = "strict"


class DocumentFile:
    """The documents of one file. `position` is how far into the file on disk reading has come, in
    bytes."""

    def __init__(
        self, path: Path, name: str, file_format: Format, reading: Reading | None = None
    ) -> None:
        """`name` is what its documents are called by."""
        self.position = 0
        self._path = path
        self._name = name
        self._format = file_format
        self._reading = reading or Reading()

    def documents(self) -> Iterator[Document]:
        """The documents, each whole. An empty row is an empty document.

        Raises:
            CorpusError: the file cannot be read, is damaged or not UTF-8, or a row has no text in
                the field; names the line or row, or the byte.
        """
        if self._format.kind == "jsonl":
            yield from self._lines()
        elif self._format.kind == "parquet":
            yield from self._rows()
        else:
            text = "".join(self.parts())
            if not text:
                raise self._error("has become empty")
            yield Document(self._name, text)

    def texts(self) -> Iterator[str]:
        """The texts of the rows of a file that has rows. Raises as `documents`."""
        return (document.text for document in self.documents())

    def parts(self, skip: int = 0) -> Iterator[str]:
        """The text of a text file, some megabytes at a time, without a byte order mark and without
        its first `skip` bytes and what is left of a character there.

        Raises:
            CorpusError: as above.
        """
        begun, base, rest = skip > 0, 0, b""
        with self._opened() as file:
            if skip:
                base, rest = self._go_to(file, skip)
            while True:
                block = file.read(PART_BYTES)
                data = rest + block
                try:
                    text, used = codecs.utf_8_decode(data, self._reading.encoding_errors, not block)
                except UnicodeDecodeError as error:
                    at = base + error.start
                    raise self._not_utf8("", at, data[error.start]) from None
                base, rest = base + used, data[used:]
                if text and not begun:
                    begun, text = True, text.removeprefix("\ufeff")
                if text:
                    yield text
                if not block:
                    return

    def _go_to(self, file: IO[bytes], skip: int) -> tuple[int, bytes]:
        """Go to where the text has `skip` bytes behind it, and to the next character."""
        assert self._format.plain
        mark = len(codecs.BOM_UTF8) if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else 0
        file.seek(mark + skip)
        self.position = mark + skip
        following = file.read(4)
        data = following.lstrip(_CONTINUATION)
        return mark + skip + len(following) - len(data), data

    def head(self, size: int) -> bytes:
        """The first bytes, unpacked."""
        if self._format.kind == "parquet":
            return b""
        with self._opened() as file:
            return file.read(size)

    def check(self, head: bytes) -> None:
        """Look at what can be seen at once to be wrong, without loading anything heavy.

        Raises:
            CorpusError: the first line has no text, or the file is no parquet.
        """
        if self._format.kind == "jsonl":
            first = head.removeprefix(codecs.BOM_UTF8).lstrip()
            if b"\n" in first:
                lines = head[: len(head) - len(first)].count(b"\n")
                self._text_of(lines + 1, first.partition(b"\n")[0], 0)
        elif self._format.kind == "parquet":
            with self._opened() as file:
                begin = file.read(4)
                file.seek(max(0, os.fstat(file.fileno()).st_size - 4))
                if begin != _PARQUET_MAGIC or file.read() != _PARQUET_MAGIC:
                    raise self._error("is no parquet file, or not a whole one")

    # --- JSON Lines --------------------------------------------------------------------------

    def _lines(self) -> Iterator[Document]:
        at = 0
        with self._opened() as file:
            for number, line in enumerate(self._raw_lines(file), 1):
                start, at = at, at + len(line)
                if number == 1 and line.startswith(codecs.BOM_UTF8):
                    line = line.removeprefix(codecs.BOM_UTF8)
                if line.isspace() or not line:
                    continue
                text = self._text_of(number, line.rstrip(b"\r\n"), start)
                yield Document(f"{self._name}#{number}", text)

    def _raw_lines(self, file: IO[bytes]) -> Iterator[bytes]:
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                raise self._error(f"line {number:,} has more than {LONGEST_LINE:,} bytes")
            yield line

    def _text_of(self, number: int, line: bytes, start: int) -> str:
        """The text of a line of JSON that begins at byte `start`."""
        where = f"line {number:,}"
        try:
            row = json.loads(line.decode("utf-8", self._reading.encoding_errors))
        except UnicodeDecodeError as error:
            raise self._not_utf8(where, start + error.start, line[error.start]) from None
        except json.JSONDecodeError as error:
            message = f"{where} is no JSON: {error.msg} at its character {error.pos + 1:,}"
            raise self._error(message) from None
        except (ValueError, RecursionError) as error:
            raise self._error(f"{where} is no JSON: {error}") from None
        if not isinstance(row, dict):
            raise self._error(f"{where} is no JSON object")
        field = self._reading.text_field
        if field not in row:
            raise self._no_field(where, list(map(str, row)))
        return self._checked(where, row[field])

    # --- parquet -----------------------------------------------------------------------------

    def _rows(self) -> Iterator[Document]:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile

        number = 0
        with self._opened() as file:
            size = os.fstat(file.fileno()).st_size
            try:
                table = ParquetFile(file, pre_buffer=False, page_checksum_verification=True)
                column = self._column(table)
                for group in range(table.num_row_groups):
                    batches = table.iter_batches(_ROWS, row_groups=[group], columns=[column])
                    for batch in batches:
                        for value in _binary(batch.column(0)):
                            number += 1
                            yield self._row(number, value)
                        self.position = size * number // table.metadata.num_rows
            except (pa.ArrowException, OSError) as error:
                # Arrow reports damaged pages as OSError, too.
                message = f"is damaged behind row {number:,}: {_one_line(error)}"
                raise self._error(message) from None

    def _column(self, table: ParquetFile) -> str:
        import pyarrow as pa

        field = self._reading.text_field
        schema = table.schema_arrow
        if field not in schema.names:
            raise self._no_field("", schema.names)
        if schema.names.count(field) > 1:
            raise self._error(f"has the field {field!r} more than once")
        kind = schema.field(field).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
        if not any(is_text(kind) for is_text in (*texts, pa.types.is_large_binary)):
            raise self._error(f"field {field!r} holds {kind}, not text")
        return field

    def _row(self, number: int, value: bytes | None) -> Document:
        try:
            text = (value or b"").decode("utf-8", self._reading.encoding_errors)
        except UnicodeDecodeError as error:
            assert value is not None
            where = f"row {number:,}"
            raise self._not_utf8(where, error.start, value[error.start]) from None
        return Document(f"{self._name}#{number}", text)

    # --- what they share ---------------------------------------------------------------------

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        """The file's bytes, unpacked; what goes wrong while they are read is told."""
        try:
            with self._path.open("rb") as file:
                counted = Counted(file, self._passed)
                if self._format.compression == "gzip":
                    with gzip.GzipFile(fileobj=counted, mode="rb") as unpacked:
                        yield cast(IO[bytes], unpacked)
                elif self._format.compression == "zstd":
                    with io.BufferedReader(Zstd(counted), 1 << 16) as buffered:
                        yield buffered
                elif self._format.kind == "parquet":
                    yield file
                else:
                    with io.BufferedReader(counted, 1 << 16) as buffered:
                        yield buffered
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise self._error(f"is damaged: {_one_line(error)}") from None
        except OSError as error:
            raise self._error(f"cannot be read: {error.strerror or error}") from None

    def _passed(self, count: int) -> None:
        self.position += count

    def _checked(self, where: str, value: object) -> str:
        field = self._reading.text_field
        if value is None:
            return ""
        if not isinstance(value, str):
            kind = type(value).__name__
            raise self._error(f"{where}: field {field!r} holds {_JSON_KINDS[kind]}, not text")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                if self._reading.encoding_errors == "strict":
                    code = f"\\u{ord(value[error.start]):04x}"
                    message = f"{where}: half a surrogate pair, {code}, at character"
                    hint = "mend it, or set encoding_errors to replace"
                    raise self._error(f"{message} {error.start + 1:,} of the text", hint) from None
                return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value

    def _no_field(self, where: str, names: list[str]) -> CorpusError:
        field = self._reading.text_field
        message = f"{where} has no field {field!r}".strip()
        return self._error(message, f"set text_field; {nearest(field, names)}")

    def _not_utf8(self, where: str, at: int, byte: int) -> CorpusError:
        unpacked = " unpacked" if self._format.compression else ""
        message = f"{where} is not UTF-8:{unpacked} byte {at:,} is 0x{byte:02x}".strip()
        hint = "convert it to UTF-8, leave it out, or set encoding_errors to replace"
        return self._error(message, hint)

    def _error(self, message: str, hint: str = "") -> CorpusError:
        return CorpusError(Problem(shown(self._path), message, hint=hint))


_JSON_KINDS = {
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "an object",
}


def _binary(column: pa.Array) -> list[bytes | None]:
    """A column's texts as bytes, whether they are UTF-8 or not."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.large_binary()).to_pylist()  # type: ignore[no-any-return]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def shown(path: Path) -> str:
    """A path as text that can be written anywhere, whatever bytes the file system holds."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")
