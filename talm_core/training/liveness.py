"""Signs of life between the processes of a run, and the end of waiting for one that gives none.

A process that was stopped (SIGSTOP, a debugger) or hangs holds up the others in an exchange, where
they hear nothing: not a command, not a signal. Hence each says in the store where they met, once a
second, that it is there. A thread beside the first process looks whether they all do, and ends one
that has been silent for long, or for some seconds when the run is to stop: then the exchange
breaks, and the first process can say who it was.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
from torch.distributed import Store  # type: ignore[attr-defined]

from talm_core.runtime import control
from talm_core.runtime.driver import LOG_FILE
from talm_core.storage import artifact_files

_BEAT_SECONDS = 1.0
# Seconds of silence; counted by the listener's own beats, so that a machine that slept, or a run
# that was stopped as a whole, has missed nothing.
_PATIENCE = 60
_HURRY = 8


def _key(rank: int) -> str:
    return f"alive/{rank}"


class Beating:
    """Says once a second that this process is there, in a thread."""

    def __init__(self, store: Store, rank: int) -> None:
        self._store = store
        self._rank = rank
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        count = 0
        while not self._over.is_set():
            # The store is gone when the first process is, and silent while that is stopped.
            with contextlib.suppress(RuntimeError):
                said = f"{count} {os.getpid()} {socket.gethostname()}"
                self._store.set(_key(self._rank), said)
            count += 1
            self._over.wait(_BEAT_SECONDS)

    def close(self) -> None:
        self._over.set()


@dataclass(slots=True)
class _Other:
    rank: int
    said: str = ""
    missed: int = 0
    ended: bool = False


class Watch:
    """What the first process knows of the others; made and closed in its main thread."""

    def __init__(self, store: Store, size: int, directory: Path, pids: Mapping[int, int]) -> None:
        """`pids` are those of the processes that this one started, by rank."""
        self.verdict = ""
        """Which process was ended because it did not answer."""
        self._store = store
        self._size = size
        self._directory = directory
        self._pids = pids
        self._others = [_Other(rank) for rank in range(1, size)]
        self._over = threading.Event()
        self._signalled = False
        self._signals: tuple[int, int, int] | None = None
        if threading.current_thread() is threading.main_thread():
            self._signals = _hear_signals()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Watch no more."""
        self._over.set()
        self._thread.join(5 * _BEAT_SECONDS)
        if self._signals is not None:
            reads, writes, before = self._signals
            signal.set_wakeup_fd(before)
            os.close(reads)
            os.close(writes)
            self._signals = None

    def _watch(self) -> None:
        with contextlib.suppress(RuntimeError):
            while not self._over.wait(_BEAT_SECONDS):
                for other in self._others:
                    self._listen(other)
                patience = _HURRY if self._is_to_stop() else _PATIENCE
                for other in self._others:
                    if other.missed >= patience:
                        self._end(other)

    def _listen(self, other: _Other) -> None:
        key = _key(other.rank)
        said = self._store.get(key).decode() if self._store.check([key]) else ""
        other.missed = 0 if said != other.said else other.missed + 1
        other.said = said

    def _is_to_stop(self) -> bool:
        """Whether somebody wants the run to end, although the main thread may not hear it."""
        if self._signals is not None:
            with contextlib.suppress(BlockingIOError):
                self._signalled = bool(os.read(self._signals[0], 64)) or self._signalled
        return (
            self._signalled
            or control.stop_reason() is not None
            or control.stop_waits(self._directory)
        )

    def _end(self, other: _Other) -> None:
        who = f"process {other.rank + 1} of {self._size}"
        _, pid, host = other.said.split(" ", 2) if other.said else ("", "0", "")
        here = host == socket.gethostname()
        number = self._pids.get(other.rank, int(pid) if here else 0)
        if other.ended or not number:
            # It cannot be ended from here, and this process waits for it.
            self._leave(f"{who}{f' (on {host})' if host else ''} does not answer any more")
        other.ended, other.missed = True, 0
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(number)
            stopped = process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
            how = "was stopped (as by SIGSTOP)" if stopped else "did not answer any more"
            self.verdict = self.verdict or f"{who} (pid {number}) {how} and was ended"
            process.kill()

    def _leave(self, why: str) -> None:
        text = f"{why}; the run ends, go on from the last checkpoint by --resume\n"
        with (
            contextlib.suppress(OSError),
            artifact_files.appending(self._directory / LOG_FILE) as file,
        ):
            file.write(text.encode())
        os._exit(1)


def _hear_signals() -> tuple[int, int, int]:
    """Have every signal written to a pipe as it comes: the main thread may be where it cannot
    handle it. Returns both ends, and what it was written to before."""
    reads, writes = os.pipe()
    os.set_blocking(reads, False)
    os.set_blocking(writes, False)
    return reads, writes, signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
