"""Datasets of every odd shape: prepared, loaded, and decoded back to the source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from talm_core.data.dataloader import TokenLoader
from talm_core.data.manifest import Manifest
from talm_core.jobs.dataset.config import DataConfig
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import BASE
from tests.core.driving import prepared
from tests.core.hub_server import Repo, parquet, serving
from tests.core.test_preparation import SCRIPTS, sides

WORDS = SCRIPTS.split()
SHAPES = {
    "ten documents": [f"document {number}: {WORDS[number]}\n" for number in range(10)],
    "empty documents": ["", "a", "", "", "b\n", "c" * 5000, ""],
    "one byte each": [chr(32 + number % 95) for number in range(700)],
    "thirty scripts": [f"{word} {WORDS[-at]}\u0000\r\n" * 9 for at, word in enumerate(WORDS)],
    "one": ["\ufeff" + SCRIPTS * 200],
}


def tokens_of(directory: Path) -> list[int]:
    """All tokens in the order of the source: what validation has of a small one comes last."""
    return [
        token
        for split in ("train", "val")
        for shard in Manifest.load(directory).of(split)
        for token in np.load(directory / shard.file).tolist()
    ]


def documents_of(directory: Path) -> list[bytes]:
    tokenizer = Tokenizer.from_file(BASE)
    documents: list[list[int]] = []
    for token in tokens_of(directory):
        if token == tokenizer.eot_token:
            documents.append([])
        else:
            documents[-1].append(token)
    return [tokenizer.decode_bytes(document) for document in documents]


def assert_loads(directory: Path) -> None:
    """Every window of training comes once in an epoch."""
    loader = TokenLoader(directory, "train", batch_size=1, context_len=4, seed=3)
    manifest = Manifest.load(directory)
    expected = sum((shard.tokens - 1) // 4 for shard in manifest.of("train"))
    seen = [tuple(loader.next_batch()[0].tolist()) for _ in range(expected)]
    assert loader.state == {"epoch": 1, "index": 0}
    train = np.load(directory / "train_000001.npy")
    first = {tuple(train[at : at + 5].tolist()) for at in range(0, len(train) - 4, 4)}
    assert first <= set(seen)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_hub_dataset_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    texts = SHAPES[shape]
    with serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        server.repos["a/b"] = Repo(files={"x.parquet": parquet(texts)})
        config = DataConfig(source="hub", dataset="a/b")
        workspace = Workspace(tmp_path)
        prepared(config, workspace)
    directory = workspace.directory_of(config)
    assert documents_of(directory) == [text.encode() for text in texts]
    assert_loads(directory)


@pytest.mark.parametrize("shape", [name for name in SHAPES if name != "empty documents"])
def test_files_come_back(tmp_path: Path, shape: str) -> None:
    texts = [text.replace("\0", "") for text in SHAPES[shape]]
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, text in enumerate(texts):
        (corpus / f"{number:04}.txt").write_bytes(text.encode())
    config = DataConfig(source="text", path=(str(corpus),))
    workspace = Workspace(tmp_path / "home")
    prepared(config, workspace)
    directory = workspace.directory_of(config)
    # A byte order mark is none of a text's characters.
    expected = [text.removeprefix("\ufeff").encode() for text in texts]
    train, val = sides([text.decode() for text in expected], 0.1)
    assert documents_of(directory) == [text.encode() for text in train + val]
    joined = b"".join(sorted(expected))
    assert sum(map(len, train + val)) == len(joined.decode())
    assert_loads(directory)


@pytest.mark.slow
def test_a_document_of_50_megabytes_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(f"{number} the thing, {WORDS[number % 31]}\n" for number in range(1_800_000))
    assert len(text.encode()) > 50_000_000
    with serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        server.repos["a/b"] = Repo(files={"x.parquet": parquet([text, "end"])})
        config = DataConfig(source="hub", dataset="a/b", shard_size=5_000_000)
        workspace = Workspace(tmp_path)
        prepared(config, workspace)
    directory = workspace.directory_of(config)
    manifest = Manifest.load(directory)
    assert manifest.shards[0].documents == 1
    assert manifest.documents == 2
    tokenizer = Tokenizer.from_file(BASE)
    stream = [np.load(directory / shard.file) for shard in manifest.shards]
    decoded = b"".join(
        tokenizer.decode_bytes(part[part != tokenizer.eot_token].tolist()) for part in stream
    )
    assert decoded == text.encode() + b"end"
