"""Bad input: exit code 2, a message that names the setting, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.dataset.job import prepare_data
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.vocabulary import Vocabulary
from tests.core.driving import events_of
from tests.end_to_end.talm import TINY, Talm, write_texts

MODEL = ("train-model", "-n", "m", "-d", "texts", *TINY)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts, good and bad, a workspace with a dataset and a foreign tokenizer."""
    root = tmp_path_factory.mktemp("files")
    texts = write_texts(root / "texts")
    (root / "empty.txt").touch()
    (root / "binary.bin").write_bytes(b"\x7fELF\x00\x00" * 50)
    (root / "latin.txt").write_bytes(b"caf\xe9 " * 50)
    (root / "file").write_text("in the way")
    workspace = Workspace(root / "ws")
    events_of(prepare_data, DataConfig(source="text", path=(str(texts),)), workspace)
    ranks = {bytes([value]): value for value in range(256)}
    (root / "ws/tokenizers/other").mkdir(parents=True)
    other = Vocabulary("other", r"\w+|\W+", ranks, {"<|endoftext|>": 256})
    other.save(root / "ws/tokenizers/other/tokencoder.json")
    return root


TOKENIZER = ("train-tokenizer", "-n", "t")

CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "vocab size 200": (
        (*TOKENIZER, "-vs", "200"),
        ("vocab_size = 200: must be a whole number, 256 to 1,000,000 (flag --vocab-size)",),
    ),
    "missing file": (
        (*TOKENIZER, "--text-file", "{files}/nowhere.txt"),
        ("text_file = ", "nowhere.txt", "(flag --text-file)"),
    ),
    "empty file": ((*TOKENIZER, "--text-file", "{files}/empty.txt"), ("text_file = ", "empty")),
    "binary file": ((*TOKENIZER, "--text-file", "{files}/binary.bin"), ("text_file = ", "binary")),
    "not UTF-8": ((*TOKENIZER, "--text-file", "{files}/latin.txt"), ("latin.txt", "UTF-8")),
    "existing name": (("train-tokenizer", "-n", "other"), ("name = 'other': exists already",)),
    "built-in name": (("train-tokenizer", "-n", "base"), ("name = 'base'",)),
    "climbing name": (("train-tokenizer", "-n", "../x"), ("name = '../x': must begin with",)),
    "climbing model": (
        ("train-model", "-n", "../x", "-d", "texts"),
        ("model_name = '../x': must begin with", "(flag --model-name)"),
    ),
    "climbing dataset": (
        ("prepare-data", "text", "--path", "{files}/texts", "--ds-sample", "../x"),
        ("ds_sample = '../x'",),
    ),
    "climbing quick start": (("quickstart", "-n", "../x"), ("name = '../x'",)),
    "foreign tokenizer": (
        (*MODEL, "-t", "other"),
        ("tokenizer_path = 'other'", "is not the tokenizer the dataset was made with: base"),
    ),
    "embedding and heads": (
        ("train-model", "-n", "m", "-d", "texts", "--n-embd", "130", "--n-head", "4"),
        ("n_embd = 130: must be a multiple of n_head (4)", "128 or 136", "flag --n-embd)"),
    ),
    "unknown preset": (
        (*MODEL, "--preset", "nanoo"),
        ("preset = 'nanoo': there is no such preset (did you mean 'nano'?; flag --preset)",),
    ),
    "unknown preset of a quick start": (
        ("quickstart", "--preset", "nanoo"),
        ("preset = 'nanoo': there is no such preset (did you mean 'nano'?; flag --preset)",),
    ),
    "unknown dataset": (
        ("train-model", "-n", "m", "-d", "txts"),
        ("data_dir = 'txts': there is no such dataset",),
    ),
    "nothing to resume": (
        ("train-model", "-n", "m", "--resume"),
        ("model_name = 'm': there is no such model",),
    ),
    "unknown flag": ((*TOKENIZER, "--vocabsize", "300"), ("--vocabsize", "'--vocab-size'")),
    "no path": (("prepare-data", "text"), ("path: source text needs at least one file",)),
    "too little text": (
        ("train-model", "-n", "m", "-d", "texts", "--context-len", "100000"),
        ("data_dir = ", "context_len needs 100,001"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(files: Path, case: str) -> None:
    words, said = CASES[case]
    talm = Talm(files / "ws")
    before = talm.everything
    ended = talm(*(word.replace("{files}", str(files)) for word in words))
    assert ended.code == 2
    # Only reading all of a text tells that it is not UTF-8.
    assert "UTF-8" in said or not ended.out
    for part in said:
        assert part in ended.err
    assert "Traceback" not in ended.err
    assert all(line.startswith("talm: ") for line in ended.err.splitlines())
    # Taking a lock and giving it back is all that may be left of asking.
    assert [path for path in talm.everything if path not in before] in (
        [],
        ["tokenizers/other/lock"],
    )


def test_everything_at_once(files: Path) -> None:
    talm = Talm(files / "ws")
    ended = talm(
        *("train-model", "--preset", "nanoo", "-n", "../x", "--n-embd", "130", "--seed", "x"),
        *("--max-stepz", "3", "--detach", "--json"),
    )
    assert (ended.code, ended.out) == (2, "")
    for key in ("preset", "data_dir", "n_embd", "seed", "--max-stepz"):
        assert f"talm: {key}" in ended.err


@pytest.mark.parametrize("words", [("quickstart",), TOKENIZER, (*TOKENIZER, "--detach")])
def test_a_workspace_that_cannot_be_written(files: Path, words: tuple[str, ...]) -> None:
    ended = Talm(files / "file/ws")(*words)
    assert (ended.code, ended.out) == (2, "")
    assert "talm: workspace = " in ended.err
    assert "cannot be written" in ended.err
    assert "choose another with --workspace or TALM_HOME" in ended.err
    assert (files / "file").read_text() == "in the way"


# Gives root's right to read everything away (CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH are dropped
# from the bounding set, PR_CAPBSET_DROP), then becomes the command.
BOUND = """
import ctypes, os, sys
for capability in (1, 2) if os.geteuid() == 0 else ():
    if ctypes.CDLL(None).prctl(24, capability, 0, 0, 0):
        sys.exit(99)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.skipif(
    sys.platform != "linux" and os.geteuid() == 0, reason="nothing is unreadable for root here"
)
@pytest.mark.parametrize(
    "words", [(*TOKENIZER, "--text-file"), ("prepare-data", "text", "--path")], ids=" ".join
)
def test_files_in_a_directory_that_may_not_be_read(tmp_path: Path, words: tuple[str, ...]) -> None:
    texts, talm = write_texts(tmp_path / "texts", count=3), Talm(tmp_path / "ws")
    (texts / "locked").mkdir()
    (texts / "01.txt").chmod(0)
    (texts / "locked").chmod(0)
    command = [sys.executable, "-c", BOUND, *talm.command(*words, str(texts))]
    ended = subprocess.run(
        command, env=talm.environment, capture_output=True, text=True, check=False
    )
    (texts / "locked").chmod(0o700)
    if ended.returncode == 99:
        pytest.skip("root may not give its rights away here")
    assert (ended.returncode, ended.stdout) == (2, "")
    key = words[-1].strip("-").replace("-", "_")
    assert ended.stderr.splitlines() == [
        f"talm: {key} = '{texts}/01.txt': cannot be read: Permission denied (flag {words[-1]})",
        f"talm: {key} = '{texts}/locked': cannot be read: Permission denied (flag {words[-1]})",
    ]
    assert talm.everything == []
