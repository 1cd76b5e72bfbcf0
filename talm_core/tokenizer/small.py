"""Counting and merging a few megabytes in plain Python.

To the very same merges as the compiled loops, without the half second it takes to load numba and
the seconds it takes to compile them when that was never done: a megabyte has some twenty thousand
distinct pieces, and a merge touches only those that have its pair.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush, heapreplace
from operator import add

from talm_core.tokenizer import patterns
from talm_core.tokenizer.ranks import SINGLE_BYTES, Merge

MOST_BYTES = 2_000_000
"""Of larger corpora the compiled loops are done before this."""
_LONGEST_PIECE = 1 << 10
_TOLD_MERGES = 50

_SPACES = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_CLASS = re.compile(r"\[(\^?)([^\]]*)\]|\\p\{([LN])\}|\\s|\\S")


class TooMuchError(Exception):
    """A text that is for the compiled loops: with a very long piece, or a character of which this
    Python's tables know nothing."""


def count(
    texts: Iterable[str], pattern: str, *, counted: Callable[[int], None] = lambda _: None
) -> dict[bytes, int]:
    """How often each piece of more than one byte occurs in documents, in the order of first
    occurrence; `counted` is called with the bytes of each.

    Raises:
        TooMuchError: a text that cannot be counted here.
        UnicodeEncodeError: a text has a lone surrogate.
    """
    texts = list(texts)
    cut = _splitter(pattern, set().union(*texts))
    found: Counter[str] = Counter()
    for text in texts:
        found.update(cut(text))
        counted(len(text.encode()))
    pieces = {piece.encode(): times for piece, times in found.items()}
    if any(len(piece) > _LONGEST_PIECE for piece in pieces):
        raise TooMuchError
    return {piece: times for piece, times in pieces.items() if len(piece) > 1}


def _splitter(pattern: str, characters: set[str]) -> Callable[[str], list[str]]:
    """What cuts a text of these characters, with Python's own regular expressions."""
    found: dict[str, list[int]] = {"L": [], "N": []}
    for character in sorted(characters):
        if character < "\x80":
            continue
        kind = unicodedata.category(character)
        if kind in ("Cn", "Co", "Cs"):
            # Unknown here; a newer Unicode may have made a letter of it.
            if kind == "Cs":
                character.encode()
            raise TooMuchError
        if kind[0] in found:
            found[kind[0]].append(ord(character))
    members = {"L": "A-Za-z" + _ranges(found["L"]), "N": "0-9" + _ranges(found["N"])}

    def explicit(place: re.Match[str]) -> str:
        inverted, inner, property_ = place.groups()
        if property_:
            return f"[{members[property_]}]"
        if inner is None:
            return f"[{_SPACES}]" if place[0] == r"\s" else f"[^{_SPACES}]"
        inner = inner.replace(r"\p{L}", members["L"]).replace(r"\p{N}", members["N"])
        return f"[{inverted}{inner.replace(chr(92) + 's', _SPACES)}]"

    return re.compile(_CLASS.sub(explicit, pattern)).findall


Part = tuple[bool, str]
"""Some text, and whether it begins a document or goes on with the part before."""


def beginning_of(parts: Iterator[Part]) -> Iterator[Part]:
    """What comes first of a corpus, all of it or more than is for this module."""
    size = 0
    for part in parts:
        yield part
        size += len(part[1])
        if size > MOST_BYTES:
            return


def small_pieces(
    first: list[Part], more: Iterator[Part], pattern: str, counted: Callable[[int], None]
) -> dict[bytes, int] | None:
    """The pieces of a corpus that begins with `first`, counted here; None where it goes on or is
    for the compiled loops.

    Raises:
        UnicodeEncodeError: a text has a lone surrogate.
    """
    if pattern not in patterns.CUTTABLE or sum(len(text) for _, text in first) > MOST_BYTES:
        return None
    assert next(more, None) is None
    texts: list[list[str]] = []
    for begins, text in first:
        if begins or not texts:
            texts.append([])
        texts[-1].append(text)
    try:
        return count(map("".join, texts), pattern, counted=counted)
    except TooMuchError:
        return None


def _ranges(codes: list[int]) -> str:
    """Ascending code points as they stand in a set of characters."""
    starts = [code for before, code in zip([-1, *codes], codes, strict=False) if code != before + 1]
    ends = [code for code, after in zip(codes, [*codes[1:], -1], strict=False) if after != code + 1]
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))


class SmallMerger:
    """Learns merges from counted pieces, by the rule of `talm_core.tokenizer.merging`.

    A piece is a string with a character for each token: what merges one is the string's own
    `split`. Each pair has the pieces it was seen in, in ascending order, one as often as it had it;
    a heap entry says of its pair how often it occurs and where first, and can only be too good, for
    a pair of old tokens never gains anything.
    """

    def __init__(self, pieces: dict[bytes, int], merges: int) -> None:
        """Make ready for at most `merges` merges."""
        self._goal = merges
        self._words = [piece.decode("latin-1") for piece in pieces]
        self._counts = list(pieces.values())
        # How many bytes the token of a character has.
        self._sizes = {chr(byte): 1 for byte in range(SINGLE_BYTES)}
        self._pairs: dict[str, int] = {}
        self._places: dict[str, list[int]] = {}
        self._joined = 0
        self._bytes = sum(len(piece) * times for piece, times in pieces.items())
        pairs, places = self._pairs, self._places
        for number, (word, times) in enumerate(zip(self._words, self._counts, strict=True)):
            for pair in map(add, word, word[1:]):
                if pair in pairs:
                    pairs[pair] += times
                    places[pair].append(number)
                else:
                    pairs[pair] = times
                    places[pair] = [number]

    @property
    def tokens(self) -> int:
        """How many tokens the corpus has as it is tokenized now."""
        return self._bytes - self._joined

    def run(self) -> Iterator[list[Merge]]:
        """Merge until there are as many as wanted, or no pair is left. Yields what is new every
        few hundredths of a second."""
        heap = [self._entry(pair) for pair in self._pairs]
        heapify(heap)
        new: list[Merge] = []
        merged = 0
        while merged < self._goal and (pair := self._best(heap)):
            left, right = map(_id_of, pair)
            new.append(Merge(left, right, self._pairs[pair]))
            token = _character(SINGLE_BYTES + merged)
            self._sizes[token] = self._sizes[pair[0]] + self._sizes[pair[1]]
            for made in self._join(pair, token):
                if self._pairs[made] > 0:
                    heappush(heap, self._entry(made))
            merged += 1
            if len(new) == _TOLD_MERGES:
                yield new
                new = []
        yield new

    def _entry(self, pair: str) -> tuple[int, int, int, str]:
        """A pair's place in the order of merges: how often it occurs, less being later, and the
        piece and the byte where it occurs first."""
        places, words = self._places[pair], self._words
        number = next(number for number in places if pair in words[number])
        word = words[number]
        at = word.index(pair)
        offset = at if at == 0 else sum(map(self._sizes.__getitem__, word[:at]))
        return -self._pairs[pair], number, offset, pair

    def _best(self, heap: list[tuple[int, int, int, str]]) -> str:
        """The pair to merge next, taken off the heap; empty when none is left."""
        while heap:
            pair = heap[0][3]
            if not self._pairs[pair]:
                heappop(heap)
                continue
            places = self._places[pair]
            lost = 0
            while pair not in self._words[places[lost]]:
                lost += 1
            del places[:lost]
            entry = self._entry(pair)
            if entry == heap[0]:
                heappop(heap)
                return pair
            heapreplace(heap, entry)
        return ""

    def _join(self, pair: str, token: str) -> list[str]:
        """Make one token of a pair wherever it stands; returns the pairs that are new."""
        pairs, places, words = self._pairs, self._places, self._words
        first, second = pair[0], pair[1]
        made: list[str] = []
        for number in places[pair]:
            parts = words[number].split(pair)
            if len(parts) == 1:
                continue
            times = self._counts[number]
            words[number] = token.join(parts)
            self._joined += times * (len(parts) - 1)
            gained = []
            before = after = parts[0][-1:]
            for part in parts[1:]:
                if before:
                    pairs[before + first] -= times
                    gained.append(after + token)
                if part:
                    pairs[second + part[0]] -= times
                    gained.append(token + part[0])
                    before = after = part[-1]
                else:
                    before, after = second, token
            for new in gained:
                if new in pairs:
                    pairs[new] += times
                    places[new].append(number)
                else:
                    pairs[new] = times
                    places[new] = [number]
                    made.append(new)
        pairs[pair] = 0
        del places[pair]
        return made


def _character(token: int) -> str:
    """The character that stands for a token: none of the surrogates."""
    return chr(token if token < 0xD800 else token + 0x800)


def _id_of(character: str) -> int:
    code = ord(character)
    return code if code < 0xD800 else code - 0x800
