"""Which tokens are for training and which for validation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from talm_core.data.local.corpus import Corpus, validation_count, validation_cut
from talm_core.data.manifest import Shard, Split
from talm_core.data.resume_state import Located
from talm_core.data.shards import Tokens
from talm_core.errors import CorpusError, Problem

_COPY_TOKENS = 1 << 20


def names(split: Split, first: int = 1) -> Iterator[tuple[Split, int]]:
    """A split's shards, numbered from `first` on."""
    return ((split, number) for number in itertools.count(first))


def planned(before: Sequence[Shard], val_tokens: int, size: int) -> Iterator[tuple[Split, int]]:
    """The shards that follow those there are, where the first `val_tokens` are for validation."""
    val = sum(shard.split == "val" for shard in before)
    train = len(before) - val
    in_val = itertools.islice(names("val", val + 1), max(0, -(-val_tokens // size) - val))
    return itertools.chain(in_val, names("train", train + 1))


def halves(
    corpus: Corpus, fraction: float
) -> tuple[Iterator[Located | None], Iterator[Located | None]]:
    """A corpus' documents for training and those for validation.

    Raises:
        CorpusError: its one document is too short.
    """
    count = len(corpus)
    if count > 1:
        cut = count - validation_count(count, fraction)
        train, val = corpus.documents(0, cut), corpus.documents(cut)
        return _located(document.text for document in train), _located(
            document.text for document in val
        )
    (document,) = corpus.documents()
    if len(document.text) < 2:
        message = "is too short to keep a part for validation"
        raise CorpusError(Problem(corpus.name, message))
    at = validation_cut(document.text, fraction)
    return _located(iter([document.text[:at]])), _located(iter([document.text[at:]]))


def _located(texts: Iterator[str]) -> Iterator[Located | None]:
    for row, text in enumerate(texts):
        yield Located(0, row, text)


def cut(shards: Sequence[Tokens], end_of_text: int, fraction: float) -> int:
    """Where the last documents begin that are for validation, in tokens over all shards; within
    the document where there is only one."""
    begins = []
    base = 0
    for shard in shards:
        for at in range(0, len(shard), _COPY_TOKENS):
            found = np.flatnonzero(shard[at : at + _COPY_TOKENS] == end_of_text)
            begins.append(found + base + at)
        base += len(shard)
    documents = np.concatenate(begins) if begins else np.empty(0, np.int64)
    if len(documents) > 1:
        return int(documents[len(documents) - validation_count(len(documents), fraction)])
    return base - max(1, round(base * fraction))


def between(shards: Sequence[Tokens], start: int, stop: int) -> Iterator[Tokens]:
    """The tokens from `start` to before `stop` of shards that follow each other, in pieces."""
    base = 0
    for shard in shards:
        low, high = max(0, start - base), min(len(shard), stop - base)
        for at in range(low, high, _COPY_TOKENS):
            yield shard[at : min(high, at + _COPY_TOKENS)]
        base += len(shard)
