"""Having machine code for the loops a tokenizer is trained with before there is work for them.

It is read from numba's cache. Where it was never made that takes some seconds, which two processes
halve: numba compiles one function at a time in each. This one compiles what cuts and counts; as
soon as it turns out that it must, another one compiles what merges, and leaves it in the cache.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from numba.core import event

from talm_core.system.hardware import cores
from talm_core.tokenizer import merging, patterns, pieces, pretokenize
from talm_core.tokenizer.jit import is_kept

_TEXT = "to be, or not to bé"


class _OtherProcess(event.Listener):
    """Started when numba begins to compile something."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def on_start(self, _compiling: Any) -> None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def on_end(self, _compiling: Any) -> None:
        pass  # nothing waits for one function

    def wait(self) -> None:
        if self._process is not None:
            self._process.wait()


def make_ready(pattern: str) -> None:
    """Load, or compile, what training with a pattern needs. Whatever the other process comes to,
    afterwards everything is there."""
    if pattern in pretokenize.CUTTERS:
        other = _OtherProcess()
        if cores() > 1 and sys.executable and is_kept(merging.advance):
            with event.install_listener("numba:compile", other):
                _count(pattern)
        else:
            _count(pattern)
        other.wait()
    _merge()


def _count(pattern: str) -> None:
    counter = pieces.FastCounter(pattern, room=2)
    for _ in counter.add(_TEXT):
        pass


def _merge() -> None:
    counter = pieces.RegexCounter(patterns.DEFAULT)
    for _ in counter.add(_TEXT):
        pass
    for _ in merging.Merger(counter.pieces(), 1).run():
        pass


if __name__ == "__main__":
    _merge()
