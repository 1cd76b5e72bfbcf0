"""What the values of a form amount to: sizes, memory, time, disk."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.training.throughput import Speed
from talm_tui.forms.checker import Findings
from talm_tui.forms.timeline import Timeline
from talm_tui.widgets.format import count, duration, size


@dataclass(frozen=True)
class Part:
    """A part of a bar: what it is and how much of it."""

    name: str
    amount: float


@dataclass(frozen=True)
class Row:
    """A line: what, how much, and the two in a few words (empty: not worth a word)."""

    name: str
    value: str
    brief: str = ""


@dataclass(frozen=True)
class Meaning:
    """Lines, a bar of memory by part against what there is, what is worrying about it, and how a
    run would go."""

    rows: tuple[Row, ...] = ()
    bar: tuple[Part, ...] = ()
    total: float = 0.0
    warnings: tuple[str, ...] = ()
    timeline: Timeline | None = None

    @property
    def brief(self) -> str:
        """The same in one line, the worst first."""
        warnings = [f"! {warning}" for warning in self.warnings]
        return " · ".join([*warnings, *(row.brief for row in self.rows if row.brief)])


def of_tokenizer(config: TokenizerConfig, findings: Findings | None) -> Meaning:
    """What a tokenizer is going to learn from."""
    rows = [*_learned_from(config, findings)]
    merges = count(max(0, config.vocab_size - 256))
    rows.append(Row("merges", f"{merges} on top of 256 bytes", f"{merges} merges"))
    ids = config.vocab_size + len(config.special_tokens)
    rows.append(Row("ids", f"{count(ids)} with special tokens", f"{count(ids)} ids"))
    width = "2 bytes" if ids <= 2**16 else "4 bytes"
    rows.append(Row("on disk", f"{width} a token in datasets", f"{width} a token on disk"))
    return Meaning(tuple(rows))


def _learned_from(config: TokenizerConfig, findings: Findings | None) -> Iterator[Row]:
    """How much text that is: of what is fetched, the beginning is."""
    if findings is None:
        return
    most = config.most_bytes
    if (corpus := findings.corpus) is None:
        if config.fetched and config.corpus != "dataset" and most is not None:
            text = f"at most {size(most)}"
            yield Row("corpus", f"{text}, from its beginning", f"{text} to learn from")
        return
    there = min(corpus.bytes, most) if config.fetched and most else corpus.bytes
    learned = round(there * (1 - config.val_fraction))
    read = min(learned, most or learned)
    text = amount(read, corpus.documents)
    if there < corpus.bytes or read < learned:
        text = f"{size(read)} of {size(corpus.bytes)}"
    yield Row("corpus", text, f"{text} to learn from")


def amount(text_bytes: int, documents: int | None) -> str:
    if documents is None:
        return f"about {size(text_bytes)}"
    return f"{size(text_bytes)}, {count(documents)} {'document' if documents == 1 else 'documents'}"


_RATIOS = ((8.0, 1.0), (10.0, 2.5), (12.0, 3.3), (15.0, 4.2), (17.0, 4.6))
"""Bytes a token by the vocabulary's bits, of texts like the standard library: a first guess."""


def guessed_ratio(vocab_size: int) -> float:
    """Bytes a token to expect of a vocabulary, where no dataset tells."""
    bits = math.log2(max(256, vocab_size))
    for (low, small), (high, large) in itertools.pairwise(_RATIOS):
        if bits <= high:
            return small + (large - small) * (bits - low) / (high - low)
    return _RATIOS[-1][1]


def time_left(config: PretrainConfig, speed: Speed | None) -> str:
    """How long a run is going to take, and how that is known."""
    tokens = config.max_steps * config.tokens_per_step
    limit = None if config.minutes is None else config.minutes * 60
    if speed is None:
        return "not known before a first run" if limit is None else f"at most {duration(limit)}"
    seconds = tokens / speed.tokens_per_second
    if limit is not None and limit < seconds:
        return f"{duration(limit)}, cut by minutes"
    return f"about {duration(seconds)} at {count(speed.tokens_per_second)} tokens/s"
