"""The real command `talm`, as a process of its own, in a workspace of its own."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 120

TINY = (
    *("--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--context-len", "16"),
    *("--batch-size", "4", "--warmup-steps", "2", "--eval-tokens", "256", "--sample-tokens", "8"),
    *("--threads", "1"),
)
"""A model that trains hundreds of steps a second."""


@dataclass(frozen=True)
class Ended:
    """How a `talm` ended."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """stdout, every line of which must be one JSON object."""
        return [json.loads(line) for line in self.out.splitlines()]

    def events_of(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind."""
        return [event for event in self.events if event["event"] == kind]


@dataclass(frozen=True)
class Talm:
    """Runs commands with `$TALM_HOME` set to `root`."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"TALM_HOME": str(self.root), "TERM": "dumb", "OMP_NUM_THREADS": "1"}

    def command(self, *words: str) -> list[str]:
        """The words that start it: the installed program, not the module."""
        return [str(Path(sys.executable).with_name("talm")), *words]

    def __call__(self, *words: str, given: str | None = None) -> Ended:
        done = subprocess.run(
            self.command(*words),
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """One that is left running; its stdout is a pipe."""
        return subprocess.Popen(
            self.command(*words),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def everything(self) -> list[str]:
        """Every path in the workspace."""
        if not self.root.exists():
            return []
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*"))


def write_texts(directory: Path, count: int = 30, lines: int = 40) -> Path:
    """Files of sentences, always the same."""
    chance = random.Random(1)
    words = [
        "the",
        "cat",
        "sat",
        "on",
        "a",
        "mat",
        "and",
        "saw",
        "one",
        "dog",
        "run",
        "to",
        "far",
        "red",
        "hill",
        "by",
        "night",
    ]
    directory.mkdir(parents=True)
    for number in range(count):
        text = "\n".join(" ".join(chance.choices(words, k=9)) for _ in range(lines))
        (directory / f"{number:02}.txt").write_text(text + "\n")
    return directory
