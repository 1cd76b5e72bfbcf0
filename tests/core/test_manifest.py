from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from talm_core.data.manifest import Manifest, Shard, TokenizerInfo
from talm_core.errors import ArtifactError


def shard(split: str, number: int, *, tokens: int = 1000, documents: int = 3) -> Shard:
    return Shard.model_validate(
        {
            "file": f"{split}_{number:06d}.npy",
            "split": split,
            "tokens": tokens,
            "documents": documents,
            "bytes": 4 * tokens,
            "sha256": f"{number:064x}",
        }
    )


def manifest() -> Manifest:
    return Manifest(
        source="text",
        sample="books",
        tokenizer=TokenizerInfo(name="base", identity="sha256:00", n_vocab=4100),
        dtype="uint16",
        shards=[shard("val", 1, tokens=500), shard("train", 1), shard("train", 2, documents=0)],
    )


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    manifest().save(tmp_path)
    loaded = Manifest.load(tmp_path)
    assert loaded == manifest()
    assert (loaded.train_tokens, loaded.val_tokens) == (2000, 500)
    assert (loaded.train_bytes, loaded.val_bytes) == (8000, 2000)
    assert loaded.documents == 6
    assert [shard.file for shard in loaded.of("train")] == ["train_000001.npy", "train_000002.npy"]
    assert json.loads((tmp_path / "manifest.json").read_text())["version"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 2 is from a newer talm, this one reads 1"),
        ({"version": 0}, "version: is damaged"),
        ({"version": "1"}, "version: is damaged"),
        ({"dtype": "int64"}, "dtype: is damaged"),
        ({"shards": []}, "shards: is damaged"),
        ({"tokenizer": None}, "tokenizer: is damaged"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    values = manifest().model_dump() | change
    (tmp_path / "manifest.json").write_text(json.dumps(values))
    with pytest.raises(ArtifactError) as caught:
        Manifest.load(tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("file", "../../outside.npy"),
        ("file", "train_1.npy\n"),
        ("file", "/etc/passwd"),
        ("tokens", 0),
        ("tokens", 10.5),
        ("tokens", True),
        ("bytes", -1),
        ("split", "test"),
        ("sha256", "abc"),
    ],
)
def test_a_shard_that_cannot_be_is_refused(tmp_path: Path, key: str, value: object) -> None:
    values = manifest().model_dump()
    values["shards"][1][key] = value
    (tmp_path / "manifest.json").write_text(json.dumps(values))
    with pytest.raises(ArtifactError, match=rf"shards\.1\.{key}: is damaged"):
        Manifest.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", "[" * 100_000, "\xff"])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ArtifactError, match="is damaged"):
        Manifest.load(tmp_path)


def test_a_manifest_with_one_split_is_refused(tmp_path: Path) -> None:
    only = manifest().model_copy(update={"shards": [shard("train", 1), shard("train", 2)]})
    only.save(tmp_path)
    with pytest.raises(ArtifactError, match="no shard for val"):
        Manifest.load(tmp_path)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"manifest\.json: is missing"):
        Manifest.load(tmp_path)
