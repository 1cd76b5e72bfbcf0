"""How well the newest tokenizer fits text, and its longest tokens, for the place's own page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from talm_core.runtime.render import one_line, size
from talm_tui.forms.glimpse import Cancelled, Seen
from talm_tui.services.clients import ask
from talm_tui.widgets.cells import left

_BAR, _NAME = 24, 48


def learned(workspace: Path, tokenizer: str, cancelled: Cancelled) -> Seen | None:
    """What a tokenizer has learned, as `talm show` measures it: how well it fits, and beside that
    its longest tokens. How it was made stands in the list of tokenizers."""
    said = ask(workspace, "show", f"tokenizers/{tokenizer}", "--json", cancelled=cancelled)
    if said is None:
        return None
    if said.problem:
        return Seen(problem=said.problem)
    report = json.loads(said.text)["tokenizer"]
    if report is None:
        return Seen(problem="it is not complete")
    return Seen(text=_beside([*_facts(report), "", *_fits(report)], list(_longest(report))))


def _facts(report: Mapping[str, Any]) -> Iterator[str]:
    yield "Vocabulary"
    size_said = f"{report['vocab_size']:,}, {report['n_vocab']:,} ids with special tokens"
    yield f"  tokens          {size_said}"
    yield f"  pattern         {one_line(report['pattern'], 80)}"
    special = ", ".join(report["special_tokens"]) or "none"
    yield f"  special tokens  {one_line(special, 200)}"


def _fits(report: Mapping[str, Any]) -> Iterator[str]:
    seen = "which it has learned from" if report["seen"] else "which it has not seen"
    about = one_line(report["text"], 60)
    yield f"Bytes per token on {about}, {size(report['text_bytes'])}, {seen}"
    if report["missing"]:
        yield f"  not on its own corpus: {one_line(report['missing'], 200)}"
    fits = [(one_line(fit["name"], _NAME), fit["bytes_per_token"]) for fit in report["fits"]]
    most = max(ratio for _, ratio in fits)
    width = max(len(name) for name, _ in fits)
    for name, ratio in fits:
        bar = "█" * round(_BAR * ratio / most)
        yield f"  {name.ljust(width)}  {ratio:6.3f}  {bar}".rstrip()
    yield f"  {report['single_bytes']:.1%} of its tokens are single bytes"
    yield f"  {report['used']:.1%} of its vocabulary occurs"
    yield ""
    yield "The same three sentences in each script"
    rows = [("script", "language", "tokens per word", "per character", "bytes per token")]
    for fit in report["scripts"]:
        words = fit["tokens_per_word"]
        rows.append(
            (
                fit["script"],
                fit["language"],
                "-" if words is None else f"{words:.2f}",
                f"{fit['tokens_per_character']:.2f}",
                f"{fit['bytes_per_token']:.2f}",
            )
        )
    yield from _columns(rows, left_ones=(0, 1))


def _longest(report: Mapping[str, Any]) -> Iterator[str]:
    yield "Longest tokens"
    for key in ("longest", "longest_words"):
        if key == "longest_words":
            yield ""
            yield "Longest with a letter"
        rows = [(str(t["id"]), f"{t['bytes']:,} B", t["text"]) for t in report[key]]
        yield from _columns(rows, left_ones=(2,)) if rows else ("  none",)


def _columns(rows: Sequence[Sequence[str]], left_ones: tuple[int, ...]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if index in left_ones else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"  {'  '.join(cells)}".rstrip()


def _beside(one: Sequence[str], other: Sequence[str]) -> str:
    """Two texts beside each other."""
    width = max(map(cell_len, one), default=0) + 3
    pairs = zip_longest(one, other, fillvalue="")
    return "\n".join(f"{left(first, width)}{second}".rstrip() for first, second in pairs)
