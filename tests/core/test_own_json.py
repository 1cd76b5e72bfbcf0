"""JSON of artifacts that came from anywhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from talm_core.data.manifest import Manifest
from talm_core.errors import ArtifactError
from talm_core.storage.own_json import read_json
from talm_core.training import checkpoint

WRONG = {
    "digits": (b'{"a": ' + b"9" * 5_000 + b"}", "a number in it has thousands of digits"),
    "deep": (b"[" * 100_000, "it is nested too deeply"),
    "many": (b"[" + b"[]," * 1_100_000 + b"[]]", "it has 2,200,002 values, talm writes at most"),
    "cut": (b'{"a":\n 1', "it is no JSON (line 2, column 3)"),
    "binary": (b'{"a": "\xff"}', "it is no UTF-8 text (byte 8)"),
}


@pytest.mark.parametrize(("data", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_words(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "checkpoint-000001").mkdir()
    places = [tmp_path / "manifest.json", tmp_path / "checkpoint-000001/checkpoint.json"]
    for path in places:
        path.write_bytes(data)
    with pytest.raises(ValueError, match=r"^it |^a number") as raised:
        read_json(places[0], most=10 << 20)
    assert str(raised.value).startswith(said)
    with pytest.raises(ArtifactError) as refused:
        Manifest.load(tmp_path)
    assert refused.value.problems[0].message.startswith(f"is damaged: {said}")
    found = checkpoint.find(tmp_path)
    assert found.path is None
    assert f"is damaged: {said}" in str(found.damaged[0])


@pytest.mark.parametrize("kind", ["pipe", "device", "sparse"])
def test_what_is_no_file_of_ours_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    (tmp_path / "checkpoint-000001").mkdir()
    for path in (tmp_path / "manifest.json", tmp_path / "checkpoint-000001/checkpoint.json"):
        match kind:
            case "pipe":
                os.mkfifo(path)
            case "device":
                path.symlink_to("/dev/zero")
            case _:
                with path.open("wb") as file:
                    file.truncate(1 << 40)
    with pytest.raises(ArtifactError, match=r"manifest\.json (is a|has)"):
        Manifest.load(tmp_path)
    assert checkpoint.find(tmp_path).path is None
