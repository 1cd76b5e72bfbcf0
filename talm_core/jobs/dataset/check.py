"""What can be known to be wrong before a dataset is prepared."""

from __future__ import annotations

from collections.abc import Iterator

from talm_core.data.hub import environment
from talm_core.data.local.corpus import corpus_problems, reading_of
from talm_core.data.sources import SOURCES
from talm_core.errors import Problem, problems_of
from talm_core.jobs.dataset.config import DataConfig
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.vocabulary import Vocabulary, find_vocabulary


def check(config: DataConfig, workspace: Workspace) -> Iterator[Problem]:
    """What is wrong before a dataset is prepared."""
    if not SOURCES[config.source].network:
        key = "path" if config.source == "text" else "source"
        yield from corpus_problems(
            config.source, config.path, key, sample=config.sample, **reading_of(config)
        )
    else:
        yield from environment.problems()
    yield from problems_of(
        lambda: Vocabulary.load(
            find_vocabulary(workspace, config.tokenizer_path, key="tokenizer_path")
        )
    )
