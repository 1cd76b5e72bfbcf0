"""What a dataset is going to be: how much text, how many tokens, whether the disk holds them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from talm_core.data.division import expected_validation
from talm_core.data.sources import SOURCES, Sample
from talm_core.jobs.dataset.config import DataConfig
from talm_tui.forms.checker import Findings, Ratio
from talm_tui.forms.meaning import UNKNOWN, Meaning, Row, amount
from talm_tui.widgets.format import count, size


def published(sample: Sample) -> str:
    """What its publishers say about a sample: `10 G tokens · 31 GB to download`."""
    parts = []
    if sample.tokens is not None:
        parts.append(f"{count(sample.tokens)} tokens")
    if sample.text_bytes is not None:
        parts.append(f"{size(sample.text_bytes)} of text")
    if sample.download_bytes is not None:
        parts.append(f"{size(sample.download_bytes)} to download")
    return " · ".join(parts) or sample.help


_RATIOS = ((8.0, 1.0), (10.0, 2.5), (12.0, 3.3), (15.0, 4.2), (17.0, 4.6))
"""Bytes a token by the vocabulary's bits, of texts like the standard library: a first guess."""


def guessed_ratio(vocab_size: int) -> float:
    """Bytes a token to expect of a vocabulary, where no dataset tells."""
    bits = math.log2(max(256, vocab_size))
    for (low, small), (high, large) in itertools.pairwise(_RATIOS):
        if bits <= high:
            return small + (large - small) * (bits - low) / (high - low)
    return _RATIOS[-1][1]


def of_data(config: DataConfig, findings: Findings | None) -> Meaning:
    """How many tokens and shards a text is going to be, and what they take."""
    if findings is None or findings.vocab_size is None:
        return Meaning()
    sample = SOURCES[config.source].sample(config.ds_sample)
    corpus = findings.corpus
    rows = []
    if corpus is not None:
        text_bytes: int | None = corpus.bytes
        text = amount(corpus.bytes, corpus.documents)
        rows.append(Row("corpus", text, text))
    else:
        text_bytes = sample.likely_text_bytes if sample else None
        if sample is not None and (text := published(sample)):
            by = f" (counted with {sample.counted})" if sample.counted else ""
            rows.append(Row("corpus", text + by, text))
        elif sample is None:
            rows.append(Row("corpus", UNKNOWN, "size not known"))
    known = findings.ratio or Ratio(guessed_ratio(findings.vocab_size), "a guess")
    ratio = known.bytes_per_token
    tokens = None if text_bytes is None else text_bytes / ratio
    if config.max_tokens is not None:
        tokens = config.max_tokens if tokens is None else min(tokens, config.max_tokens)
    if tokens is None:
        ids = 2 if findings.vocab_size <= 2**16 else 4
        rows.append(Row("tokens", "all of it; max_tokens sets a limit", "all tokens"))
        rows.append(Row("shards", f"{size(ids * 10**6)} a million tokens"))
        if findings.free_disk is not None:
            room = f"{size(findings.free_disk)} free, {count(findings.free_disk / ids)} tokens"
            rows.append(Row("disk", room, f"{size(findings.free_disk)} free"))
        return Meaning(tuple(rows))
    rows.append(
        Row(
            "tokens",
            f"about {count(tokens)}, {ratio:.1f} bytes each ({known.source})",
            f"about {count(tokens)} tokens",
        )
    )
    rows += _shards(config, tokens, tokens * ratio, 2 if findings.vocab_size <= 2**16 else 4)
    needed = tokens * (2 if findings.vocab_size <= 2**16 else 4)
    download = sample.download_bytes if sample is not None and corpus is None else None
    if download is not None and text_bytes:
        download = round(download * min(1.0, tokens * ratio / text_bytes))
        rows.append(Row("download", size(download), ""))
        needed += download if config.keep_downloads else 0
    warnings = []
    if findings.free_disk is not None and needed > findings.free_disk:
        warnings.append(
            f"the disk has {size(findings.free_disk)} free, about {size(needed)} are needed:"
            " set max_tokens, or make room"
        )
    return Meaning(tuple(rows), warnings=tuple(warnings))


def _shards(config: DataConfig, tokens: float, text_bytes: float, width: int) -> Iterator[Row]:
    """How the tokens are divided into files of ids `width` bytes wide."""
    hub = SOURCES[config.source].network
    kept = expected_validation(
        tokens,
        text_bytes,
        hub=hub,
        val_fraction=config.val_fraction,
        val_tokens=config.val_tokens,
        shard_size=config.shard_size,
    )
    first = hub and config.val_tokens is None and tokens >= 2 * config.shard_size
    yield Row("validation", f"about {count(kept)} tokens" + " (the first shard)" * first)
    shards = sum(math.ceil(part / config.shard_size) for part in (kept, tokens - kept))
    files = f"{count(max(2, shards))} files, {size(tokens * width)}"
    yield Row("shards", files, files)
