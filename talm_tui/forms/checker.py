"""A look at the workspace and the files a form names, while somebody types."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from talm_core.errors import InputError, Problem
from talm_core.settings.schema import JobConfig
from talm_core.storage.workspace import Workspace
from talm_core.system.hardware import Room
from talm_core.training.throughput import Speed
from talm_tui.services.newest import Newest

if TYPE_CHECKING:
    from talm_core.data.local.corpus import ReadsText
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
class Ratio:
    """Raw bytes a token to expect, and where that is known from, in a few words."""

    bytes_per_token: float
    source: str


@dataclass(frozen=True)
class Findings:
    """What a look found: problems, and the facts the consequences are reckoned from. `of` is
    the config it was about."""

    of: JobConfig
    problems: tuple[Problem, ...] = ()
    corpus: Corpus | None = None
    manifest: Manifest | None = None
    vocab_size: int | None = None
    ratio: Ratio | None = None
    free_disk: int | None = None
    room: Room = field(default_factory=Room)
    speed: Speed | None = None


def look(config: JobConfig, workspace: Workspace) -> Findings:
    """Check a config against the workspace, and no more."""
    from talm_core.runtime.preflight import check

    return Findings(config, tuple(check(config, workspace)))


def corpus_of(
    config: ReadsText, source: str, paths: tuple[str, ...], sample: str = "all"
) -> Corpus | None:
    """How much text a source holds, read as a config says; None where it cannot be read."""
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


def manifest_of(name: str, workspace: Workspace) -> Manifest | None:
    """The manifest of a dataset, by its name or its path; None where there is none."""
    from talm_core.data import manifest

    try:
        return manifest.manifest_of(workspace, name, key="data_dir")
    except InputError:
        return None


Look = Callable[[JobConfig], Findings]
"""Looks at what a config names."""


class Checker:
    """Looks at the newest config once nothing newer has come for `DELAY`: a path that is being
    typed may be `/` for a moment."""

    def __init__(
        self,
        take: Look,
        answer: Callable[[Findings | Exception], object],
        delay: float = DELAY,
    ) -> None:
        """`take` is the look. `answer` is called from a thread with what was found, or with the
        exception of a look that failed by a bug: let it post a message."""
        self._take = take
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
            answer = self._take(config)
        except Exception as error:  # noqa: BLE001 - a bug there must not silence the form
            answer = error
        # An app that ended in this moment has no loop any more to be told.
        with contextlib.suppress(RuntimeError):
            if not self._looks.closed:
                self._answer(answer)
