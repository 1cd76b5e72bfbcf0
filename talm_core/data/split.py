"""Which tokens are for training and which for validation."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from talm_core.data.division import SHORT_TOKENS, Division, LastDocuments, Rule
from talm_core.data.local.corpus import Corpus
from talm_core.data.manifest import Shard, Split
from talm_core.data.resume_state import Located
from talm_core.data.shards import Tokens

PARTS: tuple[Split, Split] = ("val", "train")
"""In the order in which they are written, and as `part` of a cursor counts them."""

_COPY_TOKENS = 1 << 20
_LITTLE = 20 * SHORT_TOKENS


def names(split: Split, first: int = 1) -> Iterator[tuple[Split, int]]:
    """A split's shards, numbered from `first` on."""
    return ((split, number) for number in itertools.count(first))


def planned(before: Sequence[Shard], val_tokens: int, size: int) -> Iterator[tuple[Split, int]]:
    """The shards that follow those there are, where the first `val_tokens` are for validation."""
    val = sum(shard.split == "val" for shard in before)
    train = len(before) - val
    in_val = itertools.islice(names("val", val + 1), max(0, -(-val_tokens // size) - val))
    return itertools.chain(in_val, names("train", train + 1))


def located(
    corpus: Corpus, rule: Rule, split: Split, row: int = 0, *, left_out: int = 0
) -> Iterator[Located | None]:
    """The documents from number `row` on, before which `left_out` rows had no text, as far as they
    are for training or for validation; None stands for a moment of reading."""
    part = PARTS.index(split)
    for piece in corpus.parts(rule, held_out=split == "val", start=row, left_out=left_out):
        moment = not piece.text and not piece.begins
        yield None if moment else Located(part, piece.number, piece.text, piece.begins)


def held_out(
    shards: Sequence[Tokens], end_of_text: int, fraction: float, *, version: int
) -> list[tuple[int, int]]:
    """Which tokens of documents over all shards are for validation: where each stretch begins and
    ends. `version` is of the rule. Rows of the Hub are in no order, and of many the last are as
    good as any; of few they may be far more or less than `fraction`."""
    begins = []
    base = 0
    for shard in shards:
        for at in range(0, len(shard), _COPY_TOKENS):
            begun = np.flatnonzero(shard[at : at + _COPY_TOKENS] == end_of_text)
            begins.append(begun + base + at)
        base += len(shard)
    documents = np.concatenate(begins) if begins else np.empty(0, np.int64)
    ends = np.append(documents[1:], base)
    number = len(documents)
    sizes = list(zip(documents.tolist(), ends.tolist(), strict=True))
    found = _stretches(sizes, LastDocuments(number, fraction))
    kept = sum(end - begin for begin, end in found)
    if version == 1 or base < _LITTLE or fraction / 2 <= kept / base <= 2 * fraction:
        return found
    options = {"short": SHORT_TOKENS, "tiny": SHORT_TOKENS}
    return _stretches(sizes, Division(number, base, fraction, **options))


def _stretches(documents: Iterable[tuple[int, int]], rule: Rule) -> list[tuple[int, int]]:
    """What of documents that begin and end there is for validation."""
    cuts = ((begin, end, rule.cut(end - begin)) for begin, end in documents)
    return [(begin + cut, end) for begin, end, cut in cuts if cut is not None]


def divided(
    shards: Sequence[Tokens], stretches: Sequence[tuple[int, int]], end_of_text: int
) -> tuple[Iterator[Tokens], Iterator[Tokens]]:
    """The tokens of the stretches, and all others, in pieces. A stretch that follows another and
    is the end of a document gets an end of text for its first token, so that it does not seem to
    go on with that."""
    return _inside(shards, stretches, end_of_text), _outside(shards, stretches)


def _inside(
    shards: Sequence[Tokens], stretches: Sequence[tuple[int, int]], end_of_text: int
) -> Iterator[Tokens]:
    for number, (start, stop) in enumerate(stretches):
        for at, piece in enumerate(between(shards, start, stop)):
            if number and not at and piece[0] != end_of_text:
                piece = piece.copy()
                piece[0] = end_of_text
            yield piece


def _outside(shards: Sequence[Tokens], stretches: Sequence[tuple[int, int]]) -> Iterator[Tokens]:
    place = 0
    for start, stop in stretches:
        yield from between(shards, place, start)
        place = stop
    yield from between(shards, place, sum(map(len, shards)))


def between(shards: Sequence[Tokens], start: int, stop: int) -> Iterator[Tokens]:
    """The tokens from `start` to before `stop` of shards that follow each other, in pieces."""
    base = 0
    for shard in shards:
        low, high = max(0, start - base), min(len(shard), stop - base)
        for at in range(low, high, _COPY_TOKENS):
            yield shard[at : min(high, at + _COPY_TOKENS)]
        base += len(shard)
