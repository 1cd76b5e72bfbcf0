"""Words that people type from habit."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from talm_core.cli import main as cli
from talm_core.cli.parser import parse
from talm_core.jobs.export.config import ExportConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.settings.schema import build
from tests.core.test_cli import Talm, make, make_model, make_tokenizer, talm

__all__ = ["talm"]


def problems_of(command: str, *typed: str) -> list[str]:
    return [str(item) for item in parse(typed, cli.commands()[command].flags()).problems]


def values_of(command: str, *typed: str) -> dict[str, Any]:
    given = parse(typed, cli.commands()[command].flags())
    assert given.problems == ()
    return {**given.values}


@pytest.mark.parametrize(
    ("command", "typed", "expected"),
    [
        ("sample", ["m", "def foo"], {"model": "m", "prompt": "def foo"}),
        ("sample", ["m", "-p", "def"], {"model": "m", "prompt": "def"}),
        ("sample", ["-p", "def", "m"], {"model": "m", "prompt": "def"}),
        ("sample", ["m", "--", "-x"], {"model": "m", "prompt": "-x"}),
        ("prepare-data", ["text", "a", "b/"], {"source": "text", "path": ["a", "b/"]}),
        ("prepare-data", ["text", "--path", "a"], {"source": "text", "path": ["a"]}),
        ("train-model", ["--resume", "nano"], {"resume": True, "model_name": "nano"}),
        ("train-model", ["-p", "talm"], {"preset": "talm"}),
        ("plan", ["d6"], {"preset": "d6"}),
        ("list", ["models", "data"], {"kind": ["models", "data"]}),
        ("help", ["sample"], {"command": "sample"}),
    ],
)
def test_what_stands_where_everybody_expects_it(
    command: str, typed: list[str], expected: dict[str, Any]
) -> None:
    assert values_of(command, *typed) == expected


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["m", "a", "b"], "command line = 'b': there is no place for this"),
        (["m", "a", "-p", "b"], "prompt: may be given once"),
    ],
)
def test_nothing_is_taken_twice(typed: list[str], said: str) -> None:
    assert problems_of("sample", *typed) == [said]


@pytest.mark.parametrize(
    ("command", "flag", "meant"),
    [
        ("train-model", "--lr", "--learning-rate"),
        ("train-model", "--mlr", "--min-learning-rate"),
        ("train-model", "--bs", "--batch-size"),
        ("train-model", "--wd", "--weight-decay"),
        ("train-model", "--steps", "--max-steps"),
        ("train-model", "--block_size", "--context-len"),
        ("train-model", "--n-layers", "--n-layer"),
        ("sample", "--temp", "--temperature"),
        ("sample", "--max-new-tokens", "--max-tokens"),
        ("export", "--out", "--output"),
    ],
)
def test_what_was_meant_is_named(command: str, flag: str, meant: str) -> None:
    said = f"{flag}: there is no such flag (did you mean {meant!r}?)"
    assert problems_of(command, flag, "1") == [said]


def test_other_names_of_values() -> None:
    assert build(ExportConfig, {"model": "m", "format": "hf"}).format == "huggingface"
    assert (
        build(TokenizerConfig, {"name": "m", "corpus": "shakespeare"}).corpus == "tiny-shakespeare"
    )


@pytest.mark.parametrize("command", ["sample", "quickstart"])
def test_bytes_that_are_no_text_do_not_vanish(command: str) -> None:
    word = os.fsdecode("é".encode() + b"\xff\xfe")
    (said,) = problems_of(command, "--prompt", word)
    assert "is not UTF-8: byte 0xff at position 2 (convert it to UTF-8 first" in said
    assert "prompt = 'é\ufffd\ufffd'" in said
    # A file may be called so.
    assert problems_of("prepare-data", "text", word) == []
    assert problems_of("export", "m", "-o", word) == []


def test_a_list_of_some_kinds(talm: Talm) -> None:
    make_model(talm.workspace)
    make_tokenizer(talm.workspace)
    for word in ("models", "model", "pretrain", "Models"):
        assert [item["name"] for item in talm.objects("list", word)] == ["nano"]
    assert [item["name"] for item in talm.objects("list", "models", "tokenizers")] == [
        "nano",
        "mine",
    ]
    code, out, _ = talm("list", "datasets")
    assert (code, out.splitlines()[0]) == (0, f"No datasets yet in {talm.workspace.root}")
    code, out, err = talm("list", "nano")
    assert (code, out) == (2, "")
    folders = "tokenizers, data, models, quickstarts"
    assert err == f"talm: kind = 'nano': must be one of {folders} (argument KIND)\n"


def test_help_of_everything_and_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["help"]) == 0
    everything = capsys.readouterr().out
    assert "talm-tui" in everything
    assert cli.main(["--help"]) == 0
    assert capsys.readouterr().out == everything
    for words in (["help", "sample"], ["help", "download-data"], ["help", "tui"]):
        assert cli.main(words) == 0
        ours = capsys.readouterr().out
        assert cli.main([words[1], "--help"]) == 0
        assert capsys.readouterr().out == ours
    assert cli.main(["help", "smaple"]) == 2
    assert "there is no such command (did you mean 'sample'?)" in capsys.readouterr().err


def test_the_terminal_ui_is_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, words: became.append(words))
    cli.main(["--workspace", "/x", "tui", "--serve"])
    assert became == [[sys.executable, "-P", "-m", "talm_tui", "--workspace", "/x", "--serve"]]


def test_a_shipped_name_is_no_exception(talm: Talm) -> None:
    assert talm("show", "base")[0] == 0
    make_model(talm.workspace, "base")
    code, _, err = talm("show", "base")
    assert code == 2
    assert "fits several (say which: tokenizers/base, models/base" in err
    assert talm("show", "tokenizers/base")[0] == talm("show", "models/base")[0] == 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_preparing_needs_to_know_what(talm: Talm, tmp_path: Path) -> None:
    code, out, err = talm("prepare-data")
    assert (code, out) == (2, "")
    assert err.startswith("talm: source: must be given: one of stdlib, text, tiny-shakespeare, ")
    assert not talm.workspace.root.exists()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("2\n{missing}\n", "path = '{missing}'"),
        ("text\n{missing}\n", "path = '{missing}'"),
        ("nothing\n\ntext\n{missing}\n", "There is no source 'nothing'."),
        ("hub\na/b/c\n", "dataset = 'a/b/c'"),
    ],
)
def test_a_terminal_is_asked_what_to_prepare(
    talm: Talm,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    typed: str,
    said: str,
) -> None:
    missing = str(tmp_path / "missing")
    monkeypatch.setattr("sys.stdin", Terminal(typed.replace("{missing}", missing)))
    monkeypatch.setattr("sys.stderr", asked := Terminal())
    assert talm("prepare-data")[0] == 2
    text = asked.getvalue()
    assert "Where does the text come from?" in text
    assert said.replace("{missing}", missing) in text
    assert not (talm.workspace.root / "data").exists()


def test_leaving_the_question_starts_nothing(
    talm: Talm,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(""))
    monkeypatch.setattr("sys.stderr", Terminal())
    assert talm("prepare-data")[0] == 130
    assert not talm.workspace.root.exists()


def test_a_dataset_of_two_kinds_of_names(talm: Talm) -> None:
    make(talm.workspace, "data", "text/one")
    make_model(talm.workspace, "one")
    # The model is called so; the dataset is called text/one.
    assert json.loads(talm("show", "one", "--json")[1])["kind"] == "pretrain"
