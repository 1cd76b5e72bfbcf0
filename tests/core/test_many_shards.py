"""Datasets of more shards than a process may hold open, and what the system says on the way."""

from __future__ import annotations

import errno
import gc
import hashlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from talm_core.data import shards
from talm_core.data.dataloader import TokenLoader, Windows
from talm_core.data.manifest import Manifest, Shard, Split, TokenizerInfo
from talm_core.data.resume_state import Position
from talm_core.data.shards import maps_at_once, open_shard
from talm_core.errors import RunError
from talm_core.storage import artifact_files
from talm_core.storage.workspace import Workspace
from talm_core.training import checkpoint
from tests.core.driving import run_events

from .tiny_runs import VOCABULARY, tiny_config, tiny_workspace

_TOKENS = 40


def many_shards(workspace: Workspace, count: int) -> Path:
    """A dataset of so many training shards of one window each."""
    directory = workspace.directory("data", "text/many")
    directory.mkdir(parents=True)
    numbers = np.random.default_rng(1)
    made = [_shard(directory, "train", number + 1, numbers) for number in range(count)]
    made.append(_shard(directory, "val", 1, numbers, 400))
    info = TokenizerInfo(
        name=VOCABULARY.name, identity=VOCABULARY.identity, n_vocab=VOCABULARY.n_vocab
    )
    Manifest(source="text", sample="many", tokenizer=info, dtype="uint16", shards=made).save(
        directory
    )
    VOCABULARY.save(directory / "tokencoder.json")
    return directory


def _shard(
    directory: Path,
    split: Split,
    number: int,
    numbers: np.random.Generator,
    tokens: int = _TOKENS,
) -> Shard:
    path = directory / f"{split}_{number:06d}.npy"
    ids = numbers.integers(97, 123, tokens).astype(np.uint16)
    ids[0] = VOCABULARY.end_of_text
    np.save(path, ids)
    return Shard(
        file=path.name,
        split=split,
        tokens=tokens,
        documents=1,
        bytes=tokens - 1,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """This process may open 320 files, no more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (320, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_a_window_is_the_same_however_many_shards_are_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = many_shards(Workspace(tmp_path), 60)
    numbers = np.random.default_rng(2).permutation(60)
    whole = Windows(directory, "train", context_len=32).read(numbers)
    monkeypatch.setattr("talm_core.data.dataloader.maps_at_once", lambda _: 3)
    # What earlier tests left to the collector must not be closed in between.
    gc.collect()
    before = open_descriptors()
    few = Windows(directory, "train", context_len=32)
    assert open_descriptors() - before == 3
    assert (few.read(numbers) == whole).all()
    assert open_descriptors() - before == 3
    expected = np.load(directory / "train_000018.npy")[:33]
    assert (few.read(np.array([17]))[0] == expected).all()


def test_more_descriptors_are_asked_for_where_that_is_allowed(few_descriptors: None) -> None:
    assert maps_at_once(20) == 20
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 320
    assert maps_at_once(1000) == (1256 - 256) // 2
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 1256


def test_1500_shards_are_trained_on_under_1024_descriptors(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    many_shards(workspace, 1500)
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))\n"
        "from pathlib import Path\n"
        "from tests.core.tiny_runs import tiny_config\n"
        "from talm_core.runtime import runner\n"
        "from talm_core.runtime.events import Finished\n"
        "from talm_core.storage.workspace import Workspace\n"
        # Two epochs: every shard is read, evicted and read again.
        "config = tiny_config(data_dir='text/many', max_steps=47, batch_size=64, n_embd=8,\n"
        "    n_head=2, n_kv_head=1, n_layer=1, sample_every=0, eval_every=20,\n"
        "    checkpoint_every=0, warmup_steps=2)\n"
        "last = runner.run(config, Workspace(Path(sys.argv[1])))\n"
        "assert isinstance(last, Finished), last\n"
        "print('trained')\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(workspace.root)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("trained\n")


@pytest.mark.parametrize(
    "number", [errno.EMFILE, errno.ENFILE, errno.EIO, errno.EACCES, errno.ENOMEM]
)
def test_what_the_system_says_is_never_called_damage(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = many_shards(Workspace(tmp_path), 2)
    manifest = Manifest.load(directory)

    def refuse(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(artifact_files, "reading", refuse)
    acts = (
        lambda: open_shard(directory, manifest.shards[0], dtype="uint16"),
        lambda: shards.check_shards(directory, manifest.shards),
    )
    for act in acts:
        with pytest.raises(RunError) as caught:
            act()
        assert os.strerror(number) in str(caught.value)
        assert "train_000001.npy" in str(caught.value)
        for word in ("damage", "prepare"):
            assert word not in str(caught.value)


def test_shards_that_cannot_be_read_now_are_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = many_shards(Workspace(tmp_path), 2)
    position = Position(made_of={}, dtype="uint16", shards=Manifest.load(directory).shards)
    assert position.complete(directory)

    def refuse(path: Path) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    monkeypatch.setattr(artifact_files, "reading", refuse)
    with pytest.raises(RunError, match="Too many open files; allow more open files with: ulimit"):
        position.complete(directory)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EACCES, errno.ENOMEM])
@pytest.mark.parametrize("name", ["checkpoint.json", "model.safetensors"])
def test_a_checkpoint_that_cannot_be_read_now_is_not_passed_over(
    tmp_path: Path, name: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = tiny_workspace(tmp_path)
    run_events(tiny_config(max_steps=8, eval_every=0, sample_every=0), workspace)
    directory = workspace.directory("pretrain", "tiny")
    newest = checkpoint.checkpoints(directory)[-1][1] / name
    reading = artifact_files.reading

    def refuse(path: Path) -> IO[bytes]:
        if path == newest:
            raise OSError(number, os.strerror(number), str(path))
        return reading(path)

    monkeypatch.setattr(artifact_files, "reading", refuse)
    with pytest.raises(RunError, match=f"{name} cannot be read now: {os.strerror(number)}"):
        checkpoint.find(directory)


def test_a_loader_of_many_shards_visits_each_window_once(
    tmp_path: Path, few_descriptors: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = many_shards(Workspace(tmp_path), 500)
    # As where the hard limit is as low.
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (320, 320))
    loader = TokenLoader(directory, "train", batch_size=10, context_len=32, seed=1)
    seen = {tuple(row) for _ in range(50) for row in loader.next_batch()}
    assert len(seen) == 500
