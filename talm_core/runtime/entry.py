"""From a config to the job it asks for."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import cast

from talm_core.jobs.registry import spec_of
from talm_core.jobs.spec import load
from talm_core.runtime.context import JobContext
from talm_core.settings.schema import JobConfig


def open_job(config: JobConfig) -> Callable[[JobContext], None]:
    """The job that a config asks for, ready to be driven; imports what it needs."""
    share_cores()
    run = cast(Callable[[JobContext, JobConfig], None], load(spec_of(config.kind).entry))
    return lambda ctx: run(ctx, config)


# Iterations a waiting OpenMP thread spins before it sleeps; about ten microseconds. The library's
# own 300,000 are harmless on idle cores, but as soon as anything else runs, threads spin away the
# time of the very thread they wait for: with two other busy processes on two cores, training was
# more than ten times slower than with this number. On idle cores it costs nothing measurable.
_SPINS = "5000"


def share_cores() -> None:
    """Let threads that wait for each other sleep soon, unless the environment says otherwise.
    Works only before torch is loaded."""
    os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
