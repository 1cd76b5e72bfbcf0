"""The tokenizers a form or the playground offers."""

from __future__ import annotations

from collections.abc import Sequence

from talm_core.runtime.overview import Overview
from talm_core.runtime.runner import Status
from talm_tui.widgets.format import count


def tokenizer_options(overviews: Sequence[Overview]) -> list[tuple[str, str]]:
    """The tokenizers that can be used: the one that ships, then those that are done."""
    options = [("base", "4,096 tokens, ships with talm")]
    for overview in overviews:
        if overview.status is Status.DONE:
            size = getattr(overview.config, "vocab_size", None)
            options.append((overview.name, f"{count(size)} tokens" if size else ""))
    return options
