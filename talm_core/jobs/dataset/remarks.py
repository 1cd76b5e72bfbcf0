"""What is to be said of a dataset once it is made."""

from __future__ import annotations

from collections.abc import Iterator

from talm_core.data.manifest import Manifest
from talm_core.jobs.dataset.config import DataConfig
from talm_core.runtime.events import Notice

_FEW_TOKENS = 4_096


def remarks(manifest: Manifest, config: DataConfig) -> Iterator[Notice]:
    """That rows were left out, and that a loss on very little says next to nothing."""
    if left_out := manifest.left_out:
        noun = "row" if left_out == 1 else "rows"
        yield Notice(message=f"{left_out:,} {noun} without a text left out")
    if manifest.val_tokens < min(_FEW_TOKENS, config.shard_size):
        yield Notice(message=_few(manifest, config), level="warning")


def _few(manifest: Manifest, config: DataConfig) -> str:
    count = manifest.val_tokens
    noun = "token" if count == 1 else "tokens"
    message = f"validation has only {count:,} {noun}: its loss will vary by chance"
    if config.val_tokens is not None:
        return f"{message}; set a larger val_tokens"
    return f"{message}; use more text, or a larger val_fraction than {config.val_fraction:g}"
