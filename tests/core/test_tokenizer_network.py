"""Tokenizers that learn from datasets of the Hub, from a server on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from talm_core.data.hub import blocks
from talm_core.errors import ConfigError, CorpusError, RunError
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.jobs.tokenizer.job import train_tokenizer
from talm_core.jobs.tokenizer.report import report
from talm_core.runtime.events import Event, Finished, Notice
from talm_core.settings.schema import build
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.vocabulary import Vocabulary
from tests.core.driving import events_of, prepared
from tests.core.hub_server import Fault, HubServer, Repo, parquet, serving
from tests.core.test_preparation import sides

TEXTS = [f"the {row} things in the thing\n\n" * (row % 7 + 1) for row in range(400)]


def train(workspace: Workspace, **values: Any) -> list[Event]:
    config = TokenizerConfig(**{"name": "n", "vocab_size": 300} | values)
    return events_of(train_tokenizer, config, workspace)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1024)
    with serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        files = {"sample/10BT/0.parquet": parquet(TEXTS)}
        server.repos["HuggingFaceFW/fineweb"] = Repo(files=files)
        yield server


def test_a_tokenizer_of_a_dataset_is_that_of_its_texts(served: HubServer, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    served.faults = [Fault(503, "/resolve/", 1)]
    events = train(workspace, corpus="fineweb", val_fraction=0.1)
    assert any(isinstance(event, Notice) and "retrying" in event.message for event in events)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for row, text in enumerate(TEXTS):
        (corpus / f"{row:03}.txt").write_text(text)
    train(workspace, name="files", text_file=(str(corpus),), val_fraction=0.1)
    directory = workspace.directory("tokenizer", "n")
    made = Vocabulary.load(directory / "tokencoder.json")
    expected = Vocabulary.load(workspace.directory("tokenizer", "files") / "tokencoder.json")
    assert made.ranks == expected.ranks
    # A tenth, which is kept beside it for that, is what it is measured on.
    config = TokenizerConfig(name="n", vocab_size=300, corpus="fineweb", val_fraction=0.1)
    found = report(directory / "tokencoder.json", config)
    assert (found.text, found.seen) == ("held out of fineweb", False)
    assert found.text_bytes == sum(map(len, sides(TEXTS, 0.1)[1]))
    assert not list(directory.glob(".*"))
    # The preparation that follows fetches nothing again.
    sent = served.bytes_sent
    data = DataConfig(source="fineweb", tokenizer_path="n")
    prepared(data, workspace)
    assert served.bytes_sent - sent < 2_000


def test_offline_it_learns_from_the_text_that_is_here(
    served: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path)
    served.repos["HuggingFaceFW/fineweb"].files["sample/10BT/1.parquet"] = parquet(TEXTS)
    train(workspace, corpus="fineweb")
    for path in (tmp_path / "corpora").rglob("*1.parquet*"):
        path.unlink()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    size = sum(map(len, TEXTS))
    with pytest.raises(RunError, match=f"HF_HUB_OFFLINE .* max_bytes = {size} asks for"):
        train(workspace, name="again", corpus="fineweb")
    events = train(workspace, name="enough", corpus="fineweb", max_bytes=size)
    assert isinstance(events[-1], Finished)
    assert events[-1].summary["bytes"] == size


def test_no_more_than_is_asked_for_is_read(served: HubServer, tmp_path: Path) -> None:
    last = train(Workspace(tmp_path), corpus="fineweb", max_bytes=3_000)[-1]
    assert isinstance(last, Finished)
    assert last.summary["bytes"] == 3_000


def test_what_is_not_there_is_told(served: HubServer, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"has no files sample/100BT/\*\.parquet"):
        train(Workspace(tmp_path), corpus="fineweb", corpus_sample="sample-100BT")
    with pytest.raises(ConfigError, match="did you mean 'sample-10BT'"):
        build(TokenizerConfig, {"name": "x", "corpus": "fineweb", "corpus_sample": "sample-10B"})


def test_a_part_of_the_standard_library_can_be_named(tmp_path: Path) -> None:
    last = train(Workspace(tmp_path), corpus_sample="docs")[-1]
    assert isinstance(last, Finished)
    assert last.summary["bytes"] < 2_000_000


def test_any_dataset_of_the_hub_teaches(served: HubServer, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    served.repos["some/one"] = Repo(files={"data/train-0.parquet": parquet(TEXTS)})
    train(workspace, corpus="hub", dataset="some/one")
    train(workspace, name="known", corpus="fineweb")
    made, known = (
        Vocabulary.load(workspace.directory("tokenizer", name) / "tokencoder.json").ranks
        for name in ("n", "known")
    )
    assert made == known
