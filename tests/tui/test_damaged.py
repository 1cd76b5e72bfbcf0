"""What the screen shows of artifacts that came from elsewhere and are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime.event_json import to_json
from talm_core.runtime.events import Started, Stopped
from talm_core.settings.toml import dumps
from talm_core.storage.workspace import Workspace
from talm_tui.services.follower import Follower, Records
from talm_tui.services.watcher import Looker


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with two stopped runs."""
    made = Workspace(tmp_path)
    for name in ("good", "odd"):
        directory = made.directory("pretrain", name)
        directory.mkdir(parents=True)
        config = PretrainConfig(model_name=name, data_dir="stdlib/all")
        (directory / "config.toml").write_text(dumps(config))
        events = (Started(job="pretrain", name=name), Stopped(reason="asked to stop"))
        text = "".join(to_json(event, time=1.0) + "\n" for event in events)
        (directory / "events.jsonl").write_text(text)
    return made


@pytest.mark.parametrize("name", ["events.jsonl", "config.toml", "lock", "log.txt", "commands"])
def test_a_pipe_in_one_run_holds_up_no_other(workspace: Workspace, name: str) -> None:
    place = workspace.directory("pretrain", "odd") / name
    place.unlink(missing_ok=True)
    os.mkfifo(place)
    *_, snapshot = Looker(workspace).snapshots()
    shown = {item.name: item for item in snapshot.models}
    assert shown["good"].status.value == "stopped"
    assert shown["odd"].status.value == "damaged"
    assert f"{name} is a pipe" in shown["odd"].message


@pytest.mark.parametrize("name", ["events.jsonl", "config.toml", "lock", "log.txt"])
def test_a_run_of_pipes_is_followed_to_its_end(workspace: Workspace, name: str) -> None:
    directory = workspace.directory("pretrain", "odd")
    (directory / name).unlink(missing_ok=True)
    os.mkfifo(directory / name)
    posted: list[Records] = []

    def post(message: Records) -> None:
        message.taken.set()
        posted.append(message)

    Follower(1, directory, post, lambda: False).run()
    assert posted[-1].over
    assert posted[-1].status is not None
    assert posted[-1].status.value == "damaged"


def test_what_a_linked_log_leads_to_is_not_shown(workspace: Workspace, tmp_path: Path) -> None:
    directory = workspace.directory("pretrain", "odd")
    secret = tmp_path / "secret.txt"
    secret.write_text("the key of the house\n")
    (directory / "log.txt").symlink_to(secret)
    (directory / "config.toml").unlink()
    (directory / "config.toml").symlink_to(secret)
    posted: list[Records] = []

    def post(message: Records) -> None:
        message.taken.set()
        posted.append(message)

    Follower(1, directory, post, lambda: False).run()
    files = [message.files for message in posted if message.files is not None]
    assert files
    assert all((each.log, each.config) == ("", "") for each in files)
