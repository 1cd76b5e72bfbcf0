"""What a list shows, read from small files and the journal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime.events import (
    Evaluated,
    Event,
    Failed,
    Finished,
    Merged,
    Paused,
    Progress,
    Stage,
    Started,
)
from talm_core.runtime.journal import JournalWriter
from talm_core.runtime.lock import Lock
from talm_core.runtime.overview import SPARK_POINTS, Overview, Overviews
from talm_core.runtime.runner import Status
from talm_core.settings.toml import dumps
from talm_core.storage.workspace import Workspace
from tests.core.counting import metrics

STARTED = Started(job="pretrain", name="a")


def tell(workspace: Workspace, kind: str, name: str, *events: Event) -> Path:
    directory = workspace.directory(kind, name)
    directory.mkdir(parents=True, exist_ok=True)
    with JournalWriter(directory) as writer:
        for event in events:
            writer.write(event)
    return directory


def of(workspace: Workspace, kind: str, *events: Event) -> Overview:
    tell(workspace, kind, "a", *events)
    return Overviews(workspace).of(workspace.artifacts(kind)[0])


def test_a_run_in_training(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    evaluated = Evaluated(step=20, val_loss=2.0, bits_per_byte=1.5, tokens=1, seconds=0.0)
    last = replace(metrics(25, 100), eta=30.0)
    directory = tell(workspace, "pretrain", "a", STARTED, metrics(20, 100), evaluated, last)
    config = PretrainConfig(model_name="a", data_dir="d")
    (directory / "config.toml").write_text(dumps(config))
    overviews = Overviews(workspace)
    (artifact,) = workspace.artifacts("pretrain")
    with Lock.acquire(directory):
        item = overviews.of(artifact)
        assert overviews.of(artifact) is item
    assert (item.name, item.status, item.config) == ("a", Status.RUNNING, config)
    assert (item.fraction, item.eta, item.metrics) == (0.25, 30.0, last)
    assert (item.val_loss, item.bits_per_byte) == (2.0, 1.5)
    assert (item.spark, item.phase) == ((1.0, 1.0), "training")
    after = overviews.of(artifact)
    assert (after.status, after.eta, after.fraction) == (Status.INTERRUPTED, None, 0.25)


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    directory = tell(workspace, "pretrain", "a", STARTED, metrics(1, 10))
    (artifact,) = workspace.artifacts("pretrain")
    overviews = Overviews(workspace)
    assert overviews.of(artifact).fraction == 0.1
    tell(workspace, "pretrain", "a", metrics(2, 10))
    assert overviews.of(artifact).fraction == 0.2
    (directory / "config.toml").write_text(dumps(PretrainConfig(model_name="a", data_dir="d")))
    config = overviews.of(artifact).config
    assert isinstance(config, PretrainConfig)
    (directory / "config.toml").write_text("nonsense [")
    assert overviews.of(artifact).config == config
    overviews.forget(artifact)
    assert overviews.of(artifact).config is None


def test_other_jobs(tmp_path: Path) -> None:
    progress = Progress(phase="merging", done=3, total=4, eta=1.0)
    merged = Merged(vocab_size=5, newest=["a"])
    item = of(Workspace(tmp_path), "tokenizer", STARTED, progress, merged)
    assert (item.fraction, item.progress, item.merged) == (0.75, progress, merged)
    assert item.phases == (progress,)


def test_how_it_ended(tmp_path: Path) -> None:
    item = of(Workspace(tmp_path / "1"), "pretrain", STARTED, metrics(5, 10), Failed(message="m"))
    assert (item.status, item.message, item.fraction) == (Status.FAILED, "m", 0.5)
    done = Finished(seconds=1, summary={"step": 10})
    item = of(Workspace(tmp_path / "2"), "pretrain", STARTED, metrics(5, 10), done)
    assert (item.status, item.fraction, item.summary) == (Status.DONE, 1.0, {"step": 10})


def test_nonsense_breaks_nothing(tmp_path: Path) -> None:
    events = (STARTED, metrics(5, 0), Progress(phase="p", done=-3, total=-1))
    item = of(Workspace(tmp_path), "pretrain", *events)
    assert item.fraction is None
    item = of(Workspace(tmp_path / "2"), "pretrain", STARTED, metrics(50, 10))
    assert item.fraction == 1.0
    item = of(Workspace(tmp_path / "3"), "pretrain", STARTED, metrics(-50, 10))
    assert item.fraction == 0.0


def test_the_spark_has_both_ends(tmp_path: Path) -> None:
    events = [metrics(step, loss=float(step)) for step in range(1, 1_001)]
    item = of(Workspace(tmp_path), "pretrain", STARTED, *events)
    assert len(item.spark) == SPARK_POINTS
    assert (item.spark[0], item.spark[-1]) == (1.0, 1_000.0)
    assert list(item.spark) == sorted(item.spark)


def test_what_said_something_last_comes_first(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for name in ("b", "a", "c"):
        (workspace.root / "models" / name).mkdir(parents=True)
        (workspace.root / "models" / name / "events.jsonl").touch()
    overviews = Overviews(workspace)
    assert [item.name for item in overviews.all("pretrain")] == ["a", "b", "c"]
    tell(workspace, "pretrain", "c", STARTED)
    assert [item.name for item in overviews.all("pretrain")] == ["c", "a", "b"]


def test_a_quick_start_is_stood_for_by_its_stage(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    stage = Stage(kind="tokenizer", name="q", directory="tokenizers/q", index=0, count=3)
    whole = tell(workspace, "quickstart", "q", Started(job="quickstart", name="q"), stage)
    part = tell(workspace, "tokenizer", "q", Started(job="tokenizer", name="q"), Paused())
    (part / "config.toml").write_text(dumps(TokenizerConfig(name="q")))
    overviews = Overviews(workspace)
    assert overviews.active() == []
    with Lock.acquire(whole):
        (item,) = overviews.active()
        assert (item.artifact.kind, item.stage) == ("quickstart", stage)
        with Lock.acquire(part):
            (item,) = overviews.active()
            assert (item.artifact.kind, item.status) == ("tokenizer", Status.PAUSED)
