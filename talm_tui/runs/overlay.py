"""Reads other runs' journals for the chart they are laid over, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from textual.message import Message

from talm_core.runtime.history import History
from talm_core.runtime.journal import JournalReader
from talm_core.storage.workspace import Artifact
from talm_tui.charts.curves import OVERLAID

LOOK_SECONDS = 0.5
_REST_SECONDS = 0.002
"""Between two parts of a journal the interpreter is left to the thread that draws."""

MOST = 1 << 14
"""Points kept of an overlaid run: two dozen of them must fit beside each other, and forty times
as many as a wide chart has dots still leave something to zoom into."""


class OverlayRead(Message):
    """What is known of an overlaid run now; nobody changes this history any more."""

    def __init__(self, artifact: Artifact, history: History) -> None:
        super().__init__()
        self.artifact = artifact
        self.history = history


@dataclass
class _Read:
    reader: JournalReader
    history: History = field(default_factory=lambda: History.slim(*OVERLAID, most=MOST))
    posted: bool = False


class OverlayReader:
    """Follows the journals of the runs it is told to, and posts what they say."""

    def __init__(self, post: Callable[[OverlayRead], object]) -> None:
        self._post = post
        self._wanted: frozenset[Artifact] = frozenset()
        self._reads: dict[Artifact, _Read] = {}
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self, wanted: Collection[Artifact]) -> None:
        """Read these runs, and no others."""
        self._wanted = frozenset(wanted)
        self._wake.set()
        if self._thread is None and wanted:
            self._thread = threading.Thread(target=self._run, name="overlay", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End at the next occasion."""
        self._ended.set()
        self._wake.set()

    def _run(self) -> None:
        # Its import takes a tenth of a second: here rather than in front of somebody's eyes.
        from talm_tui.charts import series as trace  # noqa: F401

        while not self._ended.is_set():
            self._look()
            self._wake.wait(LOOK_SECONDS if self._wanted else None)
            self._wake.clear()

    def _look(self) -> None:
        wanted = self._wanted
        for artifact in self._reads.keys() - wanted:
            del self._reads[artifact]
        for artifact in wanted:
            read = self._reads.get(artifact)
            if read is None:
                read = self._reads[artifact] = _Read(JournalReader(artifact.directory))
            changed = False
            while records := read.reader.read_new():
                if read.posted:
                    # Only now: most runs have ended, and need not be there twice.
                    read.history, read.posted = read.history.snapshot(), False
                changed = read.history.extend(records)
                if self._ended.wait(_REST_SECONDS) or artifact not in self._wanted:
                    return
            if changed:
                read.posted = True
                self._post(OverlayRead(artifact, read.history))
