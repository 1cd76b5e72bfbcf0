"""What lists say of a model, and what it is good for when it is trained."""

from __future__ import annotations

from collections.abc import Iterator

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime.overview import Overview
from talm_core.runtime.render import extent
from talm_core.runtime.runner import Status
from talm_core.storage.workspace import Workspace


def figures(item: Overview) -> Iterator[str]:
    """The numbers that tell runs apart."""
    if item.extent is not None:
        yield extent(item.extent, over=item.status is Status.DONE)


def afterwards(config: PretrainConfig, workspace: Workspace) -> tuple[str, ...]:
    """The words of the command that samples from it."""
    del workspace
    return ("sample", config.model_name)
