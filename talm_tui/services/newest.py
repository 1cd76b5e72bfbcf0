"""A thread that works on the newest of what it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Newest(Generic[T]):
    """`ask` returns at once; what is still waiting when something newer comes is forgotten.

    A daemon thread of its own rather than a worker of the app: quitting must not wait until what
    it works on is over.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[T], object],
        *,
        quiet: float = 0,
        finish: Callable[[], object] = lambda: None,
    ) -> None:
        """`work` and, when it is closed, `finish` are called in the thread; `work` once nothing
        newer has come for `quiet` seconds."""
        self._name = name
        self._work = work
        self._quiet = quiet
        self._finish = finish
        self._changed = threading.Condition()
        self._wanted: T | None = None
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def closed(self) -> bool:
        """Whether nobody wants an answer any more."""
        with self._changed:
            return self._closed

    def ask(self, wanted: T) -> None:
        """Work on this next. The first time starts the thread."""
        with self._changed:
            self._wanted = wanted
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Let the thread end; returns at once."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        while (wanted := self._next()) is not None:
            self._work(wanted)
        self._finish()

    def _next(self) -> T | None:
        def came() -> bool:
            return self._wanted is not None or self._closed

        with self._changed:
            self._changed.wait_for(came)
            while not self._closed:
                wanted, self._wanted = self._wanted, None
                if not self._quiet or not self._changed.wait_for(came, timeout=self._quiet):
                    return wanted
        return None
