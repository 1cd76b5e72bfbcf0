"""Preparation that is killed at any moment, and goes on to the same bytes.

A process that has loaded everything forks one child for each run. The child counts what it does
to the disk (files opened, renamed and removed, bytes flushed) and kills itself, unasked and
uncleaned, right before one of those: which one is drawn at random.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from talm_core.jobs.dataset.config import DataConfig
from talm_core.storage.workspace import Workspace
from tests.core.hub_server import HubServer, Repo, parquet, serving
from tests.core.test_preparation import SMALL, files

KILLS = {"text": 14, "hub": 8}
"""Of each source, in both ways."""

CHILD = """
import json, os, signal, sys
from talm_core.data import encoding, progress
from talm_core.data.hub import blocks, files, network, parquet
from talm_core.jobs.dataset import job
from talm_core.jobs.dataset.config import DataConfig
from talm_core.runtime.context import Unheard
from talm_core.storage.workspace import Workspace
import datasets.data_files, datasets.utils.metadata, fsspec.utils, huggingface_hub.hf_api

progress.YIELD_SECONDS, encoding.BATCH_CHARACTERS = 0.0, 700
blocks.BLOCK_BYTES = 1024
counted, last = 0, 0
EVENTS = {"open", "os.rename", "os.remove", "os.truncate", "os.mkdir"}

def count(*_):
    global counted
    counted += 1
    if counted == last:
        os.kill(os.getpid(), signal.SIGKILL)

def hook(event, args):
    if event in EVENTS and last:
        count()

def counting(action):
    def counted_action(*args):
        count()
        return action(*args)
    return counted_action

sys.addaudithook(hook)
os.fsync, os.pwrite, os.fdatasync = map(counting, (os.fsync, os.pwrite, os.fdatasync))
print("ready", flush=True)
for line in sys.stdin:
    config, root, wanted = json.loads(line)
    pid = os.fork()
    if not pid:
        last = wanted
        config, workspace = DataConfig.model_validate(config), Workspace(root)
        context = Unheard(workspace, workspace.directory_of(config))
        job.prepare_data(context, config)
        print(counted, flush=True)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status:
        print("killed" if status == signal.SIGKILL else f"failed {status}", flush=True)
"""


class Runs:
    """Runs of preparations in children of one process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, config: DataConfig, root: Path, kill_at: int = 10**9) -> int | None:
        """How many times the disk was touched; None if that became so many that it was killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        values = config.model_dump(mode="json")
        self._process.stdin.write(json.dumps([values, str(root), kill_at]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if answer == "killed":
            return None
        assert answer.isdigit(), answer
        return int(answer)


@pytest.fixture(scope="module")
def server() -> Iterator[HubServer]:
    with serving() as server:
        rows = [f"{row} the thing in\n" * (row * 37 % 13 + 1) for row in range(60)]
        parts = {f"data/train-{n}.parquet": parquet(rows[n * 20 : n * 20 + 20]) for n in range(3)}
        server.repos["a/b"] = Repo(files=parts)
        yield server


@pytest.fixture(scope="module")
def runs(server: HubServer) -> Iterator[Runs]:
    command = [sys.executable, "-c", CHILD]
    environment = os.environ | {"HF_ENDPOINT": server.url}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Runs(process)
        process.stdin.close()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "home")
    folder = workspace.directory("tokenizer", "small")
    folder.mkdir(parents=True)
    SMALL.save(folder / "tokencoder.json")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for row in range(60):
        (corpus / f"{row:03}.txt").write_text(f"{row} the thing in\n" * (row * 37 % 13 + 1))
    return workspace


def config_of(source: str, workspace: Workspace, **values: Any) -> DataConfig:
    path = str(workspace.root.parent / "corpus")
    own = {"path": (path,)} if source == "text" else {"dataset": "a/b"}
    given: dict[str, Any] = {"source": source, "tokenizer_path": "small", "shard_size": 1000}
    return DataConfig.model_validate(given | own | values)


@pytest.mark.slow
@pytest.mark.parametrize("grows", [False, True], ids=["at once", "made longer"])
@pytest.mark.parametrize("source", ["text", "hub"])
def test_after_kills_at_any_moment_the_same_bytes_come_out(
    runs: Runs, workspace: Workspace, source: str, grows: bool
) -> None:
    root = workspace.root
    calm = config_of(source, workspace, dir_prefix="calm", max_tokens=3_700)
    if grows:
        assert runs.run(calm.model_copy(update={"max_tokens": 2_400}), root)
    touches = runs.run(calm, root)
    assert touches is not None
    expected = files(workspace.directory_of(calm))
    # Files of one's own keep a tenth for validation instead of the first shard.
    assert len(expected) == (8 if source == "text" else 7)
    config = calm.model_copy(update={"dir_prefix": "killed"})
    directory = workspace.directory_of(config)
    shorter = config.model_copy(update={"max_tokens": 2_400})
    drawn = random.Random(f"{source} {grows}")
    kills = 0
    while kills < KILLS[source] or directory.exists():
        if not directory.exists():
            shutil.rmtree(root / "corpora", ignore_errors=True)
            if grows:
                assert runs.run(shorter, root)
        enough = kills >= KILLS[source]
        done = runs.run(config, root, 10**9 if enough else drawn.randint(1, touches))
        kills += done is None
        if done is not None:
            assert files(directory) == expected
            shutil.rmtree(directory)
