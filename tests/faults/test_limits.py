"""Every kind of job with too few files or too little memory, and put to sleep by ctrl-z."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from talm_core.cli.main import main
from talm_core.runtime import runner
from talm_core.runtime.runner import Status
from talm_core.storage.workspace import Workspace
from tests.core.dice.spec import SPEC
from tests.core.registration import registered
from tests.faults.breaking import ROOT
from tests.faults.cases import Case, cases, lay_out
from tests.faults.conftest import Laid

pytestmark = pytest.mark.thorough

with registered(SPEC):
    CASES = cases()

# A process of talm has about ten open that does nothing yet.
FILES = (8, 12, 16, 24)
# With less, Python waits for ever for a thread that had no memory to say that it runs.
MEGABYTES = (16, 64, 256)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("files", FILES)
def test_with_few_files_it_is_said_and_goes_on_with_more(
    laid: Laid, case: Case, files: int
) -> None:
    wrong = laid.out(case).limited(files=files)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("megabytes", MEGABYTES)
def test_with_little_memory_it_is_said_and_goes_on_with_more(
    laid: Laid, case: Case, megabytes: int
) -> None:
    wrong = laid.out(case).limited(memory=megabytes << 20)
    assert not wrong, "\n".join(wrong)


# --- ctrl-z ----------------------------------------------------------------------------------


def wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.005)


def _has_grown(file: Path, size: int) -> bool:
    return file.exists() and file.stat().st_size > size


def state(pid: int) -> str:
    """R, S, T for one that was put to sleep…"""
    return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]


TEXT = ("--text-file", "text.txt", "-vs", "290")
LONG = ("--max-steps", "400", "--warmup-steps", "2")
JOBS = {
    "pretrain": ("train-model", "-n", "x", "-d", "text/text", "--preset", "tiny", *LONG),
    "quickstart": ("quickstart", "-n", "x", "--preset", "tiny", *TEXT, "--max-steps", "400"),
    "dice": ("roll-dice", "-n", "x", "--rolls", "40", "--pause", "0.05"),
}


@pytest.mark.parametrize("kind", JOBS)
def test_put_to_sleep_it_keeps_what_it_works_in_and_goes_on(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    home = ("--workspace", str(tmp_path / "home"))
    monkeypatch.setenv("TALM_JOBS", "tests.core.dice.spec:SPEC")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with registered(SPEC):
        if kind == "pretrain":
            assert main(["train-tokenizer", "-n", "t", *TEXT, *home]) == 0
            data = ("--source", "text", "--path", "text.txt", "--tokenizer-path", "t")
            assert main(["prepare-data", *data, *home]) == 0
        directory = Workspace(tmp_path / "home").directory(kind, "x")
        journal = directory / "events.jsonl"
        words = [sys.executable, "-m", "talm_core.cli", *JOBS[kind], *home]
        # A group of its own in this session, as a shell makes one: else nothing is put to sleep.
        with subprocess.Popen(words, process_group=0, stdout=subprocess.DEVNULL) as process:
            for _ in range(3):
                told = journal.stat().st_size if journal.exists() else 0
                wait_for(partial(_has_grown, journal, told + 99))
                os.killpg(process.pid, signal.SIGTSTP)
                wait_for(lambda: state(process.pid) == "T")
                assert runner.status(directory) is Status.RUNNING
                capsys.readouterr()
                assert main([*JOBS[kind], *home]) == 2
                assert "is in use by process" in capsys.readouterr().err
                os.killpg(process.pid, signal.SIGCONT)
            assert process.wait(120) == 0
        assert runner.status(directory) is Status.DONE
