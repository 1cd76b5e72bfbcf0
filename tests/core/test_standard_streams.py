"""Standard output that is closed, full, or read by nobody any more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from talm_core.storage.workspace import Workspace
from tests.end_to_end.talm import TINY, Talm, write_texts

TALM = (sys.executable, "-m", "talm_core.cli")
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def shell(line: str, root: Path) -> subprocess.CompletedProcess[str]:
    """`$T` in a line of bash is `talm`; its status is that of the first of a pipe."""
    script = f'T="{" ".join(TALM)}"; {line}; exit ${{PIPESTATUS[0]}}'
    return subprocess.run(
        ["bash", "-c", script],
        env=os.environ | {"TALM_HOME": str(root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@needs_full
@pytest.mark.parametrize("words", ["list", "--help", "version", "show base"])
def test_a_full_disk_is_said(tmp_path: Path, words: str) -> None:
    done = shell(f"$T {words} >/dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "talm: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("words", ["list", "--help"])
def test_an_output_that_is_closed_is_said(tmp_path: Path, words: str) -> None:
    done = shell(f"$T {words} >&-", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "talm: standard output cannot be written: it is closed\n"


def test_whatever_is_wrong_with_standard_error_changes_nothing(tmp_path: Path) -> None:
    for where in ("2>&-", "2>/dev/full", "<&-"):
        done = shell(f"$T list nonsense {where}", tmp_path)
        assert done.returncode == 2, where
        done = shell(f"$T list {where}", tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("Nothing yet in")


def test_who_has_seen_enough_leaves_no_trace(tmp_path: Path) -> None:
    """More than a pipe holds, so that the rest is written to nobody."""
    for number in range(700):
        directory = tmp_path / "models" / f"{number:03}{'x' * 100}"
        directory.mkdir(parents=True)
        (directory / "events.jsonl").touch()
    for line in ("$T list | head -1", "$T list --json | head -1", "$T --help | true"):
        done = shell(line, tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), line


def test_a_file_of_a_job_never_becomes_its_standard_output(tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "texts")
    make = f"$T train-tokenizer -n t --vocab-size 300 --text-file {texts}"
    done = shell(f"{make} <&- >&- 2>&-", tmp_path)
    assert done.returncode == 1
    journal = (tmp_path / "tokenizers/t/events.jsonl").read_text().splitlines()
    assert json.loads(journal[-1])["event"] == "Finished"


@needs_full
def test_a_run_whose_log_is_on_a_full_disk_goes_on(tmp_path: Path) -> None:
    talm = Talm(tmp_path)
    texts = write_texts(tmp_path / "texts")
    assert talm("train-tokenizer", "-n", "t", "-vs", "300", "--text-file", str(texts)).code == 0
    data = ("text", "--path", str(texts), "-t", "t", "--ds-sample", "d")
    assert talm("prepare-data", *data).code == 0
    words = " ".join((*("train-model", "-n", "m", "-d", "text/d", "--max-steps", "4"), *TINY))
    done = shell(f"$T {words} >/dev/full", tmp_path)
    assert done.returncode == 1
    assert "standard output cannot be written: No space left" in done.stderr
    assert (tmp_path / "models/m/checkpoint-000004").is_dir()
    # Who reads and goes has it stop and save.
    words = words.replace("-n m", "-n n").replace("--max-steps 4", "--max-steps 100000")
    done = shell(f"$T {words} --json | sed /Metrics/q", tmp_path)
    assert done.returncode == 130
    assert "stopped; saved step" in done.stderr
    assert "go on with: talm train-model -n n --resume" in done.stderr


@pytest.mark.parametrize("how", ["--workspace", "TALM_HOME"])
def test_a_home_there_is_not_is_said(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    where = "~nobody-of-that-name/x"
    flag = f"--workspace {where}" if how == "--workspace" else ""
    done = shell(f"TALM_HOME='{where}' $T list {flag}", tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        f"talm: workspace = {where!r}: begins with ~, and there is no such user or home"
        " (give the path without ~; flag --workspace)\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_home_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Workspace("~/x").root == tmp_path / "x"
