"""The look at workspace and files while somebody types."""

from __future__ import annotations

import queue
from pathlib import Path

import pytest

from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime.preflight import settle
from talm_core.settings.schema import JobConfig, build
from talm_core.storage.workspace import Workspace
from talm_tui.data import looking as data_looking
from talm_tui.forms import checker as generic
from talm_tui.forms.checker import Checker, Corpus, Findings
from talm_tui.tokenizer import looking as tokenizer_looking
from talm_tui.train import looking as train_looking


def look(config: JobConfig, workspace: Workspace) -> Findings:
    """As the place of the config's kind takes it."""
    match config:
        case TokenizerConfig():
            return tokenizer_looking.look(config, workspace)
        case DataConfig():
            return data_looking.look(config, workspace)
        case PretrainConfig():
            return train_looking.look(config, workspace)
    return generic.look(config, workspace)


def test_a_look_finds_problems_and_facts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("some text\n")
    workspace = Workspace(tmp_path / "ws")
    config = build(TokenizerConfig, {"name": "a", "text_file": (str(tmp_path / "a.txt"),)})
    found = look(config, workspace)
    assert found.problems == ()
    assert found.corpus == Corpus(str(tmp_path / "a.txt"), 10, 1)
    missing = build(TokenizerConfig, {"name": "base", "text_file": (str(tmp_path / "b"),)})
    found = look(missing, workspace)
    assert [problem.key for problem in found.problems] == ["name", "text_file"]
    assert found.corpus is None


def test_a_look_at_data_knows_the_tokenizer(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    found = look(build(DataConfig, {}), workspace)
    assert found.vocab_size == 4100
    assert found.ratio is None
    unknown = look(build(DataConfig, {"tokenizer_path": "nosuch"}), workspace)
    assert [problem.key for problem in unknown.problems] == ["tokenizer_path"]
    run = build(PretrainConfig, {"model_name": "a", "data_dir": "nosuch"})
    assert [problem.key for problem in look(run, workspace).problems] == ["data_dir"]


def test_only_the_newest_is_looked_at(tmp_path: Path) -> None:
    answers: queue.Queue[Findings | Exception] = queue.Queue()
    workspace = Workspace(tmp_path)
    checker = Checker(lambda config: look(config, workspace), answers.put, delay=0.05)
    configs = [build(TokenizerConfig, {"name": name}) for name in ("a", "b", "base")]
    for config in configs:
        checker.ask(config)
    found = answers.get(timeout=20)
    assert isinstance(found, Findings)
    assert found.of == configs[-1]
    assert [problem.key for problem in found.problems] == ["name"]
    checker.ask(configs[0])
    again = answers.get(timeout=20)
    assert isinstance(again, Findings)
    assert again.of == configs[0]
    checker.close()
    assert answers.empty()


@pytest.mark.parametrize("text", ["~nobody-of-this-name/x", "x" * 5000, "/", ".", "a\0b", "[/]"])
def test_whatever_is_typed_is_a_problem_and_no_accident(tmp_path: Path, text: str) -> None:
    workspace = Workspace(tmp_path)
    for key, config in (
        ("data_dir", build(PretrainConfig, {"model_name": "a", "data_dir": text})),
        ("tokenizer_path", build(DataConfig, {"tokenizer_path": text})),
    ):
        assert [problem.key for problem in look(config, workspace).problems] == [key]
        assert settle(config, workspace) is not None
    if text not in ("/", "."):
        files = build(TokenizerConfig, {"name": "a", "text_file": (text,)})
        assert [problem.key for problem in look(files, workspace).problems] == ["text_file"]
        assert settle(files, workspace) is not None
