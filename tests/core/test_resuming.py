"""Going on with a run by the command that began it: what is said again is no change."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from talm_core.cli import main as cli
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime import control, runner
from talm_core.storage.workspace import Workspace
from tests.core.tiny_runs import NAME, tiny_workspace

TINY = "--n-embd 16 --n-head 2 --context-len 32 --batch-size 4 --eval-tokens 64 --sample-tokens 4"
TALM = f"-n a -d {NAME} --preset talm {TINY} --max-steps 4 --threads 1"

Run = Callable[[str], tuple[int, str]]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return tiny_workspace(tmp_path)


@pytest.fixture
def talm(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    monkeypatch.setattr(control, "stop_on_signals", lambda: None)

    def run(line: str) -> tuple[int, str]:
        words = ["train-model", *shlex.split(line), "--workspace", str(workspace.root)]
        code = cli.main(words)
        return code, capsys.readouterr().err

    return run


def config(workspace: Workspace, name: str = "a") -> PretrainConfig:
    found = runner.read_config(workspace.directory("pretrain", name))
    assert isinstance(found, PretrainConfig)
    return found


def test_the_same_command_with_more_steps(talm: Run, workspace: Workspace) -> None:
    assert talm(TALM)[0] == 0
    begun = config(workspace)
    assert (begun.warmup_steps, begun.eval_every, begun.optimizer) == (1, 1, "adamw")
    longer = TALM.replace("--max-steps 4", "--max-steps 9")
    code, err = talm(f"{longer} --resume")
    assert (code, "talm:" in err) == (0, True)
    assert config(workspace) == begun.model_copy(update={"max_steps": 9})
    # The preset alone says nothing new either, and how long it is stays.
    code, err = talm("-n a --resume --preset talm --n-embd 16 --n-head 2 --max-steps 10")
    assert code == 2
    assert "batch_size = 16: the run was started with 4" in err
    assert "context_len = 128: the run was started with 32" in err
    assert "steps" not in err
    code, err = talm(f"-n a --resume --preset talm {TINY} --threads 1 --max-steps 10")
    assert (code, config(workspace).max_steps) == (0, 10)


def test_another_preset_is_told_as_the_differences(talm: Run, workspace: Workspace) -> None:
    assert talm(TALM)[0] == 0
    code, err = talm(f"-n a --resume --preset nano {TINY} --max-steps 9 --threads 1")
    assert code == 2
    told = {line.split()[1] for line in err.splitlines()}
    assert told == {*("optimizer", "learning_rate", "min_learning_rate", "weight_decay", "beta2")}
    assert "optimizer = 'muon': the run was started with 'adamw'" in err
    assert config(workspace).max_steps == 4
    code, err = talm("-n a --resume --preset talk")
    assert code == 2
    assert "preset = 'talk': there is no such preset (did you mean 'talm'?" in err


@pytest.mark.parametrize("said", ["a", "a/checkpoint-000004"])
def test_what_a_run_began_with_may_be_said_again(
    talm: Run, workspace: Workspace, said: str
) -> None:
    assert talm(TALM)[0] == 0
    b = TALM.replace("-n a", "-n b")
    assert talm(f"{b} --init-from {said}")[0] == 0
    # Its newest checkpoint is another one by now.
    assert talm("-n a --resume --max-steps 6")[0] == 0
    longer = b.replace("--max-steps 4", "--max-steps 5")
    longer = longer.replace(f"-d {NAME}", "-d tiny")
    code, err = talm(f"{longer} --resume --init-from {said}")
    assert code == 0, err
    assert config(workspace, "b").init_from == "a/checkpoint-000004"
    code, err = talm("-n b --resume --max-steps 6 --init-from b")
    assert code == 2
    assert "the run was started with 'a/checkpoint-000004'" in err
