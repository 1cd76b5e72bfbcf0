"""What can be known to be wrong before a tokenizer is trained."""

from __future__ import annotations

from collections.abc import Iterator

from talm_core.data.hub import environment
from talm_core.data.local.corpus import corpus_problems, reading_of
from talm_core.data.manifest import manifest_of
from talm_core.data.sources import SOURCES
from talm_core.errors import Problem, problems_of
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.storage.workspace import Workspace


def check(config: TokenizerConfig, workspace: Workspace) -> Iterator[Problem]:
    """What is wrong before a tokenizer is trained."""
    if config.text_file:
        yield from corpus_problems("text", config.text_file, "text_file", **reading_of(config))
    elif config.corpus == "dataset":
        for problem in problems_of(
            lambda: manifest_of(workspace, str(config.data_dir), key="data_dir")
        ):
            yield Problem("data_dir", problem.message, config.data_dir, problem.hint)
    elif not SOURCES[config.corpus].network:
        sample = config.corpus_sample or "all"
        yield from corpus_problems(config.corpus, (), "corpus", sample=sample)
    else:
        yield from environment.problems()
