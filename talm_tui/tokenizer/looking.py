"""A look at the text that a tokenizer is going to learn from."""

from __future__ import annotations

from dataclasses import replace

from talm_core.data.sources import SOURCES
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.storage.workspace import Workspace
from talm_tui.forms import checker
from talm_tui.forms.checker import Corpus, Findings, corpus_of, manifest_of


def look(config: TokenizerConfig, workspace: Workspace) -> Findings:
    """Check a config, and see how much text there is."""
    return replace(checker.look(config, workspace), corpus=_learned_from(config, workspace))


def _learned_from(config: TokenizerConfig, workspace: Workspace) -> Corpus | None:
    """What a tokenizer learns from, for all that is known without fetching it."""
    if not config.fetched:
        source = "text" if config.text_file else config.corpus
        return corpus_of(config, source, config.text_file, config.corpus_sample or "all")
    if config.corpus == "dataset":
        manifest = manifest_of(str(config.data_dir), workspace)
        if manifest is None:
            return None
        documents = sum(shard.documents for shard in manifest.of("train"))
        return Corpus(str(config.data_dir), manifest.train_bytes, documents)
    sample = SOURCES[config.corpus].sample(config.corpus_sample)
    size = sample.likely_text_bytes if sample else None
    return None if size is None else Corpus(config.corpus, size, None)
