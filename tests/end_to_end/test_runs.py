"""Runs in the background and in the foreground: attach, stop, kill, go on."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.dataset.job import prepare_data
from talm_core.runtime import lock, runner
from talm_core.runtime.events import Metrics, Started, Stopped
from talm_core.runtime.history import History
from talm_core.runtime.journal import JournalReader
from talm_core.runtime.runner import Status
from talm_core.storage.workspace import Workspace
from tests.core.driving import events_of
from tests.end_to_end.talm import TINY, Talm, write_texts

LONG = (
    "--max-steps",
    "1000000",
    "--eval-every",
    "0",
    "--sample-every",
    "0",
    "--checkpoint-every",
    "0",
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("home")
    texts = write_texts(root / "texts")
    config = DataConfig(source="text", path=(str(texts),), ds_sample="t")
    events_of(prepare_data, config, Workspace(root / "ws"))
    return root / "ws"


@pytest.fixture
def talm(prepared: Path) -> Iterator[Talm]:
    yield Talm(prepared)
    # A test that failed leaves no process behind.
    for artifact, status in runner.find(Workspace(prepared)):
        owner = lock.owner(artifact.directory)
        if status.active and owner is not None:
            os.kill(owner.pid, signal.SIGKILL)


def train(name: str, *more: str) -> tuple[str, ...]:
    return ("train-model", "-n", name, "-d", "t", *TINY, *more)


def first_metrics(directory: Path) -> None:
    for record in runner.follow(directory):
        if isinstance(record.event, Metrics):
            return
    raise AssertionError((directory / runner.LOG_FILE).read_text())


def test_in_the_background(talm: Talm) -> None:
    directory = talm.root / "models/back"
    started = talm(*train("back", *LONG), "--detach")
    assert (started.code, started.err) == (0, "")
    assert started.out.startswith(f"back runs in the background, in {directory}\n")
    assert "talm attach back" in started.out
    assert "talm stop back" in started.out
    assert runner.status(directory) is Status.RUNNING
    busy = talm(*train("back", *LONG))
    assert (busy.code, busy.out) == (2, "")
    assert "model_name = 'back': is in use by process" in busy.err
    first_metrics(directory)

    attached = talm.start("attach", "back", "--json")
    assert attached.stdout is not None
    kinds = {json.loads(attached.stdout.readline())["event"] for _ in range(3)}
    assert "Started" in kinds
    attached.send_signal(signal.SIGINT)
    _, err = attached.communicate(timeout=300)
    assert attached.returncode == 0
    assert "talm: left back; it goes on" in err
    assert runner.status(directory) is Status.RUNNING

    watching = talm.start("attach", "models/back")
    stopped = talm("stop", "back")
    assert (stopped.code, stopped.out) == (0, "")
    assert re.search(r"talm: back was stopped; saved step [\d,]+ in checkpoint-\d+", stopped.err)
    assert "go on with: talm train-model -n back --resume" in stopped.err
    out, err = watching.communicate(timeout=300)
    assert watching.returncode == 130
    assert "\x1b" not in out
    assert "talm: back was stopped (asked to stop)" in err
    assert runner.status(directory) is Status.STOPPED
    assert talm("stop", "back").code == 2
    existing = talm(*train("back", *LONG))
    assert existing.code == 2
    assert "go on with it by --resume, or choose another name" in existing.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_foreground_stops_and_saves(talm: Talm, number: signal.Signals) -> None:
    name = number.name.lower()
    process = talm.start(*train(name, *LONG), "--json")
    assert process.stdout is not None
    for line in process.stdout:
        if '"Metrics"' in line:
            break
    process.send_signal(number)
    rest, err = process.communicate(timeout=300)
    assert process.returncode == 130
    last = [json.loads(line) for line in rest.splitlines()][-2:]
    assert [event["event"] for event in last] == ["Checkpointed", "Stopped"]
    assert last[-1]["reason"] == number.name
    assert f"saved step {last[0]['step']:,} in {last[0]['directory']}" in err
    assert f"talm train-model -n {name} --resume" in err


def test_a_reader_that_leaves_ends_the_run_quietly(talm: Talm) -> None:
    process = talm.start(*train("pipe", *LONG), "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["event"] == "Started"
    process.stdout.close()
    assert process.wait(timeout=300) != 0
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert runner.status(talm.root / "models/pipe") is Status.STOPPED


@pytest.mark.pty
def test_a_terminal_that_is_closed_stops_and_saves(talm: Talm) -> None:
    screen, terminal = os.openpty()
    process = subprocess.Popen(
        talm.command(*train("closed", *LONG)),
        env=talm.environment | {"TERM": "xterm-256color"},
        preexec_fn=lambda: os.login_tty(terminal),
    )
    os.close(terminal)
    directory = talm.root / "models/closed"
    seen = b""
    while b"loss" not in seen:
        seen += os.read(screen, 65_536)
    assert b"\x1b[" in seen
    os.close(screen)
    process.wait(timeout=300)
    assert runner.status(directory) is Status.STOPPED
    last = JournalReader(directory).read_all()[-1].event
    assert last == Stopped(reason="SIGHUP")
    assert list(directory.glob("checkpoint-*"))


def weights(directory: Path) -> str:
    last = max(directory.glob("checkpoint-*"))
    return last.name + hashlib.sha256((last / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.slow
def test_killed_and_resumed_is_as_if_nothing_had_been(talm: Talm) -> None:
    often = ("--checkpoint-every", "40", "--eval-every", "50", "--sample-every", "70")
    steps = ("--max-steps", "400", "--log-every", "1")
    whole = talm(*train("whole", *steps, *often))
    assert whole.code == 0, whole.err
    directory = talm.root / "models/killed"
    process = talm.start(*train("killed", *steps, *often), "--json")
    assert process.stdout is not None
    for _ in range(2):
        for line in process.stdout:
            if '"Metrics"' in line and json.loads(line)["step"] % 100 > 60:
                break
        process.kill()
        process.communicate()
        assert runner.status(directory) is Status.INTERRUPTED
        process = talm.start("train-model", "-n", "killed", "--resume", "--json")
        assert process.stdout is not None
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert weights(directory) == weights(talm.root / "models/whole")
    history = History()
    records = JournalReader(directory).read_all()
    history.extend(records)
    assert sum(isinstance(record.event, Started) for record in records) == 3
    assert list(history.metrics["step"]) == list(range(1, 401))
    assert list(history.evaluations["step"]) == [*range(50, 401, 50)]


def test_only_what_may_change_is_changed_at_a_resume(talm: Talm) -> None:
    process = talm.start(*train("change", *LONG), "--json")
    assert process.stdout is not None
    for line in process.stdout:
        if '"Metrics"' in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    refused = talm("train-model", "-n", "change", "--resume", "--preset", "shakespeare")
    assert refused.code == 2
    assert "n_layer = 6: the run was started with 1" in refused.err
    refused = talm("train-model", "-n", "change", "--resume", "--n-layer", "2")
    assert refused.code == 2
    assert "n_layer = 2: the run was started with 1" in refused.err
    started = talm("train-model", "-n", "change", "--resume", "--eval-every", "7", "--detach")
    assert started.code == 0, started.err
    assert talm("stop", "change").code == 0
    config = runner.read_config(talm.root / "models/change")
    assert (config.eval_every, config.n_layer) == (7, 1)  # type: ignore[attr-defined]


def test_it_looks_the_same_in_any_encoding(talm: Talm) -> None:
    done = subprocess.run(
        talm.command("list"),
        env=talm.environment | {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"text/t" in done.stdout
