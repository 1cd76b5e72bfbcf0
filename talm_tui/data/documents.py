"""Documents of a dataset, read back from its shards by a process of its own.

What reads them is `talm show DATASET --documents N --json`: a shard may be large and far away, and
the screen is to answer keys meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from talm_tui.services.clients import ask

COUNT = 5
"""Documents that are drawn at a time."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The beginning of a document, and the size of all of it; `complete` tells whether it is all.
    `bytes_per_token` is None where there is no token."""

    number: int
    split: str
    tokens: int
    bytes: int
    bytes_per_token: float | None
    text: str
    complete: bool


class Excerpts(Message):
    """Documents of a `dataset`, drawn with `seed`; `problem` says why there are none."""

    def __init__(
        self, dataset: str, seed: int, found: tuple[Excerpt, ...] = (), problem: str = ""
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.seed = seed
        self.found = found
        self.problem = problem


def draw(
    workspace: Path, dataset: str, seed: int, *, cancelled: Callable[[], bool] = lambda: False
) -> Excerpts | None:
    """Draw documents of a dataset; None when it was `cancelled` meanwhile."""
    words = ("show", f"data/{dataset}", "--documents", str(COUNT), "--seed", str(seed), "--json")
    said = ask(workspace, *words, cancelled=cancelled)
    if said is None:
        return None
    if said.problem:
        return Excerpts(dataset, seed, problem=said.problem)
    return Excerpts(dataset, seed, tuple(map(_excerpt, said.text.splitlines())))


def _excerpt(line: str) -> Excerpt:
    values = json.loads(line)
    return Excerpt(**{key: values[key] for key in Excerpt.__slots__})
