"""From a few files of text to a model that has learned something, with one command."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path

import pytest

from talm_core.runtime import runner
from talm_core.runtime.event_json import decode
from talm_core.runtime.events import Checkpointed, Metrics, Pause, Paused, Stopped
from talm_core.runtime.runner import Status
from talm_core.storage.workspace import Workspace
from tests.end_to_end.talm import Talm, write_texts

PRESET = """
version = 1
[settings]
n_layer = 1
n_head = 2
n_embd = 32
context_len = 32
batch_size = 8
max_steps = 60
learning_rate = 0.01
warmup_steps = 5
eval_every = 30
sample_every = 30
sample_tokens = 16
threads = 1
"""


@pytest.fixture(scope="module")
def talm(tmp_path_factory: pytest.TempPathFactory) -> Talm:
    """A workspace with a recipe of the user's own, which takes seconds."""
    root = tmp_path_factory.mktemp("home") / "ws"
    (root / "presets").mkdir(parents=True)
    (root / "presets/tiny.toml").write_text(PRESET)
    return Talm(root)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts") / "t")


@pytest.mark.slow
def test_from_nothing_to_a_sample(talm: Talm, texts: Path) -> None:
    words = ("--preset", "tiny", "--text-file", str(texts), "-vs", "320", "--prompt", "the ")
    ended = talm("quickstart", *words, "--json")
    assert (ended.code, ended.err) == (0, "")
    events = ended.events
    for line in ended.out.splitlines():
        assert decode(line) is not None
    assert [event["kind"] for event in ended.events_of("Stage")] == [
        "tokenizer",
        "data",
        "pretrain",
    ]
    assert events[0]["event"] == "Started"
    assert events[-1]["event"] == "Finished"
    evaluated = ended.events_of("Evaluated")[-1]
    assert evaluated["step"] == 60
    assert 0 < evaluated["val_loss"] < 0.6 * math.log(324)
    assert evaluated["bits_per_byte"] > 0
    sampled = ended.events_of("Sampled")[-1]
    assert sampled["prompt"] == "the "
    assert sampled["text"]

    listed = [json.loads(line) for line in talm("list", "--json").out.splitlines()]
    assert {(item["kind"], item["name"], item["status"]) for item in listed} == {
        ("tokenizer", "quickstart", "done"),
        ("data", "text/quickstart", "done"),
        ("pretrain", "quickstart", "done"),
        ("quickstart", "quickstart", "done"),
    }
    again = talm("sample", "quickstart", "--prompt", "the ", "--max-tokens", "5", "-s", "7")
    assert again.code == 0
    assert again.out.startswith("the ")
    same = talm(
        *("sample", "quickstart", "--prompt", "-", "--max-tokens", "5", "-s", "7", "--json"),
        given="the ",
    )
    assert "the " + same.events_of("Sampled")[0]["text"] + "\n" == again.out
    assert len(same.events_of("Generated")) == 5
    shown = talm("show", "models/quickstart")
    assert shown.code == 0
    assert "checkpoint-000060" in shown.out
    # The name is taken now: the next one gets another.
    second = talm("quickstart", "-n", "quickstart", *words)
    assert second.code == 2
    assert "name = 'quickstart': exists already (choose another name; flag --name)" in second.err
    assert "quickstart is done as it is asked for here: nothing is left to do" in second.err


@pytest.mark.slow
def test_an_interrupted_one_is_gone_on_with(talm: Talm, texts: Path) -> None:
    words = ("-n", "again", "--preset", "tiny", "--text-file", str(texts), "-vs", "300")
    process = talm.start(
        "quickstart", *words, "--max-steps", "1000000", "--minutes", "0.05", "--json"
    )
    assert process.stdout is not None
    for line in process.stdout:
        if '"Metrics"' in line:
            process.send_signal(signal.SIGTERM)
            break
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "talm: stopped; saved step" in err
    assert "talm quickstart -n again --resume" in err
    workspace = Workspace(talm.root)
    states = {
        artifact.kind: status
        for artifact, status in runner.find(workspace)
        if artifact.name.endswith("again")
    }
    assert states == {
        "tokenizer": Status.DONE,
        "data": Status.DONE,
        "pretrain": Status.STOPPED,
        "quickstart": Status.STOPPED,
    }
    changed = talm("quickstart", "-n", "again", "--minutes", "5")
    assert changed.code == 2
    assert "minutes = 5.0: the run was started with 0.05" in changed.err
    ended = talm("quickstart", "-n", "again", "--resume", "--json")
    assert ended.code == 0
    started = ended.events_of("Started")
    assert [event["job"] for event in started] == ["quickstart"]
    assert started[0]["resumed_from"] > 0
    assert ended.events[-1]["event"] == "Finished"
    assert runner.status(workspace.directory("quickstart", "again")) is Status.DONE


@pytest.mark.slow
def test_what_is_said_to_the_whole_reaches_the_part_that_runs(talm: Talm, texts: Path) -> None:
    words = ("-n", "whole", "--preset", "tiny", "--text-file", str(texts), "-vs", "300")
    started = talm("quickstart", *words, "--max-steps", "1000000", "--minutes", "9", "--detach")
    assert started.code == 0, started.err
    whole, part = talm.root / "quickstarts/whole", talm.root / "models/whole"
    for record in runner.follow(whole):
        if isinstance(record.event, Metrics):
            break
    runner.send(whole, Pause())
    for record in runner.follow(whole):
        if isinstance(record.event, Paused):
            break
    assert runner.status(whole) is runner.status(part) is Status.PAUSED
    assert talm("stop", "whole").err.startswith("talm: whole was stopped; saved step ")
    for directory in (whole, part):
        events = [record.event for record in runner.follow(directory)]
        assert [type(event) for event in events[-2:]] == [Checkpointed, Stopped]
