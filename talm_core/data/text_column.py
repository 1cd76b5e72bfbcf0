"""Columns of text in Arrow data, from files and from the Hub alike.

Text is what any of Arrow's types for it holds, in whatever layout: `string`, `large_string` and
`string_view`, the same as dictionaries or runs, extensions over them such as JSON, and bytes, which
are text if they are UTF-8: older writers mark no text as such. A column of type `null` is one in
which every text is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def plain_type(kind: pa.DataType) -> pa.DataType:
    """What a type's values are, without the layout around them."""
    import pyarrow as pa

    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        else:
            return kind


def holds_text(kind: pa.DataType) -> bool:
    """Whether a column of this type is one of text."""
    import pyarrow as pa

    types = pa.types
    looks = (
        *(types.is_string, types.is_large_string, types.is_string_view),
        *(types.is_binary, types.is_large_binary, types.is_binary_view, types.is_null),
    )
    plain = plain_type(kind)
    return any(look(plain) for look in looks)


def described(kind: pa.DataType) -> str:
    """A type in words for whoever expected text."""
    import pyarrow as pa

    plain = plain_type(kind)
    if pa.types.is_list(plain) or pa.types.is_large_list(plain):
        return "lists"
    if pa.types.is_struct(plain):
        return "objects"
    return str(plain)


def text_bytes(column: pa.Array) -> list[bytes | None]:
    """A column's texts as bytes, whether they are UTF-8 or not; None for a missing one."""
    import pyarrow as pa
    from pyarrow.compute import run_end_decode

    while True:
        if isinstance(column, pa.ExtensionArray):
            column = column.storage
        elif pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        elif pa.types.is_run_end_encoded(column.type):
            column = run_end_decode(column)
        else:
            break
    if pa.types.is_null(column.type):
        return [None] * len(column)
    views = pa.types.is_string_view(column.type) or pa.types.is_binary_view(column.type)
    found: list[bytes | None] = column.cast(
        pa.binary_view() if views else pa.large_binary()
    ).to_pylist()
    return found
