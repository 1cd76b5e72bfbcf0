"""Datasets that were begun when text was divided in the first way go on as they were begun.

The checksums are of what was made then.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import pytest

from talm_core.data import progress, resume_state
from talm_core.data import split as data_split
from talm_core.data.manifest import Manifest
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.dataset.job import prepare_data
from talm_core.runtime.events import Finished
from talm_core.storage.workspace import Workspace
from tests.core.driving import stepped
from tests.core.test_preparation import (
    SMALL,
    config_of,
    corpus_of,
    ids,
    in_shards,
    prepare,
    read,
)

LARGE = {
    "train_000001.npy": "07828dcf3432",
    "train_000002.npy": "0cc9f0129430",
    "train_000003.npy": "4805af1200c5",
    "train_000004.npy": "7b4e1c9e2ac1",
    "train_000005.npy": "0c5cfca8dd60",
    "train_000006.npy": "374e3874a7b0",
    "train_000007.npy": "2b529c57b7c3",
    "train_000008.npy": "6faa4c8d382a",
    "train_000009.npy": "e8758a635961",
    "val_000001.npy": "4e53957dec00",
}
LARGE_4500 = dict(itertools.islice(LARGE.items(), 3)) | {
    "train_000004.npy": "5b3e68c9d9a1",
    "val_000001.npy": "4e53957dec00",
}
SMALL_700 = {"train_000001.npy": "35d79ef7cf07", "val_000001.npy": "beaa5ab5497c"}
SMALL_1500 = {"train_000001.npy": "f9b8f3bdde3f", "val_000001.npy": "01a1ef8161c0"}
SINGLE_500 = {"train_000001.npy": "5deef992f396", "val_000001.npy": "793ff48b5550"}
SINGLE = {"train_000001.npy": "ffbd0b25e328", "val_000001.npy": "b3d116c14a72"}

TEXTS = [f"{number} the thing in\n" * (number * 37 % 200 + 1) for number in range(12)]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "corpus").mkdir()
    home = Workspace(tmp_path / "home")
    folder = home.directory("tokenizer", "small")
    folder.mkdir(parents=True)
    SMALL.save(folder / "tokencoder.json")
    return home


def shards(directory: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        for path in sorted(directory.glob("*.npy"))
    }


def as_then(directory: Path) -> None:
    """Take off what the files did not say then."""
    for name, version in (("manifest.json", 1), ("position.json", 2)):
        path = directory / name
        if path.exists():
            values = json.loads(path.read_text())
            assert values.pop("division") == 1
            path.write_text(json.dumps(values | {"version": version}))


def made_then(workspace: Workspace, config: DataConfig, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What was prepared in the first way."""
    with monkeypatch.context() as patch:
        patch.setattr(resume_state, "DIVISION", 1)
        prepare(workspace, config)
    directory = workspace.directory_of(config)
    as_then(directory)
    return directory


def test_a_large_one_is_made_longer(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(corpus_of(workspace, TEXTS), shard_size=1000, max_tokens=4500)
    directory = made_then(workspace, config, monkeypatch)
    assert shards(directory) == LARGE_4500
    prepare(workspace, config.model_copy(update={"max_tokens": None}))
    assert shards(directory) == LARGE
    assert Manifest.load(directory).division == 1


def test_one_that_was_interrupted_goes_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "YIELD_SECONDS", 0.0)
    monkeypatch.setattr("talm_core.data.encoding.BATCH_CHARACTERS", 700)
    config = config_of(corpus_of(workspace, TEXTS), shard_size=1000)
    directory = workspace.directory_of(config)
    with monkeypatch.context() as patch:
        patch.setattr(resume_state, "DIVISION", 1)
        job = stepped(prepare_data, config, workspace)
        while len(shards(directory)) < 4:
            next(job)
        job.close()
    as_then(directory)
    prepare(workspace, config)
    assert shards(directory) == LARGE


@pytest.mark.parametrize(
    ("texts", "limit", "first", "longer", "then"),
    [
        (TEXTS, 700, SMALL_700, 1500, SMALL_1500),
        (["grün €uro " * 300], 500, SINGLE_500, None, SINGLE),
    ],
    ids=["several", "one"],
)
def test_a_small_one_is_made_longer(
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    texts: list[str],
    limit: int,
    first: dict[str, str],
    longer: int | None,
    then: dict[str, str],
) -> None:
    config = config_of(corpus_of(workspace, texts), max_tokens=limit)
    directory = made_then(workspace, config, monkeypatch)
    assert shards(directory) == first
    prepare(workspace, config.model_copy(update={"max_tokens": longer}))
    assert shards(directory) == then


def by_the_first_rule(texts: list[str]) -> tuple[list[list[int]], list[list[int]]]:
    """Shards of less than two thousand tokens, a tenth of them for validation."""
    if len(texts) == 1:
        cut = len(texts[0]) - round(len(texts[0]) / 10)
        return in_shards(ids(texts[0][:cut])), in_shards(ids(texts[0][cut:]))
    train = [i for text in texts[:-1] for i in ids(text)]
    return in_shards(train), in_shards(ids(texts[-1]))


@pytest.mark.parametrize("texts", [[" the" * 600] * 3, [" the" * 1800]], ids=["three", "one"])
@pytest.mark.parametrize("stop", [None, 2, 4, 6])
def test_less_than_its_bytes_let_expect_is_divided_like_a_small_corpus(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, texts: list[str], stop: int | None
) -> None:
    monkeypatch.setattr(resume_state, "DIVISION", 1)
    monkeypatch.setattr(progress, "YIELD_SECONDS", 0.0)
    monkeypatch.setattr(data_split, "_COPY_TOKENS", 300)
    config = config_of(corpus_of(workspace, texts), shard_size=1000)
    directory = workspace.directory_of(config)
    if stop is not None:
        job = stepped(prepare_data, config, workspace)
        for _ in range(stop):
            assert not isinstance(next(job), Finished)
        job.close()
    prepare(workspace, config)
    assert (read(directory, "train"), read(directory, "val")) == by_the_first_rule(texts)
    assert len(list(directory.iterdir())) == 5
