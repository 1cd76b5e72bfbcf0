"""What a file of text is, as its name says, and how it is read.

`.jsonl` and `.ndjson` hold a document a line, `.json` an array or lines of them, `.csv`, `.tsv` and
`.parquet` one a row, each in a named field; every other file is a document of its own. All but
parquet may be compressed, `.gz` or `.zst` behind the rest of the name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["text", "jsonl", "json", "csv", "tsv", "parquet"]
Compression = Literal["", "gzip", "zstd"]
EncodingErrors = Literal["strict", "replace"]
UnreadableFiles = Literal["stop", "leave_out"]

_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}
_KINDS: dict[str, Kind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
# What text comes to when it is unpacked, as a rule of thumb.
_GROWTH = {"gzip": 3.0, "zstd": 3.3, "parquet": 1.8}


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
class Reading:
    """How files are read: which field of a row is its text, whether bytes that are not UTF-8 are
    an error or replaced by U+FFFD, and whether a file that cannot be read is one or left out."""

    text_field: str = "text"
    encoding_errors: EncodingErrors = "strict"
    unreadable_files: UnreadableFiles = "stop"


def shown(path: Path) -> str:
    """A path as text that can be written anywhere, whatever bytes the file system holds."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")
