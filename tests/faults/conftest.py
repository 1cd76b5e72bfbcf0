"""What tests that break things share: a warm process, and every kind of job known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.core.dice.spec import SPEC
from tests.core.hub_server import serving
from tests.core.registration import registered
from tests.faults import intercept
from tests.faults.breaking import Broken, Warm, warmed
from tests.faults.cases import HUB, Case, repository


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    if not intercept.available():
        pytest.skip("this system does not tell of the calls of another process")
    with serving() as server, ExitStack() as stack:
        server.repos[HUB] = repository()
        # Only while it starts: tests of other things run in this process before the session ends.
        with registered(SPEC):
            process = stack.enter_context(warmed(tmp_path_factory.mktemp("faults"), server.url))
        yield process


@pytest.fixture(autouse=True)
def _known() -> Iterator[None]:
    """The toy kind is known while a test here runs."""
    with registered(SPEC):
        yield


class Laid:
    """Cases that are laid out, each once, for as long as it is tried."""

    def __init__(self, warm: Warm, store: Path) -> None:
        self._warm = warm
        self._store = store
        self._now: Broken | None = None

    def out(self, case: Case) -> Broken:
        """The case, ready to be broken."""
        if self._now is None or self._now.case != case:
            self._now = Broken(case, self._warm, self._store)
        return self._now


@pytest.fixture(scope="session")
def laid(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Laid:
    return Laid(warm, tmp_path_factory.mktemp("bases"))
