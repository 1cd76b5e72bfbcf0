"""What a tokenizer is going to learn from, and what it is going to be."""

from __future__ import annotations

from collections.abc import Iterator

from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_tui.forms.checker import Findings
from talm_tui.forms.meaning import Meaning, Row, amount
from talm_tui.widgets.format import count, size


def of_tokenizer(config: TokenizerConfig, findings: Findings | None) -> Meaning:
    """What a tokenizer is going to learn from."""
    rows = [*_learned_from(config, findings)]
    merges = count(max(0, config.vocab_size - 256))
    rows.append(Row("merges", f"{merges} on top of 256 bytes", f"{merges} merges"))
    ids = config.vocab_size + len(config.special_tokens)
    rows.append(Row("ids", f"{count(ids)} with special tokens", f"{count(ids)} ids"))
    width = "2 bytes" if ids <= 2**16 else "4 bytes"
    rows.append(Row("on disk", f"{width} a token on disk", f"{width} a token on disk"))
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
