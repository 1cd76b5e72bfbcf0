"""Tokenizers that learn from a dataset of the workspace."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from talm_core.data.reader import Documents
from talm_core.errors import ConfigError
from talm_core.jobs.dataset import fetching
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.dataset.job import prepare_data
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.jobs.tokenizer.job import train_tokenizer
from talm_core.jobs.tokenizer.report import report
from talm_core.jobs.tokenizer.sample import SAMPLE_FILE
from talm_core.jobs.tokenizer.show import lines
from talm_core.runtime.events import Event, Finished
from talm_core.runtime.preflight import check
from talm_core.settings.schema import build
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import FILE_NAME, Vocabulary
from tests.core.driving import events_of
from tests.core.test_documents import dataset as shards_of
from tests.core.test_preparation import sides

TEXTS = [f'the {row} things "in" the\\thing\n é日🎈\n' * (row % 7 + 1) for row in range(60)]
TEXTS.append("zq" * 900)  # where validation of a single text is


def train(workspace: Workspace, **values: Any) -> list[Event]:
    config = build(TokenizerConfig, {"name": "n", "vocab_size": 300} | values)
    return events_of(train_tokenizer, config, workspace)


def ranks(workspace: Workspace, name: str) -> dict[bytes, int]:
    return Vocabulary.load(workspace.directory("tokenizer", name) / FILE_NAME).ranks


@pytest.mark.parametrize("texts", [TEXTS, ["".join(TEXTS)]], ids=["many", "one"])
def test_a_prepared_dataset_teaches_what_its_training_text_does(
    tmp_path: Path, texts: list[str]
) -> None:
    workspace = Workspace(tmp_path / "w")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for row, text in enumerate(texts):
        (corpus / f"{row:03}.txt").write_text(text)
    files = (str(corpus),)
    events_of(prepare_data, DataConfig(source="text", path=files, val_fraction=0.25), workspace)
    train(workspace, corpus="dataset", data_dir="text/corpus")
    train(workspace, name="files", text_file=files, val_fraction=0.25)
    train(workspace, name="all", text_file=files)
    assert ranks(workspace, "n") == ranks(workspace, "files")
    seen = "".join(sides(texts, 0.25)[0])
    assert (b"zq" in ranks(workspace, "n")) is ("zq" in seen)
    assert ranks(workspace, "n") != ranks(workspace, "all")
    assert not list(workspace.directory("tokenizer", "n").glob(".*"))
    last = train(workspace, name="less", corpus="dataset", data_dir="corpus", max_bytes=1_000)[-1]
    assert isinstance(last, Finished)
    assert last.summary["bytes"] == 1_000


def test_it_is_measured_on_the_validation_part(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for row, text in enumerate(TEXTS):
        (corpus / f"{row:03}.txt").write_text(text)
    files = (str(corpus),)
    events_of(prepare_data, DataConfig(source="text", path=files, val_fraction=0.25), workspace)
    last = train(workspace, corpus="dataset", data_dir="text/corpus")[-1]
    directory = workspace.directory("tokenizer", "n")
    config = build(TokenizerConfig, {"name": "n", "corpus": "dataset", "data_dir": "text/corpus"})
    dataset = workspace.root / "data/text/corpus"
    held_out = "".join(text for _, text in Documents(dataset).parts("val"))
    assert held_out == "".join(sides(TEXTS, 0.25)[1])
    tokenizer = Tokenizer.from_vocabulary(Vocabulary.load(directory / FILE_NAME))
    # The dataset is not asked again.
    shutil.rmtree(dataset)
    found = report(directory / FILE_NAME, config)
    assert (found.text, found.seen) == ("held out of text/corpus", False)
    assert found.text_bytes == len(held_out.encode())
    expected = len(held_out.encode()) / len(tokenizer.encode(held_out))
    assert found.fits[0].bytes_per_token == pytest.approx(expected, rel=0.01)
    assert isinstance(last, Finished)
    assert last.summary["bytes_per_token"] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    "harm", ["gone", "[]", '{"version": 9, "about": "", "seen": true, "texts": ["a"]}']
)
def test_a_sample_that_cannot_be_read_is_told(tmp_path: Path, harm: str) -> None:
    workspace = Workspace(tmp_path / "w")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a.txt").write_text("".join(TEXTS))
    events_of(prepare_data, DataConfig(source="text", path=(str(corpus),)), workspace)
    train(workspace, corpus="dataset", data_dir="text/corpus")
    path = workspace.directory("tokenizer", "n") / SAMPLE_FILE
    path.unlink() if harm == "gone" else path.write_text(harm)
    config = build(TokenizerConfig, {"name": "n", "corpus": "dataset", "data_dir": "text/corpus"})
    found = report(path.parent / FILE_NAME, config)
    assert found.text == "samples in many scripts"
    assert found.missing.startswith(str(path))
    (line,) = [line for line in lines(found) if "not on its own corpus: /" in line]
    assert found.missing.startswith(line.split(": ", 1)[1].rstrip("…"))


@pytest.mark.parametrize("shard_size", [7, 40, 1000])
def test_the_training_part_begins_where_validation_ends(tmp_path: Path, shard_size: int) -> None:
    documents = Documents(shards_of(tmp_path / "d", TEXTS, shard_size=shard_size))
    whole = "".join(TEXTS)
    parts = list(documents.parts("train"))
    text = "".join(part for _, part in parts)
    assert whole.endswith(text)
    left_out = len(whole.encode()) - len(text.encode())
    # Of a character that the shards cut in two nothing is left.
    assert 0 <= left_out - documents.manifest.val_bytes < 4
    begun = documents.manifest.of("val")[0].documents
    assert sum(begins for begins, _ in parts) in (len(TEXTS) - begun, len(TEXTS) - begun + 1)


def test_what_is_missing_or_means_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="data_dir"):
        build(TokenizerConfig, {"name": "a", "corpus": "dataset"})
    with pytest.raises(ConfigError, match="corpus hub needs the id of a dataset"):
        build(TokenizerConfig, {"name": "a", "corpus": "hub"})
    with pytest.raises(ConfigError, match="only corpus hub has it"):
        build(TokenizerConfig, {"name": "a", "dataset": "x/y"})
    with pytest.raises(ConfigError, match="corpus_sample"):
        build(TokenizerConfig, {"name": "a", "corpus": "hub", "dataset": "x", "corpus_sample": "y"})
    config = TokenizerConfig(name="a", corpus="dataset", data_dir="nothing")
    assert [problem.key for problem in check(config, Workspace(tmp_path))] == ["data_dir"]


def test_a_long_document_is_read_back_in_lines_of_some_megabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_LONG_LINE", 300)
    monkeypatch.setattr("talm_core.data.reader._SEARCHED", 64)
    workspace = Workspace(tmp_path / "w")
    texts = ["".join(TEXTS), "a short one"]
    path = workspace.directory("data", "text/d")
    path.parent.mkdir(parents=True)
    shards_of(path, texts, shard_size=200)
    (tmp_path / "out").mkdir()
    corpus = fetching.decoded(path, tmp_path / "out", lambda _: None, max_bytes=10**6)
    lines = [document.text for document in corpus.documents()]
    assert max(map(len, lines)) < 2_000
    assert len(lines) > 10
    train(workspace, corpus="dataset", data_dir="text/d")
    monkeypatch.undo()
    train(workspace, name="whole", corpus="dataset", data_dir="text/d")
    assert ranks(workspace, "n") == ranks(workspace, "whole")
