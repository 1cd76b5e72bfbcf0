"""Artifacts whose process was killed in its first moments, and directories that were moved."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from talm_core.cli.main import main
from talm_core.data.manifest import Manifest
from talm_core.errors import DoneError, InputError, WorkspaceError
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.quickstart.config import QuickstartConfig
from talm_core.jobs.quickstart.job import free_name, stages, taken
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime import runner, upkeep
from talm_core.runtime.event_json import to_json
from talm_core.runtime.events import Finished, Stage, Started
from talm_core.runtime.lock import Lock
from talm_core.runtime.opening import FINISHED_FILE, open_artifact
from talm_core.settings.schema import build
from talm_core.storage import artifact_files, atomic
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.vocabulary import Vocabulary
from tests.core.driving import run_events, stepped_run

from .tiny_runs import VOCABULARY, tiny_config, tiny_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with a tokenizer and a corpus beside it."""
    made = Workspace(tmp_path / "w")
    folder = made.directory("tokenizer", "small")
    folder.mkdir(parents=True)
    VOCABULARY.save(folder / "tokencoder.json")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for row in range(40):
        (corpus / f"{row:03}.txt").write_text(f"{row} the thing in\n" * (row * 37 % 13 + 1))
    return made


def data_config(workspace: Workspace, **changes: Any) -> DataConfig:
    path = str(workspace.root.parent / "corpus")
    values: dict[str, Any] = {
        "source": "text",
        "path": (path,),
        "ds_sample": "c",
        "tokenizer_path": "small",
        "shard_size": 1000,
        "max_tokens": 1500,
    }
    return build(DataConfig, values | changes)


def made(workspace: Workspace, config: DataConfig) -> int:
    assert isinstance(run_events(config, workspace)[-1], Finished)
    return Manifest.load(workspace.directory_of(config)).tokens


# --- a dataset that is made longer -----------------------------------------------------------


def test_a_dataset_reaches_its_length_after_a_kill_before_the_first_event(
    workspace: Workspace,
) -> None:
    config = data_config(workspace)
    assert made(workspace, config) == 1500
    longer = data_config(workspace, max_tokens=2500)
    directory = workspace.directory_of(config)
    # Killed as soon as its config was written, twice.
    for _ in range(2):
        opened = open_artifact(longer, workspace, resume=False)
        assert runner.status(directory) is runner.Status.RUNNING
        opened.held.release()
        assert runner.status(directory) is runner.Status.INTERRUPTED
    assert made(workspace, longer) == 2500
    assert runner.status(directory) is runner.Status.DONE
    assert not (directory / FINISHED_FILE).exists()
    with pytest.raises(InputError, match="exists already"):
        open_artifact(longer, workspace, resume=False)


def test_a_dataset_of_which_the_last_word_was_said_is_finished(workspace: Workspace) -> None:
    config, longer = data_config(workspace), data_config(workspace, max_tokens=2500)
    made(workspace, config)
    made(workspace, longer)
    directory = workspace.directory_of(config)
    # Killed between `Finished` and the removal of what it was asked before.
    shutil.copy(directory / "config.toml", directory / FINISHED_FILE)
    os.utime(directory / FINISHED_FILE, (1, 1))
    assert runner.status(directory) is runner.Status.DONE
    with pytest.raises(InputError, match="exists already"):
        open_artifact(longer, workspace, resume=False)
    assert made(workspace, data_config(workspace, max_tokens=3000)) == 3000


def test_what_is_done_as_it_is_asked_for_is_said_to_be(workspace: Workspace) -> None:
    """Its process may have been killed before it could say so."""
    config = data_config(workspace)
    made(workspace, config)
    with pytest.raises(DoneError):
        open_artifact(config, workspace, resume=False)
    with pytest.raises(WorkspaceError) as raised:
        open_artifact(data_config(workspace, max_tokens=900), workspace, resume=False)
    assert not isinstance(raised.value, DoneError)


# --- fresh or not is known under the lock ----------------------------------------------------


def test_what_another_finishes_while_the_lock_is_waited_for_is_not_overwritten(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = data_config(workspace)
    directory = workspace.directory_of(config)
    acquire = Lock.acquire.__func__  # type: ignore[attr-defined]
    held_up = [True]

    def late(cls: type[Lock], place: Path) -> Lock:
        if held_up.pop() if held_up else False:
            made(workspace, config)
        lock: Lock = acquire(cls, place)
        return lock

    monkeypatch.setattr(Lock, "acquire", classmethod(late))
    other = data_config(workspace, max_tokens=900)
    with pytest.raises(InputError, match="exists already"):
        run_events(other, workspace)
    assert Manifest.load(directory).tokens == 1500
    assert runner.status(directory) is runner.Status.DONE


def test_twenty_at_once_make_one(workspace: Workspace) -> None:
    config = data_config(workspace)
    ends: list[object] = []

    def run() -> None:
        try:
            ends.append(run_events(config, workspace)[-1])
        except InputError as error:
            ends.append(error)

    threads = [threading.Thread(target=run) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(end, Finished) for end in ends) == 1
    assert sum(isinstance(end, InputError) for end in ends) == 19


# --- empty directories -----------------------------------------------------------------------


@pytest.mark.parametrize("left", [(), ("lock",), ("lock", ".tmp-1.toml")])
def test_a_directory_in_which_nothing_was_asked_means_nothing(
    workspace: Workspace, left: tuple[str, ...]
) -> None:
    directory = workspace.directory("quickstart", "q")
    for kind, name in (
        ("quickstart", "q"),
        ("tokenizer", "q"),
        ("data", "text/q"),
        ("pretrain", "q"),
    ):
        place = workspace.directory(kind, name)
        place.mkdir(parents=True)
        for file in left:
            (place / file).touch()
    config = build(QuickstartConfig, {"name": "q", "text_file": ("x.txt",)})
    assert taken(config, workspace) == []
    assert free_name(workspace, "q") == "q"
    tokenizer = build(TokenizerConfig, {"name": "q", "text_file": (str(workspace.root.parent),)})
    with pytest.raises(InputError, match="there is nothing to resume"):
        open_artifact(tokenizer, workspace, resume=True)
    assert directory.is_dir()


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_a_quick_start_goes_on_after_a_kill_between_mkdir_and_lock_of_a_stage(
    workspace: Workspace, stage: int, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{i}: the sum of {i % 7} and {i % 5}\n" for i in range(900)))
    config = build(
        QuickstartConfig,
        {"name": "q", "text_file": (str(text),), "preset": "nano", "max_steps": 2},
    )
    parts = stages(config, workspace)
    events = stepped_run(config, workspace)
    for event in events:
        if isinstance(event, Stage) and event.index == stage:
            # As a kill would leave it: the directory is made, and no more has been said.
            workspace.directory_of(parts[stage]).mkdir(parents=True)
            break
    events.close()
    *_, last = stepped_run(config, workspace, resume=True)
    assert isinstance(last, Finished)
    for part in parts:
        assert runner.status(workspace.directory_of(part)) is runner.Status.DONE
    assert Vocabulary.load(workspace.directory("tokenizer", "q") / "tokencoder.json")


# --- the directory is the name ---------------------------------------------------------------


def a_run(workspace: Workspace, name: str) -> Path:
    events = stepped_run(tiny_config(model_name=name, eval_every=0, sample_every=0), workspace)
    for event in events:
        if type(event).__name__ == "Checkpointed":
            break
    events.close()
    return workspace.directory("pretrain", name)


def everything(directory: Path) -> dict[str, bytes]:
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


@pytest.mark.parametrize("copied", [False, True])
def test_a_moved_or_copied_run_is_gone_on_with_where_it_lies(tmp_path: Path, copied: bool) -> None:
    workspace = tiny_workspace(tmp_path)
    first = a_run(workspace, "m")
    second = workspace.directory("pretrain", "x")
    before = everything(first)
    if copied:
        shutil.copytree(first, second)
    else:
        first.rename(second)
    config = runner.resumed_config(second, {})
    assert isinstance(config, PretrainConfig)
    assert config.model_name == "x"
    assert isinstance(run_events(config, workspace, resume=True)[-1], Finished)
    assert runner.status(second) is runner.Status.DONE
    if copied:
        assert everything(first) == before
    else:
        assert not first.exists()


def test_a_rename_is_one_also_where_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = tiny_workspace(tmp_path)
    a_run(workspace, "m")

    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(atomic, "write_text", full)
    renamed = upkeep.rename(workspace, "pretrain", "m", "n")
    monkeypatch.undo()
    assert not workspace.directory("pretrain", "m").exists()
    config = runner.resumed_config(renamed, {})
    assert isinstance(config, PretrainConfig)
    assert config.model_name == "n"


def test_a_tokenizers_config_is_that_of_its_directory(workspace: Workspace) -> None:
    directory = workspace.directory("tokenizer", "small")
    (directory / "config.toml").write_text('job = "tokenizer"\nname = "large"\n')
    config = runner.read_config(directory)
    assert isinstance(config, TokenizerConfig)
    assert config.name == "small"


def test_a_moved_quick_start_is_refused_with_both_names(workspace: Workspace) -> None:
    directory = workspace.directory("quickstart", "new")
    directory.mkdir(parents=True)
    (directory / "config.toml").write_text('job = "quickstart"\nname = "old"\n')
    events = (
        Started(job="quickstart", name="old"),
        Stage(kind="tokenizer", name="old", directory="tokenizers/old", index=0, count=3),
    )
    text = "".join(to_json(event, time=1.0) + "\n" for event in events)
    (directory / "events.jsonl").write_text(text)
    config = runner.resumed_config(directory, {})
    with pytest.raises(InputError, match="name = 'new': was begun as old"):
        run_events(config, workspace, resume=True)
    assert not workspace.directory("tokenizer", "new").exists()


# --- deletions -------------------------------------------------------------------------------


def test_a_deletion_says_what_it_could_not_remove_and_tries_again_with_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path)
    for name in ("m", "n"):
        directory = workspace.directory("pretrain", name)
        directory.mkdir(parents=True)
        (directory / "config.toml").write_text('job = "pretrain"\nmodel_name = "m"\n')
        (directory / "big.bin").write_bytes(b"x" * 834_000)
    unlink = os.unlink

    def refuse(path: Any, **more: Any) -> None:
        if os.fspath(path).endswith("big.bin"):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), os.fspath(path))
        unlink(path, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        words = ["delete", "models/m", "--yes", "--workspace", str(tmp_path)]
        assert main(words) == 2
    said = capsys.readouterr()
    assert "are free" not in said.out
    assert "834,000 bytes of m could not be removed" in said.err
    assert "Operation not permitted" in said.err
    (left,) = atomic.deleted(workspace.folder("pretrain"))
    assert str(left) in said.err
    assert main(["delete", "models/n", "--yes", "--json", "--workspace", str(tmp_path)]) == 0
    assert atomic.deleted(workspace.folder("pretrain")) == []
    assert json.loads(capsys.readouterr().out)["freed"] >= 834_000


def test_a_deletion_that_is_broken_off_says_what_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path)
    directory = workspace.directory("pretrain", "m")
    directory.mkdir(parents=True)
    (directory / "config.toml").write_text('job = "pretrain"\nmodel_name = "m"\n')
    (directory / "big.bin").write_bytes(b"x" * 834_000)

    def interrupted(path: Path) -> list[OSError]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(artifact_files, "remove", interrupted)
        assert main(["delete", "models/m", "--yes", "--workspace", str(tmp_path)]) == 130
    said = capsys.readouterr().err
    (left,) = atomic.deleted(workspace.folder("pretrain"))
    assert "models/m is deleted in part" in said
    assert str(left) in said
    # The next job of that kind sweeps it.
    workspace = tiny_workspace(tmp_path)
    run_events(tiny_config(max_steps=2, eval_every=0, sample_every=0), workspace)
    assert not left.exists()


def test_a_quick_start_whose_later_part_is_refused_goes_on_by_the_same_command(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{i}: the sum of {i % 7} and {i % 5}\n" for i in range(900)))
    settings = {"name": "q", "text_file": (str(text),), "preset": "nano", "max_steps": 2}
    config = build(QuickstartConfig, settings)
    write_text = atomic.write_text

    def full(path: Path, text: str) -> None:
        if path.parent == workspace.directory("data", "text/q"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write_text(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write_text", full)
        with pytest.raises(InputError, match="cannot be written: No space left on device"):
            run_events(config, workspace)
    assert workspace.directory("tokenizer", "q").is_dir()
    assert not workspace.directory("data", "text/q").exists()
    tokenizer = workspace.directory("tokenizer", "q") / "tokencoder.json"
    before = tokenizer.stat().st_mtime_ns
    assert isinstance(run_events(config, workspace, resume=True)[-1], Finished)
    assert tokenizer.stat().st_mtime_ns == before


def test_a_command_that_names_an_artifact_sweeps_it(tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path)
    config = tiny_config(max_steps=2, eval_every=0, sample_every=0)
    run_events(config, workspace)
    directory = workspace.directory_of(config)
    (directory / ".tmp-deleted-0123" / "checkpoint-000001").mkdir(parents=True)
    with pytest.raises(InputError, match="exists already"):
        run_events(config, workspace)
    (directory / ".tmp-talm-0123.toml").touch()
    renamed = upkeep.rename(workspace, "pretrain", config.artifact, "n")
    assert [path.name for path in renamed.glob(".*")] == []
