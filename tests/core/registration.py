"""Further kinds of jobs, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from talm_core.jobs import registry
from talm_core.jobs.spec import JobSpec


@contextmanager
def registered(*own: JobSpec) -> Iterator[None]:
    """The kinds are known for as long as the context lasts, in this process only."""
    known = registry._known()
    before = dict(known)
    known.update({spec.kind: spec for spec in own})
    try:
        yield
    finally:
        known.clear()
        known.update(before)
