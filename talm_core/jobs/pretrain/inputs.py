"""What a run reads: its dataset, and the tokenizer the dataset was made with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from talm_core.data.manifest import Manifest
from talm_core.errors import ArtifactError, Problem
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.vocabulary import FILE_NAME, Vocabulary, find_vocabulary


@dataclass(frozen=True, slots=True)
class Inputs:
    """A dataset that was looked at and fits together."""

    dataset: Path
    manifest: Manifest
    vocabulary: Vocabulary

    @classmethod
    def of(cls, config: PretrainConfig, workspace: Workspace) -> Self:
        """What a config names.

        Raises:
            ArtifactError: missing, damaged, or a tokenizer that is not the dataset's.
        """
        dataset = workspace.locate("data", config.data_dir, key="data_dir")
        manifest = Manifest.load(dataset)
        vocabulary = Vocabulary.load(dataset / FILE_NAME)
        _compare(vocabulary, manifest, "data_dir", config.data_dir)
        if config.tokenizer_path is not None:
            path = find_vocabulary(workspace, config.tokenizer_path, key="tokenizer_path")
            _compare(Vocabulary.load(path), manifest, "tokenizer_path", config.tokenizer_path)
        return cls(dataset, manifest, vocabulary)


def _compare(vocabulary: Vocabulary, manifest: Manifest, key: str, value: str) -> None:
    made_with = manifest.tokenizer
    if vocabulary.identity != made_with.identity:
        message = (
            f"the tokenizer {vocabulary.name} ({vocabulary.identity[:19]}…) is not the one the"
            f" dataset was made with: {made_with.name} ({made_with.identity[:19]}…)"
        )
        raise ArtifactError(Problem(key, message, value))
