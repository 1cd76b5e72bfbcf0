"""Names, paths and listings."""

from __future__ import annotations

from pathlib import Path

import pytest

from talm_core.errors import ArtifactError, WorkspaceError
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.storage.workspace import Workspace, name_key


def make(workspace: Workspace, *paths: str) -> None:
    for path in paths:
        directory = workspace.root / path
        directory.mkdir(parents=True)
        (directory / "config.toml").write_text("")


def test_where_the_workspace_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALM_HOME", str(tmp_path / "home"))
    assert Workspace().root == tmp_path / "home"
    assert Workspace(tmp_path / "given").root == tmp_path / "given"
    monkeypatch.delenv("TALM_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert Workspace().root.name == "talm"
    monkeypatch.chdir(tmp_path)
    assert Workspace("here").root == tmp_path / "here"
    assert not (tmp_path / "here").exists()


def test_where_things_live(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert workspace.directory("tokenizer", "a") == tmp_path / "tokenizers/a"
    assert workspace.directory("data", "text/b") == tmp_path / "data/text/b"
    assert workspace.directory("pretrain", "v1.5+x_-") == tmp_path / "models/v1.5+x_-"
    data = DataConfig(dir_prefix="p")
    assert workspace.directory_of(data) == tmp_path / "data/stdlib/p_all"
    assert workspace.directory_of(TokenizerConfig(name="t")) == tmp_path / "tokenizers/t"


BAD = ["../x", "..", ".", "", "a/b", "/etc", "a\\b", "-x", ".hidden", "a b", "a\n", "ä", "x.", "~"]


@pytest.mark.parametrize("name", BAD)
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    workspace = Workspace(tmp_path)
    for kind in ("tokenizer", "pretrain", "quickstart"):
        with pytest.raises(WorkspaceError) as caught:
            workspace.directory(kind, name, key=name_key(kind))
        assert caught.value.problems[0].key == name_key(kind)
        assert caught.value.problems[0].value == name
    with pytest.raises(WorkspaceError):
        workspace.directory("data", f"text/{name}")
    with pytest.raises(WorkspaceError):
        workspace.directory("data", f"{name}/all")


@pytest.mark.parametrize(("setting", "value"), [("ds_sample", "../x"), ("dir_prefix", "../x")])
def test_the_setting_that_made_a_bad_name_is_named(
    tmp_path: Path, setting: str, value: str
) -> None:
    config = DataConfig.model_validate({"source": "text", "path": ("a",), setting: value})
    with pytest.raises(WorkspaceError) as caught:
        Workspace(tmp_path).directory_of(config)
    (problem,) = caught.value.problems
    assert (problem.key, problem.value) == (setting, value)
    model = PretrainConfig(model_name="../x", data_dir="d")
    with pytest.raises(WorkspaceError, match=r"model_name = '../x'"):
        Workspace(tmp_path).directory_of(model)


def test_listing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert workspace.artifacts("pretrain") == []
    make(workspace, "models/b", "models/a", "models/.tmp-x", "data/stdlib/all", "data/text/x")
    (tmp_path / "models/empty").mkdir()
    (tmp_path / "models/file").write_text("")
    (tmp_path / "tokenizers/hand").mkdir(parents=True)
    (tmp_path / "tokenizers/hand/tokencoder.json").write_text("{}")
    assert [item.name for item in workspace.artifacts("pretrain")] == ["a", "b"]
    assert [item.name for item in workspace.artifacts("data")] == ["stdlib/all", "text/x"]
    assert [item.name for item in workspace.artifacts("tokenizer")] == ["hand"]
    assert workspace.artifacts("data")[0].directory == tmp_path / "data/stdlib/all"


def test_finding_by_name(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(ArtifactError, match="there are none yet"):
        workspace.find("data", "x", key="data_dir")
    make(workspace, "data/stdlib/all", "data/text/all", "data/text/mine", "models/nano")
    find = workspace.find
    assert find("data", "text/all", key="d") == tmp_path / "data/text/all"
    assert find("data", "mine", key="d") == tmp_path / "data/text/mine"
    assert find("data", "stdlib", key="d") == tmp_path / "data/stdlib/all"
    with pytest.raises(ArtifactError, match=r"fits several \(say which: stdlib/all, text/all\)"):
        find("data", "all", key="d")
    with pytest.raises(ArtifactError, match=r"d = 'nan': there is no such model .*'nano'"):
        find("pretrain", "nan", key="d")


def test_a_place_may_be_a_name_or_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path / "ws")
    make(workspace, "models/nano")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    assert workspace.locate("pretrain", "nano", key="m") == tmp_path / "ws/models/nano"
    assert workspace.locate("pretrain", "elsewhere", key="m") == tmp_path / "elsewhere"
    with pytest.raises(ArtifactError, match="there is no such model"):
        workspace.locate("pretrain", "nowhere", key="m")
    assert workspace.relative(tmp_path / "ws/models/nano") == "models/nano"
    assert workspace.relative(tmp_path / "elsewhere") == str(tmp_path / "elsewhere")


def test_it_is_created_when_it_is_needed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "a/b")
    workspace.require_writable()
    assert list((tmp_path / "a/b").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match=r"cannot be written: .*choose another with"):
        Workspace(tmp_path / "file/ws").require_writable()
