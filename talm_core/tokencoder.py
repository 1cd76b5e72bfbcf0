"""What code written for tokencoder imports, under the names it has there.

    from talm_core.tokencoder import Tokenizer, TokenizerTrainer, DEFAULT_REGEX_PATTERN

Nothing in talm needs this module. It adds the parts of tokencoder's trainer that only its own kind
of training has a use for; what is trained and saved is talm's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from talm_core.tokenizer import bpe_trainer
from talm_core.tokenizer.bpe_trainer import PathLike
from talm_core.tokenizer.patterns import DEFAULT_REGEX_PATTERN, GPT2_REGEX_PATTERN
from talm_core.tokenizer.splitter import splitter
from talm_core.tokenizer.tokenizer import Tokenizer

__all__ = [
    "DEFAULT_REGEX_PATTERN",
    "GPT2_REGEX_PATTERN",
    "Tokenizer",
    "TokenizerTrainer",
]

Pair = tuple[int, int]
ChunkSizes = int | Sequence[int | None] | None


class TokenizerTrainer(bpe_trainer.TokenizerTrainer):
    """talm's trainer with all that tokencoder's offers. `special_tokens` is a set, or None without
    any; their ids follow the order in which they were given."""

    def __init__(
        self,
        name: str,
        special_tokens: Iterable[str] | None = None,
        regex_pattern_string: str = DEFAULT_REGEX_PATTERN,
    ) -> None:
        given = tuple(special_tokens or ())
        super().__init__(name, given, regex_pattern_string)
        self.special_tokens = set(given) or None

    @staticmethod
    def count_pairs(
        tokens: Sequence[int], counts: dict[Pair, int] | None = None
    ) -> dict[Pair, int]:
        """How often each pair of neighbours occurs, added to `counts` where those are given."""
        found = {} if counts is None else counts
        for pair in pairwise(tokens):
            found[pair] = found.get(pair, 0) + 1
        return found

    @staticmethod
    def merge(tokens: Sequence[int], pair: Pair, idx: int) -> list[int]:
        """The tokens with `idx` in place of each `pair`, from left to right."""
        merged: list[int] = []
        before: int | None = None  # the last token, as long as it may begin a pair
        for token in tokens:
            if before is not None and (before, token) == tuple(pair):
                merged[-1], before = idx, None
            else:
                merged.append(token)
                before = token
        return merged

    @staticmethod
    def read_file_chunks(
        fp: PathLike, chunksize: int | None = -1, *, pattern: str = DEFAULT_REGEX_PATTERN
    ) -> Iterator[list[int]]:
        """The bytes of each piece that `pattern` splits a file into, which is read `chunksize`
        characters at a time; -1 and None mean all."""
        split = splitter(pattern)
        for text in bpe_trainer.read([fp], chunksize):
            for piece in split.pieces(text):
                yield list(piece.encode())

    def files_to_chunks(
        self, files: Iterable[PathLike], chunksize: ChunkSizes = -1
    ) -> Iterator[list[int]]:
        """The same of several files, each once, by this trainer's pattern; `chunksize` is one for
        all or a list of theirs."""
        paths = list(dict.fromkeys(files))
        sizes = chunksize if isinstance(chunksize, Sequence) else [chunksize] * len(paths)
        for path, size in zip(paths, sizes, strict=True):
            yield from self.read_file_chunks(path, size, pattern=self.regex_pattern)
