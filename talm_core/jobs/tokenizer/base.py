"""Makes the vocabulary that ships with talm, `base.json`, anew:

    python -m talm_core.jobs.tokenizer.base

4,096 tokens learned from `stdlib`, with the special tokens every tokenizer of talm has by
default. The same Python gives the same file; the one in the package was made with Python 3.11.
"""

from __future__ import annotations

from pathlib import Path

from talm_core.data.local.corpus import open_corpus
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.tokenizer.bpe_trainer import learn
from talm_core.tokenizer.patterns import DEFAULT
from talm_core.tokenizer.ranks import from_tokens
from talm_core.tokenizer.vocabulary import BASE


def make(path: Path = BASE) -> None:
    """Train the vocabulary and write it to `path`."""
    config = TokenizerConfig(name=BASE.stem)
    texts = (document.text for document in open_corpus("stdlib").documents())
    tokens = learn(texts, DEFAULT, config.vocab_size)
    from_tokens(config.name, DEFAULT, tokens, config.special_tokens).save(path)


if __name__ == "__main__":
    make()
