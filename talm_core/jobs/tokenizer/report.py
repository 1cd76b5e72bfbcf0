"""What a tokenizer has learned: how well it fits text, its longest tokens, and each script.

Bytes a token are measured on text the tokenizer has not seen where its training left some aside,
else on the beginning of what it has learned from, and the report says which. Beside it stand
measures that need nothing to be downloaded: single bytes, the tokenizer that ships with talm, and
the pieces GPT-2's pattern and the tokenizer's own cut the text into. No tokenizer with that pattern
can have fewer tokens than pieces, however large.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import regex

from talm_core.data.local.parts import byte_length
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.jobs.tokenizer.sample import sample
from talm_core.tokenizer import patterns, scripts
from talm_core.tokenizer.splitter import splitter
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import BASE, Vocabulary, readable

LONGEST_TOKENS = 12
_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Fit:
    """How many tokens, or pieces, something makes of the text."""

    name: str
    tokens: int
    bytes_per_token: float


@dataclass(frozen=True, slots=True)
class ScriptFit:
    """How many tokens a script takes; `tokens_per_word` is None where spaces part no words."""

    script: str
    language: str
    tokens: int
    tokens_per_word: float | None
    tokens_per_character: float
    bytes_per_token: float


@dataclass(frozen=True, slots=True)
class LongToken:
    """A token as it can be shown anywhere."""

    id: int
    text: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything about one tokenizer. `text` says what it was measured on, `text_bytes` long,
    `seen` whether it had learned from that, `missing` why it is not of its corpus.
    `single_bytes` is the share of single bytes among the tokens of that text, `used` the share of
    the vocabulary that occurs in it. `fits` begins with the tokenizer's own. The longest tokens
    are often rows of one character: `longest_words` are the longest with a letter."""

    name: str
    vocab_size: int
    n_vocab: int
    pattern: str
    special_tokens: dict[str, int]
    text: str
    text_bytes: int
    seen: bool
    missing: str
    single_bytes: float
    used: float
    fits: tuple[Fit, ...]
    longest: tuple[LongToken, ...]
    longest_words: tuple[LongToken, ...]
    scripts: tuple[ScriptFit, ...]


def report(path: Path, config: TokenizerConfig | None = None) -> Report:
    """The report of the tokenizer in a file. `config` is what it was trained by, if that is known;
    it says what the text is (`talm_core.jobs.tokenizer.sample`).

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    vocabulary = Vocabulary.load(path)
    tokenizer = Tokenizer.from_vocabulary(vocabulary)
    if config is None and path == BASE:
        config = TokenizerConfig(name=BASE.stem)
    measured = sample(path.parent, config)
    texts = measured.texts
    ids = np.concatenate([tokenizer.ids(text) for text in texts])
    size = sum(map(byte_length, texts))
    return Report(
        name=vocabulary.name,
        vocab_size=len(vocabulary.ranks),
        n_vocab=vocabulary.n_vocab,
        pattern=_pattern_name(vocabulary.pattern),
        special_tokens=dict(vocabulary.special_tokens),
        text=measured.about,
        text_bytes=size,
        seen=measured.seen,
        missing=measured.missing,
        single_bytes=float(np.mean(tokenizer.lengths[ids] == 1)),
        used=len(np.unique(ids)) / len(vocabulary.ranks),
        fits=tuple(_fits(vocabulary, len(ids), size, texts)),
        longest=_longest(vocabulary.ranks),
        longest_words=_longest(
            {
                token: rank
                for token, rank in vocabulary.ranks.items()
                if any(map(str.isalpha, token.decode("utf-8", "ignore")))
            }
        ),
        scripts=tuple(_script_fit(tokenizer, sample) for sample in scripts.SAMPLES),
    )


def _fits(vocabulary: Vocabulary, tokens: int, size: int, texts: Sequence[str]) -> Iterator[Fit]:
    def fit(name: str, count: int) -> Fit:
        return Fit(name, count, round(size / max(count, 1), 4))

    yield fit(vocabulary.name, tokens)
    base = Vocabulary.load(BASE)
    if base.identity != vocabulary.identity:
        encoder = Tokenizer.from_vocabulary(base)
        name = f"base, {len(base.ranks):,} tokens of the standard library"
        yield fit(name, sum(len(encoder.ids(text)) for text in texts))
    yield fit("single bytes", size)
    bounds = {"its own pattern": vocabulary.pattern, "GPT-2's pattern": patterns.GPT2}
    if vocabulary.pattern == patterns.GPT2:
        del bounds["its own pattern"]
    for name, pattern in bounds.items():
        # A pattern of somebody's own may be in tiktoken's dialect, or take for ever.
        with suppress(regex.error, TimeoutError):
            split = splitter(pattern)
            pieces = sum(sum(1 for _ in split.pieces(text, timeout=10)) for text in texts)
            yield fit(f"pieces of {name}", pieces)


def _longest(ranks: Mapping[bytes, int]) -> tuple[LongToken, ...]:
    ordered = sorted(ranks.items(), key=lambda item: (-len(item[0]), item[1]))
    return tuple(
        LongToken(rank, readable(token[:_LONGEST_SHOWN]), len(token))
        for token, rank in ordered[:LONGEST_TOKENS]
    )


def _script_fit(tokenizer: Tokenizer, sample: scripts.Sample) -> ScriptFit:
    tokens = len(tokenizer.ids(sample.text))
    words = len(sample.text.split()) if sample.words else None
    return ScriptFit(
        script=sample.script,
        language=sample.language,
        tokens=tokens,
        tokens_per_word=None if words is None else round(tokens / words, 4),
        tokens_per_character=round(tokens / len(sample.text), 4),
        bytes_per_token=round(byte_length(sample.text) / tokens, 4),
    )


def _pattern_name(pattern: str) -> str:
    return next((name for name, known in patterns.NAMED.items() if known == pattern), pattern)
