"""Text cut and padded to terminal cells, which wide characters fill two of."""

from __future__ import annotations

import re

from rich.cells import cell_len, set_cell_size

from talm_core.system.foreign_text import plain

_LEAST = 6
_BREAKS = re.compile(r"[\t\n]+")


def left(text: str, width: int) -> str:
    """Text from outside in exactly `width` cells, cut with `…`."""
    return _fit(text, width, pad_left=False)


def name(text: str, width: int) -> str:
    """A name in exactly `width` cells. What is cut is cut in its middle: `run-2` and `run-3` are
    told apart by their ends."""
    text = _BREAKS.sub(" ", plain(text))
    if cell_len(text) <= width or width < _LEAST:
        return left(text, width)
    tail = text[-(width // 3) :]
    while cell_len(tail) > width // 3:
        tail = tail[1:]
    return set_cell_size(text, width - 1 - cell_len(tail)) + "…" + tail


def right(text: str, width: int) -> str:
    """The same, at the right end of its cells."""
    return _fit(text, width, pad_left=True)


def _fit(text: str, width: int, *, pad_left: bool) -> str:
    text = _BREAKS.sub(" ", plain(text))
    length = cell_len(text)
    if width <= 0:
        return ""
    if length > width:
        return set_cell_size(text, width - 1) + "…"
    pad = " " * (width - length)
    return pad + text if pad_left else text + pad
