"""Speeds that were measured: kept, found again by all they depend on, and told of earlier runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from talm_core.runtime.events import Event, Metrics, Notice
from talm_core.runtime.journal import JournalWriter
from talm_core.runtime.runner import CONFIG_FILE
from talm_core.settings.toml import dumps
from talm_core.storage import atomic
from talm_core.storage.workspace import Workspace
from talm_core.system import hardware
from talm_core.training.estimate import plan
from talm_core.training.throughput import (
    FILE,
    Choice,
    PastRun,
    Speed,
    key_of,
    like,
    measured,
    ran,
    recall,
    remember,
)
from tests.core.tiny_runs import tiny_config

CHOICE = Choice({"device": "cpu", "batch_size": 4}, 41_000.0)


def test_choices_are_remembered_beside_each_other(tmp_path: Path) -> None:
    other = Choice({"device": "cuda"})
    assert recall(tmp_path, "a") is None
    remember(tmp_path, "a", CHOICE)
    remember(tmp_path, "b", other)
    assert recall(tmp_path, "a") == CHOICE
    assert recall(tmp_path, "b") == other
    assert recall(tmp_path, "c") is None


_AT_ONCE = """
import sys
from pathlib import Path
from talm_core.training.throughput import Choice, remember
root, name = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for number in range(25):
    remember(root, f"{name}-{number}", Choice({"device": "cpu"}))
"""


def test_choices_of_several_processes_at_once_are_all_remembered(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _AT_ONCE, str(tmp_path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "abc"
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    lost = [
        f"{name}-{number}"
        for name in "abc"
        for number in range(25)
        if recall(tmp_path, f"{name}-{number}") is None
    ]
    assert lost == []


def test_a_lock_that_is_held_for_ever_delays_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "_PATIENCE_SECONDS", 0.05)
    with atomic.changing(tmp_path / FILE):
        remember(tmp_path, "a", CHOICE)
    assert recall(tmp_path, "a") == CHOICE
    (tmp_path / f".{FILE}.lock").unlink()
    (tmp_path / f".{FILE}.lock").mkdir()
    remember(tmp_path, "b", CHOICE)
    assert recall(tmp_path, "b") == CHOICE


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{", "[" * 100_000, '{"version": 1, "choices": {"a": {"device": "cpu"}}}'),
        '{"version": 2, "choices": {"a": {"x": 1}}}',
    ],
)
def test_a_file_that_cannot_be_used_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert recall(tmp_path, "a") is None
    remember(tmp_path, "a", CHOICE)
    assert recall(tmp_path, "a") == CHOICE


@pytest.mark.parametrize("changes", [{"batch_size": 2}, {"n_layer": 1}, {"compile": "off"}])
def test_the_key_is_of_all_that_a_choice_depends_on(
    changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = key_of(tiny_config(), 259)
    assert key_of(tiny_config(**changes), 259) != key
    assert key_of(tiny_config(), 260) != key
    assert key_of(tiny_config(), 259, processes=2) != key
    assert key_of(tiny_config(seed=2, learning_rate=1.0), 259) == key
    monkeypatch.setattr(hardware, "processor", lambda: "another")
    assert key_of(tiny_config(), 259) != key


def test_a_speed_is_known_for_what_was_measured_alone(tmp_path: Path) -> None:
    config = tiny_config()
    remember(tmp_path, key_of(config, 259), CHOICE)
    remember(tmp_path, key_of(config, 300), Choice({"device": "cpu"}))
    assert measured(config, 259, tmp_path) == Speed(41_000.0)
    assert measured(config, 300, tmp_path) is None
    assert measured(tiny_config(n_layer=1), 259, tmp_path) is None


def test_the_nearest_earlier_run_tells_the_speed() -> None:
    runs = [PastRun("small", 100.0, 1e6), PastRun("near", 10.0, 2e7), PastRun("none", 0.0, 1e7)]
    assert like(1e7, runs) == Speed(20.0, "near")
    assert like(1e9, runs) is None
    assert like(1e7, []) is None


def metrics(speed: float) -> Metrics:
    return Metrics(
        step=1,
        max_steps=2,
        steps=1,
        tokens=1,
        loss=1.0,
        loss_ema=1.0,
        learning_rate=1e-3,
        grad_norm=1.0,
        tokens_per_second=speed,
        elapsed=1.0,
        epoch=0.1,
    )


def test_runs_say_what_they_last_said(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    journals: dict[str, list[Event]] = {
        "two": [metrics(5.0), metrics(7.0), Notice(message="x" * 200_000)],
        "silent": [Notice(message="nothing")],
    }
    for name, events in journals.items():
        config = tiny_config(model_name=name)
        directory = workspace.directory_of(config)
        directory.mkdir(parents=True)
        (directory / CONFIG_FILE).write_text(dumps(config))
        with JournalWriter(directory) as journal:
            for event in events:
                journal.write(event)
    broken = workspace.directory("pretrain", "broken")
    broken.mkdir()
    (broken / CONFIG_FILE).write_text("job =")
    flops = plan(tiny_config(), None, 259).flops_per_token
    assert ran(workspace, 259) == [PastRun("two", 7.0, flops)]


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    remember(tmp_path, "a", CHOICE)
    document = json.loads((tmp_path / FILE).read_text())
    assert document == {"version": 2, "choices": {"a": asdict(CHOICE)}}


def test_what_is_no_file_holds_no_choice(tmp_path: Path) -> None:
    # A pipe that nobody writes to would keep a reader waiting for ever.
    os.mkfifo(tmp_path / FILE)
    assert recall(tmp_path, "k") is None
