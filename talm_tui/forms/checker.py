"""A look at the workspace and the files a form names, while somebody types."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from talm_core.data.sources import SOURCES
from talm_core.errors import InputError, Problem
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.settings.schema import JobConfig
from talm_core.storage.workspace import Workspace, there
from talm_core.system.hardware import Room, room
from talm_core.training.throughput import Speed, measured
from talm_tui.services.newest import Newest

if TYPE_CHECKING:
    from talm_core.data.manifest import Manifest

DELAY = 0.25
"""Seconds of quiet before a look is taken."""


@dataclass(frozen=True)
class Corpus:
    """How much text a job would read. `documents` is None, and `bytes` a guess, where files must
    be read to know."""

    name: str
    bytes: int
    documents: int | None


@dataclass(frozen=True)
class Findings:
    """What a look found: problems, and the facts the consequences are reckoned from. `of` is
    the config it was about."""

    of: JobConfig
    problems: tuple[Problem, ...] = ()
    corpus: Corpus | None = None
    manifest: Manifest | None = None
    vocab_size: int | None = None
    bytes_per_token: float | None = None
    free_disk: int | None = None
    room: Room = field(default_factory=Room)
    speed: Speed | None = None


def look(config: JobConfig, workspace: Workspace) -> Findings:
    """Check a config against the workspace and gather what its consequences depend on."""
    from talm_core.runtime.preflight import check

    problems = tuple(check(config, workspace))
    match config:
        case TokenizerConfig():
            return Findings(config, problems, corpus=_learned_from(config, workspace))
        case DataConfig():
            corpus = _corpus(config, config.source, config.path, config.sample)
            size, ratio = _tokenizer(config, workspace)
            return Findings(
                config,
                problems,
                corpus,
                vocab_size=size,
                bytes_per_token=ratio,
                free_disk=_free_disk(workspace.root),
            )
        case PretrainConfig():
            manifest = _manifest(config.data_dir, workspace)
            size = manifest.tokenizer.n_vocab if manifest else None
            return Findings(
                config,
                problems,
                manifest=manifest,
                room=_room(config, workspace),
                speed=None if size is None else measured(config, size, workspace.root),
            )
    return Findings(config, problems)


def _room(config: PretrainConfig, workspace: Workspace) -> Room:
    try:
        return room(config.device, workspace.directory_of(config))
    except InputError:
        return Room()


def _free_disk(directory: Path) -> int | None:
    """What is free where a directory is or is going to be; None where that cannot be told."""
    for folder in (directory, *directory.parents):
        if there(folder.is_dir):
            try:
                return shutil.disk_usage(folder).free
            except OSError:
                return None
    return None


def _learned_from(config: TokenizerConfig, workspace: Workspace) -> Corpus | None:
    """What a tokenizer learns from, for all that is known without fetching it."""
    if not config.fetched:
        source = "text" if config.text_file else config.corpus
        return _corpus(config, source, config.text_file, config.corpus_sample or "all")
    if config.corpus == "dataset":
        manifest = _manifest(str(config.data_dir), workspace)
        if manifest is None:
            return None
        documents = sum(shard.documents for shard in manifest.of("train"))
        return Corpus(str(config.data_dir), manifest.train_bytes, documents)
    sample = SOURCES[config.corpus].sample(config.corpus_sample)
    size = sample.likely_text_bytes if sample else None
    return None if size is None else Corpus(config.corpus, size, None)


def _corpus(
    config: TokenizerConfig | DataConfig, source: str, paths: tuple[str, ...], sample: str = "all"
) -> Corpus | None:
    from talm_core.data.local.corpus import open_corpus

    try:
        corpus = open_corpus(
            source,
            paths=paths,
            sample=sample,
            text_field=config.text_field,
            encoding_errors=config.encoding_errors,
        )
    except InputError:
        return None
    return Corpus(corpus.name, corpus.total_bytes, len(corpus) if corpus.counted else None)


def _tokenizer(config: DataConfig, workspace: Workspace) -> tuple[int | None, float | None]:
    """Ids of the tokenizer and, where a dataset was made with it, its raw bytes a token."""
    from talm_core.data.manifest import Manifest
    from talm_core.tokenizer.vocabulary import Vocabulary, find_vocabulary

    try:
        path = find_vocabulary(workspace, config.tokenizer_path, key="tokenizer_path")
        vocabulary = Vocabulary.load(path)
    except InputError:
        return None, None
    for artifact in workspace.artifacts("data"):
        try:
            manifest = Manifest.load(artifact.directory)
        except InputError:
            continue
        if manifest.tokenizer.identity == vocabulary.identity:
            tokens = manifest.train_tokens + manifest.val_tokens
            return vocabulary.n_vocab, (manifest.train_bytes + manifest.val_bytes) / tokens
    return vocabulary.n_vocab, None


def _manifest(name: str, workspace: Workspace) -> Manifest | None:
    from talm_core.data.manifest import Manifest

    try:
        return Manifest.load(workspace.locate("data", name, key="data_dir"))
    except InputError:
        return None


class Checker:
    """Looks at the newest config once nothing newer has come for `DELAY`: a path that is being
    typed may be `/` for a moment."""

    def __init__(
        self,
        workspace: Workspace,
        answer: Callable[[Findings | Exception], object],
        delay: float = DELAY,
    ) -> None:
        """`answer` is called from a thread with what was found, or with the exception of a
        look that failed by a bug: let it post a message."""
        self._workspace = workspace
        self._answer = answer
        self._looks: Newest[JobConfig] = Newest("form check", self._look, quiet=delay)

    def ask(self, config: JobConfig) -> None:
        """Look at `config` soon; one asked for before and not yet begun is dropped."""
        self._looks.ask(config)

    def close(self) -> None:
        """Let the thread end; returns at once."""
        self._looks.close()

    def _look(self, config: JobConfig) -> None:
        answer: Findings | Exception
        try:
            answer = look(config, self._workspace)
        except Exception as error:  # noqa: BLE001 - a bug there must not silence the form
            answer = error
        # An app that ended in this moment has no loop any more to be told.
        with contextlib.suppress(RuntimeError):
            if not self._looks.closed:
                self._answer(answer)
