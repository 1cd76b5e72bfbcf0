"""A look at the text that a dataset is going to be made of, at its tokenizer, and at the disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from talm_core.errors import InputError
from talm_core.jobs.dataset.config import DataConfig
from talm_core.runtime.events import Finished
from talm_core.runtime.journal import last_of
from talm_core.runtime.opening import read_config
from talm_core.storage.workspace import Workspace, there
from talm_tui.data.meaning import guessed_ratio
from talm_tui.forms import checker
from talm_tui.forms.checker import Findings, Ratio, corpus_of
from talm_tui.forms.folder import expanded

if TYPE_CHECKING:
    from talm_core.tokenizer.vocabulary import Vocabulary


def look(config: DataConfig, workspace: Workspace) -> Findings:
    """Check a config, and see how much text there is and what it is going to be cut into."""
    size, ratio = _tokenizer(config, workspace)
    return replace(
        checker.look(config, workspace),
        corpus=corpus_of(config, config.source, config.path, config.sample),
        vocab_size=size,
        ratio=ratio,
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


def _tokenizer(config: DataConfig, workspace: Workspace) -> tuple[int | None, Ratio | None]:
    """Ids of the tokenizer, and the raw bytes of a token to expect of it."""
    from talm_core.tokenizer.vocabulary import Vocabulary, find_vocabulary

    try:
        path = find_vocabulary(workspace, config.tokenizer_path, key="tokenizer_path")
        vocabulary = Vocabulary.load(path)
    except InputError:
        return None, None
    known = [*_as_trained(config, path.parent), *_as_prepared(config, vocabulary, workspace)]
    best = min(known, key=lambda found: found[0], default=None)
    return vocabulary.n_vocab, best[1] if best else None


_Known = tuple[int, Ratio]
"""How near it is to what is asked, 0 the very same, and what is known."""


def _as_prepared(
    config: DataConfig, vocabulary: Vocabulary, workspace: Workspace
) -> Iterator[_Known]:
    """What the datasets tell that there are: those of the same text before those of the same
    tokenizer."""
    from talm_core.data.manifest import Manifest

    for artifact in workspace.artifacts(config.kind):
        try:
            manifest = Manifest.load(artifact.directory)
            made = read_config(artifact.directory)
        except InputError:
            continue
        tokens = manifest.train_tokens + manifest.val_tokens
        ratio = (manifest.train_bytes + manifest.val_bytes) / max(1, tokens)
        same_text = isinstance(made, DataConfig) and _text_of(made) == _text_of(config)
        if manifest.tokenizer.identity == vocabulary.identity:
            about = "of the same text" if same_text else "of another text"
            yield 0 if same_text else 3, Ratio(ratio, f"as in {artifact.name}, {about}")
        elif same_text:
            # As much better or worse as its vocabulary lets expect.
            ratio *= guessed_ratio(vocabulary.n_vocab) / guessed_ratio(manifest.tokenizer.n_vocab)
            yield 2, Ratio(ratio, f"from {artifact.name}, of the same text")


def _as_trained(config: DataConfig, directory: Path) -> Iterator[_Known]:
    """What the tokenizer reached on the files it was trained on, where they are the same."""
    if config.source != "text":
        return
    try:
        trained = read_config(directory)
    except InputError:
        return
    files = getattr(trained, "text_file", ())
    ended = last_of(directory, Finished)
    ratio = ended.summary.get("bytes_per_token") if ended else None
    if files and _paths(files) == _paths(config.path) and isinstance(ratio, float) and ratio > 0:
        yield 1, Ratio(ratio, "as when the tokenizer was trained on it")


def _text_of(config: DataConfig) -> tuple[object, ...]:
    """What decides which text a dataset is made of."""
    named = config.source != "text" and config.source != "hub"
    return (
        *(config.source, config.dataset, config.subset, config.split, config.text_field),
        *(_paths(config.path), config.sample if named else ""),
    )


def _paths(paths: Iterable[str]) -> list[Path]:
    return sorted(map(expanded, paths))
