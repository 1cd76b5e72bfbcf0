"""What tests of the screen share: a machine, a clock and workspaces that never change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from talm_core.runtime.lock import Lock
from talm_core.storage.workspace import Workspace
from talm_tui.services import watcher
from talm_tui.widgets import format as formats
from tests.tui import canned
from tests.tui.screen_text import Compare, comparing


@pytest.fixture(autouse=True)
def own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine the tests run on: no workspace, no configuration, no theme."""
    monkeypatch.setenv("TALM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TALM_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("TEXTUAL_THEME", raising=False)


@pytest.fixture(autouse=True)
def hardware(monkeypatch: pytest.MonkeyPatch) -> watcher.Machine:
    """The machine every header shows."""
    machine = watcher.Machine("2 cores", int(4.1 * canned.GIB), 23 * canned.GIB)
    monkeypatch.setattr(watcher, "_machine", lambda: machine)
    return machine


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> float:
    """The time at which `ago` looks."""
    monkeypatch.setattr(formats, "now", lambda: canned.NOW)
    return canned.NOW


@pytest.fixture(autouse=True)
def still_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cursor that blinks makes every second snapshot another one."""
    from textual.widgets import Input, TextArea

    monkeypatch.setattr(Input, "cursor_blink", False)
    monkeypatch.setattr(TextArea, "cursor_blink", False)


@pytest.fixture
def empty_workspace(tmp_path: Path) -> Workspace:
    """A workspace in which nothing was made."""
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace with a tokenizer, datasets and runs of every status; `nano` is running, with
    this process as the one that works on it."""
    made = Workspace(tmp_path / "workspace")
    directories = canned.fill(made)
    with Lock.acquire(directories["nano"]):
        yield made


@pytest.fixture
def screen_compare(snapshot: SnapshotAssertion, snap_compare: Callable[..., bool]) -> Compare:
    """Compares a screen with how it was: as a picture, or its text alone."""
    return comparing(snapshot, snap_compare)
