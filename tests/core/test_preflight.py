"""What is known to be wrong before a job starts, each under its setting's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.dataset.job import prepare_data
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.quickstart.config import QuickstartConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime.preflight import check, settle
from talm_core.settings.schema import JobConfig, build
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.vocabulary import Vocabulary
from tests.core.driving import events_of

TEXT = "to be, or not to be: that is the question\n" * 40


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a dataset of some 800 tokens, and another vocabulary."""
    root = tmp_path_factory.mktemp("ws")
    for number in range(10):
        (root / "texts").mkdir(exist_ok=True)
        (root / "texts" / f"{number}.txt").write_text(TEXT)
    workspace = Workspace(root)
    events_of(prepare_data, DataConfig(source="text", path=(str(root / "texts"),)), workspace)
    byte_ranks = {bytes([value]): value for value in range(256)}
    other = Vocabulary("other", r"\w+|\W+", byte_ranks, {"<|endoftext|>": 256})
    (root / "tokenizers/other").mkdir(parents=True)
    other.save(root / "tokenizers/other/tokencoder.json")
    return workspace


def problems(workspace: Workspace, model: type[JobConfig], **values: Any) -> dict[str, str]:
    config = settle(build(model, values), workspace)
    return {problem.key: problem.message for problem in check(config, workspace)}


def test_nothing_is_wrong(workspace: Workspace) -> None:
    files = (str(workspace.root / "texts/1.txt"),)
    assert problems(workspace, TokenizerConfig, name="a") == {}
    assert problems(workspace, TokenizerConfig, name="a", text_file=files) == {}
    assert problems(workspace, DataConfig) == {}
    assert problems(workspace, DataConfig, source="text", path=files, tokenizer_path="other") == {}
    assert problems(workspace, PretrainConfig, model_name="a", data_dir="texts") == {}
    assert problems(workspace, QuickstartConfig) == {}


@pytest.mark.parametrize("kind", ["missing", "empty", "binary", "not UTF-8"])
def test_text_that_cannot_be_used(workspace: Workspace, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.txt"
    content = {"empty": b"", "binary": b"a\x00b" * 100, "not UTF-8": b"ab\xff\xfe"}
    if kind != "missing":
        path.write_bytes(content[kind])
    found = problems(workspace, TokenizerConfig, name="a", text_file=(str(path),))
    data = problems(workspace, DataConfig, source="text", path=(str(path),))
    quick = problems(workspace, QuickstartConfig, text_file=(str(path),))
    if kind == "not UTF-8":
        # Only reading all of it tells.
        assert (found, data, quick) == ({}, {}, {})
    else:
        assert list(found) == list(quick) == ["text_file"]
        assert list(data) == ["path"]


@pytest.mark.parametrize("name", ["../x", "a/b", "-"])
def test_names_that_climb(workspace: Workspace, name: str) -> None:
    assert list(problems(workspace, TokenizerConfig, name=name)) == ["name"]
    assert list(problems(workspace, QuickstartConfig, name=name)) == ["name"]
    model = problems(workspace, PretrainConfig, model_name=name, data_dir="texts")
    assert list(model) == ["model_name"]
    assert list(problems(workspace, DataConfig, dir_prefix=name)) == ["dir_prefix"]


def test_all_of_it_at_once(workspace: Workspace) -> None:
    found = problems(workspace, TokenizerConfig, name="../x", text_file=("/nowhere",))
    assert set(found) == {"name", "text_file"}
    found = problems(
        workspace, QuickstartConfig, name="base", preset="nanoo", text_file=("/nowhere",)
    )
    assert set(found) == {"name", "preset", "text_file"}


def test_the_built_in_name_is_taken(workspace: Workspace) -> None:
    assert "ships with talm" in problems(workspace, TokenizerConfig, name="base")["name"]


def test_tokenizers_and_datasets_must_be_there(workspace: Workspace) -> None:
    found = problems(workspace, DataConfig, tokenizer_path="othr")
    assert list(found) == ["tokenizer_path"]
    found = problems(workspace, PretrainConfig, model_name="a", data_dir="txts")
    assert list(found) == ["data_dir"]


def test_the_tokenizer_must_be_the_datasets_own(workspace: Workspace) -> None:
    values = {"model_name": "a", "data_dir": "texts"}
    found = problems(workspace, PretrainConfig, **values, tokenizer_path="other")
    assert "is not the tokenizer the dataset was made with: base" in found["tokenizer_path"]
    assert problems(workspace, PretrainConfig, **values, tokenizer_path="base") == {}


def test_there_must_be_enough_of_it(workspace: Workspace) -> None:
    values = {"model_name": "a", "data_dir": "texts"}
    found = problems(workspace, PretrainConfig, **values, context_len=100_000)
    assert "context_len needs 100,001" in found["data_dir"]
    found = problems(workspace, PretrainConfig, **values, batch_size=1_000, context_len=64)
    assert list(found) == ["batch_size"]


def test_the_name_of_a_quick_start_must_be_free(workspace: Workspace) -> None:
    found = problems(workspace, QuickstartConfig, name="other")
    assert found == {"name": "is taken: tokenizers/other"}


def test_paths_mean_the_same_from_anywhere(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v.json").write_text("{}")
    config = settle(build(TokenizerConfig, {"name": "a", "text_file": ("x", "/y")}), workspace)
    assert isinstance(config, TokenizerConfig)
    assert config.text_file == (str(tmp_path / "x"), "/y")
    data = settle(build(DataConfig, {"tokenizer_path": "v"}), workspace)
    assert isinstance(data, DataConfig)
    assert data.tokenizer_path == str(tmp_path / "v")
    for name in ("other", "base", "nowhere"):
        named = settle(build(DataConfig, {"tokenizer_path": name}), workspace)
        assert isinstance(named, DataConfig)
        assert named.tokenizer_path == name


def test_a_short_name_is_written_in_full(workspace: Workspace) -> None:
    for short in ("texts", "text", "text/texts"):
        model = settle(build(PretrainConfig, {"model_name": "a", "data_dir": short}), workspace)
        assert isinstance(model, PretrainConfig)
        assert model.data_dir == "text/texts"
