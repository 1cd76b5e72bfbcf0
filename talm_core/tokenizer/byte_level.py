"""What files of byte-level vocabularies have and tiktoken does not: a character for each byte, and
merges as pairs of tokens.

`tokenizers` merges by a list of pairs, tiktoken by the rank of what a pair's bytes give. The pair
of a token is recovered by encoding the token's own bytes: whatever surrounds it in a text, the
merges inside it happen in that same order, so that no other pair ever forms it.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import pairwise


def merges(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The pair each token is merged from, in the order of the tokens' ranks; tokens that come out
    of no merge are left out."""
    pairs = []
    for token, _ in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) > 1:
            parts = _last_parts(ranks, token)
            if len(parts) == 2:
                pairs.append((parts[0], parts[1]))
    return pairs


def _last_parts(ranks: dict[bytes, int], token: bytes) -> list[bytes]:
    """What is left of `token` before the merge that completes it, or when nothing merges.

    A heap of (rank, start, end): a token of many thousand bytes is a matter of milliseconds.
    """
    ends = list(range(1, len(token) + 1))  # the end of the part that begins at each byte
    starts = list(range(len(token)))  # the start of the part that ends with each byte
    heap: list[tuple[int, int, int]] = []

    def offer(start: int) -> None:
        middle = ends[start]
        if middle < len(token):
            rank = ranks.get(token[start : ends[middle]])
            if rank is not None:
                heappush(heap, (rank, start, ends[middle]))

    for start in range(len(token) - 1):
        offer(start)
    parts = len(token)
    while heap and parts > 2:
        _, start, end = heappop(heap)
        middle = ends[start]
        # The pair may be gone: its first part may be inside another now, or longer, or its second.
        if not 0 < middle < end or starts[middle - 1] != start or ends[middle] != end:
            continue
        ends[start], starts[end - 1] = end, start
        starts[middle - 1] = ends[middle] = -1
        parts -= 1
        offer(start)
        if start:
            offer(starts[start - 1])
    cuts = [0]
    while cuts[-1] < len(token):
        cuts.append(ends[cuts[-1]])
    return [token[start:end] for start, end in pairwise(cuts)]


def byte_characters() -> dict[int, str]:
    """The printable character that stands for each byte in `tokenizer.json`: itself where Latin-1
    has a visible one, else the next free one from U+0100 on. GPT-2's convention."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {
        byte: chr(0x100 + index) for index, byte in enumerate(hidden)
    }


_CHARACTERS = byte_characters()
BYTES = {character: byte for byte, character in _CHARACTERS.items()}
"""The byte that each of these characters stands for."""


def shown(token: bytes) -> str:
    """A token's bytes as the printable characters that stand for them."""
    return "".join(_CHARACTERS[byte] for byte in token)


def hidden(text: str) -> bytes:
    """The bytes that the characters of `shown` stand for.

    Raises:
        KeyError: a character stands for none.
    """
    return bytes(BYTES[character] for character in text)
