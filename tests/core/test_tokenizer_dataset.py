"""Tokenizers that learn from a dataset of the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from talm_core.config import DataConfig, TokenizerConfig
from talm_core.data.documents import Documents
from talm_core.data.preparation import prepare_data
from talm_core.errors import ConfigError
from talm_core.events import Event, Finished
from talm_core.preflight import check
from talm_core.settings import build
from talm_core.tokenizer.training import train_tokenizer
from talm_core.tokenizer.vocabulary import FILE_NAME, Vocabulary
from talm_core.workspace import Workspace
from tests.core.test_documents import dataset

TEXTS = [f'the {row} things "in" the\\thing\n é日🎈\n' * (row % 7 + 1) for row in range(60)]
TEXTS.append("zq" * 900)  # where validation is


def train(workspace: Workspace, **values: Any) -> list[Event]:
    config = build(TokenizerConfig, {"name": "n", "vocab_size": 300} | values)
    return list(train_tokenizer(config, workspace))


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
    list(prepare_data(DataConfig(source="text", path=files, val_fraction=0.25), workspace))
    train(workspace, corpus="dataset", data_dir="text/corpus")
    train(workspace, name="files", text_file=files, val_fraction=0.25)
    train(workspace, name="all", text_file=files)
    assert ranks(workspace, "n") == ranks(workspace, "files")
    assert b"zq" not in ranks(workspace, "n")
    assert b"zq" in ranks(workspace, "all")
    assert not list(workspace.directory("tokenizer", "n").glob(".*"))
    last = train(workspace, name="less", corpus="dataset", data_dir="corpus", max_bytes=1_000)[-1]
    assert isinstance(last, Finished)
    assert last.summary["bytes"] == 1_000


@pytest.mark.parametrize("shard_size", [7, 40, 1000])
def test_the_training_part_begins_where_validation_ends(tmp_path: Path, shard_size: int) -> None:
    documents = Documents(dataset(tmp_path / "d", TEXTS, shard_size=shard_size))
    whole = "".join(TEXTS)
    parts = list(documents.training_parts())
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
