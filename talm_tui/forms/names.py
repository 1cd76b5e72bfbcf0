"""Names a form proposes for what it is going to make, and those it offers."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from talm_core.runtime.overview import Overview
from talm_core.runtime.runner import Status
from talm_tui.widgets.format import count


def slug(text: str) -> str:
    """The nearest plain name; empty where nothing of it can stay."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-.+")[:60]


def stem(path: str) -> str:
    """A plain name for the file or directory of a path."""
    return slug(PurePosixPath(path.rstrip("/")).name.split(".", 1)[0])


def short_count(number: int) -> str:
    """`4k` for 4,096 as for 4,000, `50257` for what is no round number."""
    for unit in (1024, 1000):
        if number >= unit and number % unit == 0:
            return f"{number // unit}k"
    return str(number)


def free(wanted: str, taken: Collection[str]) -> str:
    """`wanted`, or the first of `wanted-2`, `wanted-3` … that is not taken."""
    number, name = 1, wanted
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name


def tokenizer_options(overviews: Sequence[Overview]) -> list[tuple[str, str]]:
    """The tokenizers that can be used: the one that ships, then those that are done."""
    options = [("base", "4,096 tokens, ships with talm")]
    for overview in overviews:
        if overview.status is Status.DONE:
            # What it has: a short text gives fewer than were asked for.
            size = overview.summary.get("vocab_size", getattr(overview.config, "vocab_size", None))
            known = isinstance(size, int) and not isinstance(size, bool)
            options.append((overview.name, f"{count(size)} tokens" if known else ""))
    return options


def newest_tokenizer(overviews: Sequence[Overview]) -> str:
    """The tokenizer that was trained last; while there is none, the one that ships."""
    done = [overview for overview in overviews if overview.status is Status.DONE]
    return max(done, key=lambda overview: overview.updated).name if done else "base"
