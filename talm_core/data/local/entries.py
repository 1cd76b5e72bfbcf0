"""What a corpus is made of before any of it is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from talm_core.data.local.document_file import DocumentFile
from talm_core.data.local.formats import Format, Reading

_TEXT = Format("text")


@dataclass(frozen=True, slots=True)
class Entry:
    """One document or several that are not read yet: a file, or for topics their text. `size` is
    in bytes, of which `mark` are a byte order mark; `name` is what its documents are called by."""

    name: str
    size: int
    path: Path | None = None
    text: str = ""
    format: Format = _TEXT
    mark: int = 0
    encoding: str = "UTF-8"

    @property
    def text_bytes(self) -> int:
        """Its size without the mark."""
        return self.size - self.mark

    @property
    def rows(self) -> bool:
        """It has a document a row; otherwise it is one."""
        return self.format.kind != "text"

    def file(self, reading: Reading) -> DocumentFile:
        """Its documents, if it is a file."""
        assert self.path is not None
        return DocumentFile(self.path, self.name, self.format, reading)

    def exact(self, reading: Reading) -> bool:
        """Its size is its text's size, and it is one document; nothing has to be read for that."""
        plain = self.format.plain and self.encoding == "UTF-8"
        return plain and reading.encoding_errors == "strict" and reading.unreadable_files == "stop"
