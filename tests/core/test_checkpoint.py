from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talm_core.errors import ArtifactError, RunError
from talm_core.training import checkpoint, checkpoint_index


def fill(directory: Path) -> None:
    (directory / "model.safetensors").write_bytes(bytes(range(256)) * 4)
    (directory / "config.json").write_text("{}")


def write(directory: Path, step: int, *, keep: int = 3, **state: Any) -> Path:
    return checkpoint.write(directory, step, fill, state, keep=keep, expected_bytes=1)


def test_a_checkpoint_is_found_with_its_state(tmp_path: Path) -> None:
    path = write(tmp_path, 500, loader={"epoch": 1}, due=[["sample", "dé"]], elapsed=0.1)
    assert path.name == "checkpoint-000500"
    found = checkpoint.find(tmp_path)
    assert (found.path, found.step, found.damaged) == (path, 500, ())
    assert found.state == {"loader": {"epoch": 1}, "due": [["sample", "dé"]], "elapsed": 0.1}
    assert checkpoint.find(tmp_path).path == path


def test_steps_are_ordered_as_numbers(tmp_path: Path) -> None:
    for step in (5, 999_999, 1_000_000):
        write(tmp_path, step, keep=9)
    (tmp_path / "checkpoint-12").mkdir()
    (tmp_path / "checkpoint-000007").write_text("a file")
    assert [step for step, _ in checkpoint.checkpoints(tmp_path)] == [5, 999_999, 1_000_000]
    assert checkpoint.find(tmp_path).path == tmp_path / "checkpoint-1000000"


def test_the_last_ones_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        write(tmp_path, step, keep=2)
    assert [step for step, _ in checkpoint.checkpoints(tmp_path)] == [3, 4]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-000003", "checkpoint-000004"]


def test_damaged_later_ones_do_not_push_good_ones_out(tmp_path: Path) -> None:
    for step in (1, 2, 8, 9):
        write(tmp_path, step, keep=9)
    for step in (8, 9):
        (tmp_path / checkpoint.name_of(step) / "config.json").write_text("{!")
    assert checkpoint.find(tmp_path).step == 2
    write(tmp_path, 3, keep=2)
    assert [step for step, _ in checkpoint.checkpoints(tmp_path)] == [2, 3]


def test_nothing_there(tmp_path: Path) -> None:
    assert checkpoint.find(tmp_path) == checkpoint.Found()
    assert checkpoint.find(tmp_path / "missing").path is None


def sealed(index: dict[str, Any]) -> str:
    """An index as somebody would write it who also knows the checksum."""
    index = {"version": 1} | index
    return json.dumps(index | {"checksum": checkpoint_index.checksum(index)})


class Damage(NamedTuple):
    file: str
    change: str
    message: str


@pytest.mark.parametrize(
    "damage",
    [
        Damage("model.safetensors", "cut", "missing or cut short"),
        Damage("model.safetensors", "flip", "its checksum differs"),
        Damage("config.json", "remove", "missing or cut short"),
        Damage("checkpoint.json", "cut", "is damaged"),
        Damage("checkpoint.json", "remove", "cannot be read"),
        Damage("checkpoint.json", "state", "its checksum differs"),
        Damage("checkpoint.json", "version", "reads version 1"),
    ],
)
def test_a_damaged_one_is_passed_over_and_named(tmp_path: Path, damage: Damage) -> None:
    good, bad = write(tmp_path, 1, value=1), write(tmp_path, 2, value=2)
    file = bad / damage.file
    data = bytearray(file.read_bytes())
    match damage.change:
        case "cut":
            file.write_bytes(data[:-9])
        case "flip":
            data[100] ^= 1
            file.write_bytes(data)
        case "remove":
            file.unlink()
        case "state":
            file.write_bytes(data.replace(b'"value": 2', b'"value": 3'))
        case "version":
            file.write_bytes(data.replace(b'"version": 1', b'"version": 9'))
    found = checkpoint.find(tmp_path)
    assert found.path == good
    assert found.state == {"value": 1}
    assert len(found.damaged) == 1
    assert damage.message in str(found.damaged[0])
    assert str(bad) in found.damaged[0].key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "it holds no JSON object"),
        ('"checkpoint"', "it holds no JSON object"),
        ("{}", "'version' is missing"),
        ('{"version": 1}', "'checksum' is missing"),
        (sealed({"files": {}, "state": []}), "its state is no JSON object"),
        (sealed({"files": {}}), "'state' is missing"),
        (sealed({"files": [], "state": {}}), "an entry is of the wrong kind"),
        (sealed({"files": {"a": 5}, "state": {}}), "an entry is of the wrong kind"),
    ],
)
def test_an_index_that_was_edited_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, 1)
    (path / "checkpoint.json").write_text(text)
    with pytest.raises(ArtifactError) as caught:
        checkpoint.verify(path)
    (problem,) = caught.value.problems
    assert problem.key == str(path / "checkpoint.json")
    assert problem.message == f"is damaged: {message}"
    assert "delete this checkpoint" in problem.hint


def test_an_index_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    path = write(tmp_path, 1)
    index = json.loads((path / "checkpoint.json").read_text())
    index.pop("checksum")
    index["files"]["../outside"] = {"bytes": 1, "sha256": ""}
    (path / "checkpoint.json").write_text(
        json.dumps(index | {"checksum": checkpoint_index.checksum(index)})
    )
    with pytest.raises(ArtifactError, match="is no file entry"):
        checkpoint.verify(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_any_flipped_bit_is_noticed(tmp_path: Path, data: st.DataObject) -> None:
    shutil.rmtree(tmp_path / checkpoint.name_of(1), ignore_errors=True)
    path = write(tmp_path, 1, elapsed=1.5, due=[["evaluate", ""]])
    file = data.draw(st.sampled_from(sorted(path.iterdir())))
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    before = json.loads((path / "checkpoint.json").read_text())
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(content)
    try:
        state = checkpoint.verify(path)
    except ArtifactError:
        return
    # A flip between two kinds of white space changes nothing that is read.
    assert json.loads((path / "checkpoint.json").read_text()) == before
    assert state == before["state"]


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"a checkpoint takes 1,000,000,000,000 MB and the disk"):
        checkpoint.write(tmp_path, 1, fill, {}, keep=2, expected_bytes=10**18)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing_and_keeps_the_old(tmp_path: Path) -> None:
    old = write(tmp_path, 1)

    def full(directory: Path) -> None:
        fill(directory)
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match="checkpoint-000002 could not be written: No space"):
        checkpoint.write(tmp_path, 2, full, {}, keep=2, expected_bytes=1)
    assert list(tmp_path.iterdir()) == [old]


def test_looking_for_checkpoints_does_not_load_torch() -> None:
    code = (
        "import sys, talm_core.training.checkpoint, talm_core.training.estimate;"
        "sys.exit(any(m in sys.modules for m in ('torch', 'tiktoken', 'numpy', 'numba')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
