"""The documents of one file: text, or rows of JSON, CSV or parquet, plain or compressed.

What a file is, its name says (`formats`), but those whose name says `.json` or `.csv` and that have
no rows are a document of their own, too (`search` looks). All but parquet may be in UTF-16, if they
begin with a byte order mark. Nothing is unpacked onto the disk, and of rows only those at hand are
in memory.
"""

from __future__ import annotations

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from talm_core.data.local import csv_rows, json_rows
from talm_core.data.local.csv_rows import NotCsvError
from talm_core.data.local.decompress import Counted, Recoded, Zstd, marked
from talm_core.data.local.formats import Format, Reading, shown
from talm_core.data.local.json_rows import NotJsonError
from talm_core.errors import CorpusError, Problem, nearest

if TYPE_CHECKING:
    import pyarrow as pa

PART_BYTES = 1 << 22
"""How much of a text is read at once."""
LONGEST_LINE = 1 << 27
"""A line of rows of more bytes is an error: a few of them would not fit into memory."""

_PARQUET_MAGIC = b"PAR1"
_ROWS = 256
_BATCH_BYTES = 1 << 22
_BUFFER_BYTES = 1 << 20
_CONTINUATION = bytes(range(0x80, 0xC0))

_CUT_OFF = "mend it, or leave the file out: unreadable_files = leave_out"

_JSON_KINDS = {
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "an object",
}


@dataclass(frozen=True, slots=True)
class Document:
    """One text. `name` is its path relative to what was named, with forward slashes, and for a
    row `#` and its line or row, counted from 1."""

    name: str
    text: str


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
        """The documents, each whole. Rows without a text are none.

        Raises:
            CorpusError: the file cannot be read, is damaged or not UTF-8, or a row has no text in
                the field; names the line or row, or the byte.
        """
        if self._format.kind != "text":
            for number, text in self._rows():
                if text is not None:
                    yield Document(f"{self._name}#{number}", text)
            return
        text = "".join(self.parts())
        if not text:
            raise self._error("has become empty")
        yield Document(self._name, text)

    def texts(self) -> Iterator[str | None]:
        """The texts of the rows of a file that has rows, None for a row without one. Raises as
        `documents`."""
        return (text for _, text in self._rows())

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

    def first_bytes(self) -> bytes:
        """The first four of them as they lie on the disk."""
        with self._path.open("rb") as file:
            return file.read(4)

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

    def _rows(self) -> Iterator[tuple[int, str | None]]:
        """The texts of the rows, and the line or row of each, counted from 1."""
        if self._format.kind == "jsonl":
            return self._lines()
        if self._format.kind == "json":
            return self._values()
        if self._format.kind == "parquet":
            return self._parquet()
        return self._column()

    # --- JSON --------------------------------------------------------------------------------

    def _lines(self) -> Iterator[tuple[int, str | None]]:
        at = 0
        with self._opened() as file:
            for number, line in enumerate(self._raw_lines(file), 1):
                start, at = at, at + len(line)
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                if not line.isspace() and line:
                    yield number, self._text_of(number, line.rstrip(b"\r\n"), start)

    def _raw_lines(self, file: IO[bytes]) -> Iterator[bytes]:
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                raise self._error(f"line {number:,} has more than {LONGEST_LINE:,} bytes")
            yield line

    def _text_of(self, number: int, line: bytes, start: int) -> str | None:
        """The text of a line of JSON that begins at byte `start`."""
        where = f"line {number:,}"
        try:
            row = json_rows.value(self._decoded(line, where, start))
        except NotJsonError as error:
            raise self._error(f"{where} {error}", _CUT_OFF) from None
        return self._field_of(row, where)

    def _values(self) -> Iterator[tuple[int, str | None]]:
        for number, row in enumerate(self.json_values(), 1):
            yield number, self._field_of(row, f"row {number:,}")

    def json_values(self, *, longest: int = json_rows.LONGEST_ROW) -> Iterator[object]:
        """The elements of a JSON array, or values that follow one another, each of at most about
        `longest` characters. Raises as `documents`."""
        number = 0
        try:
            for row in json_rows.values(self.parts(), longest):
                number += 1
                yield row
        except NotJsonError as error:
            where = f"row {number + 1:,} " if number else ""
            raise self._error(f"{where}{error}", _CUT_OFF) from None

    def _field_of(self, row: object, where: str) -> str | None:
        """The text of a row: an object's field, or a string itself."""
        if isinstance(row, str) and self._format.kind == "json":
            return self._checked(where, row)
        if not isinstance(row, dict):
            raise self._error(f"{where} is no JSON object")
        field = self._reading.text_field
        if field not in row:
            raise self._no_field(where, list(map(str, row)))
        return self._checked(where, row[field])

    # --- CSV ---------------------------------------------------------------------------------

    def _column(self) -> Iterator[tuple[int, str | None]]:
        field = self._reading.text_field
        with self._opened() as file:
            lines = self._decoded_lines(file)
            delimiter, names = csv_rows.header(self._format.kind, next(lines, ""), field)
            if field not in names:
                raise self._no_field("", names)
            try:
                yield from csv_rows.column(lines, delimiter, names, field)
            except NotCsvError as error:
                raise self._error(str(error), _CUT_OFF) from None

    def columns(self, head: bytes) -> list[str]:
        """The names of a CSV's columns, by the beginning of the file."""
        line = head.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")
        line = line.splitlines()[0] if line else ""
        return csv_rows.header(self._format.kind, line, self._reading.text_field)[1]

    def _decoded_lines(self, file: IO[bytes]) -> Iterator[str]:
        at = 0
        for number, line in enumerate(self._raw_lines(file), 1):
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            yield self._decoded(line, f"line {number:,}", at)
            at += len(line)

    # --- parquet -----------------------------------------------------------------------------

    def _parquet(self) -> Iterator[tuple[int, str | None]]:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile

        from talm_core.data.text_column import text_bytes

        number = 0
        with self._opened() as file:
            size = os.fstat(file.fileno()).st_size
            try:
                table = ParquetFile(
                    file,
                    pre_buffer=False,
                    buffer_size=_BUFFER_BYTES,
                    page_checksum_verification=True,
                )
                column = self._text_column(table.schema_arrow)
                for group in range(table.num_row_groups):
                    described = table.metadata.row_group(group)
                    rows = _BATCH_BYTES * described.num_rows // (described.total_byte_size or 1)
                    for batch in table.iter_batches(
                        min(max(1, rows), _ROWS), row_groups=[group], columns=[column]
                    ):
                        for data in text_bytes(batch.column(0)):
                            number += 1
                            where = f"row {number:,}"
                            yield number, None if data is None else self._decoded(data, where, 0)
                        self.position = size * number // table.metadata.num_rows
            except (pa.ArrowException, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                # Arrow reports damaged pages as OSError, too.
                raise self._error(f"is damaged behind row {number:,}") from None

    def _text_column(self, schema: pa.Schema) -> str:
        from talm_core.data.text_column import described, holds_text

        field = self._reading.text_field
        if field not in schema.names:
            raise self._no_field("", schema.names)
        if schema.names.count(field) > 1:
            raise self._error(f"has the field {field!r} more than once")
        kind = schema.field(field).type
        if not holds_text(kind):
            texts = [item.name for item in schema if holds_text(item.type)]
            hint = f"set text_field; of text are: {', '.join(texts)}" if texts else ""
            raise self._error(f"field {field!r} holds {described(kind)}, not text", hint)
        return field

    # --- what they share ---------------------------------------------------------------------

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        """The file's bytes, unpacked and in UTF-8; what goes wrong while they are read is told."""
        encoding = ""
        try:
            with self._path.open("rb") as file:
                if self._format.kind == "parquet":
                    yield file
                    return
                with self._unpacked(Counted(file, self._passed)) as unpacked:
                    encoding = marked(unpacked.peek(4)[:4])  # type: ignore[attr-defined]
                    if not encoding:
                        yield unpacked
                        return
                    errors = self._reading.encoding_errors
                    with io.BufferedReader(Recoded(unpacked, encoding, errors), 1 << 16) as text:
                        yield text
        except UnicodeDecodeError:
            hint = "write it anew as UTF-8, leave it out, or set encoding_errors to replace"
            raise self._error(f"is not {encoding}, as its byte order mark says", hint) from None
        except gzip.BadGzipFile:
            raise self._error("is damaged, or no gzip archive") from None
        except EOFError:
            raise self._error("is damaged: it ends in the middle") from None
        except zlib.error:
            raise self._error("is damaged: it cannot be unpacked") from None
        except OSError as error:
            raise self._error(f"cannot be read: {error.strerror or error}") from None

    def _unpacked(self, file: Counted) -> IO[bytes]:
        if self._format.compression == "gzip":
            return cast(IO[bytes], gzip.GzipFile(fileobj=file, mode="rb"))
        if self._format.compression == "zstd":
            return io.BufferedReader(Zstd(file), 1 << 16)
        return io.BufferedReader(file, 1 << 16)

    def _passed(self, count: int) -> None:
        self.position += count

    def _decoded(self, data: bytes, where: str, start: int) -> str:
        """The text of bytes that begin at byte `start`."""
        try:
            return data.decode("utf-8", self._reading.encoding_errors)
        except UnicodeDecodeError as error:
            raise self._not_utf8(where, start + error.start, data[error.start]) from None

    def _checked(self, where: str, value: object) -> str | None:
        field = self._reading.text_field
        if value is None:
            return None
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
