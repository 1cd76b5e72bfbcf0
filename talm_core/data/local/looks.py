"""What the beginning of a file looks like, whatever its name says."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from itertools import islice

from talm_core.data.local import json_rows
from talm_core.data.local.document_file import DocumentFile
from talm_core.data.local.formats import Kind, Reading
from talm_core.data.local.json_rows import NotJsonError
from talm_core.errors import CorpusError, nearest

# Bytes that no text has: control characters without tab, line feeds, escape and their like.
_CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r\b\x1b\x1a"))

_BINARIES = (
    (b"\x1f\x8b", "a gzip archive", "give its name the ending .gz, or unpack it"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "give its name the ending .zst, or unpack it"),
    (b"PK\x03\x04", "a zip archive, or a document of an office program", "save its text"),
    (b"BZh", "a bzip2 archive", "unpack it"),
    (b"\xfd7zXZ", "an xz archive", "unpack it"),
    (b"%PDF", "a PDF", "save its text"),
    (b"PAR1", "a parquet file", "give its name the ending .parquet"),
    (b"ARROW1", "an Arrow file", "write it as parquet"),
)
_LOOKS = (
    (re.compile(rb"<!doctype html|<html[\s>]", re.IGNORECASE), "HTML"),
    (re.compile(rb"<\?xml\s"), "XML"),
    (re.compile(rb"\{\\rtf"), "RTF"),
    (re.compile(rb"%!PS"), "PostScript"),
)
# Characters of JSON that are read to see whether it has rows.
_FIRST_ROW = 1 << 24
_FEW_BYTES = 16
_USUAL = {"HTML": (".html", ".htm", ".xhtml"), "XML": (".xml", ".svg", ".xsd", ".xsl", ".rss")}


def binary(head: bytes) -> tuple[str, str] | None:
    """What a file is that is no text, by its first bytes, and what to do about it; None for text.

    NUL is in no text. Other control characters are in some, but not together with bytes that are
    not UTF-8: those are compressed or drawn.
    """
    for magic, name, hint in _BINARIES:
        if head.startswith(magic) and (magic == b"%PDF" or not head.isascii() or b"\0" in head):
            return f"is {name}, not text", hint
    if b"\0" in head:
        odd, even = head[1::2], head[::2]
        if len(head) > _FEW_BYTES and max(odd.count(0), even.count(0)) > len(head) // 4:
            hint = "write it anew as UTF-8"
            return "looks like UTF-16 without a byte order mark", hint
        return "is a binary file, not text", ""
    if len(head.translate(None, _CONTROL)) == len(head):
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "is a binary file, not text", ""
    return None


def other_than_text(head: bytes, name: str) -> str:
    """What text looks like that is read as plain text although its name does not say that it is
    something else; empty for nothing else."""
    begins = head.removeprefix(codecs.BOM_UTF8).lstrip()
    for pattern, kind in _LOOKS:
        if pattern.match(begins) and not name.lower().endswith(_USUAL.get(kind, ())):
            return kind
    line = begins.partition(b"\n")[0]
    if line[:1] == b"{":
        try:
            if isinstance(json_rows.value(line.decode("utf-8", "replace")), dict):
                return "JSON Lines"
        except NotJsonError:
            pass
    return ""


@dataclass(frozen=True, slots=True)
class NoRows:
    """Why a file has no rows with a text: what it looks like, and whether it has `rows` at all."""

    kind: str
    message: str
    hint: str = ""
    rows: bool = False


def no_rows(file: DocumentFile, kind: Kind, head: bytes, reading: Reading) -> NoRows | None:
    """Why a file that is JSON or CSV by its name has no rows with a text; None where it has.

    Raises:
        CorpusError: the file cannot be read.
    """
    field = reading.text_field
    if kind != "json":
        names = file.columns(head)
        if field in names:
            return None
        return NoRows("CSV", f"has no column {field!r}", _set_to(field, names), rows=True)
    found: list[object] = []
    try:
        found += islice(file.json_values(longest=_FIRST_ROW), 2)
        broken = False
    except CorpusError:
        # Of rows it is told when they are read.
        broken = True
    array = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"["
    first = found[0] if found else None
    if array and isinstance(first, str):
        return None
    if not isinstance(first, dict):
        return NoRows("JSON", "is no JSON" if broken and not found else "has no rows")
    if isinstance(first.get(field), str) or (field in first and (array or len(found) > 1)):
        return None
    if not array and len(found) == 1:
        return NoRows("JSON", "is one object")
    names = list(map(str, first))
    return NoRows("JSON", f"has rows without a field {field!r}", _set_to(field, names), rows=True)


def _set_to(field: str, names: list[str]) -> str:
    return f"set text_field; {nearest(field, names)}"
