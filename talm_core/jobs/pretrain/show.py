"""What lists say of a model, and what it is good for when it is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime.overview import Overview
from talm_core.runtime.render import extent
from talm_core.runtime.runner import Status
from talm_core.storage.workspace import Workspace

Count = Callable[[float], str]
"""Says a number in few characters."""


def figures(item: Overview) -> Iterator[str]:
    """The numbers that tell runs apart."""
    if item.extent is not None:
        yield extent(item.extent, over=item.status is Status.DONE)


def brief(item: Overview, count: Count) -> Iterator[str]:
    """How well it does."""
    del count
    if item.bits_per_byte is not None:
        yield from (f"{item.bits_per_byte:.2f} bits/byte", f"{item.bits_per_byte:.2f}")


def asked(config: PretrainConfig) -> Iterator[tuple[str, str]]:
    """What it learns from, and its shape."""
    yield "learns from", config.data_dir
    layers = "layer" if config.n_layer == 1 else "layers"
    shape = f"{config.n_layer} {layers} x {config.n_embd}, {config.context_len} tokens of context"
    yield "model", shape


def cells(item: Overview, count: Count) -> tuple[str, ...]:
    """Its losses, its shape, its steps and how fast they went."""
    config, metrics = item.config, item.metrics
    shape = f"{config.n_layer} x {config.n_embd}" if isinstance(config, PretrainConfig) else ""
    return (
        "" if item.bits_per_byte is None else f"{item.bits_per_byte:.2f}",
        "" if item.val_loss is None else f"{item.val_loss:.2f}",
        shape,
        count(metrics.step) if metrics else "",
        count(metrics.tokens_per_second) if metrics else "",
    )


def afterwards(config: PretrainConfig, workspace: Workspace) -> tuple[str, ...]:
    """The words of the command that samples from it."""
    del workspace
    return ("sample", config.model_name)
