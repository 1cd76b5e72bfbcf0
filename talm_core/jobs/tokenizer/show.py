"""What `talm show` says of a tokenizer: how well it fits text, and what it has learned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime import render
from talm_core.runtime.overview import Overview
from talm_core.settings.schema import JobConfig
from talm_core.storage import artifact_files
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.vocabulary import BASE, FILE_NAME

if TYPE_CHECKING:
    from talm_core.jobs.tokenizer.report import Report

_BAR = 24


Count = Callable[[float], str]
"""Says a number in few characters."""


def figures(item: Overview) -> Iterator[str]:
    """The numbers that tell tokenizers apart."""
    if isinstance(item.config, TokenizerConfig):
        yield f"{item.summary.get('vocab_size', item.config.vocab_size):,} tokens"
        if "bytes_per_token" in item.summary:
            yield f"{item.summary['bytes_per_token']:.2f} bytes per token"


def brief(item: Overview, count: Count) -> Iterator[str]:
    """How large its vocabulary is."""
    size = item.summary.get("vocab_size", getattr(item.config, "vocab_size", None))
    if isinstance(size, int):
        yield from (f"{count(size)} tokens", count(size))


def cells(item: Overview, count: Count) -> tuple[str, ...]:
    """Ids with special tokens, bytes per token, what it has learned from."""
    said, config = item.summary, item.config
    ids = said.get("n_vocab", said.get("vocab_size", getattr(config, "vocab_size", None)))
    ratio, source = said.get("bytes_per_token"), ""
    if isinstance(config, TokenizerConfig):
        source = " ".join(config.text_file) or config.data_dir or config.dataset or config.corpus
    return (
        count(ids) if isinstance(ids, int) else "",
        f"{ratio:.2f}" if isinstance(ratio, int | float) else "",
        render.one_line(source),
    )


def page(item: Overview) -> Iterator[str]:
    """What a tokenizer ended with, and how well it fits text."""
    yield from render.result(item.summary)
    found = report_in(item.artifact.directory, item.config)
    if found is not None:
        yield from lines(found)


def facts(item: Overview) -> dict[str, Any]:
    """The same as values for `--json`."""
    found = report_in(item.artifact.directory, item.config)
    return {"tokenizer": plain(found) if found else None}


def shipped(name: str) -> tuple[list[str], dict[str, Any]]:
    """The page and the values for `--json` of a tokenizer that ships with talm."""
    found = report_of(BASE.with_stem(name))
    return list(lines(found)), {"tokenizer": plain(found)}


def afterwards(config: TokenizerConfig, workspace: Workspace) -> tuple[str, ...]:
    """The words of the command that looks into it."""
    del workspace
    return ("show", f"tokenizers/{config.name}")


def report_in(directory: Path, config: JobConfig | None) -> Report | None:
    """The report of a tokenizer's directory; None while it is not complete."""
    path = directory / FILE_NAME
    if not artifact_files.is_file(path):
        return None
    return report_of(path, config if isinstance(config, TokenizerConfig) else None)


def report_of(path: Path, config: Any = None) -> Report:
    """The report of a tokenizer's file."""
    from talm_core.jobs.tokenizer.report import report

    return report(path, config)


def lines(report: Report) -> Iterator[str]:
    """The report as a page."""
    special = ", ".join(report.special_tokens) or "none"
    yield from render.table(
        "Vocabulary",
        [
            ("tokens", f"{report.vocab_size:,}, {report.n_vocab:,} ids with special tokens"),
            ("pattern", render.one_line(report.pattern, 80)),
            ("special tokens", render.one_line(special, 200)),
        ],
    )
    about = render.one_line(report.text, 60)
    seen = "which it has learned from" if report.seen else "which it has not seen"
    yield ""
    yield f"Bytes per token on {about}, {render.size(report.text_bytes)}, {seen}"
    if report.missing:
        yield f"  not on its own corpus: {render.one_line(report.missing, 200)}"
    most = max(fit.bytes_per_token for fit in report.fits)
    width = max(len(render.one_line(fit.name, 48)) for fit in report.fits)
    for fit in report.fits:
        bar = "█" * round(_BAR * fit.bytes_per_token / most)
        name = render.one_line(fit.name, 48)
        yield f"  {name.ljust(width)}  {fit.bytes_per_token:6.3f}  {bar}".rstrip()
    yield f"  {report.single_bytes:.1%} of its tokens are single bytes"
    yield f"  {report.used:.1%} of its vocabulary occurs"
    rows = [("script", "language", "tokens per word", "per character", "bytes per token")]
    rows += [
        (
            fit.script,
            fit.language,
            "-" if fit.tokens_per_word is None else f"{fit.tokens_per_word:.2f}",
            f"{fit.tokens_per_character:.2f}",
            f"{fit.bytes_per_token:.2f}",
        )
        for fit in report.scripts
    ]
    yield ""
    yield "The same three sentences in each script"
    yield from _columns(rows, left=2)
    longest = {"Longest tokens": report.longest, "Longest with a letter": report.longest_words}
    for title, tokens in longest.items():
        long = [(str(token.id), f"{token.bytes:,} B", token.text) for token in tokens]
        yield ""
        yield title
        yield from _columns(long, left=0) if long else ("  none",)


def plain(report: Report) -> dict[str, Any]:
    """The same as values for `--json`."""
    return asdict(report)


def _columns(rows: Sequence[Sequence[str]], *, left: int) -> Iterator[str]:
    """Rows with the first `left` columns to the left, the last one too if none are, and the others
    to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1 if left == 0 else -1
    for row in rows:
        cells = [
            cell.ljust(width) if index < left or index == last else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"  {'  '.join(cells)}".rstrip()
