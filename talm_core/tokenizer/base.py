"""Makes the vocabulary that ships with talm, `base.json`, anew:

    python -m talm_core.tokenizer.base

4,096 tokens learned from `stdlib`, with the special tokens every tokenizer of talm has by
default. The same Python gives the same file; the one in the package was made with Python 3.11.
"""

from __future__ import annotations

from pathlib import Path

from talm_core.config import TokenizerConfig
from talm_core.data.corpus import open_corpus
from talm_core.tokenizer import patterns
from talm_core.tokenizer.merging import Merger
from talm_core.tokenizer.splitting import piece_counter
from talm_core.tokenizer.trainer import (
    SINGLE_BYTES,
    collapse,
    extend,
    number_special_tokens,
    single_bytes,
)
from talm_core.tokenizer.vocabulary import BASE, Vocabulary


def make(path: Path = BASE) -> None:
    """Train the vocabulary and write it to `path`."""
    config = TokenizerConfig(name=BASE.stem)
    counter = piece_counter(patterns.DEFAULT)
    for document in open_corpus("stdlib").documents():
        for _ in counter.add(document.text):
            pass
    tokens = single_bytes()
    for merges in Merger(counter.pieces(), config.vocab_size - SINGLE_BYTES).run():
        extend(tokens, merges)
    ranks = collapse(tokens)
    special = number_special_tokens(config.special_tokens, len(ranks))
    Vocabulary(config.name, patterns.DEFAULT, ranks, special).save(path)


if __name__ == "__main__":
    make()
