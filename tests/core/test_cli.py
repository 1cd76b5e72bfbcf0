"""The commands that only look, and what is said about bad input, in this process."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from talm_core.cli import main as cli
from talm_core.errors import ArtifactError, RunError
from talm_core.jobs import registry
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.quickstart.config import QuickstartConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime import control
from talm_core.runtime.artifacts import full_name, resolve
from talm_core.runtime.context import JobContext
from talm_core.runtime.events import Evaluated, Event, Failed, Finished, Sampled, Started, Stopped
from talm_core.runtime.journal import JournalWriter
from talm_core.runtime.lock import Lock
from talm_core.runtime.runner import read_config
from talm_core.settings.toml import dumps
from talm_core.storage.workspace import Workspace
from talm_core.version import version
from tests.core.counting import metrics, planned
from tests.core.registration import registered


class Talm:
    """Runs `talm` here, in a workspace of its own."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.workspace = Workspace(root)
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        code = cli.main([*words, "--workspace", str(self.workspace.root)])
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err

    def objects(self, *words: str) -> list[dict[str, Any]]:
        code, out, err = self(*words, "--json")
        assert (code, err) == (0, "")
        return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def talm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Talm:
    return Talm(tmp_path / "ws", capsys)


def make(workspace: Workspace, kind: str, name: str, *events: Event, config: str = "") -> Path:
    directory = workspace.directory(kind, name)
    directory.mkdir(parents=True)
    (directory / "config.toml").write_text(config)
    with JournalWriter(directory) as writer:
        for event in events:
            writer.write(event)
    return directory


def make_model(workspace: Workspace, name: str = "nano") -> Path:
    evaluated = Evaluated(step=900, val_loss=3.21, bits_per_byte=1.234, tokens=1, seconds=0)
    return make(
        workspace,
        "pretrain",
        name,
        Started(job="pretrain", name=name),
        metrics(900, 900),
        evaluated,
        Sampled(step=900, prompt="def ", text="f\x1b[2J(x)"),
        Finished(seconds=1, summary={"step": 900, "directory": f"models/{name}"}),
        config=dumps(PretrainConfig(model_name=name, data_dir="d")),
    )


def make_tokenizer(workspace: Workspace, name: str = "mine") -> Path:
    return make(
        workspace,
        "tokenizer",
        name,
        Finished(seconds=1, summary={"vocab_size": 4096, "bytes_per_token": 3.5}),
        config=dumps(TokenizerConfig(name=name)),
    )


def test_the_version(talm: Talm, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--version"], ["version"]):
        assert cli.main(words) == 0
        assert capsys.readouterr().out == f"talm {version()}\n"


def test_help_names_every_command_and_flag(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"], ["-h"]):
        assert cli.main(words) == 0
        out = capsys.readouterr().out
        assert all(name in out for name in cli.commands())
    for name, command in cli.commands().items():
        assert cli.main([name, "--help"]) == 0
        out = capsys.readouterr().out
        for flag in command.flags():
            assert flag.long in out
            assert all(short in out for short in flag.names)
    assert cli.main(["train-tokenizer", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--vocab-size -vs N Size of the vocabulary" in out
    assert "[256 to 1,000,000 tokens; default: 4096]" in out
    assert out.index("Tokenizer ─") < out.index("Advanced ─") < out.index("Everywhere ─")


def test_an_empty_workspace(talm: Talm) -> None:
    code, out, err = talm("list")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"Nothing yet in {talm.workspace.root}"
    assert "talm quickstart" in out
    assert talm.objects("list") == []
    assert not talm.workspace.root.exists()


def test_a_list(talm: Talm) -> None:
    make_tokenizer(talm.workspace)
    make_model(talm.workspace)
    make(
        talm.workspace,
        "pretrain",
        "bad",
        Started(job="pretrain", name="x"),
        Failed(message="no\nroom"),
    )
    with Lock.acquire(make(talm.workspace, "data", "text/x")):
        code, out, _ = talm("list")
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines == [
        "Tokenizers",
        "mine ● done 4,096 tokens 3.50 bytes per token now",
        "",
        "Datasets",
        "text/x ▶ running",
        "",
        "Models",
        "bad ✕ failed no room now",
        "nano ● done step 900 of 900 val loss 3.210 1.234 bits per byte now",
    ] or lines[7:] == [
        "nano ● done step 900 of 900 val loss 3.210 1.234 bits per byte now",
        "bad ✕ failed no room now",
    ]
    found = {item["name"]: item for item in talm.objects("list")}
    assert set(found) == {"mine", "text/x", "nano", "bad"}
    assert found["nano"]["status"] == "done"
    assert found["nano"]["val_loss"] == 3.21
    assert found["nano"]["summary"] == {"step": 900, "directory": "models/nano"}
    assert found["text/x"]["status"] == "interrupted"


def test_a_run_that_its_time_limit_ended(talm: Talm) -> None:
    directory = make_model(talm.workspace)
    (directory / "events.jsonl").unlink()
    with JournalWriter(directory) as writer:
        writer.write(Started(job="pretrain", name="nano"))
        writer.write(planned(minutes=0.4))
        writer.write(replace(metrics(160, 700), elapsed=24.1))
        summary = {"step": 160, "ended_by": "its time limit of 24 s"}
        writer.write(Finished(seconds=30, summary=summary))
    _, out, _ = talm("list")
    assert "● done  step 160, ended by its time limit of 24 s" in out
    _, out, _ = talm("show", "nano")
    assert "\nstep 160, ended by its time limit of 24 s\n" in out
    assert "  ended by  its time limit of 24 s\n" in out


def test_everything_about_one(talm: Talm) -> None:
    directory = make_model(talm.workspace)
    (directory / "checkpoint-000900").mkdir()
    (directory / "checkpoint-000900/x").write_bytes(b"x" * 1_000)
    code, out, err = talm("show", "nano")
    assert (code, err) == (0, "")
    assert out.startswith("models/nano  ● done")
    assert str(directory) in out
    assert "checkpoint-000900  1 kB" in out
    assert "3.2100 nats per token, 1.2340 bits per byte" in out
    assert "  n_layer " in out
    assert out.endswith("Sample at step 900\ndef f[2J(x)\n")
    (found,) = talm.objects("show", "nano")
    assert found["config"]["n_head"] == 4
    assert found["evaluations"] == [{"step": 900, "val_loss": 3.21, "bits_per_byte": 1.234}]
    assert found["checkpoints"] == [{"step": 900, "directory": "checkpoint-000900", "bytes": 1000}]
    assert found["samples"] == [{"step": 900, "prompt": "def ", "text": "f\x1b[2J(x)"}]


def test_names_of_any_kind(talm: Talm) -> None:
    workspace = talm.workspace
    make_tokenizer(workspace, "one")
    make_model(workspace, "one")
    make(workspace, "data", "stdlib/all")
    assert resolve(workspace, "all").name == "stdlib/all"
    assert resolve(workspace, "data/stdlib/all").name == "stdlib/all"
    for text in ("models/one", "model/one", "pretrain/one"):
        assert full_name(resolve(workspace, text)) == "models/one"
    with pytest.raises(ArtifactError, match=r"say which: tokenizers/one, models/one"):
        resolve(workspace, "one")
    with Lock.acquire(make(workspace, "pretrain", "two", Started(job="pretrain", name="two"))):
        make_tokenizer(workspace, "two")
        assert full_name(resolve(workspace, "two", active=True)) == "models/two"
    make(workspace, "quickstart", "one", config=dumps(QuickstartConfig(name="one")))
    assert full_name(resolve(workspace, "one")) == "quickstarts/one"
    code, out, err = talm("show", "oen")
    assert (code, out) == (2, "")
    assert "talm: name = 'oen': there is nothing of that name (did you mean 'one'?" in err


def test_attaching_to_what_has_ended(talm: Talm) -> None:
    make_model(talm.workspace)
    code, out, _ = talm("attach", "nano")
    assert code == 0
    assert out.splitlines()[0] == "pretrain nano"
    assert out.splitlines()[-1] == "done in 1.0 s, step 900"
    assert [item["event"] for item in talm.objects("attach", "nano")] == [
        *("Started", "Metrics", "Evaluated", "Sampled", "Finished")
    ]
    started = Started(job="pretrain", name="b")
    config = dumps(PretrainConfig(model_name="b", data_dir="d"))
    make(talm.workspace, "pretrain", "b", started, Stopped(reason="SIGINT"), config=config)
    code, _, err = talm("attach", "b")
    assert code == 130
    assert "talm: b was stopped (SIGINT)" in err
    assert f"talm train-model -n b --resume --workspace {talm.workspace.root}" in err
    make(talm.workspace, "pretrain", "c", started, Failed(message="no room"))
    code, _, err = talm("attach", "c")
    assert (code, err) == (1, "talm: c failed: no room\n")
    (make(talm.workspace, "pretrain", "d", started, config=config) / "log.txt").write_text(
        "Killed\n"
    )
    code, _, err = talm("attach", "d")
    assert code == 1
    assert "was interrupted" in err
    assert "Killed" in err


def test_only_what_runs_can_be_stopped(talm: Talm) -> None:
    make_model(talm.workspace)
    code, out, err = talm("stop", "nano")
    assert (code, out) == (2, "")
    assert err == "talm: name = 'nano': is not running; it is done (argument NAME)\n"


def test_renaming(talm: Talm) -> None:
    make_model(talm.workspace)
    code, out, err = talm("rename", "nano", "best")
    assert (code, out, err) == (0, "models/nano is now called best\n", "")
    assert [item.name for item in talm.workspace.artifacts("pretrain")] == ["best"]
    assert read_config(talm.workspace.directory("pretrain", "best")).artifact == "best"
    assert "model_name = 'a/b': " in talm("rename", "best", "a/b")[2]
    # Words that cyclopts binds.
    assert talm.objects("rename", "--new=again", "best") == [
        {"name": "again", "directory": str(talm.workspace.directory("pretrain", "again"))}
    ]
    make(talm.workspace, "data", "stdlib/all")
    code, _, err = talm("rename", "stdlib/all", "mine")
    assert code == 2
    assert "only tokenizers and models can be renamed" in err
    with Lock.acquire(talm.workspace.directory("pretrain", "again")):
        code, _, err = talm("rename", "again", "third")
    assert (code, err) == (2, "talm: again: is running: stop it first\n")


def test_deleting_says_what_it_frees(talm: Talm, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = make_model(talm.workspace)
    (directory / "weights").write_bytes(b"x" * 2_000_000)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    code, _, err = talm("delete", "nano")
    assert code == 2
    assert "yes: must be given where nobody can be asked (it frees 2 MB; flag --yes)" in err
    with Lock.acquire(directory):
        code, _, err = talm("delete", "nano", "--yes")
    assert code == 2
    assert "is running: stop it first" in err
    code, out, err = talm("delete", "nano", "--yes")
    assert (code, out, err) == (0, "models/nano is deleted; 2 MB are free\n", "")
    assert not directory.exists()


@pytest.mark.parametrize(("answer", "deleted"), [("y", True), ("", False), ("n", False)])
def test_a_terminal_is_asked_before_anything_is_deleted(
    talm: Talm, monkeypatch: pytest.MonkeyPatch, answer: str, deleted: bool
) -> None:
    directory = make_model(talm.workspace)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    code, _, err = talm("delete", "nano")
    assert "Delete models/nano for good? It frees " in err
    assert directory.exists() is not deleted
    assert code == (0 if deleted else 130)


def test_a_name_of_several_things_deletes_none(talm: Talm) -> None:
    make_model(talm.workspace, "first")
    make(talm.workspace, "quickstart", "first")
    code, _, err = talm("delete", "first", "--yes")
    assert code == 2
    assert "say which: models/first, quickstarts/first" in err
    assert talm("delete", "quickstarts/first", "--yes")[0] == 0
    assert talm("show", "first")[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["delete"], "name: must be given: which one (argument NAME)"),
        (["rename", "nano"], "new: must be given: the new name (argument NEW)"),
        (["lst"], "lst: there is no such command (did you mean 'list'?)"),
        (["list", "--jsn"], "--jsn: there is no such flag (did you mean '--json'?)"),
        (["show"], "name: must be given: which one (argument NAME)"),
        (["show", "a", "b"], "command line = 'b': there is no place for this"),
        (["sample"], "model: must be given"),
        (["sample", "nano"], "nano"),
        (["train-model", "--resume"], "model_name: must be given"),
        (["train-model", "--resume", "-n", "x"], "model_name = 'x': there is no such model"),
        (["quickstart", "--resume", "-n", "x"], "name = 'x': there is no such quickstart"),
    ],
)
def test_bad_words(talm: Talm, words: list[str], said: str) -> None:
    code, out, err = talm(*words)
    assert (code, out) == (2, "")
    assert said in err
    assert all(line.startswith("talm: ") for line in err.splitlines())
    assert not talm.workspace.root.exists()


def broken(ctx: JobContext, config: TokenizerConfig) -> None:
    ctx.emit(Started(job=config.kind, name=config.name))
    if config.vocab_size == 300:
        raise RunError("no room") from OSError("ENOSPC")
    raise ZeroDivisionError("oh no")


def test_a_job_that_breaks(talm: Talm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "stop_on_signals", lambda: None)
    spec = replace(registry.spec_of("tokenizer"), entry="tests.core.test_cli:broken")
    with registered(spec):
        _break(talm)


def _break(talm: Talm) -> None:
    code, out, err = talm("train-tokenizer", "-n", "a")
    log = talm.workspace.root / "tokenizers/a/log.txt"
    assert (code, out) == (1, "tokenizer a\nfailed: ZeroDivisionError: oh no\n")
    assert err == f"talm: ZeroDivisionError: oh no\ntalm: the traceback is in {log}\n"
    assert log.read_text().startswith("Traceback")
    code, _, err = talm("train-tokenizer", "-n", "b", "-vs", "300")
    assert (code, err) == (1, "talm: no room\n")


def test_flags_that_work_everywhere_may_come_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_model(Workspace(tmp_path))
    assert cli.main(["--workspace", str(tmp_path), "--json", "list"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "nano"
    assert cli.main([f"--workspace={tmp_path}", "list"]) == 0
    assert "nano" in capsys.readouterr().out


def test_a_plan_is_told_with_its_reasons(talm: Talm) -> None:
    code, out, err = talm("plan", "--preset", "d2", "--batch-size", "16")
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert rows["tokens_per_step"].split()[1] == "8,192"
    assert rows["tokens_per_step"].endswith("4 x 16 windows of 128")
    assert {"parameters", "flops_per_token", "memory", "disk"} <= rows.keys()
    (told,) = talm.objects("plan", "--preset", "d2")
    assert told["plan"]["tokens_per_step"] == 8_192
    assert [line["name"] for line in told["reasons"]] == list(rows)
    assert told["concerns"] == []


def test_a_plan_that_does_not_fit_says_so(talm: Talm) -> None:
    code, out, err = talm("plan", "--preset", "d48", "--keep-checkpoints", "100000")
    assert code == 2
    assert "parameters" in out
    assert "talm: cannot be trained here: keep_checkpoints = 100000: with the best one" in err
    code, _, err = talm("plan", "--preset", "d99", "--data-dir", "none", "--n-head", "5")
    assert code == 2
    assert [line.split()[1] for line in err.splitlines()] == ["preset", "data_dir", "n_embd"]
