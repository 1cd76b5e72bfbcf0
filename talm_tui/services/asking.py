"""What a `talm` command says, asked in a process of its own: for what takes longer than a frame or
needs libraries that the screen does not load."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Said:
    """What it printed; `problem` is its last complaint, empty when it did what it was asked."""

    text: str
    problem: str = ""


def ask(workspace: Path, *words: str, cancelled: Callable[[], bool] = lambda: False) -> Said | None:
    """Run `talm` with these words on a workspace; None when it was `cancelled` meanwhile."""
    command = (sys.executable, "-P", "-m", "talm_core.cli", *words, "--workspace", str(workspace))
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        return Said("", f"talm cannot be started: {error}")
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            if cancelled():
                with contextlib.suppress(OSError):
                    process.terminate()
                return

    threading.Thread(target=watch, name="asking", daemon=True).start()
    out, errors = process.communicate()
    over.set()
    if cancelled():
        return None
    text = out.decode("utf-8", "replace")
    if process.returncode == 0:
        return Said(text)
    complaints = errors.decode("utf-8", "replace").strip().splitlines()
    problem = complaints[-1] if complaints else f"talm ended with code {process.returncode}"
    return Said(text, problem.removeprefix("talm: "))
