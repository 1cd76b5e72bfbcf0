"""What there is of one kind already, beside the form that makes one more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.system.foreign_text import line
from talm_tui.widgets.cells import left, right
from talm_tui.widgets.format import ago, count, percent
from talm_tui.widgets.status import colour, title

if TYPE_CHECKING:
    from talm_core.runtime.overview import Overview

_HEADS = {
    "tokenizer": ("ids", "bytes/token", "learned from"),
    "data": ("tokens", "tokenizer", "documents"),
    "pretrain": ("bits/byte", "val loss", "shape", "steps", "tokens/s"),
}
_TEXTS = ("learned from", "tokenizer")
_LEAST_NAME, _MOST_NAME, _MOST_CELL, _AGO = 10, 40, 28, 12


class ArtifactList(Widget):
    """The newest artifacts of a kind, with what tells them apart; columns for which there is no
    room are left out, the last ones first."""

    ALLOW_SELECT = False

    def __init__(self, kind: str, heading: str, empty: str) -> None:
        """`empty` is said while there is none."""
        super().__init__(id="there")
        self.border_title = Content(heading)
        self._kind = kind
        self._empty = empty
        self._items: tuple[Overview, ...] = ()

    def show(self, items: Sequence[Overview]) -> None:
        """List these, newest first."""
        before, self._items = self._items, tuple(items)
        if before != self._items:
            # Another number of lines is another height.
            self.refresh(layout=len(before) != len(self._items))

    def render(self) -> Content:
        width, height = self.size
        if not self._items:
            return Content.styled(self._empty, "$secondary")
        return Content("\n").join(table(self._kind, self._items, width, height))


def table(kind: str, items: Sequence[Overview], width: int, height: int) -> list[Content]:
    """A head and a line an artifact, `height` lines at most; the last one says how many more
    there are."""
    shown = items if len(items) < height else items[: max(0, height - 2)]
    rows = [_figures(item) for item in shown]
    heads = _HEADS[kind]
    widths = [
        min(_MOST_CELL, max(len(head), *(cell_len(row[index]) for row in rows), 0)) + 2
        for index, head in enumerate(heads)
    ]
    names = max((cell_len(title(item)) for item in shown), default=0)
    room = width - 2 - max(_LEAST_NAME, min(_MOST_NAME, names))
    kept = 0
    while kept < len(heads) and sum(widths[: kept + 1]) <= room:
        kept += 1
    when = _AGO if sum(widths[:kept]) + _AGO <= room else 0
    name = max(0, width - 2 - sum(widths[:kept]) - when)
    name = min(name, max(_LEAST_NAME, names))
    head = " " * (2 + name) + "".join(
        _cell(text, text, size) for text, size in zip(heads[:kept], widths, strict=False)
    )
    lines = [Content.styled(head, "$secondary")]
    for item, row in zip(shown, rows, strict=True):
        parts = zip(heads, row[:kept], widths, strict=False)
        cells = "".join(_cell(head, text, size) for head, text, size in parts)
        said = ago(item.updated) if item.updated and not item.status.active else ""
        lines.append(
            Content.assemble(
                (item.status.glyph, colour(item.status.value)),
                " ",
                left(title(item), name),
                (cells + right(said, when), "$secondary"),
            )
        )
    if len(shown) < len(items):
        lines.append(Content.styled(f"  … {len(items) - len(shown):,} more", "$secondary"))
    return lines[:height]


def _cell(head: str, text: str, width: int) -> str:
    return "  " + left(text, width - 2) if head in _TEXTS else right(text, width)


def _figures(item: Overview) -> tuple[str, ...]:
    """One text for each head of the kind."""
    said, config = item.summary, item.config
    going = percent(item.fraction)
    if not item.status.active:
        going = "" if item.status.value == "done" else f"{item.status.value} {going}".rstrip()
    match config:
        case TokenizerConfig():
            size = said.get("n_vocab", said.get("vocab_size", config.vocab_size))
            ratio = said.get("bytes_per_token")
            source = (
                " ".join(config.text_file) or config.data_dir or config.dataset or config.corpus
            )
            return (
                going or (count(size) if isinstance(size, int | float) else ""),
                f"{ratio:.2f}" if isinstance(ratio, int | float) else "",
                line(source),
            )
        case DataConfig():
            tokens, documents = said.get("tokens"), said.get("documents")
            if not isinstance(tokens, int | float):
                parts = [said.get(key) for key in ("train_tokens", "val_tokens")]
                tokens = sum(part for part in parts if isinstance(part, int)) or None
            return (
                going or (count(tokens) if tokens is not None else ""),
                line(config.tokenizer_path),
                count(documents) if isinstance(documents, int | float) else "",
            )
        case PretrainConfig():
            metrics = item.metrics
            return (
                f"{item.bits_per_byte:.2f}" if item.bits_per_byte is not None else "",
                f"{item.val_loss:.2f}" if item.val_loss is not None else "",
                f"{config.n_layer} x {config.n_embd}",
                going if item.status.active else count(metrics.step) if metrics else "",
                count(metrics.tokens_per_second) if metrics else "",
            )
    return ("",) * len(_HEADS.get(item.artifact.kind, ()))
