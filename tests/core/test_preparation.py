from __future__ import annotations

import errno
import gzip
import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from talm_core.data import progress, shards
from talm_core.data.dataloader import TokenLoader
from talm_core.data.division import Division
from talm_core.data.local.corpus import divided_parts, open_corpus
from talm_core.data.manifest import Manifest
from talm_core.errors import ArtifactError, CorpusError, RunError, WorkspaceError
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.dataset.job import prepare_data
from talm_core.runtime.events import Event, Finished, Notice, Progress, Started
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.patterns import DEFAULT
from talm_core.tokenizer.vocabulary import Vocabulary
from tests.core.driving import events_of, prepared, preparing, stepped

SCRIPTS = (
    "English русский ελληνικά հայերեն עברית العربية ܣܘܪܝܬ"
    " ދިވެހި हिन्दी বাংলা ਪੰਜਾਬੀ ગુજરાતી ଓଡ଼ିଆ தமிழ்"
    " తెలుగు ಕನ್ನಡ മലയാളം සිංහල ไทย ລາວ བོད་སྐད"
    " မြန်မာ ქართული 한국어 አማርኛ ᏣᎳᎩ ᐃᓄᒃᑎᑐᑦ ភាសាខ្មែរ"
    " ᠮᠣᠩᠭᠣᠯ 日本語 中文 👩‍👩‍👧🏽"
)


def vocabulary(*merges: bytes) -> Vocabulary:
    tokens = [bytes([byte]) for byte in range(256)] + list(merges)
    return Vocabulary(
        name="small",
        pattern=DEFAULT,
        ranks={token: rank for rank, token in enumerate(tokens)},
        special_tokens={"<|endoftext|>": len(tokens)},
    )


SMALL = vocabulary(b"th", b"the", b" t", b" the", b"in", b"\n\n", b"    ")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "corpus").mkdir()
    home = Workspace(tmp_path / "home")
    folder = home.directory("tokenizer", "small")
    folder.mkdir(parents=True)
    SMALL.save(folder / "tokencoder.json")
    return home


def corpus_of(workspace: Workspace, texts: Sequence[str]) -> Path:
    folder = workspace.root.parent / "corpus"
    for number, text in enumerate(texts):
        (folder / f"{number:04d}.txt").write_text(text, encoding="utf-8", newline="")
    return folder


def config_of(folder: Path, **values: Any) -> DataConfig:
    return DataConfig(source="text", path=(str(folder),), **{"tokenizer_path": "small"} | values)


def prepare(workspace: Workspace, config: DataConfig, *, threads: int = 2) -> list[Event]:
    return prepared(config, workspace, threads=threads)


def read(directory: Path, split: str) -> list[list[int]]:
    return [np.load(path).tolist() for path in sorted(directory.glob(f"{split}_*.npy"))]


def files(directory: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.iterdir())
    }


def ids(text: str) -> list[int]:
    """A document's tokens, by the definition of BPE: the pair of lowest rank first."""
    import regex

    found = [SMALL.end_of_text]
    for piece in regex.findall(DEFAULT, text):
        parts = [bytes([byte]) for byte in piece.encode()]
        while True:
            ranked = [
                (SMALL.ranks[left + right], at)
                for at, (left, right) in enumerate(itertools.pairwise(parts))
                if left + right in SMALL.ranks
            ]
            if not ranked:
                break
            _, at = min(ranked)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        found += [SMALL.ranks[part] for part in parts]
    return found


def decode(tokens: list[int]) -> list[str]:
    """The documents that a stream of tokens holds."""
    by_rank = {rank: token for token, rank in SMALL.ranks.items()}
    documents: list[bytes] = []
    for token in tokens:
        if token == SMALL.end_of_text:
            documents.append(b"")
        else:
            documents[-1] += by_rank[token]
    return [document.decode() for document in documents]


# --- what comes out --------------------------------------------------------------------------


def test_documents_become_shards_and_come_back(workspace: Workspace) -> None:
    texts = ["the thing\n\n    in there", "", "x", SCRIPTS, "<|endoftext|> in text", "a\r\nb"]
    texts += [f"document {number}\n" for number in range(4)]
    folder = corpus_of(workspace, texts)
    events = prepare(workspace, config_of(folder))
    directory = workspace.root / "data/text/corpus"
    train, val = sides([text for text in texts if text], 0.1)
    assert read(directory, "train") == [[i for text in train for i in ids(text)]]
    assert read(directory, "val") == [[i for text in val for i in ids(text)]]
    assert decode(read(directory, "train")[0]) == train
    assert Vocabulary.load(directory / "tokencoder.json") == SMALL
    assert sorted(files(directory)) == [
        "manifest.json",
        "tokencoder.json",
        "train_000001.npy",
        "val_000001.npy",
    ]
    manifest = Manifest.load(directory)
    assert (manifest.source, manifest.sample, manifest.dtype) == ("text", "corpus", "uint16")
    assert manifest.tokenizer.identity == SMALL.identity
    # The end of a document that is divided begins one of the validation part.
    assert manifest.documents == len(train) + len(val) > 9
    assert manifest.train_bytes == sum(len(text.encode()) for text in train)
    assert manifest.val_bytes == sum(len(text.encode()) for text in val)
    assert manifest.train_tokens == len(read(directory, "train")[0])
    for shard in manifest.shards:
        assert files(directory)[shard.file] == shard.sha256
    assert isinstance(events[0], Started)
    assert (events[0].name, events[0].resumed_from) == ("text/corpus", None)
    last = events[-1]
    assert isinstance(last, Finished)
    tokens = manifest.train_tokens + manifest.val_tokens
    size = manifest.train_bytes + manifest.val_bytes
    assert last.summary == {
        "tokens": tokens,
        "train_tokens": manifest.train_tokens,
        "val_tokens": manifest.val_tokens,
        "documents": manifest.documents,
        "bytes": size,
        "bytes_per_token": round(size / tokens, 4),
        "shards": 2,
        "directory": "data/text/corpus",
    }


def test_the_part_for_training_is_what_a_tokenizer_sees(workspace: Workspace) -> None:
    folder = corpus_of(workspace, [f"text {number}" for number in range(50)])
    prepare(workspace, config_of(folder, val_fraction=0.2))
    divided = divided_parts(open_corpus("text", paths=[str(folder)]), 0.2)
    seen = [text for _, text, held_out in divided if not held_out]
    directory = workspace.root / "data/text/corpus"
    assert decode(read(directory, "train")[0]) == seen
    assert decode(read(directory, "val")[0]) == [f"text {number}" for number in range(2, 50, 5)]


def test_a_single_document_gives_the_end_of_its_text(workspace: Workspace) -> None:
    text = "".join(chr(97 + number % 26) for number in range(1000))
    folder = corpus_of(workspace, [text])
    prepare(workspace, config_of(folder))
    directory = workspace.root / "data/text/corpus"
    assert decode(read(directory, "train")[0]) == [text[:900]]
    assert decode(read(directory, "val")[0]) == [text[900:]]


def test_a_validation_part_that_says_little_is_warned_of(workspace: Workspace) -> None:
    folder = corpus_of(workspace, [f"{number} the thing\n" * 4_000 for number in range(3)])
    for values, said in (
        ({}, []),
        (
            {"val_fraction": 0.01, "dir_prefix": "less"},
            [
                (
                    "validation has only 843 tokens: its loss will vary by chance;"
                    " use more text, or a larger val_fraction than 0.01"
                )
            ],
        ),
        (
            {"val_tokens": 9, "dir_prefix": "nine"},
            ["validation has only 9 tokens: its loss will vary by chance; set a larger val_tokens"],
        ),
    ):
        events = prepare(workspace, config_of(folder, **values))
        told = [event for event in events if isinstance(event, Notice)]
        assert [event.message for event in told] == said
        assert {event.level for event in told} <= {"warning"}


def test_wide_vocabularies_are_written_as_uint32(workspace: Workspace) -> None:
    pairs = [bytes([left, right]) for left in range(256) for right in range(256)]
    folder = workspace.directory("tokenizer", "wide")
    folder.mkdir()
    wide = vocabulary(*pairs)
    wide.save(folder / "tokencoder.json")
    prepare(workspace, config_of(corpus_of(workspace, ["ab", "cd"]), tokenizer_path="wide"))
    directory = workspace.root / "data/text/corpus"
    assert np.load(directory / "train_000001.npy").dtype == np.uint32
    assert read(directory, "train") == [[65_792, wide.ranks[b"ab"]]]
    loader = TokenLoader(directory, "train", batch_size=1, context_len=1, seed=0)
    assert loader.next_batch().tolist() == [[65_792, wide.ranks[b"ab"]]]


def test_stdlib_is_prepared_with_the_tokenizer_that_ships(workspace: Workspace) -> None:
    config = DataConfig(ds_sample="docs")
    prepare(workspace, config)
    manifest = Manifest.load(workspace.directory_of(config))
    assert manifest.tokenizer.name == "base"
    documents = len(open_corpus("stdlib", sample="docs"))
    assert documents < manifest.documents <= 2 * documents
    assert 0.09 < manifest.val_bytes / manifest.text_bytes < 0.11
    assert 3 < manifest.train_bytes / manifest.train_tokens < 6


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 2500), min_size=1, max_size=8),
    max_tokens=st.none() | st.integers(2, 9000),
    fraction=st.sampled_from([0.1, 0.3, 0.5]),
    threads=st.integers(1, 3),
)
def test_shards_are_those_of_the_definition(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    max_tokens: int | None,
    fraction: float,
    threads: int,
) -> None:
    place = tmp_path_factory.mktemp("w")
    (place / "corpus").mkdir()
    home = Workspace(place / "home")
    home.directory("tokenizer", "small").mkdir(parents=True)
    SMALL.save(home.directory("tokenizer", "small") / "tokencoder.json")
    texts = [(" the x1" * size)[:size] for size in sizes]
    config = config_of(
        corpus_of(home, texts), shard_size=1000, max_tokens=max_tokens, val_fraction=fraction
    )
    expected = expected_shards(texts, max_tokens, fraction)
    if not all(expected):
        with pytest.raises(CorpusError, match="too short"):
            prepare(home, config, threads=threads)
        return
    prepare(home, config, threads=threads)
    directory = home.directory_of(config)
    assert (read(directory, "train"), read(directory, "val")) == expected


def sides(texts: list[str], fraction: float) -> tuple[list[str], list[str]]:
    """What of texts is for training and what for validation."""
    data = [text.encode() for text in texts]
    rule = Division(len(data), sum(map(len, data)), fraction)
    train, val = [], []
    for text in data:
        cut = rule.cut(len(text))
        # Between two characters.
        while cut and cut < len(text) and text[cut] & 0xC0 == 0x80:
            cut += 1
        train += [text[:cut].decode()] if cut != 0 else []
        val += [text[cut:].decode()] if cut is not None else []
    return train, val


def expected_shards(
    texts: list[str], max_tokens: int | None, fraction: float
) -> tuple[list[list[int]], list[list[int]]]:
    train, val = ([i for text in side for i in ids(text)] for side in sides(texts, fraction))
    bound = sum(map(len, texts)) + 2 * len(texts)
    limit = bound if max_tokens is None else min(max_tokens, bound)
    if limit < bound:
        val = val[: min(max(1, round(limit * fraction)), limit - 1)]
    return in_shards(train[: limit - len(val)]), in_shards(val)


def in_shards(tokens: list[int]) -> list[list[int]]:
    return [tokens[at : at + 1000] for at in range(0, len(tokens), 1000)]


def test_the_number_of_threads_and_the_place_change_nothing(workspace: Workspace) -> None:
    folder = corpus_of(workspace, [f"text {number} " * 2000 for number in range(60)])
    made = []
    for threads in (1, 2, 5):
        config = config_of(folder, shard_size=100_000, dir_prefix=f"t{threads}")
        prepare(workspace, config, threads=threads)
        made.append(files(workspace.directory_of(config)))
    assert made[0] == made[1] == made[2]
    assert len(made[0]) > 5


# --- progress --------------------------------------------------------------------------------


def test_progress_counts_the_bytes_of_the_text(workspace: Workspace) -> None:
    folder = corpus_of(workspace, ["the text\n" * 30_000] * 10)
    (folder / "image.png").write_bytes(b"\0")
    events = prepare(workspace, config_of(folder))
    assert [e.message for e in events if isinstance(e, Notice)] == [
        "1 binary file was left out: image.png"
    ]
    told = [event for event in events if isinstance(event, Progress)]
    assert [event.done for event in told] == sorted(event.done for event in told)
    assert told[0].done == 0
    assert told[-1].done == told[-1].total == 10 * 9 * 30_000
    assert {(event.phase, event.unit) for event in told} == {("tokenizing", "bytes")}
    manifest = Manifest.load(workspace.root / "data/text/corpus")
    tokens = manifest.train_tokens + manifest.val_tokens
    speed = told[-1].counts["tokens_per_second"]
    assert 0 < speed < 1e9
    assert told[-1].counts == {
        "tokens": tokens,
        "tokens_per_second": speed,
        "documents": 20,
        "bytes_in": 10 * 9 * 30_000,
        "bytes_out": 2 * tokens,
        "shards": 2,
        "retries": 0,
    }
    for earlier, later in itertools.pairwise(told):
        for key in ("tokens", "documents", "bytes_in", "bytes_out", "shards"):
            assert earlier.counts[key] <= later.counts[key]


def test_progress_goes_on_from_where_a_stopped_run_was(
    workspace: Workspace, calm: tuple[DataConfig, dict[str, str]]
) -> None:
    config = calm[0].model_copy(update={"dir_prefix": "again"})
    job = stepped(prepare_data, config, workspace)
    for event in job:
        if isinstance(event, Progress) and event.counts["shards"] == 4:
            job.close()
    events = events_of(prepare_data, config, workspace)
    told = [event for event in events if isinstance(event, Progress)]
    first, last = told[0].counts, told[-1].counts
    manifest = Manifest.load(workspace.directory_of(config))
    there = sum(shard.tokens for shard in manifest.shards[:4])
    assert (first["tokens"], first["bytes_out"], first["shards"]) == (there, 2 * there, 4)
    assert first["documents"] > 0
    manifest = Manifest.load(workspace.directory_of(config))
    assert last["documents"] == manifest.documents
    assert last["shards"] == len(manifest.shards)
    assert last["tokens"] == manifest.train_tokens + manifest.val_tokens


# --- interruptions ---------------------------------------------------------------------------


@pytest.fixture
def calm(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> tuple[DataConfig, dict[str, str]]:
    """A corpus of 11 shards with documents that are cut, with what it gives undisturbed."""
    monkeypatch.setattr(progress, "YIELD_SECONDS", 0.0)
    monkeypatch.setattr("talm_core.data.encoding.BATCH_CHARACTERS", 700)
    texts = [f"{number} the thing in\n" * (number * 37 % 200 + 1) for number in range(12)]
    config = config_of(corpus_of(workspace, texts), shard_size=1000, dir_prefix="calm")
    prepare(workspace, config)
    return config, files(workspace.directory_of(config))


def test_after_a_stop_anywhere_the_same_files_come_out(
    workspace: Workspace, calm: tuple[DataConfig, dict[str, str]]
) -> None:
    config = calm[0].model_copy(update={"dir_prefix": "stopped"})
    directory = workspace.directory_of(config)
    resumed = 0
    for stop in range(1, 40):
        job = stepped(prepare_data, config, workspace)
        first = next(job)
        assert isinstance(first, Started)
        before = len(list(directory.glob("*.npy")))
        assert first.resumed_from == (before or None)
        for _ in range(stop % 7 + 3):
            next(job, None)
        job.close()
        done = len(list(directory.glob("*.npy")))
        assert done >= before
        resumed += done > before > 0
        if (directory / "manifest.json").exists():
            break
    assert resumed > 3
    prepare(workspace, config)
    assert files(directory) == calm[1]


def test_after_a_kill_anywhere_the_same_files_come_out(
    workspace: Workspace, calm: tuple[DataConfig, dict[str, str]]
) -> None:
    config = calm[0].model_copy(update={"dir_prefix": "killed"})
    directory = workspace.directory_of(config)
    script = (
        "import sys\n"
        "from talm_core.jobs.dataset.config import DataConfig\n"
        "from talm_core.data import encoding, progress\n"
        "from talm_core.jobs.dataset import job\n"
        "from talm_core.runtime.context import Foreground\n"
        "from talm_core.storage.workspace import Workspace\n"
        "progress.YIELD_SECONDS, encoding.BATCH_CHARACTERS = 0.0, 700\n"
        "config = DataConfig.model_validate_json(sys.argv[1])\n"
        "workspace = Workspace(sys.argv[2])\n"
        "told = lambda event: print(type(event).__name__, flush=True)\n"
        "context = Foreground(workspace, workspace.directory_of(config), told)\n"
        "context.drive(lambda ctx: job.prepare_data(ctx, config))\n"
    )
    command = [sys.executable, "-c", script, config.model_dump_json(), str(workspace.root)]
    for lines in (4, 9, 6):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(lines):
                assert process.stdout.readline() != b"Finished\n"
            process.send_signal(signal.SIGKILL)
    assert any(directory.glob("*.npy"))
    assert not (directory / "manifest.json").exists()
    prepare(workspace, config)
    assert files(directory) == calm[1]


def test_shards_of_another_corpus_or_tokenizer_are_neither_gone_on_with_nor_lost(
    workspace: Workspace, calm: tuple[DataConfig, dict[str, str]]
) -> None:
    config = calm[0].model_copy(update={"dir_prefix": "changed"})
    directory = workspace.directory_of(config)
    job = stepped(prepare_data, config, workspace)
    for _ in range(20):
        next(job)
    job.close()
    made = files(directory)
    assert len(made) > 3
    path = Path(config.path[0]) / "0003.txt"
    before = path.stat()
    path.write_text(path.read_text().replace("the", "The"))
    with pytest.raises(ArtifactError, match=r"text = .* were made with another: .*dir_prefix"):
        prepare(workspace, config)
    path.write_text(path.read_text().replace("The", "the"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ArtifactError) as caught:
        prepare(
            workspace,
            config.model_copy(update={"tokenizer_path": "base", "shard_size": 1500}),
        )
    assert [problem.key for problem in caught.value.problems] == ["shard_size", "tokenizer_path"]
    assert files(directory) == made
    prepare(workspace, config)
    assert files(directory) == calm[1]


@pytest.mark.parametrize("name", ["val_000001.npy", "position.json"])
def test_damaged_leftovers_are_made_again(
    workspace: Workspace, calm: tuple[DataConfig, dict[str, str]], name: str
) -> None:
    config = calm[0].model_copy(update={"dir_prefix": "damaged"})
    directory = workspace.directory_of(config)
    job = stepped(prepare_data, config, workspace)
    for _ in range(20):
        next(job)
    job.close()
    (directory / name).write_bytes(b"{}")
    prepare(workspace, config)
    assert files(directory) == calm[1]


def test_what_a_newer_talm_has_begun_is_left_to_it(workspace: Workspace) -> None:
    config = config_of(corpus_of(workspace, ["the text\n" * 900] * 4), shard_size=1000)
    directory = workspace.directory_of(config)
    prepare(workspace, config)
    path = directory / "position.json"
    path.write_text(path.read_text().replace('"version": 3', '"version": 4'))
    made = files(directory)
    with pytest.raises(ArtifactError, match=r"position\.json: version 4 is from a newer talm"):
        prepare(workspace, config)
    assert files(directory) == made


def test_a_stopped_small_corpus_leaves_nothing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "YIELD_SECONDS", 0.0)
    config = config_of(corpus_of(workspace, ["the text\n" * 30_000] * 10))
    for stop in (1, 3, 8):
        job = stepped(prepare_data, config, workspace)
        for _ in range(stop):
            next(job)
        job.close()
        assert list(workspace.directory_of(config).iterdir()) == []


# --- what cannot be done ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, 1_000_000])
def test_a_file_that_is_not_utf8_leaves_nothing_half_made(workspace: Workspace, size: int) -> None:
    folder = corpus_of(workspace, ["text " * 1000] * 8)
    (folder / "0005.txt").write_bytes(b"x" * 20_000 + b"\xff")
    config = config_of(folder, shard_size=size)
    with pytest.raises(CorpusError, match=r"0005\.txt: is not UTF-8: byte 20,000 is 0xff"):
        prepare(workspace, config)
    assert list(workspace.directory_of(config).iterdir()) == []


def test_a_missing_or_unfit_tokenizer_is_named(workspace: Workspace) -> None:
    folder = corpus_of(workspace, ["text", "more"])
    with pytest.raises(ArtifactError, match="tokenizer_path = 'smal'"):
        prepare(workspace, config_of(folder, tokenizer_path="smal"))
    no_end = workspace.directory("tokenizer", "noend")
    no_end.mkdir()
    Vocabulary("noend", DEFAULT, SMALL.ranks, {}).save(no_end / "tokencoder.json")
    with pytest.raises(ArtifactError, match="noend: has no special token"):
        prepare(workspace, config_of(folder, tokenizer_path="noend"))


def test_too_little_room_is_told_before_starting(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("talm_core.data.disk_space.RESERVE_BYTES", 0)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(1, 1, 2_000_000))
    config = config_of(corpus_of(workspace, ["x" * 4_000_000]))
    with pytest.raises(WorkspaceError, match="has 2 MB free, the dataset may need 4 MB"):
        prepare(workspace, config)
    prepare(workspace, config.model_copy(update={"max_tokens": 900_000}))


def test_a_disk_that_becomes_full_keeps_what_is_complete(
    workspace: Workspace, calm: tuple[DataConfig, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = calm[0].model_copy(update={"dir_prefix": "full"})
    directory = workspace.directory_of(config)
    append = shards._Growing.append
    left = [9]

    def full(self: shards._Growing, tokens: shards.Tokens) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(self, tokens)

    with monkeypatch.context() as patch:
        patch.setattr(shards._Growing, "append", full)
        with pytest.raises(RunError, match="the disk is full: make room"):
            prepare(workspace, config)
    names = set(files(directory))
    assert "val_000001.npy" in names
    assert not [name for name in names if name.startswith(".tmp")]
    assert len(json.loads((directory / "position.json").read_text())["shards"]) == len(names) - 1
    prepare(workspace, config)
    assert files(directory) == calm[1]


# --- rows and archives -----------------------------------------------------------------------


def test_rows_and_archives_give_what_plain_files_give(workspace: Workspace) -> None:
    texts = ["the thing\n\n", "", "in there é", "x" * 500, "<|endoftext|>", "and the end"] * 3
    plain = corpus_of(workspace, [text or "?" for text in texts])
    rows = workspace.root.parent / "rows"
    rows.mkdir()
    packed = "".join(json.dumps({"body": text or "?"}) + "\n" for text in texts[:7])
    (rows / "a.jsonl.gz").write_bytes(gzip.compress(packed.encode()))
    column = pa.table({"body": [text or "?" for text in texts[7:17]]})
    pq.write_table(column, rows / "b.parquet", row_group_size=4)
    (rows / "c.txt.zst").write_bytes(zstandard.ZstdCompressor().compress(texts[17].encode()))
    for values in ({}, {"shard_size": 1_000}, {"max_tokens": 100}):
        found = []
        for number, folder in enumerate((plain, rows)):
            config = config_of(folder, text_field="body", ds_sample=f"{number}", **values)
            prepare(workspace, config)
            directory = workspace.directory_of(config)
            found.append([read(directory, split) for split in ("train", "val")])
            for path in directory.iterdir():
                path.unlink()
        assert found[0] == found[1]


def test_rows_are_gone_on_with_where_a_shard_ended(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = workspace.root.parent / "rows"
    folder.mkdir()
    source = random.Random(4)
    for part in range(3):
        texts = ["".join(source.choices("theinx \n", k=source.randint(0, 90))) for _ in range(70)]
        rows = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (folder / f"{part}.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    monkeypatch.setattr("talm_core.data.encoding.BATCH_CHARACTERS", 300)
    whole = config_of(folder, ds_sample="whole", shard_size=1_000)
    prepare(workspace, whole)
    for stop_after in (1, 2, 4):
        config = config_of(folder, ds_sample=f"parts{stop_after}", shard_size=1_000)
        resumed = 0
        for _ in range(99):
            events = preparing(config, workspace, threads=1)
            directory = workspace.directory_of(config)
            had = len(list(directory.glob("*.npy")))
            for event in events:
                if isinstance(event, Started):
                    resumed += bool(event.resumed_from)
                if len(list(directory.glob("*.npy"))) >= had + stop_after:
                    events.close()
                    break
                if isinstance(event, Finished):
                    break
            if (directory / "manifest.json").exists():
                break
        assert (
            files(directory).items()
            >= {
                name: digest
                for name, digest in files(workspace.directory_of(whole)).items()
                if name.endswith(".npy")
            }.items()
        )


def test_a_damaged_row_ends_a_preparation_before_it_writes(workspace: Workspace) -> None:
    folder = workspace.root.parent / "rows"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"text": "fine"}\n' * 500 + '{"text": 3}\n')
    config = config_of(folder)
    with pytest.raises(CorpusError, match=r"a\.jsonl: line 501: field 'text' holds a number"):
        prepare(workspace, config)
    assert list(workspace.directory_of(config).iterdir()) == []
