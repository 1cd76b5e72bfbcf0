"""Documents read back from a dataset's shards, to see what a model is going to learn from.

Only what is asked for is read: a shard is searched for the beginning of a document, and of a long
one only the first tokens are decoded. Nothing here loads an encoder.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from talm_core.data.dataloader import Permutation
from talm_core.data.manifest import Manifest, Shard, Split
from talm_core.data.shards import Tokens, open_shard
from talm_core.errors import ArtifactError, Problem
from talm_core.tokenizer.vocabulary import FILE_NAME, Vocabulary

SHOWN_TOKENS = 600
"""Tokens of a document that are decoded unless more are asked for."""

_SEARCHED = 1 << 20


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A document's beginning, and the size of all of it.

    `number` counts from 1 over the dataset, in the order of its shards; `shard` is the file it
    begins in. `tokens` is without the end-of-text token before it, `bytes` its UTF-8 text's.
    `complete` tells whether `text` is all of it.
    """

    number: int
    split: Split
    shard: str
    tokens: int
    bytes: int
    text: str
    complete: bool

    @property
    def bytes_per_token(self) -> float | None:
        """How much text a token stands for; None for an empty document."""
        return self.bytes / self.tokens if self.tokens else None


class Documents:
    """The documents of a dataset. Its shards are one row of tokens: what begins at the end of one
    goes on in the next."""

    def __init__(self, directory: Path) -> None:
        """Look at a dataset.

        Raises:
            ArtifactError: it is damaged, or the tokenizer beside it is not its own.
        """
        self.manifest = Manifest.load(directory)
        self._directory = directory
        vocabulary = Vocabulary.load(directory / FILE_NAME)
        made_with = self.manifest.tokenizer
        if vocabulary.identity != made_with.identity:
            message = (
                f"is {vocabulary.name} ({vocabulary.identity[:19]}…), the dataset was made with"
                f" {made_with.name} ({made_with.identity[:19]}…)"
            )
            raise ArtifactError(Problem(str(directory / FILE_NAME), message))
        self._end_of_text = vocabulary.end_of_text
        self._token_bytes = np.array(vocabulary.token_bytes(), np.int64)
        self._texts = {rank: token for token, rank in vocabulary.ranks.items()}
        self._texts |= {number: text.encode() for text, number in vocabulary.special_tokens.items()}

    def __len__(self) -> int:
        return self.manifest.documents

    def choose(self, count: int, *, seed: int) -> list[int]:
        """The numbers of `count` documents drawn at random, none twice; the same for a seed."""
        count = min(count, len(self))
        if not count:
            return []
        drawn = Permutation(len(self), seed=seed)(np.arange(count))
        return [int(number) + 1 for number in drawn]

    def read(self, number: int, *, shown: int = SHOWN_TOKENS) -> Excerpt:
        """A document by its number, with the text of its first `shown` tokens.

        Raises:
            ArtifactError: its shard is missing or damaged.
        """
        place, start = self._begin(number)
        tokens = size = 0
        first: list[Tokens] = []
        for part in self._from(place, start):
            if tokens < shown:
                first.append(part[: shown - tokens])
            tokens += len(part)
            size += int(self._token_bytes[part].sum())
        shard = self.manifest.shards[place]
        text = b"".join(self._text(part, shard) for part in first).decode("utf-8", "replace")
        complete = tokens <= shown
        if not complete:
            # The last character may be cut in two.
            text = text.rstrip("\ufffd")
        return Excerpt(number, shard.split, shard.file, tokens, size, text, complete)

    def parts(self, split: Split) -> Iterator[tuple[bool, str]]:
        """The text of the training or validation part, document by document and long ones in parts,
        each with whether it begins a document. A document that begins in the validation part
        counts in training from where that begins; of a character that is cut there nothing is left.

        Raises:
            ArtifactError: a shard is missing or damaged.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        begins = True
        for place, shard in enumerate(self.manifest.shards):
            if shard.split != split:
                continue
            for _, tokens in self._parts(place, 0):
                ends = np.flatnonzero(tokens == self._end_of_text)
                for number, part in enumerate(np.split(tokens, ends)):
                    if number:
                        decoder.reset()
                        begins, part = True, part[1:]
                    if text := decoder.decode(self._text(part, shard)):
                        yield begins, text
                        begins = False

    def _begin(self, number: int) -> tuple[int, int]:
        """The shard a document begins in, and the place after its end-of-text token."""
        left = number
        for place, shard in enumerate(self.manifest.shards):
            if left > shard.documents:
                left -= shard.documents
                continue
            for start, part in self._parts(place, 0):
                found = np.flatnonzero(part == self._end_of_text)
                if left <= len(found):
                    return place, start + int(found[left - 1]) + 1
                left -= len(found)
            raise self._damaged(shard, f"has fewer than {shard.documents:,} documents")
        raise IndexError(f"there is no document {number:,} of {len(self):,}")

    def _from(self, place: int, start: int) -> Iterator[Tokens]:
        """The tokens from a place to the next end of text, in pieces."""
        for later in range(place, len(self.manifest.shards)):
            for _, part in self._parts(later, start if later == place else 0):
                end = np.flatnonzero(part == self._end_of_text)
                if len(end):
                    yield part[: end[0]]
                    return
                yield part

    def _parts(self, place: int, start: int) -> Iterator[tuple[int, Tokens]]:
        """A shard from `start` on, in pieces with where each begins."""
        shard = self.manifest.shards[place]
        tokens = open_shard(self._directory, shard, dtype=self.manifest.dtype)
        for at in range(start, len(tokens), _SEARCHED):
            part = tokens[at : at + _SEARCHED]
            highest = int(part.max())
            if highest >= len(self._token_bytes):
                raise self._damaged(shard, f"holds the id {highest:,}, which no token has")
            yield at, part

    def _text(self, tokens: Tokens, shard: Shard) -> bytes:
        try:
            return b"".join([self._texts[int(token)] for token in tokens])
        except KeyError as error:
            raise self._damaged(shard, f"holds the id {error}, which no token has") from None

    def _damaged(self, shard: Shard, message: str) -> ArtifactError:
        hint = "prepare the data again"
        return ArtifactError(Problem(str(self._directory / shard.file), message, hint=hint))
