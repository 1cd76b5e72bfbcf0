"""What lists say of a model, and what it is good for when it is trained."""

from __future__ import annotations

from collections.abc import Iterator

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime.overview import Overview
from talm_core.storage.workspace import Workspace


def figures(item: Overview) -> Iterator[str]:
    """The numbers that tell runs apart."""
    if item.metrics is not None:
        yield f"step {item.metrics.step:,} of {item.metrics.max_steps:,}"


def afterwards(config: PretrainConfig, workspace: Workspace) -> tuple[str, ...]:
    """The words of the command that samples from it."""
    del workspace
    return ("sample", config.model_name)
