"""Which kinds of jobs there are.

A kind of one's own is made known by `TALM_JOBS`, a comma-separated list of `module:name` of
further specs, which processes that talm starts inherit.
"""

from __future__ import annotations

import os
from functools import cache

from talm_core.errors import ConfigError, Problem
from talm_core.jobs.spec import ArtifactSpec, JobSpec, load

VARIABLE = "TALM_JOBS"

_SPECS = (
    "talm_core.jobs.tokenizer.spec:SPEC",
    "talm_core.jobs.dataset.spec:SPEC",
    "talm_core.jobs.pretrain.spec:SPEC",
    "talm_core.jobs.sample.spec:SPEC",
    "talm_core.jobs.export.spec:SPEC",
    "talm_core.jobs.quickstart.spec:SPEC",
)


@cache
def _known() -> dict[str, JobSpec]:
    own = [text.strip() for text in os.environ.get(VARIABLE, "").split(",") if text.strip()]
    found = [load(reference) for reference in _SPECS] + [_own(reference) for reference in own]
    return {spec.kind: spec for spec in found}


def _own(reference: str) -> JobSpec:
    try:
        spec = load(reference)
    except (ImportError, AttributeError, ValueError) as error:
        message = f"cannot be imported: {error}"
        hint = "name each spec as module:name, separated by commas"
        raise ConfigError(Problem(VARIABLE, message, reference, hint)) from None
    if not isinstance(spec, JobSpec):
        raise ConfigError(Problem(VARIABLE, "is no JobSpec", reference))
    return spec


def specs() -> tuple[JobSpec, ...]:
    """Every kind, in the order in which somebody needs them.

    Raises:
        ConfigError: a spec that `TALM_JOBS` names cannot be had.
    """
    return tuple(_known().values())


def spec_of(kind: str) -> JobSpec:
    """The spec of a kind that exists."""
    return _known()[kind]


def known(kind: object) -> bool:
    """Whether there is such a kind."""
    return kind in _known()


def artifact_kinds() -> dict[str, ArtifactSpec]:
    """What lives in the workspace, by kind."""
    return {spec.kind: spec.artifact for spec in specs() if spec.artifact is not None}


def artifact_of(kind: str) -> ArtifactSpec:
    """Where artifacts of a kind live and what they are called."""
    artifact = _known()[kind].artifact
    assert artifact is not None, f"{kind} makes no artifact"
    return artifact
