"""From a config to the job it asks for."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import cast

from talm_core.jobs.registry import spec_of
from talm_core.jobs.spec import load
from talm_core.runtime.events import Command, Event
from talm_core.settings.schema import JobConfig
from talm_core.storage.workspace import Workspace

Job = Generator[Event, Command | None, None]


def open_job(config: JobConfig, workspace: Workspace) -> Job:
    """The generator of the job that a config asks for; imports what the job needs."""
    share_cores()
    return cast(Job, load(spec_of(config.kind).entry)(config, workspace))


# Iterations a waiting OpenMP thread spins before it sleeps; about ten microseconds. The library's
# own 300,000 are harmless on idle cores, but as soon as anything else runs, threads spin away the
# time of the very thread they wait for: with two other busy processes on two cores, training was
# more than ten times slower than with this number. On idle cores it costs nothing measurable.
_SPINS = "5000"


def share_cores() -> None:
    """Let threads that wait for each other sleep soon, unless the environment says otherwise.
    Works only before torch is loaded."""
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
