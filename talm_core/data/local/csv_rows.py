"""Rows of CSV and TSV, as spreadsheets and data frames write them: the first names the columns.

Quoted fields may hold line ends. An empty field is a missing text, which is what those who write
these files mean by it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

LONGEST_FIELD = 1 << 27
"""A field of more characters is an error: most often a quote that is never closed."""

_DELIMITERS = {"csv": ",;\t", "tsv": "\t"}


class NotCsvError(ValueError):
    """What cannot be read as CSV; says what is wrong with it."""


def header(kind: str, line: str, field: str) -> tuple[str, list[str]]:
    """How fields are separated, and the names of the columns, of a file that begins with this
    line: of the separators that are usual the one by which there is a column `field`."""
    found: list[tuple[str, list[str]]] = []
    for delimiter in _DELIMITERS[kind]:
        try:
            names = next(csv.reader([line], delimiter=delimiter, strict=True), [])
        except csv.Error:
            continue
        if field in names:
            return delimiter, names
        found.append((delimiter, names))
    return max(found, key=lambda item: len(item[1]), default=(_DELIMITERS[kind][0], []))


def column(
    lines: Iterable[str], delimiter: str, names: list[str], field: str
) -> Iterator[tuple[int, str | None]]:
    """A column of lines that follow the header: each row's text, None for an empty one, and the
    line it ends on, counted from 1 with the header.

    Raises:
        NotCsvError: a row has more or fewer fields than the header, or quotes that do not fit.
    """
    csv.field_size_limit(LONGEST_FIELD)
    place, width = names.index(field), len(names)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        before = rows.line_num
        try:
            row = next(rows, None)
        except csv.Error:
            message = f"line {before + 2:,} begins a row that is no CSV: look at its quotes"
            raise NotCsvError(message) from None
        if row is None:
            return
        if not row:
            continue
        if len(row) != width:
            fields = "1 field" if len(row) == 1 else f"{len(row):,} fields"
            message = f"line {before + 2:,} begins a row of {fields}, the header has {width:,}"
            raise NotCsvError(message)
        yield rows.line_num + 1, row[place] or None
