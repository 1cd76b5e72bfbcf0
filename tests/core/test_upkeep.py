"""Artifacts renamed and deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from talm_core.errors import InputError
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.quickstart.config import QuickstartConfig
from talm_core.runtime import runner, upkeep
from talm_core.runtime.event_json import to_json
from talm_core.runtime.events import Finished, Started, Stopped
from talm_core.runtime.lock import Lock
from talm_core.settings.toml import dumps
from talm_core.storage.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with a run of three files and another."""
    made = Workspace(tmp_path / "workspace")
    for name in ("nano", "other"):
        directory = made.directory("pretrain", name)
        (directory / "checkpoint-000010").mkdir(parents=True)
        config = PretrainConfig(model_name=name, data_dir="stdlib/all", n_layer=7)
        (directory / "config.toml").write_text(dumps(config))
        (directory / "checkpoint-000010" / "model.safetensors").write_bytes(b"x" * 1000)
        events = (Started(job="pretrain", name=name), Stopped(reason="asked to stop"))
        text = "".join(to_json(event, time=1.0) + "\n" for event in events)
        (directory / "events.jsonl").write_text(text)
    return made


def names(workspace: Workspace) -> list[str]:
    return [artifact.name for artifact in workspace.artifacts("pretrain")]


def test_a_renamed_run_is_the_same_run_by_another_name(workspace: Workspace) -> None:
    directory = upkeep.rename(workspace, "pretrain", "nano", "best")
    assert names(workspace) == ["best", "other"]
    assert directory == workspace.directory("pretrain", "best")
    config = runner.read_config(directory)
    assert workspace.directory_of(config) == directory
    assert config.model_dump()["n_layer"] == 7
    assert runner.status(directory) is runner.Status.STOPPED
    assert (directory / "checkpoint-000010" / "model.safetensors").stat().st_size == 1000


@pytest.mark.parametrize(
    ("name", "new", "problem"),
    [
        ("nano", "other", "exists already"),
        ("nano", "../up", "must begin with a letter"),
        ("nano", "a/b", "must begin with a letter"),
        ("nano", "", "must begin with a letter"),
        ("nobody", "best", "there is no such model"),
    ],
)
def test_a_name_that_will_not_do_changes_nothing(
    workspace: Workspace, name: str, new: str, problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        upkeep.rename(workspace, "pretrain", name, new)
    assert names(workspace) == ["nano", "other"]


def test_what_runs_is_neither_renamed_nor_deleted(workspace: Workspace) -> None:
    with Lock.acquire(workspace.directory("pretrain", "nano")):
        with pytest.raises(InputError, match="is running"):
            upkeep.rename(workspace, "pretrain", "nano", "best")
        with pytest.raises(InputError, match="is running"):
            upkeep.delete(workspace, "pretrain", "nano")
    assert names(workspace) == ["nano", "other"]


def test_the_model_of_an_unfinished_quick_start_keeps_its_name(workspace: Workspace) -> None:
    whole = workspace.directory("quickstart", "nano")
    whole.mkdir(parents=True)
    (whole / "config.toml").write_text(dumps(QuickstartConfig(name="nano")))
    (whole / "events.jsonl").write_text(to_json(Stopped(reason="x"), time=1.0) + "\n")
    with pytest.raises(InputError, match="quick start"):
        upkeep.rename(workspace, "pretrain", "nano", "best")
    (whole / "events.jsonl").write_text(to_json(Finished(seconds=1, summary={}), time=1.0) + "\n")
    upkeep.rename(workspace, "pretrain", "nano", "best")
    assert names(workspace) == ["best", "other"]


def test_deleting_frees_what_was_counted_and_leaves_nothing(workspace: Workspace) -> None:
    directory = workspace.directory("pretrain", "nano")
    (directory / "lock").touch()
    counted = upkeep.size(directory)
    assert counted == sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    freed = upkeep.delete(workspace, "pretrain", "nano").freed
    # The lock, which is taken first, says who took it.
    assert 0 <= freed - counted < 200
    assert names(workspace) == ["other"]
    assert [path.name for path in workspace.folder("pretrain").iterdir()] == ["other"]


def test_a_dataset_takes_its_empty_folder_along(workspace: Workspace) -> None:
    for name in ("text/a", "text/b"):
        workspace.directory("data", name).mkdir(parents=True)
    upkeep.delete(workspace, "data", "text/a")
    assert workspace.folder("data").joinpath("text").is_dir()
    upkeep.delete(workspace, "data", "text/b")
    assert not workspace.folder("data").joinpath("text").exists()


def test_a_run_whose_config_is_no_runs_any_more_is_named(workspace: Workspace) -> None:
    directory = workspace.directory("data", "stdlib/all")
    directory.mkdir(parents=True)
    (directory / "manifest.json").touch()
    run = workspace.directory("pretrain", "nano")
    (run / "config.toml").write_text(dumps(QuickstartConfig(name="nano")))
    with Lock.acquire(run), pytest.raises(InputError) as caught:
        upkeep.delete(workspace, "data", "stdlib/all")
    assert caught.value.problems[0].key == str(run / "config.toml")
    assert "stop nano" in caught.value.problems[0].hint
    assert directory.is_dir()
    upkeep.delete(workspace, "data", "stdlib/all")


def test_a_dataset_is_kept_while_a_run_learns_from_it(workspace: Workspace) -> None:
    for name in ("all", "other"):
        directory = workspace.directory("data", f"stdlib/{name}")
        directory.mkdir(parents=True)
        (directory / "manifest.json").touch()
    with (
        Lock.acquire(workspace.directory("pretrain", "nano")),
        pytest.raises(InputError, match="is what nano learns from: stop that first"),
    ):
        upkeep.delete(workspace, "data", "stdlib/all")
    with Lock.acquire(workspace.directory("pretrain", "nano")):
        upkeep.delete(workspace, "data", "stdlib/other")
    assert [item.name for item in workspace.artifacts("data")] == ["stdlib/all"]
    upkeep.delete(workspace, "data", "stdlib/all")
    assert not list(workspace.artifacts("data"))
