"""Which characters are letters, digits and white space: what tiktoken says, who encodes.

Every library of regular expressions has its own edition of Unicode. A tokenizer is trained and
encodes by the same classes only if both ask the same one: tiktoken is asked, for 256 characters at
a time when a text first has one of them.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import tiktoken

from talm_core.tokenizer.jit import Scalar, compiled, inner

Bytes = npt.NDArray[np.uint8]

OTHER, LETTER, NUMBER, SPACE, NEWLINE = range(5)
_UNKNOWN = 5
_BLOCK = 256
_CLASSES = ((LETTER, r"\p{L}+"), (NUMBER, r"\p{N}+"), (SPACE, r"\s+"))


class Members:
    """The characters that a class, such as `\\p{L}`, takes in."""

    def __init__(self, pattern: str) -> None:
        """`pattern` matches one or more of them.

        Raises:
            ValueError: tiktoken does not know it.
        """
        ranks = {bytes([byte]): byte for byte in range(256)}
        self._encoding = tiktoken.Encoding(
            "", pat_str=pattern, mergeable_ranks=ranks, special_tokens={}
        )

    def of(self, text: str) -> str:
        """Those of a text, in its order."""
        ids = self._encoding.encode_to_numpy(text, disallowed_special=())
        return ids.astype(np.uint8).tobytes().decode()


class CharacterClasses:
    """The class of every code point as far as it was asked: `table` has one byte for each. May be
    shared by threads."""

    def __init__(self) -> None:
        self._members = [(kind, Members(pattern)) for kind, pattern in _CLASSES]
        self.table = np.full(0x110000, _UNKNOWN, np.uint8)
        self._learn(0)

    def learn_from(self, data: Bytes) -> None:
        """Ask for every character of a text in UTF-8."""
        at = 0
        while (found := _unknown(data, at, self.table)) >= 0:
            at, code = found >> 32, found & 0xFFFFFFFF
            self._learn(code)

    def _learn(self, code: int) -> None:
        """Ask for the character `code` and its neighbours."""
        start = code // _BLOCK * _BLOCK
        text = "".join(map(chr, range(start, start + _BLOCK)))
        found = np.zeros(_BLOCK, np.uint8)
        for kind, members in self._members:
            found[[ord(character) - start for character in members.of(text)]] = kind
        if start == 0:
            found[[ord("\r"), ord("\n")]] = NEWLINE
        self.table[start : start + _BLOCK] = found


@cache
def character_classes() -> CharacterClasses:
    """The one that this process asks."""
    return CharacterClasses()


@inner
def character_at(data: Bytes, at: Scalar) -> Scalar:
    """The character at `at`: its code point times 8 plus its bytes. The text is valid UTF-8; at
    its end there is code point 0 of no bytes."""
    if at >= len(data):
        return 0
    first = np.int64(data[at])
    if first < 0x80:
        return first << 3 | 1
    code = (first & 0x1F) << 6 | (data[at + 1] & 0x3F)
    if first < 0xE0:
        return code << 3 | 2
    code = code << 6 | (data[at + 2] & 0x3F)
    if first < 0xF0:
        return code << 3 | 3
    return ((code & 0x7FFF) << 6 | (data[at + 3] & 0x3F)) << 3 | 4


@compiled
def _unknown(data: Bytes, at: Scalar, classes: Bytes) -> Scalar:
    """The first character from `at` on whose class is not known: where it is and, in the lower 32
    bits, its code point; -1 when there is none."""
    while at < len(data):
        if data[at] < 0x80:
            at += 1
            continue
        character = character_at(data, at)
        if classes[character >> 3] == _UNKNOWN:
            return at << 32 | character >> 3
        at += character & 7
    return -1
