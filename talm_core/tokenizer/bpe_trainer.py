"""From the text of documents to a vocabulary, and tokencoder's class that does it in one call."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from talm_core.tokenizer.compilation import make_ready
from talm_core.tokenizer.counting import Part, count_pieces
from talm_core.tokenizer.merging import Merger
from talm_core.tokenizer.patterns import DEFAULT_REGEX_PATTERN
from talm_core.tokenizer.ranks import SINGLE_BYTES, extend, from_tokens, single_bytes
from talm_core.tokenizer.vocabulary import ordinary

PathLike = str | os.PathLike[str]


def learn(texts: Iterable[str], pattern: str, vocab_size: int) -> list[bytes]:
    """The bytes of every id, learned from texts across which no token goes; fewer than
    `vocab_size` when no pair is left."""
    return learn_parts(((True, text) for text in texts), pattern, vocab_size)


def learn_parts(parts: Iterable[Part], pattern: str, vocab_size: int) -> list[bytes]:
    """The same from texts in parts, as `Corpus.parts` gives them."""
    make_ready(pattern)
    pieces = count_pieces(parts, pattern)
    tokens = single_bytes()
    for merges in Merger(pieces, vocab_size - SINGLE_BYTES).run():
        extend(tokens, merges)
    return tokens


class TokenizerTrainer:
    """Trains a tokenizer and saves it, with the arguments of tokencoder's class of that name.

    It differs from tokencoder where that depends on chance or forgets an argument: special tokens
    and files count in the order given, and the pattern holds for files, too.
    """

    def __init__(
        self,
        name: str,
        special_tokens: Iterable[str] | None = None,
        regex_pattern_string: str = DEFAULT_REGEX_PATTERN,
    ) -> None:
        """`name` becomes the file's name, without `.json`."""
        self.name = name
        self._special_tokens = tuple(dict.fromkeys(special_tokens or ()))
        self.special_tokens: Collection[str] | None = self._special_tokens
        self.regex_pattern = regex_pattern_string

    def train(
        self,
        *,
        vocab_size: int,
        files: Iterable[PathLike] | None = None,
        text: str | None = None,
        save_dir: PathLike | None = None,
        file_read_chunksize: int | Sequence[int | None] | None = -1,
    ) -> str:
        """Learn `vocab_size` tokens (special tokens not counted) from files or a text; return the
        path of the file written to `save_dir`, by default the current directory.

        `file_read_chunksize` is the number of characters read at once, for all files or for each;
        -1 and None mean all. No token crosses from one chunk into the next. Line ends are read
        as line feeds.

        Raises:
            ValueError: neither files nor text, a vocabulary below 256, or a special token that is
                an ordinary token as well.
            FileExistsError: the file exists already.

        Warns:
            UserWarning: the text does not have that many tokens in it; says how many.
        """
        if not files and not text:
            raise ValueError("Give either files or a text to train on")
        path = Path(save_dir or Path.cwd()) / f"{self.name}.json"
        if path.exists():
            raise FileExistsError(f"{path} exists already; choose another name or save_dir")
        if vocab_size < SINGLE_BYTES:
            message = f"vocab_size must be at least {SINGLE_BYTES}, not {vocab_size}"
            raise ValueError(message)
        chunks = read(files, file_read_chunksize) if files else [text or ""]
        tokens = learn(chunks, self.regex_pattern, vocab_size)
        vocabulary = from_tokens(self.name, self.regex_pattern, tokens, self._special_tokens)
        for special in self._special_tokens:
            if ordinary(special, vocabulary.ranks) is not None:
                raise ValueError(f"special token {special!r} is a token of the vocabulary as well")
        reached = len(vocabulary.ranks)
        if reached < vocab_size:
            message = f"The text is too short for {vocab_size} tokens: it gives {reached}"
            warnings.warn(message, UserWarning, stacklevel=2)
        vocabulary.save(path)
        return str(path)


def read(files: Iterable[PathLike], chunksize: int | Sequence[int | None] | None) -> Iterator[str]:
    """The text of files, each once, so many characters at a time: for all, or for each."""
    paths = list(dict.fromkeys(files))
    sizes = chunksize if isinstance(chunksize, Sequence) else [chunksize] * len(paths)
    for path, size in zip(paths, sizes, strict=True):
        with open(path, encoding="utf-8") as file:
            while chunk := file.read(-1 if size is None else size):
                yield chunk
