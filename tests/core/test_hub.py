"""Datasets of the Hub against a server on this machine, with the real libraries between."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from talm_core.data import progress, sources
from talm_core.data.hub import blocks
from talm_core.data.hub import parquet as hub_parquet
from talm_core.data.hub.network import Patience
from talm_core.data.manifest import Manifest
from talm_core.errors import (
    ArtifactError,
    ConfigError,
    CorpusError,
    InputError,
    RunError,
    WorkspaceError,
)
from talm_core.jobs.dataset import show as dataset_show
from talm_core.jobs.dataset.config import DataConfig
from talm_core.runtime import runner
from talm_core.runtime.events import Event, Failed, Finished, Notice, Started
from talm_core.runtime.journal import last_record
from talm_core.storage.workspace import Workspace
from tests.core.driving import prepared, preparing, run_events, stepped_run
from tests.core.hub_server import SHA, Fault, HubServer, Repo, parquet, serving
from tests.core.test_preparation import SMALL, decode, files, ids, read

HASTY = Patience(pauses=(0.01,) * 4, silence=5)
ID = "someone/some-thing"
CONFIG = DataConfig(source="hub", dataset=ID, tokenizer_path="small", shard_size=1000)


@pytest.fixture(scope="module")
def running() -> Iterator[HubServer]:
    with serving() as server:
        yield server


@pytest.fixture
def server(running: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """A server with nothing on it, and blocks and batches so small that there are many."""
    running.repos.clear()
    running.faults.clear()
    running.answers.clear()
    running.asked.clear()
    running.tokens.clear()
    running.parts.clear()
    running.bytes_sent = 0
    make_small(running, monkeypatch)
    return running


def make_small(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1024)
    monkeypatch.setattr("talm_core.data.encoding.BATCH_CHARACTERS", 700)
    monkeypatch.setattr(hub_parquet, "HERITAGE", f"{server.url}/content/")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return made_workspace(tmp_path / "home")


def made_workspace(root: Path) -> Workspace:
    home = Workspace(root)
    folder = home.directory("tokenizer", "small")
    folder.mkdir(parents=True)
    SMALL.save(folder / "tokencoder.json")
    return home


def texts(file: int, rows: int = 60) -> list[str]:
    return [f"{file}.{row} the thing in\n" * (row * 37 % 13 + 1) for row in range(rows)]


def some_thing(**values: Any) -> Repo:
    parts = {f"data/train-{n:05}.parquet": parquet(texts(n)) for n in range(3)}
    return Repo(files=parts | {"data/test-00000.parquet": parquet(["a test"] * 9)}, **values)


TRAIN = [text for file in range(3) for text in texts(file)]


def prepare(workspace: Workspace, config: DataConfig, **values: Any) -> list[Event]:
    return prepared(config, workspace, threads=2, **({"patience": HASTY} | values))


def stream_of(directory: Path) -> list[int]:
    return [
        token for split in ("val", "train") for part in read(directory, split) for token in part
    ]


@pytest.fixture(scope="module")
def calm_files(running: HubServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        make_small(running, monkeypatch)
        running.repos[ID] = some_thing()
        home = made_workspace(tmp_path_factory.mktemp("calm"))
        prepare(home, CONFIG)
    directory = home.directory_of(CONFIG)
    assert stream_of(directory) == [token for text in TRAIN for token in ids(text)]
    assert len(read(directory, "train")) > 5
    return files(directory)


@pytest.fixture
def calm(calm_files: dict[str, str], server: HubServer) -> dict[str, str]:
    """What a good network gives of the dataset that is served now."""
    server.repos[ID] = some_thing()
    return calm_files


def test_a_hub_that_tells_no_commit_is_said(server: HubServer, workspace: Workspace) -> None:
    server.repos[ID] = dataclasses.replace(some_thing(), sha=None)  # type: ignore[arg-type]
    with pytest.raises(CorpusError, match="does not say which commit it is"):
        prepare(workspace, CONFIG)


# --- what is read ----------------------------------------------------------------------------


def test_a_dataset_is_read_file_by_file_and_says_where_it_is_from(
    server: HubServer, workspace: Workspace, calm: dict[str, str]
) -> None:
    events = prepare(workspace, CONFIG)
    directory = workspace.directory_of(CONFIG)
    assert directory == workspace.root / "data/hub/someone--some-thing"
    assert files(directory) == calm
    manifest = Manifest.load(directory)
    assert (manifest.dataset, manifest.revision) == (ID, server.repos[ID].sha)
    assert (manifest.documents, manifest.val_tokens) == (180, 1000)
    assert manifest.train_bytes + manifest.val_bytes == sum(map(len, TRAIN))
    assert isinstance(events[-1], Finished)


CARD = {
    "configs": [
        {
            "config_name": "one",
            "data_files": [
                {"split": "train", "path": "x/a-*.parquet"},
                {"split": "test", "path": ["x/b.parquet", "x/y/*.parquet"]},
            ],
        },
        {"config_name": "two", "data_files": "two/**"},
        {"config_name": "default", "data_files": "x/b.parquet"},
    ]
}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"subset": "one"}, ["x/a-1", "x/a-2"]),
        ({"subset": "one", "split": "test"}, ["x/b", "x/y/c"]),
        ({"subset": "two"}, ["two/d", "two/z/e"]),
        ({}, ["x/b"]),
    ],
)
def test_the_card_says_which_files_are_which(
    server: HubServer, workspace: Workspace, values: dict[str, Any], expected: list[str]
) -> None:
    names = ["x/a-1", "x/a-2", "x/b", "x/y/c", "two/d", "two/z/e"]
    parts = {f"{name}.parquet": parquet([f"from {name}"] * 2) for name in names}
    server.repos[ID] = Repo(files=parts, card=CARD)
    config = CONFIG.model_copy(update=values)
    prepare(workspace, config)
    found = decode(stream_of(workspace.directory_of(config))[::-1][::-1])
    assert sorted(set(found)) == [f"from {name}" for name in expected]
    # Only the folders those lie in were listed.
    listed = {path.rpartition("/tree/")[2][41:] for path in server.asked if "/tree/" in path}
    assert listed <= {name.split("/")[0] for name in expected} | {"x/y"}


def test_the_default_of_the_card_is_read_and_where_there_is_none_that_is_said(
    server: HubServer, workspace: Workspace
) -> None:
    configs: list[dict[str, Any]] = [
        {"config_name": name, "data_dir": name} for name in ("en", "fr", "it")
    ]
    parts = {f"{name}/train-0.parquet": parquet([f"from {name}"] * 2) for name in ("en", "fr")}
    parts["en/test.parquet"] = parquet(["a test"] * 2)
    server.repos[ID] = Repo(files=parts, card={"configs": configs})
    told = [e for e in prepare(workspace, CONFIG) if isinstance(e, Notice)]
    said = f"{ID} has the subsets en, fr, it, and none is the default: en is read;"
    assert [(event.level, event.message) for event in told] == [
        ("info", f"{said} subset chooses another")
    ]
    assert set(decode(stream_of(workspace.directory_of(CONFIG)))) == {"from en"}
    configs[1]["default"] = True
    config = CONFIG.model_copy(update={"ds_sample": "other"})
    assert not [e for e in prepare(workspace, config) if isinstance(e, Notice)]
    assert set(decode(stream_of(workspace.directory_of(config)))) == {"from fr"}


def test_a_dataset_in_another_format_is_read_from_the_hubs_copy(
    server: HubServer, workspace: Workspace
) -> None:
    server.repos[ID] = Repo(
        files={"data.jsonl": b"{}"},
        converted={
            "default/train/0000.parquet": parquet(["one", "two"]),
            "default/partial-test/0000.parquet": parquet(["a", "b", "c"]),
        },
    )
    prepare(workspace, CONFIG)
    assert decode(read(workspace.directory_of(CONFIG), "train")[0]) == ["one"]
    config = CONFIG.model_copy(update={"split": "test"})
    prepare(workspace, config)
    assert Manifest.load(workspace.directory_of(config)).documents == 3
    server.repos[ID].converted = None
    with pytest.raises(CorpusError, match="has no parquet files, and the Hub has made none"):
        prepare(workspace, CONFIG.model_copy(update={"ds_sample": "none"}))


def test_empty_texts_are_documents_and_missing_ones_are_counted(
    server: HubServer, workspace: Workspace
) -> None:
    rows = ["a", None, "", "b\r\n", None, "日本語", ""]
    server.repos[ID] = Repo(files={"x.parquet": parquet(rows, column="content", group=2)})
    config = CONFIG.model_copy(update={"text_field": "content"})
    events = prepare(workspace, config)
    directory = workspace.directory_of(config)
    stream = read(directory, "train")[0] + read(directory, "val")[0]
    assert decode(stream) == ["a", "", "b\r\n", "日本語", ""]
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert notices[0] == "2 rows without a text left out"
    assert notices[1].startswith("validation has only 1 token: ")
    assert Manifest.load(directory).left_out == 2


def test_rows_without_a_text_are_counted_over_interruptions_and_up_to_the_end(
    server: HubServer, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [None if row % 3 else text for row, text in enumerate(texts(0) * 3)]
    server.repos[ID] = Repo(files={f"{n}.parquet": parquet(rows, group=7) for n in range(2)})
    kept = [text for text in rows if text is not None] * 2
    whole = CONFIG.model_copy(update={"dir_prefix": "whole"})
    prepare(workspace, whole)
    expected = files(workspace.directory_of(whole))
    manifest = Manifest.load(workspace.directory_of(whole))
    assert (manifest.documents, manifest.left_out) == (120, 240)
    assert len(manifest.shards) > 6
    part = CONFIG.model_copy(update={"max_tokens": 2_500})
    prepare(workspace, part)
    # The document in which they end is the last that begins before.
    begins = np.cumsum([0] + [len(ids(text)) for text in kept])
    last = int(np.flatnonzero(begins < 2_500)[-1])
    assert Manifest.load(workspace.directory_of(part)).left_out == 2 * last
    monkeypatch.setattr(progress, "YIELD_SECONDS", 0.0)
    for _ in range(2):
        job = preparing(CONFIG, workspace, threads=2, patience=HASTY)
        before = next(job)
        assert isinstance(before, Started)
        while len(list(workspace.directory_of(CONFIG).glob("*.npy"))) == before.resumed_from:
            next(job, None)
        job.close()
    prepare(workspace, CONFIG)
    assert files(workspace.directory_of(CONFIG)) == expected


def test_the_samples_of_the_table_are_found_without_listing_the_rest(
    server: HubServer, workspace: Workspace
) -> None:
    for source in sources.SOURCES.values():
        if not isinstance(source, sources.HubSource) or not source.dataset:
            continue
        repo = server.repos[source.dataset] = Repo(files={"dump/0.parquet": b"not for us"})
        for sample in source.samples:
            rows = [f"{sample.name} {row}" for row in range(5)]
            column = "text"
            if isinstance(sample, sources.HeritageSample):
                rows, column = [server.add_blob(row) for row in rows], "blob_id"
            folder = sample.files.rpartition("/")[0]
            name = "train-0.parquet" if "train" in sample.files else "000.parquet"
            repo.files[f"{folder}/{name}"] = parquet(rows, column=column)
        for sample in source.samples:
            values = {"source": source.name, "ds_sample": sample.name}
            config = DataConfig.model_validate(values | {"tokenizer_path": "small"})
            prepare(workspace, config)
            directory = workspace.directory_of(config)
            stream = read(directory, "train")[0] + read(directory, "val")[0]
            assert decode(stream) == [f"{sample.name} {row}" for row in range(5)]
    listed = {path.rpartition("/tree/")[2] for path in server.asked if "/tree/" in path}
    assert all("/" in path for path in listed)


def test_what_software_heritage_does_not_have_is_counted(
    server: HubServer, workspace: Workspace
) -> None:
    rows: list[str | None] = [server.add_blob(f"print({row})\n") for row in range(30)]
    rows[7], rows[8], rows[20] = "0" * 40, "../../etc/passwd", None
    server.repos["HuggingFaceTB/smollm-corpus"] = Repo(
        files={"python-edu/0.parquet": parquet(rows, column="blob_id")}
    )
    server.faults = [Fault(503, "/content/", 3), Fault("short", "/content/", 2)]
    config = DataConfig(source="smol", ds_sample="python-edu", tokenizer_path="small")
    last = prepare(workspace, config)[-1]
    directory = workspace.directory_of(config)
    stream = read(directory, "train")[0] + read(directory, "val")[0]
    kept = [row for row in range(30) if row not in (7, 8, 20)]
    assert decode(stream) == [f"print({row})\n" for row in kept]
    assert isinstance(last, Finished)
    assert last.summary["left_out"] == 3
    assert ("left out", "3 rows without a text") in dataset_show._rows(Manifest.load(directory))


def test_a_single_file_is_checked_by_its_checksum(
    server: HubServer, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "First Citizen:\nBefore we proceed any further, hear me speak.\n" * 20
    server.plain["input.txt"] = text.encode()
    source = sources.SOURCES["tiny-shakespeare"]
    assert isinstance(source, sources.FileSource)
    import hashlib

    known = dataclasses.replace(
        source,
        url=f"{server.url}/plain/input.txt",
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )
    monkeypatch.setitem(sources.SOURCES, source.name, known)
    server.faults = [Fault(503, "/plain/"), Fault("short", "/plain/"), Fault("reset", "/plain/")]
    config = DataConfig(source="tiny-shakespeare", tokenizer_path="small")
    prepare(workspace, config)
    directory = workspace.directory_of(config)
    assert decode(read(directory, "train")[0])[0] + decode(read(directory, "val")[0])[0] == text
    asked = len(server.asked)
    prepare(workspace, config.model_copy(update={"dir_prefix": "again"}))
    assert len(server.asked) == asked
    server.plain["input.txt"] = b"something else"
    (workspace.root / "corpora/tiny-shakespeare.txt").unlink()
    with pytest.raises(RunError, match=r"has the checksum .*, not .*check the network"):
        prepare(workspace, config.model_copy(update={"dir_prefix": "other"}))


STREAMING = """
from datasets import load_dataset
rows = load_dataset("someone/some-thing", name="all", split="train", streaming=True)
for row in rows:
    print(repr(row["text"]))
"""


@pytest.mark.slow
def test_what_is_read_is_what_datasets_streams(
    server: HubServer, workspace: Workspace, tmp_path: Path
) -> None:
    splits = [{"split": "train", "path": "data/train-*.parquet"}]
    server.repos[ID] = some_thing(card={"configs": [{"config_name": "all", "data_files": splits}]})
    environment = os.environ | {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf")}
    command = [sys.executable, "-c", STREAMING]
    streamed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    prepare(workspace, CONFIG)
    found = decode(stream_of(workspace.directory_of(CONFIG)))
    assert found == TRAIN
    assert [repr(text) for text in found] == streamed.stdout.splitlines()


# --- faults that pass ------------------------------------------------------------------------

PASSING = {
    "429": Fault(429, times=3, headers={"Retry-After": "0"}),
    "503": Fault(503, times=3),
    "500 for the listing": Fault(500, "/tree/", 2),
    "429 for a file": Fault(429, "/resolve/", 3, {"RateLimit": '"api";r=0;t=0'}),
    "reset": Fault("reset", times=3),
    "reset in a file": Fault("reset", "/resolve/", 3),
    "less than announced": Fault("short", "/resolve/", 3),
    "a file cut short": Fault("cut", "/resolve/", 3),
}


@pytest.mark.parametrize("name", PASSING)
def test_a_fault_that_passes_changes_nothing(
    server: HubServer, workspace: Workspace, calm: dict[str, str], name: str
) -> None:
    server.faults = [dataclasses.replace(PASSING[name])]
    events = prepare(workspace, CONFIG)
    assert files(workspace.directory_of(CONFIG)) == calm
    assert server.faults[0].times == 0
    told = [event for event in events if isinstance(event, Notice)]
    assert told
    assert all(event.level == "warning" and "retrying in 0" in event.message for event in told)


def test_faults_all_along_change_nothing(
    server: HubServer, workspace: Workspace, calm: dict[str, str]
) -> None:
    kinds: list[str | int] = ["reset", 503, "short", 429, "cut"]
    server.faults = [Fault(kinds[n % 5], rf"/resolve/.*{n % 3}\.parquet", 2) for n in range(15)]
    prepare(workspace, CONFIG, patience=dataclasses.replace(HASTY, pauses=(0.001,) * 40))
    assert files(workspace.directory_of(CONFIG)) == calm
    assert not any(fault.times for fault in server.faults)


def test_a_server_that_stalls_is_left_after_its_silence(
    server: HubServer, workspace: Workspace, calm: dict[str, str]
) -> None:
    server.faults = [Fault("stall", "/revision/"), Fault("stall", "/resolve/.*1.parquet")]
    events = prepare(workspace, CONFIG, patience=Patience(pauses=(0.01,) * 4, silence=0.3))
    assert files(workspace.directory_of(CONFIG)) == calm
    messages = [event.message for event in events if isinstance(event, Notice)]
    assert messages == ["127.0.0.1 does not answer: retrying in 0.01 s (try 2 of 5)"] * 2


# --- faults that do not ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [503, "reset", "cut"])
def test_after_the_last_try_what_is_done_is_kept_and_gone_on_with(
    server: HubServer, workspace: Workspace, calm: dict[str, str], kind: str | int
) -> None:
    server.faults = [Fault(kind, r"/resolve/.*2\.parquet", 10**6)]
    with pytest.raises(RunError, match="5 times in a row: check the network, then run the same"):
        prepare(workspace, CONFIG)
    directory = workspace.directory_of(CONFIG)
    done = len(list(directory.glob("*.npy")))
    assert done > 3
    server.faults = []
    server.asked.clear()
    first = next(iter(prepare(workspace, CONFIG)))
    assert isinstance(first, Started)
    assert first.resumed_from == done
    assert files(directory) == calm
    # What was there is not fetched again, and nothing is listed again.
    assert not [path for path in server.asked if "00000.parquet" in path or "/tree/" in path]


def test_a_resumed_one_goes_on_with_the_commit_it_began_with(
    server: HubServer, workspace: Workspace, calm: dict[str, str]
) -> None:
    server.faults = [Fault(503, r"/resolve/.*1\.parquet", 10**6)]
    with pytest.raises(RunError):
        prepare(workspace, CONFIG)
    server.faults = []
    old = server.repos[ID]
    moved = Repo(files={"data/train-00000.parquet": parquet(["new"])}, sha="f" * 40)
    at = moved.at
    moved.at = lambda revision: old.files if revision == old.sha else at(revision)  # type: ignore[method-assign]
    server.repos[ID] = moved
    prepare(workspace, CONFIG)
    assert files(workspace.directory_of(CONFIG)) == calm


def test_a_server_that_asks_for_an_hour_is_not_waited_for(
    server: HubServer, workspace: Workspace
) -> None:
    server.repos[ID] = some_thing()
    server.faults = [Fault(429, headers={"Retry-After": "3600"})]
    with pytest.raises(RunError, match="429, too many requests and asks to wait 60 minutes"):
        prepare(workspace, CONFIG)


def test_a_server_may_name_the_time_it_is_to_be_asked_again(
    server: HubServer, workspace: Workspace
) -> None:
    server.repos[ID] = some_thing()
    past = "Wed, 21 Oct 2015 07:28:00 GMT"
    server.faults = [Fault(503, headers={"Retry-After": past})]
    events = prepared(CONFIG, workspace, patience=Patience(pauses=(3_600,)))
    told = [event.message for event in events if isinstance(event, Notice)]
    assert any("retrying in 0 s" in message for message in told)
    later = format_datetime(datetime.now(UTC) + timedelta(hours=2, seconds=20), usegmt=True)
    server.faults = [Fault(503, headers={"Retry-After": later})]
    with pytest.raises(RunError, match="503, not available and asks to wait 120 minutes"):
        prepare(made_workspace(workspace.root / "other"), CONFIG)


def test_a_host_that_does_not_exist_is_told(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    job = preparing(CONFIG, workspace, patience=Patience(pauses=(0.01,)))
    events: list[Event] = []
    with pytest.raises(RunError, match=r"hub\.invalid cannot be reached \(.+\), 2 times in a row"):
        events.extend(job)


@pytest.mark.parametrize("fault", [Fault(503, times=99), Fault("stall", times=99)])
def test_a_stop_is_heard_at_once_whatever_is_waited_for(
    server: HubServer, workspace: Workspace, calm: dict[str, str], fault: Fault
) -> None:
    server.faults = [dataclasses.replace(fault, path=r"/resolve/.*1\.parquet")]
    patience = Patience(pauses=(3_600,), silence=3_600)
    job = preparing(CONFIG, workspace, patience=patience)
    # Until the fault has been met and all that there was is written. What a busy machine adds is
    # little beside an hour.
    quiet, made = 0, -1
    while quiet < 4:
        began = time.monotonic()
        next(job)
        assert time.monotonic() - began < 60
        now = len(list(workspace.directory_of(CONFIG).glob("*.npy")))
        met = server.faults[0].times < 99
        quiet, made = (quiet + 1 if met and now == made else 0), now
    began = time.monotonic()
    job.close()
    assert time.monotonic() - began < 60
    server.faults = []
    prepare(workspace, CONFIG)
    assert files(workspace.directory_of(CONFIG)) == calm


# --- what the user can mend ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "key", "message"),
    [
        (
            {"dataset": "someone/some-thin"},
            "dataset",
            "no such dataset .*mean 'someone/some-thing'",
        ),
        ({"revision": "v2"}, "revision", "has no such revision"),
        ({"subset": "en"}, "subset", "there is no such subset .*known: default"),
        ({"split": "tset"}, "split", "there is no such split .*did you mean 'test'"),
        ({"text_field": "txt"}, "text_field", "has no such column .*did you mean 'text'"),
        ({"text_field": "score"}, "text_field", "is double in .*, not text"),
    ],
)
def test_what_is_not_there_is_named_with_the_nearest_that_is(
    server: HubServer, workspace: Workspace, values: dict[str, Any], key: str, message: str
) -> None:
    server.repos[ID] = some_thing()
    with pytest.raises(CorpusError, match=message) as caught:
        prepare(workspace, CONFIG.model_copy(update=values))
    assert [problem.key for problem in caught.value.problems] == [key]


def test_a_gated_dataset_says_how_to_get_in(
    server: HubServer, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.repos[ID] = some_thing(gated=True)
    page = f"{server.url}/datasets/{ID}"
    with pytest.raises(CorpusError, match=f"is gated .ask for access at {page}, then set HF_TOKEN"):
        prepare(workspace, CONFIG)
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(CorpusError, match=f"is gated .ask for access at {page}"):
        prepare(workspace, CONFIG)
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    prepare(workspace, CONFIG)
    assert Manifest.load(workspace.directory_of(CONFIG)).documents == 180


# --- offline ---------------------------------------------------------------------------------

OFFLINE = "huggingface_hub.constants.HF_HUB_OFFLINE"


def test_offline_what_was_never_asked_for_is_refused(
    server: HubServer, workspace: Workspace, calm: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OFFLINE, True)
    with pytest.raises(RunError, match="HF_HUB_OFFLINE forbids it: unset it and run the same"):
        prepare(workspace, CONFIG)
    assert server.asked == []


def test_offline_another_tokenizer_reads_the_text_that_is_here(
    server: HubServer, workspace: Workspace, calm: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(workspace, CONFIG)
    server.asked.clear()
    monkeypatch.setattr(OFFLINE, True)
    again = CONFIG.model_copy(update={"dir_prefix": "again"})
    told = [event.message for event in prepare(workspace, again) if isinstance(event, Notice)]
    known = f"{ID} is taken as it was known, at {SHA[:12]}"
    assert told == [f"the network is needed and HF_HUB_OFFLINE forbids it: {known}"]
    assert files(workspace.directory_of(again)) == calm
    with pytest.raises(RunError, match="HF_HUB_OFFLINE forbids it"):
        prepare(workspace, CONFIG.model_copy(update={"split": "test"}))
    assert server.asked == []


def test_offline_reading_goes_as_far_as_what_is_here_and_says_how_far(
    server: HubServer, workspace: Workspace, calm: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(workspace, CONFIG.model_copy(update={"dir_prefix": "before"}))
    for path in (workspace.root / "corpora").rglob("*train-00002.parquet*"):
        path.unlink()
    everything = [token for text in TRAIN for token in ids(text)]
    tokens = len([token for text in TRAIN[:120] for token in ids(text)])
    directory = workspace.directory_of(CONFIG)
    server.asked.clear()
    with monkeypatch.context() as off:
        off.setattr(OFFLINE, True)
        with pytest.raises(RunError, match=f"HF_HUB_OFFLINE .* max_tokens = {tokens} asks for"):
            prepare(workspace, CONFIG)
        assert len(list(directory.glob("*.npy"))) == tokens // 1000 > 3
        # Going on reads what is here once more, and ends where it ends.
        with pytest.raises(RunError, match=f"max_tokens = {tokens} asks for"):
            prepare(workspace, CONFIG)
        enough = CONFIG.model_copy(update={"max_tokens": tokens, "dir_prefix": "enough"})
        prepare(workspace, enough)
        assert stream_of(workspace.directory_of(enough)) == everything[:tokens]
        assert server.asked == []
    prepare(workspace, CONFIG)
    assert files(directory) == calm


def test_a_hub_that_was_turned_off_is_done_without(
    workspace: Workspace, calm: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as other:
        other.repos[ID] = some_thing()
        monkeypatch.setenv("HF_ENDPOINT", other.url)
        begun = CONFIG.model_copy(update={"dir_prefix": "begun"})
        with monkeypatch.context() as often:
            often.setattr(progress, "YIELD_SECONDS", 0.0)
            job = preparing(begun, workspace, threads=2, patience=HASTY)
            while len(list(workspace.directory_of(begun).glob("*.npy"))) < 3:
                next(job)
            job.close()
        prepare(workspace, CONFIG.model_copy(update={"dir_prefix": "whole"}))
    # One that was begun asks nothing; a new one tries to, and not for long.
    assert not [event for event in prepare(workspace, begun) if isinstance(event, Notice)]
    assert files(workspace.directory_of(begun)) == calm
    patience = Patience(pauses=(0.01,) * 3 + (3_600,))
    events = prepare(workspace, CONFIG, patience=patience)
    told = [event.message for event in events if isinstance(event, Notice)]
    assert len(told) == 4
    assert told[-1].endswith(f"4 times in a row: {ID} is taken as it was known, at {SHA[:12]}")
    assert files(workspace.directory_of(CONFIG)) == calm


def test_less_text_than_is_to_be_kept_for_validation_is_told(
    server: HubServer, workspace: Workspace
) -> None:
    server.repos[ID] = Repo(files={"a.parquet": parquet(["the thing"] * 10)})
    with pytest.raises(ConfigError, match="val_tokens = 500: the text has only 60 tokens"):
        prepare(workspace, CONFIG.model_copy(update={"val_tokens": 500}))
    server.repos[ID] = Repo(files={"a.parquet": parquet([])})
    with pytest.raises(CorpusError, match="has no text"):
        prepare(workspace, CONFIG.model_copy(update={"ds_sample": "empty"}))


def test_a_damaged_file_is_fetched_anew(server: HubServer, workspace: Workspace) -> None:
    server.repos[ID] = some_thing()
    good = server.repos[ID].files["data/train-00001.parquet"]
    server.repos[ID].files["data/train-00001.parquet"] = good[:3000] + b"\0" * 500 + good[3500:]
    with pytest.raises(RunError, match=r"train-00001\.parquet .* is damaged: .* fetch it anew"):
        prepare(workspace, CONFIG)
    server.repos[ID].files["data/train-00001.parquet"] = good
    prepare(workspace, CONFIG)
    assert stream_of(workspace.directory_of(CONFIG)) == [i for text in TRAIN for i in ids(text)]


# --- how much is fetched and kept ------------------------------------------------------------


def test_only_what_is_needed_is_fetched_and_only_once(
    server: HubServer, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow what follows is, no more than some rows are read ahead of it.
    monkeypatch.setattr(hub_parquet, "_ROWS", 4)
    monkeypatch.setattr(hub_parquet, "_QUEUED", 2)
    # Rows as long as FineWeb's, so that the index is a small part of the file.
    long = [f"{row} " + os.urandom(600).hex() for row in range(300)]
    server.repos[ID] = Repo(files={"a.parquet": parquet(long), "b.parquet": parquet(long)})
    size = sum(map(len, server.repos[ID].files.values()))
    values = {"max_tokens": 20_000, "val_tokens": 1000, "shard_size": 10_000}
    config = CONFIG.model_copy(update=values)
    prepare(workspace, config)
    assert server.bytes_sent < size / 4
    prepare(workspace, config.model_copy(update={"ds_sample": "again"}))
    assert len(server.parts) == len(set(server.parts)) > 20
    kept = sum(path.stat().st_size for path in (workspace.root / "corpora").rglob("*a.parquet"))
    assert kept == len(server.repos[ID].files["a.parquet"])


def test_downloads_need_not_be_kept(
    server: HubServer, workspace: Workspace, calm: dict[str, str]
) -> None:
    config = CONFIG.model_copy(update={"keep_downloads": False, "max_tokens": 5_000})
    prepare(workspace, config.model_copy(update={"ds_sample": "a-part"}))
    assert not [path for path in (workspace.root / "corpora").rglob("*") if path.is_file()]
    prepare(workspace, CONFIG.model_copy(update={"keep_downloads": False}))
    assert files(workspace.directory_of(CONFIG)) == calm
    assert not [path for path in (workspace.root / "corpora").rglob("*") if path.is_file()]


# --- longer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [{}, {"val_tokens": 300}], ids=["first shard", "val_tokens"])
def test_a_longer_dataset_is_the_one_made_at_once(
    server: HubServer, workspace: Workspace, calm: dict[str, str], values: dict[str, Any]
) -> None:
    whole = CONFIG.model_copy(update=values | {"ds_sample": "whole"})
    prepare(workspace, whole)
    grown = CONFIG.model_copy(update=values | {"ds_sample": "grown"})
    directory = workspace.directory_of(grown)
    for tokens in (2_500, 2_700, 5_000, 5_001, 9_999):
        prepare(workspace, grown.model_copy(update={"max_tokens": tokens}))
        manifest = Manifest.load(directory)
        assert manifest.train_tokens + manifest.val_tokens == tokens
    with pytest.raises(ConfigError, match="has 9,999 tokens already"):
        prepare(workspace, grown.model_copy(update={"max_tokens": 9_000}))
    prepare(workspace, grown)
    made, expected = files(directory), files(workspace.directory_of(whole))
    for name in ("manifest.json", "position.json"):
        made.pop(name), expected.pop(name)
    assert made == expected
    assert Manifest.load(directory).shards == Manifest.load(workspace.directory_of(whole)).shards


def test_a_small_dataset_keeps_its_validation_when_it_becomes_longer(
    server: HubServer, workspace: Workspace, calm: dict[str, str]
) -> None:
    config = CONFIG.model_copy(update={"max_tokens": 800})
    prepare(workspace, config)
    directory = workspace.directory_of(config)
    val = read(directory, "val")
    first = read(directory, "train")[0] + val[0]
    everything = [token for text in TRAIN for token in ids(text)]
    assert first == everything[:800]
    prepare(workspace, config.model_copy(update={"max_tokens": 3_000}))
    assert read(directory, "val") == val
    train = [token for shard in read(directory, "train") for token in shard]
    assert train == everything[: 800 - len(val[0])] + everything[800:3000]


def test_a_stop_anywhere_changes_nothing(
    server: HubServer, workspace: Workspace, calm: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "YIELD_SECONDS", 0.0)
    resumed = set()
    for stop in range(1, 60):
        job = preparing(CONFIG, workspace, threads=2, patience=HASTY)
        first = next(job)
        assert isinstance(first, Started)
        resumed.add(first.resumed_from)
        for _ in range(stop % 11 + 6):
            next(job, None)
        job.close()
        if (workspace.directory_of(CONFIG) / "manifest.json").exists():
            break
    assert len(resumed) > 3
    prepare(workspace, CONFIG)
    assert files(workspace.directory_of(CONFIG)) == calm


def test_errors_are_of_the_family() -> None:
    assert issubclass(CorpusError, InputError)


def test_a_longer_one_is_let_in_by_the_command_and_nothing_else_is(
    server: HubServer, workspace: Workspace
) -> None:
    server.repos[ID] = some_thing()
    short = CONFIG.model_copy(update={"max_tokens": 2_500})
    assert isinstance(run_events(short, workspace)[-1], Finished)
    for values in ({"max_tokens": 2_400}, {"max_tokens": 2_500}, {"val_fraction": 0.2}):
        with pytest.raises(WorkspaceError, match="more max_tokens make it longer; else choose"):
            run_events(short.model_copy(update=values), workspace)
    last = run_events(CONFIG.model_copy(update={"keep_downloads": False}), workspace)[-1]
    assert isinstance(last, Finished)
    assert last.summary["documents"] == 180


def test_a_refused_attempt_to_make_it_longer_leaves_it_finished(
    server: HubServer, workspace: Workspace
) -> None:
    server.repos[ID] = some_thing()
    short = CONFIG.model_copy(update={"max_tokens": 2_500})
    run_events(short, workspace)
    directory = workspace.directory_of(short)
    own = ("events.jsonl", "lock", "position.json")
    before = {name: value for name, value in files(directory).items() if name not in own}
    position = (directory / "position.json").read_text()
    (directory / "position.json").unlink()
    for _ in range(2):
        events: list[Event] = []
        with pytest.raises(ArtifactError, match="cannot be made longer"):
            events.extend(stepped_run(CONFIG, workspace))
        assert runner.status(directory) is runner.Status.DONE
        after = files(directory)
        assert {name: value for name, value in after.items() if name not in own} == before
        last = last_record(directory)
        assert last is not None
        assert isinstance(last.event, Failed)
        assert last.event.kept
    (directory / "position.json").write_text(position)
    last_event = run_events(CONFIG, workspace)[-1]
    assert isinstance(last_event, Finished)
    assert last_event.summary["documents"] == 180
    assert not (directory / "config-finished.toml").exists()
