"""What `talm show` says of a dataset: its manifest, and documents out of its shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talm_core.data.manifest import FILE_NAME, Manifest
from talm_core.errors import ArtifactError, Problem
from talm_core.jobs.dataset.config import DataConfig
from talm_core.runtime import render
from talm_core.runtime.artifacts import full_name
from talm_core.runtime.overview import Overview
from talm_core.storage import artifact_files
from talm_core.storage.workspace import Artifact, Workspace

if TYPE_CHECKING:
    from talm_core.data.reader import Excerpt

_SHARDS_SHOWN = 12


Count = Callable[[float], str]
"""Says a number in few characters."""


def figures(item: Overview) -> Iterator[str]:
    """The numbers that tell datasets apart."""
    if "tokens" in item.summary:
        yield f"{render.count(item.summary['tokens'])} tokens"
    if "documents" in item.summary:
        yield f"{item.summary['documents']:,} documents"


def brief(item: Overview, count: Count) -> Iterator[str]:
    """How many tokens it has."""
    tokens = _tokens(item)
    if tokens is not None:
        yield from (f"{count(tokens)} tokens", count(tokens))


def cells(item: Overview, count: Count) -> tuple[str, ...]:
    """Tokens, the tokenizer they are of, documents."""
    tokens, documents = _tokens(item), item.summary.get("documents")
    return (
        "" if tokens is None else count(tokens),
        render.one_line(str(getattr(item.config, "tokenizer_path", ""))),
        count(documents) if isinstance(documents, int) else "",
    )


def _tokens(item: Overview) -> int | None:
    """All tokens of a dataset, for training and for validation; None while that is not known."""
    counts = [item.summary.get(key) for key in ("train_tokens", "val_tokens")]
    known = [number for number in counts if isinstance(number, int)]
    whole = item.summary.get("tokens")
    return whole if isinstance(whole, int) else sum(known) if known else None


def page(item: Overview) -> Iterator[str]:
    """What a dataset is made of, and its shards; as long as it is not complete what is known."""
    manifest = manifest_in(item.artifact.directory)
    if manifest is None:
        yield from render.result(item.summary)
        return
    yield from render.table("Dataset", _rows(manifest))
    yield from shard_lines(manifest)


def facts(item: Overview) -> dict[str, Any]:
    """The same as values for `--json`."""
    manifest = manifest_in(item.artifact.directory)
    return {"dataset": plain(manifest) if manifest else None}


def afterwards(config: DataConfig, workspace: Workspace) -> tuple[str, ...]:
    """The words of the command that trains a model on it."""
    del workspace
    return ("train-model", "-n", "NAME", "-d", config.artifact)


def documents(
    artifact: Artifact, count: int, seed: int
) -> Iterator[tuple[dict[str, Any], Iterator[str]]]:
    """Documents drawn at random, each as values for `--json` and as lines.

    Raises:
        ArtifactError: the dataset is not finished, or damaged.
    """
    manifest = manifest_in(artifact.directory)
    if manifest is None:
        message = f"{full_name(artifact)} is not finished"
        raise ArtifactError(Problem("documents", message, hint="go on with preparing it"))
    for excerpt in excerpts(artifact.directory, count, seed):
        yield plain_excerpt(excerpt), excerpt_lines(excerpt, manifest.documents)


def manifest_in(directory: Path) -> Manifest | None:
    """The dataset's manifest; None while it is not complete.

    Raises:
        ArtifactError: it is damaged or from a newer talm.
    """
    return Manifest.load(directory) if artifact_files.is_file(directory / FILE_NAME) else None


def _rows(manifest: Manifest) -> list[tuple[str, str]]:
    """What a dataset is made of, a line each."""
    tokenizer = manifest.tokenizer
    tokens, text = manifest.tokens, manifest.text_bytes
    shards = len(manifest.shards)
    left_out = [("left out", f"{manifest.left_out:,} rows without a text")]
    return [
        ("source", render.one_line(f"{manifest.source}/{manifest.sample}")),
        (
            "tokenizer",
            (
                f"{render.one_line(tokenizer.name)}, {tokenizer.n_vocab:,} ids,"
                f" {render.one_line(tokenizer.identity[:19])}…"
            ),
        ),
        (
            "tokens",
            f"{tokens:,} ({manifest.train_tokens:,} train, {manifest.val_tokens:,} val)",
        ),
        ("documents", f"{manifest.documents:,}"),
        *(left_out if manifest.left_out else []),
        ("text", f"{render.size(text)} of UTF-8"),
        ("bytes per token", f"{text / tokens:.3f}"),
        (
            "shards",
            f"{shards} files of {manifest.dtype}, {render.size(manifest.shard_bytes)}",
        ),
    ]


def shard_lines(manifest: Manifest) -> Iterator[str]:
    """The shards as a table, the first dozen of them."""
    rows = [("file", "tokens", "documents", "text", "bytes per token")]
    rows += [
        (
            shard.file,
            f"{shard.tokens:,}",
            f"{shard.documents:,}",
            render.size(shard.bytes),
            f"{shard.bytes / shard.tokens:.3f}",
        )
        for shard in manifest.shards[:_SHARDS_SHOWN]
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield ""
    yield "Shards"
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield f"  {'  '.join(cells)}"
    if (more := len(manifest.shards) - _SHARDS_SHOWN) > 0:
        yield f"  and {more:,} more"


def excerpts(directory: Path, count: int, seed: int) -> list[Excerpt]:
    """Documents drawn at random.

    Raises:
        ArtifactError: the dataset is damaged.
    """
    from talm_core.data.reader import Documents

    documents = Documents(directory)
    return [documents.read(number) for number in documents.choose(count, seed=seed)]


def excerpt_lines(excerpt: Excerpt, documents: int) -> Iterator[str]:
    """A document under a line that says how large it is."""
    yield ""
    yield f"--- {about(excerpt, documents)} ---"
    yield render.plain(excerpt.text).rstrip("\n") if excerpt.tokens else "(empty)"
    if not excerpt.complete:
        yield "--- and so on ---"


def about(excerpt: Excerpt, documents: int) -> str:
    """`document 12 of 1,834, train, 310 tokens, 1.1 kB, 3.54 bytes per token`."""
    parts = [
        f"document {excerpt.number:,} of {documents:,}",
        excerpt.split,
        f"{excerpt.tokens:,} tokens",
        render.size(excerpt.bytes),
    ]
    if excerpt.bytes_per_token is not None:
        parts.append(f"{excerpt.bytes_per_token:.2f} bytes per token")
    return ", ".join(parts)


def plain(manifest: Manifest) -> dict[str, Any]:
    """The same as values for `--json`."""
    tokens, text = manifest.tokens, manifest.text_bytes
    return manifest.model_dump(mode="json") | {
        "tokens": tokens,
        "train_tokens": manifest.train_tokens,
        "val_tokens": manifest.val_tokens,
        "documents": manifest.documents,
        "bytes": text,
        "bytes_per_token": round(text / tokens, 4),
        "shard_bytes": manifest.shard_bytes,
    }


def plain_excerpt(excerpt: Excerpt) -> dict[str, Any]:
    """A document as values for `--json`."""
    ratio = excerpt.bytes_per_token
    return {
        "number": excerpt.number,
        "split": excerpt.split,
        "shard": excerpt.shard,
        "tokens": excerpt.tokens,
        "bytes": excerpt.bytes,
        "bytes_per_token": None if ratio is None else round(ratio, 4),
        "text": excerpt.text,
        "complete": excerpt.complete,
    }
