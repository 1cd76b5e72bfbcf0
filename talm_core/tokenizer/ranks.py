"""What a tokenizer has learned, from merges to a vocabulary. Loads no compiled code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from talm_core.tokenizer.vocabulary import Vocabulary

SINGLE_BYTES = 256


@dataclass(frozen=True, slots=True)
class Merge:
    """A pair of ids that became one: `count` is how often it occurred in the corpus."""

    left: int
    right: int
    count: int


def extend(tokens: list[bytes], merges: Iterable[Merge]) -> None:
    """Append what each merge gives to the bytes of all ids so far."""
    for merge in merges:
        tokens.append(tokens[merge.left] + tokens[merge.right])


def single_bytes() -> list[bytes]:
    """The bytes of the first 256 ids."""
    return [bytes([byte]) for byte in range(SINGLE_BYTES)]


def from_tokens(
    name: str, pattern: str, tokens: Iterable[bytes], special_tokens: Iterable[str]
) -> Vocabulary:
    """The vocabulary of the tokens that were learned. Bytes that came out of two merges keep the
    place of the first, and what follows moves up; ids of special tokens follow the ranks, in the
    order given."""
    ranks = {token: rank for rank, token in enumerate(dict.fromkeys(tokens))}
    special = dict.fromkeys(special_tokens)
    return Vocabulary(
        name, pattern, ranks, {text: len(ranks) + index for index, text in enumerate(special)}
    )
