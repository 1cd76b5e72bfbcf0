"""A network that fails, and what is done about it: wait, try again, say so, give up in time.

Everything that is fetched goes through `Network.attempt`. A fault that may pass (a server that is
too busy, silent or gone, an answer that breaks off) is tried again after a growing pause, which is
told as a `Notice`. What hardly passes (no network at all, an answer of another kind) is tried a few
times, and what does not (no access, no such dataset, a login page) is raised at once, in words that
say what to do. The libraries' own retries are not used: they sleep where a stop cannot reach them
and tell nobody.

Whatever waits here waits for `stop` as well, and all threads are daemons, so that a job ends at
once even while a server keeps silent.

A network that stays away, or that `HF_HUB_OFFLINE` forbids, is a `GoneError`: whoever has something
on this machine to go on with does.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import httpx2
from huggingface_hub.errors import OfflineModeIsEnabled

from talm_core.data.hub.faults import Fault, Hope, asked_pause, fault_of
from talm_core.errors import RunError, TalmError
from talm_core.runtime.events import Event, Notice

T = TypeVar("T")
S = TypeVar("S")

_WAIT_SECONDS = 0.05

# Pauses before what will hardly mend itself is given up, and what can be done without.
_BRIEF_PAUSES = 3

_KEPT = "run the same again to go on from there"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a network that fails is borne with.

    `pauses` are the seconds between one try and the next; when they are used up with nothing
    achieved in between, that is the end. `longest` is the longest pause a server may ask for,
    `silence` how many seconds it may say nothing.
    """

    pauses: tuple[float, ...] = (1, 2, 4, 8, 16, 30, 60, 60, 60, 60)
    longest: float = 900
    silence: float = 30


class GoneError(RunError):
    """The network is needed and cannot be had. `reason` says why, without what to do."""

    def __init__(self, reason: str, advice: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}: {advice}")


class StoppedError(Exception):
    """What was waited for is not wanted any more."""


class Network:
    """What the threads of one job share about the network: whether to stop, what to tell, and
    the pause that all wait for when one of them has found it gone."""

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self.retries = 0
        self.notices: queue.SimpleQueue[Notice] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._failures = 0
        self._reached = False
        self._again_at = 0.0
        self._given_up: GoneError | None = None

    def briefly(self) -> Network:
        """The same network for what can be done without: given up after a few tries, and only for
        that. `stop` ends both."""
        pauses = self.patience.pauses[:_BRIEF_PAUSES]
        other = Network(replace(self.patience, pauses=pauses))
        other.notices, other._stop = self.notices, self._stop
        return other

    def tell(self, message: str, *, level: str = "warning", again: bool = False) -> None:
        """Have something told with the next events."""
        self.notices.put(Notice(message=message, level=level, again=again))

    def stop(self) -> None:
        """Let everything that waits or fetches end."""
        self._stop.set()

    def report(self, report: Callable[[Event], None]) -> None:
        """Say what there is to tell since the last time."""
        while not self.notices.empty():
            report(self.notices.get())

    def check(self) -> None:
        """Raise `StoppedError` after `stop`."""
        if self._stop.is_set():
            raise StoppedError

    def attempt(self, action: Callable[[], T]) -> T:
        """What the action returns, tried until it works.

        Raises:
            GoneError: it still fails after the last pause, or the network is forbidden.
            StoppedError: `stop` was called.
        """
        while True:
            self.check()
            if self._given_up is not None:
                raise self._given_up
            try:
                result = action()
            except (TalmError, StoppedError):
                raise
            except Exception as error:  # noqa: BLE001 - what is not a fault is raised again
                self._bear(error)
            else:
                self._failures, self._reached = 0, True
                return result

    def _bear(self, error: Exception) -> None:
        """Wait as long as this fault asks for; raise it if it will not pass."""
        fault = fault_of(error)
        if fault is None:
            raise error
        self.check()
        with self._lock:
            if not isinstance(error, httpx2.TransportError | OfflineModeIsEnabled):
                self._reached = True
            # Others may have found the same and wait already: one outage is one.
            if time.monotonic() >= self._again_at:
                self._again_at = time.monotonic() + self._pause(error, fault)
        self._stop.wait(max(0.0, self._again_at - time.monotonic()))

    def _pause(self, error: Exception, fault: Fault) -> float:
        pauses = self.patience.pauses
        if fault.hope is Hope.SHORT or (fault.hope is Hope.ONCE_REACHED and not self._reached):
            pauses = pauses[:_BRIEF_PAUSES]
        asked = asked_pause(error)
        if fault.hope is Hope.NONE:
            joint = " and" if isinstance(error, OfflineModeIsEnabled) else ", then"
            raise self._give_up(fault.what, f"{fault.advice}{joint} {_KEPT}") from None
        if asked is not None and asked > self.patience.longest:
            reason = f"{fault.what} and asks to wait {asked / 60:,.0f} minutes"
            raise self._give_up(reason, f"{_KEPT} later") from None
        if self._failures >= len(pauses):
            reason = f"{fault.what}, {self._failures + 1} times in a row"
            advice = fault.advice or "check the network"
            raise self._give_up(reason, f"{advice}, then {_KEPT}") from None
        pause = pauses[self._failures] if asked is None else asked
        again = self._failures > 0
        self._failures += 1
        self.retries += 1
        count = f"try {self._failures + 1} of {len(pauses) + 1}"
        self.tell(f"{fault.what}: retrying in {_seconds(pause)} ({count})", again=again)
        return pause

    def _give_up(self, reason: str, advice: str) -> GoneError:
        self._given_up = GoneError(reason, advice)
        return self._given_up


def _seconds(pause: float) -> str:
    return f"{pause:.0f} s" if pause >= 1 or pause == 0 else f"{pause:.2g} s"


class Workers:
    """Threads that do small things side by side and keep no process from ending."""

    def __init__(self, count: int, name: str) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._count = count
        for _ in range(count):
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, action: Callable[[], T]) -> Future[T]:
        """Do it as soon as a thread is free."""
        future: Future[T] = Future()

        def do() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(action())
            except BaseException as error:  # noqa: BLE001 - it is whoever asks that gets it
                future.set_exception(error)

        self._tasks.put(do)
        return future

    def map(
        self, action: Callable[[S], T], items: Iterable[S], *, check: Callable[[], None]
    ) -> Iterator[T]:
        """The results in order; `check` is called again and again while they are waited for."""
        futures = [self.submit(partial(action, item)) for item in items]
        try:
            for future in futures:
                while not wait_for(future):
                    check()
                yield future.result()
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        """Let the threads end when they have done what they are at."""
        for _ in range(self._count):
            self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()


def wait_for(future: Future[T], seconds: float = _WAIT_SECONDS) -> bool:
    """Whether something is done, after at most so long."""
    try:
        future.exception(seconds)
    except FutureTimeoutError:
        return False
    return True


def awaited(
    network: Network,
    action: Callable[[], T],
    waiting: Callable[[], Event],
    report: Callable[[Event], None],
) -> T:
    """What an action on the network returns, done beside this thread. Meanwhile `waiting` is
    reported ten times a second, so that a stop is heard."""
    worker = Workers(1, "open")
    future = worker.submit(action)
    worker.close()
    while not wait_for(future, 2 * _WAIT_SECONDS):
        network.report(report)
        report(waiting())
    network.report(report)
    return future.result()
