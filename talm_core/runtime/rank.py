"""Which of a run's processes this one is, as torchrun and talm itself tell their children."""

from __future__ import annotations

import os


def number() -> int:
    """The rank this process was started as; 0: it is the first, or the only one."""
    return int(os.environ.get("RANK", "0"))


def launched() -> bool:
    """Whether a launcher such as torchrun waits for this process."""
    return "WORLD_SIZE" in os.environ


def count() -> int:
    """How many processes were started together, this one among them; 1: it is alone."""
    return int(os.environ.get("WORLD_SIZE", "1"))
