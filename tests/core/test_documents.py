from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talm_core.cli import main as cli
from talm_core.data.manifest import Manifest, TokenizerInfo
from talm_core.data.reader import Documents
from talm_core.data.shards import ShardWriter
from talm_core.errors import ArtifactError
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.dataset.job import prepare_data
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import BASE, FILE_NAME, Vocabulary
from tests.core.driving import events_of

BASE_VOCABULARY = Vocabulary.load(BASE)
ENCODER = Tokenizer.from_vocabulary(BASE_VOCABULARY)
END = BASE_VOCABULARY.end_of_text


def dataset(directory: Path, texts: list[str], *, shard_size: int) -> Path:
    """Texts as one row of tokens in shards of a size, the first for validation."""
    directory.mkdir(exist_ok=True)
    ids = [[END, *ENCODER.encode_ordinary(text)] for text in texts]
    row = np.array(list(itertools.chain(*ids)), np.uint16)
    numbers = itertools.count(1)
    with ShardWriter(
        directory,
        itertools.chain([("val", 1)], (("train", number) for number in numbers)),
        shard_size=shard_size,
        token_bytes=np.array(BASE_VOCABULARY.token_bytes(), np.int64),
        end_of_text=END,
        dtype="uint16",
    ) as writer:
        writer.write(row)
    info = TokenizerInfo(
        name="base", identity=BASE_VOCABULARY.identity, n_vocab=BASE_VOCABULARY.n_vocab
    )
    BASE_VOCABULARY.save(directory / FILE_NAME)
    Manifest(source="text", sample="x", tokenizer=info, dtype="uint16", shards=writer.shards).save(
        directory
    )
    return directory


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=30), min_size=2, max_size=12),
    shard_size=st.integers(1, 12),
)
def test_every_document_comes_back_whole_over_any_shards(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], shard_size: int
) -> None:
    # Two shards is the least a dataset has.
    texts = [*texts, "the last one is longer than a shard can be " * 3]
    documents = Documents(dataset(tmp_path_factory.mktemp("d"), texts, shard_size=shard_size))
    assert len(documents) == len(texts)
    for number, text in enumerate(texts, 1):
        found = documents.read(number)
        assert (found.number, found.text, found.complete) == (number, text, True)
        ids = ENCODER.encode_ordinary(text)
        assert (found.tokens, found.bytes) == (len(ids), len(text.encode()))
        if text:
            assert found.bytes_per_token == len(text.encode()) / len(ids)
        else:
            assert found.bytes_per_token is None


def test_a_long_document_is_measured_whole_and_shown_in_part(tmp_path: Path) -> None:
    text = "Grüße, 世界! " * 500
    documents = Documents(dataset(tmp_path / "d", ["a", text, "b"], shard_size=100))
    ids = ENCODER.encode_ordinary(text)
    for shown in range(1, 40):
        found = documents.read(2, shown=shown)
        assert (found.tokens, found.bytes, found.complete) == (len(ids), len(text.encode()), False)
        assert found.text == ENCODER.decode_bytes(ids[:shown]).decode("utf-8", "ignore")
    assert documents.read(2, shown=len(ids)).text == text
    assert documents.read(2, shown=len(ids)).complete


def test_the_same_seed_draws_the_same_documents(tmp_path: Path) -> None:
    texts = [f"number {number}" for number in range(50)]
    documents = Documents(dataset(tmp_path / "d", texts, shard_size=64))
    assert documents.choose(5, seed=3) == documents.choose(5, seed=3)
    assert sorted(documents.choose(50, seed=3)) == list(range(1, 51))
    assert sorted(documents.choose(99, seed=4)) == list(range(1, 51))
    assert len({tuple(documents.choose(3, seed=seed)) for seed in range(30)}) > 25
    with pytest.raises(IndexError):
        documents.read(51)


def test_what_is_damaged_is_refused_by_name(tmp_path: Path) -> None:
    directory = dataset(tmp_path / "d", ["one", "two", "three and four"], shard_size=2)
    path = directory / "train_000001.npy"
    whole = np.load(path)
    np.save(path, np.full(len(whole), 5, "<u2"))
    with pytest.raises(ArtifactError, match=r"train_000001\.npy: has fewer than 1 documents"):
        Documents(directory).read(2)
    np.save(path, np.full(len(whole), 60_000, "<u2"))
    with pytest.raises(ArtifactError, match=r"train_000001\.npy: holds the id 60,000, which no"):
        Documents(directory).read(2)
    path.unlink()
    with pytest.raises(ArtifactError, match=r"train_000001\.npy: is missing"):
        Documents(directory).read(2)
    other = Vocabulary("other", "x", BASE_VOCABULARY.ranks, BASE_VOCABULARY.special_tokens)
    other.save(directory / FILE_NAME)
    with pytest.raises(ArtifactError) as raised:
        Documents(directory)
    assert other.identity[:19] in str(raised.value)
    assert BASE_VOCABULARY.identity[:19] in str(raised.value)


# --- talm show -------------------------------------------------------------------------------


@pytest.fixture
def prepared(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "ws")
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.txt").write_text(f"text number {number}\x1b[2J\n" * 20)
    events_of(prepare_data, DataConfig(source="text", path=(str(folder),)), workspace)
    return workspace


def talm(
    capsys: pytest.CaptureFixture[str], workspace: Workspace, *words: str
) -> tuple[int, str, str]:
    code = cli.main([*words, "--workspace", str(workspace.root)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_show_tells_what_a_dataset_is(
    prepared: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = Manifest.load(prepared.directory("data", "text/texts"))
    code, out, _ = talm(capsys, prepared, "show", "texts")
    assert code == 0
    said = [" ".join(line.split()) for line in out.splitlines()]
    assert "source text/texts" in said
    assert f"tokenizer base, 4,100 ids, {BASE_VOCABULARY.identity[:19]}…" in said
    train, val = manifest.train_tokens, manifest.val_tokens
    assert f"tokens {train + val:,} ({train:,} train, {val:,} val)" in said
    ratio = f"{(manifest.train_bytes + manifest.val_bytes) / (train + val):.3f}"
    assert f"bytes per token {ratio}" in said
    assert "documents 10" in said
    shard = manifest.of("val")[0]
    ratio = f"{shard.bytes / shard.tokens:.3f}"
    assert f"val_000001.npy {shard.tokens:,} 1 {shard.bytes} B {ratio}" in said
    code, out, _ = talm(capsys, prepared, "show", "texts", "--json")
    told = json.loads(out)["dataset"]
    assert told["tokens"] == train + val
    assert told["shards"] == [shard.model_dump() for shard in manifest.shards]


def test_show_reads_documents_back(prepared: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = talm(capsys, prepared, "show", "texts", "--documents", "99", "--json")
    assert code == 0
    told = [json.loads(line) for line in out.splitlines()]
    assert sorted(item["text"] for item in told) == [
        f"text number {number}\x1b[2J\n" * 20 for number in range(10)
    ]
    for item in told:
        ids = ENCODER.encode_ordinary(item["text"])
        assert (item["tokens"], item["bytes"]) == (len(ids), len(item["text"]))
        assert item["bytes_per_token"] == round(len(item["text"]) / len(ids), 4)
    first = talm(capsys, prepared, "show", "texts", "--documents", "2", "-s", "7")
    assert first == talm(capsys, prepared, "show", "texts", "--documents", "2", "--seed", "7")
    assert first[0] == 0
    assert "\x1b" not in first[1]
    assert first[1].count("--- document ") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("texts", "--documents", "0"), "documents = '0': must be a whole number, 1 to 1,000"),
        (("texts", "--documents", "x"), "documents = 'x': must be a whole number, 1 to 1,000"),
        (("texts", "--seed", "3"), "seed: only chooses documents (add --documents"),
        (("texts", "--documents", "1", "--seed", "1.5"), "seed = '1.5': must be a whole number"),
        (("nothing", "--documents", "1"), "there is nothing of that name"),
    ],
)
def test_wrong_words_are_refused(
    prepared: Workspace, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    code, out, err = talm(capsys, prepared, "show", *words)
    assert (code, out) == (2, "")
    assert said in err


def test_what_has_no_documents_says_so(
    prepared: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared.directory("pretrain", "nano").mkdir(parents=True)
    (prepared.directory("pretrain", "nano") / "config.toml").touch()
    unfinished = prepared.directory("data", "text/half")
    unfinished.mkdir()
    (unfinished / "config.toml").touch()
    for name, said in (
        ("nano", "only datasets have documents, models/nano is none"),
        ("half", "data/text/half is not finished"),
    ):
        code, _, err = talm(capsys, prepared, "show", name, "--documents", "1")
        assert code == 2
        assert said in err
