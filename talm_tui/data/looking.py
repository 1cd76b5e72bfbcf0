"""A look at the text that a dataset is going to be made of, at its tokenizer, and at the disk."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from talm_core.errors import InputError
from talm_core.jobs.dataset.config import DataConfig
from talm_core.storage.workspace import Workspace, there
from talm_tui.forms import checker
from talm_tui.forms.checker import Findings, corpus_of


def look(config: DataConfig, workspace: Workspace) -> Findings:
    """Check a config, and see how much text there is and what it is going to be cut into."""
    size, ratio = _tokenizer(config, workspace)
    return replace(
        checker.look(config, workspace),
        corpus=corpus_of(config, config.source, config.path, config.sample),
        vocab_size=size,
        bytes_per_token=ratio,
        free_disk=_free_disk(workspace.root),
    )


def _free_disk(directory: Path) -> int | None:
    """What is free where a directory is or is going to be; None where that cannot be told."""
    for folder in (directory, *directory.parents):
        if there(folder.is_dir):
            try:
                return shutil.disk_usage(folder).free
            except OSError:
                return None
    return None


def _tokenizer(config: DataConfig, workspace: Workspace) -> tuple[int | None, float | None]:
    """Ids of the tokenizer and, where a dataset was made with it, its raw bytes a token."""
    from talm_core.data.manifest import Manifest
    from talm_core.tokenizer.vocabulary import Vocabulary, find_vocabulary

    try:
        path = find_vocabulary(workspace, config.tokenizer_path, key="tokenizer_path")
        vocabulary = Vocabulary.load(path)
    except InputError:
        return None, None
    for artifact in workspace.artifacts(config.kind):
        try:
            manifest = Manifest.load(artifact.directory)
        except InputError:
            continue
        if manifest.tokenizer.identity == vocabulary.identity:
            tokens = manifest.train_tokens + manifest.val_tokens
            return vocabulary.n_vocab, (manifest.train_bytes + manifest.val_bytes) / tokens
    return vocabulary.n_vocab, None
