"""Documents of a dataset, read back from its shards by a process of its own.

What reads them is `talm show DATASET --documents N --json`: a shard may be large and far away, and
the screen is to answer keys meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

COUNT = 5
"""Documents that are drawn at a time."""

_WAIT_SECONDS = 0.1


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
    command = (sys.executable, "-P", "-m", "talm_core.cli", *words, "--workspace", str(workspace))
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        return Excerpts(dataset, seed, problem=f"cannot be read: {error}")
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_WAIT_SECONDS):
            if cancelled():
                with contextlib.suppress(OSError):
                    process.terminate()
                return

    threading.Thread(target=watch, name="documents", daemon=True).start()
    out, errors = process.communicate()
    over.set()
    if cancelled():
        return None
    if process.returncode:
        said = errors.decode("utf-8", "replace").strip().splitlines()
        problem = said[-1] if said else f"talm show ended with code {process.returncode}"
        return Excerpts(dataset, seed, problem=problem.removeprefix("talm: "))
    return Excerpts(dataset, seed, tuple(map(_excerpt, out.splitlines())))


def _excerpt(line: bytes) -> Excerpt:
    values = json.loads(line)
    return Excerpt(**{key: values[key] for key in Excerpt.__slots__})
