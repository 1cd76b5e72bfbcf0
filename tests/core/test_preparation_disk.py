"""Preparation on a disk that becomes full: a small file system of its own, really full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from talm_core.data import disk_space
from talm_core.data.hub import blocks
from talm_core.errors import RunError, WorkspaceError
from talm_core.jobs.dataset.config import DataConfig
from talm_core.storage.workspace import Workspace
from tests.core.driving import prepared, preparing
from tests.core.hub_server import Repo, parquet, serving
from tests.core.test_preparation import SMALL, files

DISK_BYTES = 8 << 20
ROWS = [f"{row} the thing in\n" * (row * 37 % 60 + 1) for row in range(120)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root can make a file system to fill")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def workspace_at(root: Path) -> Workspace:
    workspace = Workspace(root)
    folder = workspace.directory("tokenizer", "small")
    folder.mkdir(parents=True)
    SMALL.save(folder / "tokencoder.json")
    return workspace


def fill(place: Path) -> Path:
    """Take all that is free but a few blocks."""
    filler = place / "filler"
    free = os.statvfs(place)
    filler.write_bytes(bytes((free.f_bavail - 5) * free.f_bsize))
    return filler


@pytest.mark.parametrize("source", ["text", "hub"])
@pytest.mark.parametrize("reserve", [0, disk_space.RESERVE_BYTES], ids=["full", "almost full"])
def test_a_full_disk_keeps_what_is_complete_and_goes_on_after(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, reserve: int
) -> None:
    monkeypatch.setattr("talm_core.data.progress.YIELD_SECONDS", 0.0)
    monkeypatch.setattr("talm_core.data.encoding.BATCH_CHARACTERS", 700)
    monkeypatch.setattr(disk_space, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(disk_space, "RESERVE_BYTES", 0)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1024)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for row, text in enumerate(ROWS):
        (corpus / f"{row:03}.txt").write_text(text)
    config = DataConfig(source="text", path=(str(corpus),), tokenizer_path="small", shard_size=2000)
    if source == "hub":
        config = DataConfig(source="hub", dataset="a/b", tokenizer_path="small", shard_size=2000)
    with serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        half = len(ROWS) // 2
        server.repos["a/b"] = Repo(
            files={"0.parquet": parquet(ROWS[:half]), "1.parquet": parquet(ROWS[half:])}
        )
        calm = workspace_at(tmp_path / "calm")
        prepared(config, calm)
        workspace = workspace_at(disk)
        directory = workspace.directory_of(config)
        job = preparing(config, workspace, threads=1)
        while len(list(directory.glob("[tv]*.npy"))) < 3:
            next(job)
        filler = fill(disk)
        monkeypatch.setattr(disk_space, "RESERVE_BYTES", reserve)
        message = "the disk is almost full" if reserve else "the disk is full"
        with pytest.raises(RunError, match=f"{message}: make room for .* and run the same again"):
            list(job)
        monkeypatch.setattr(disk_space, "RESERVE_BYTES", 0)
        kept = files(directory)
        expected = files(calm.directory_of(config))
        shards = [name for name in kept if name.endswith(".npy")]
        assert len(shards) >= 3
        assert all(kept[name] == expected[name] for name in shards)
        assert not [name for name in kept if name.startswith(".tmp")]
        filler.unlink()
        prepared(config, workspace)
        assert files(directory) == expected


def test_what_will_not_fit_is_not_begun(disk: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the thing in\n" * 1_000_000)
    config = DataConfig(source="text", path=(str(text),), tokenizer_path="small")
    workspace = workspace_at(disk)
    with pytest.raises(WorkspaceError, match="has 8 MB free, the dataset may need 13 MB"):
        prepared(config, workspace)
    prepared(config.model_copy(update={"max_tokens": 50_000}), workspace)
