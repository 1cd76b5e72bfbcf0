"""Exports that are killed: what they leave is swept, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from talm_core.cli.main import main
from talm_core.runtime import upkeep
from talm_core.storage import unfinished
from talm_core.storage.workspace import Workspace

WAITS = """
import sys, time
from pathlib import Path
from talm_core.storage import unfinished
with unfinished.new_directory(Path(sys.argv[1]), Path(sys.argv[2])) as directory:
    (directory / "model.gguf").write_bytes(bytes(100_000))
    print("begun", flush=True)
    time.sleep(600)
"""


def begun(root: Path, target: Path) -> subprocess.Popen[str]:
    """A process that is making `target` and does not end."""
    command = [sys.executable, "-c", WAITS, str(root), str(target)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def temporaries(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.glob(".tmp-*")]


@pytest.mark.parametrize("how", ["list", "delete", "sweep"])
def test_what_a_kill_leaves_is_swept_wherever_it_lies(tmp_path: Path, how: str) -> None:
    workspace, elsewhere = Workspace(tmp_path / "ws"), tmp_path / "elsewhere"
    (workspace.root / "exports").mkdir(parents=True)
    elsewhere.mkdir()
    workspace.directory("pretrain", "m").mkdir(parents=True)
    (workspace.directory("pretrain", "m") / "config.toml").touch()
    running = begun(workspace.root, elsewhere / "running")
    killed = [
        begun(workspace.root, workspace.root / "exports" / "m-gguf-f16"),
        begun(workspace.root, elsewhere / "m"),
    ]
    try:
        for process in killed:
            process.kill()
            process.communicate()
        assert len(temporaries(workspace.root / "exports", elsewhere)) == 3
        mine = elsewhere / ".tmp-0123456789abcdef"
        mine.mkdir()
        match how:
            case "list":
                assert main(["list", "--workspace", str(workspace.root)]) == 0
            case "delete":
                upkeep.delete(workspace, "pretrain", "m")
            case _:
                unfinished.sweep(workspace.root)
        # One is still being made, one is not talm's.
        left = temporaries(workspace.root / "exports", elsewhere)
        assert len(left) == 2
        assert mine in left
        running.send_signal(signal.SIGINT)
        running.communicate()
        assert temporaries(workspace.root / "exports", elsewhere) == [mine]
        assert not (workspace.root / unfinished.FOLDER).exists()
    finally:
        if running.poll() is None:
            running.kill()
            running.communicate()


def test_nothing_that_is_written_down_by_others_is_removed(tmp_path: Path) -> None:
    """A workspace that came from somewhere is data."""
    root, name = tmp_path / "ws", ".tmp-0123456789abcdef"
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter").touch()
    records = root / unfinished.FOLDER
    records.mkdir(parents=True)
    (tmp_path / name).symlink_to(home)
    said = [str(home), f"{home}/../home", str(tmp_path / name), "relative", "", "\0", "x" * 10_000]
    for text in said:
        (records / name).write_text(text)
        unfinished.sweep(root)
        assert (home / "letter").exists(), text
        assert (tmp_path / name).is_symlink()
    (records / name).unlink()
    (records / name).symlink_to(home / "letter")
    unfinished.sweep(root)
    os.mkfifo(records / ".tmp-00000000000000ff")
    unfinished.sweep(root)
    assert (home / "letter").exists()


def test_where_nothing_can_be_written_down_it_is_made_all_the_same(tmp_path: Path) -> None:
    (tmp_path / unfinished.FOLDER).write_text("in the way")
    with unfinished.new_directory(tmp_path, tmp_path / "made") as directory:
        (directory / "a").write_text("b")
    assert (tmp_path / "made/a").read_text() == "b"
    unfinished.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [unfinished.FOLDER, "made"]


def test_a_sweep_during_the_making_takes_nothing(tmp_path: Path) -> None:
    with unfinished.new_directory(tmp_path, tmp_path / "made") as directory:
        (directory / "a").write_text("b")
        unfinished.sweep(tmp_path)
        assert (directory / "a").read_text() == "b"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
