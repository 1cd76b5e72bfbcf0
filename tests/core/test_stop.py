"""Each job asks often enough whether it is to stop or to wait."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from talm_core.data import progress
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.tokenizer import job
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime import control, runner
from talm_core.runtime.events import Event, Finished, Pause, Paused, Stopped, Unpause, Unpaused
from talm_core.settings.schema import JobConfig
from talm_core.storage.workspace import Workspace

TEXTS = [f"{number} the thing in the text\n" * 300 for number in range(12)]


def tokenizer(folder: Path, name: str) -> JobConfig:
    return TokenizerConfig(name=name, text_file=(str(folder),), vocab_size=300, val_fraction=0.1)


def dataset(folder: Path, name: str) -> JobConfig:
    return DataConfig(source="text", path=(str(folder),), dir_prefix=name)


def large_dataset(folder: Path, name: str) -> JobConfig:
    return DataConfig(source="text", path=(str(folder),), dir_prefix=name, shard_size=5000)


JOBS = [tokenizer, dataset, large_dataset]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Texts; jobs tell all that they could."""
    monkeypatch.setattr(job, "_TICK_SECONDS", 0.0)
    monkeypatch.setattr(progress, "YIELD_SECONDS", 0.0)
    monkeypatch.setattr("talm_core.data.encoding.BATCH_CHARACTERS", 9000)
    (tmp_path / "texts").mkdir()
    for number, text in enumerate(TEXTS):
        (tmp_path / "texts" / f"{number:02}.txt").write_text(text)
    return tmp_path / "texts"


@pytest.mark.parametrize("config", JOBS)
def test_a_stop_is_heard_after_any_event(
    folder: Path, monkeypatch: pytest.MonkeyPatch, config: Callable[[Path, str], JobConfig]
) -> None:
    workspace = Workspace(folder.parent / "home")
    for at in range(1, 25):
        monkeypatch.setattr(control, "_stop", [])
        events: list[Event] = []

        def listen(event: Event, events: list[Event] = events, at: int = at) -> None:
            events.append(event)
            if len(events) == at + 1:
                control.request_stop("SIGTERM")

        last = runner.run(config(folder, f"t{at}"), workspace, on_event=listen)
        if isinstance(last, Finished):
            break
        assert last == Stopped(reason="SIGTERM")
        assert events[at + 1 :] == [last]
    assert at > 4


@pytest.mark.parametrize("config", JOBS)
def test_a_pause_is_heard_after_any_event(
    folder: Path, monkeypatch: pytest.MonkeyPatch, config: Callable[[Path, str], JobConfig]
) -> None:
    monkeypatch.setattr(control, "_POLL_SECONDS", 0.0)
    workspace = Workspace(folder.parent / "home")
    asked = config(folder, "t")
    directory = workspace.directory_of(asked)
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, Paused):
            runner.send(directory, Unpause())
        elif len(events) == 3:
            runner.send(directory, Pause())

    last = runner.run(asked, workspace, on_event=listen)
    assert isinstance(last, Finished)
    assert [type(event) for event in events[3:5]] == [Paused, Unpaused]
