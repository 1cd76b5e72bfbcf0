"""Which jobs there are, where their generators live and what they listen to."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass
from importlib import import_module
from typing import cast

from talm_core.runtime.events import Checkpoint, Command, EvaluateEvery, Event, Sample, Stop
from talm_core.settings.schema import JobConfig
from talm_core.storage.workspace import Workspace

Job = Generator[Event, Command | None, None]


@dataclass(frozen=True, slots=True)
class JobKind:
    """Where a job's generator lives, and how it is talked to.

    `commands` are those it takes itself besides pause and stop. `shared`: several processes can do
    it together. `resumable`: what it made before
    is gone on with when that is asked for. `delegates`: it drives other jobs, which hear the
    commands sent to it.
    """

    entry: str
    commands: frozenset[type[Command]] = frozenset()
    resumable: bool = False
    delegates: bool = False
    shared: bool = False

    def open(self, config: JobConfig, workspace: Workspace) -> Job:
        """The job's generator; imports what the job needs."""
        share_cores()
        module, name = self.entry.split(":")
        return cast(Job, getattr(import_module(module), name)(config, workspace))


# Iterations a waiting OpenMP thread spins before it sleeps; about ten microseconds. The library's
# own 300,000 are harmless on idle cores, but as soon as anything else runs, threads spin away the
# time of the very thread they wait for: with two other busy processes on two cores, training was
# more than ten times slower than with this number. On idle cores it costs nothing measurable.
_SPINS = "5000"


def share_cores() -> None:
    """Let threads that wait for each other sleep soon, unless the environment says otherwise.
    Works only before torch is loaded."""
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


KINDS: dict[str, JobKind] = {
    "tokenizer": JobKind("talm_core.jobs.tokenizer.job:train_tokenizer"),
    "data": JobKind("talm_core.jobs.dataset.job:prepare_data"),
    "pretrain": JobKind(
        "talm_core.training.pretrain:pretrain",
        commands=frozenset({Checkpoint, EvaluateEvery, Sample, Stop}),
        resumable=True,
        shared=True,
    ),
    "quickstart": JobKind(
        "talm_core.jobs.quickstart.job:quickstart", resumable=True, delegates=True
    ),
}
