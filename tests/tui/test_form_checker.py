"""The look at workspace and files while somebody types."""

from __future__ import annotations

import queue
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from talm_core.data.manifest import Manifest, Shard, TokenizerInfo
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime import runner
from talm_core.runtime.events import Finished
from talm_core.runtime.journal import last_of
from talm_core.runtime.preflight import settle
from talm_core.settings.schema import JobConfig, build
from talm_core.settings.toml import dumps
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.vocabulary import BASE, Vocabulary
from talm_tui.data import looking as data_looking
from talm_tui.data.meaning import of_data
from talm_tui.forms import checker as generic
from talm_tui.forms.checker import Checker, Corpus, Findings, Ratio
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


def dataset(workspace: Workspace, tokenizer: Vocabulary, name: str, **values: Any) -> None:
    """A dataset of 1,000 tokens of three bytes, or of `bytes` in all."""
    bytes_ = values.pop("bytes", 3_000)
    config = build(DataConfig, {"ds_sample": name, **values})
    directory = workspace.directory_of(config)
    directory.mkdir(parents=True)
    (directory / "config.toml").write_text(dumps(config))
    about: dict[str, Any] = {"documents": 1, "sha256": "0" * 64, "bytes": bytes_ // 2}
    Manifest(
        source=config.source,
        sample=config.sample,
        tokenizer=TokenizerInfo(name="t", identity=tokenizer.identity, n_vocab=tokenizer.n_vocab),
        dtype="uint16",
        shards=[
            Shard(file="val_000001.npy", split="val", tokens=500, **about),
            Shard(file="train_000001.npy", split="train", tokens=500, **about),
        ],
    ).save(directory)


def test_what_is_known_of_the_very_same_text_counts_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    workspace = Workspace(tmp_path / "ws")
    base = Vocabulary.load(BASE)
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("some text\n" * 100)
    other = replace(base, special_tokens={**base.special_tokens, "<|x|>": base.n_vocab})
    asked = build(DataConfig, {"source": "text", "path": (str(tmp_path / "a.txt"),)})
    assert look(asked, workspace).ratio is None
    # Another text, the same tokenizer; then the same text, another tokenizer; then both the same.
    dataset(workspace, base, "b", source="text", path=("b.txt",), bytes=4_000)
    assert look(asked, workspace).ratio == Ratio(4.0, "as in text/b, of another text")
    dataset(workspace, other, "c", source="text", path=("a.txt",), bytes=2_000)
    found = look(asked, workspace).ratio
    assert found is not None
    assert found.source == "from text/c, of the same text"
    assert found.bytes_per_token == pytest.approx(2.0, rel=0.001)
    dataset(workspace, base, "d", source="text", path=("./a.txt",), bytes=5_000)
    assert look(asked, workspace).ratio == Ratio(5.0, "as in text/d, of the same text")
    # As many tokens as that says, of which validation has its share as the preparation cuts it.
    said = {row.name: row.value for row in of_data(asked, look(asked, workspace)).rows}
    assert said["tokens"] == "about 200, 5.0 bytes each (as in text/d, of the same text)"
    assert said["validation"] == "about 20 tokens"


def test_a_tokenizer_tells_what_it_reached_on_its_own_text(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    text = tmp_path / "a.txt"
    text.write_text("some text and more of it\n" * 400)
    trained = build(TokenizerConfig, {"name": "own", "vocab_size": 300, "text_file": (str(text),)})
    runner.run(trained, workspace)
    asked = {"source": "text", "path": (str(text),), "tokenizer_path": "own"}
    found = look(build(DataConfig, asked), workspace).ratio
    ended = last_of(workspace.directory_of(trained), Finished)
    assert ended is not None
    reached = ended.summary["bytes_per_token"]
    assert found == Ratio(reached, "as when the tokenizer was trained on it")
    stdlib = build(DataConfig, {"tokenizer_path": "own"})
    assert look(stdlib, workspace).ratio is None
