"""Runs that begin with the weights of another."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from talm_core.errors import InputError
from talm_core.jobs.pretrain.job import pretrain
from talm_core.runtime import runner
from talm_core.runtime.events import Evaluated, Finished, Metrics, Notice
from talm_core.runtime.preflight import check, settle
from talm_core.storage.workspace import Workspace
from talm_core.training import init_from
from tests.core.driving import events_of, run_events, stepped_run
from tests.core.tiny_runs import tiny_config, tiny_workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a finished run of 12 steps."""
    made = tiny_workspace(tmp_path_factory.mktemp("origin"))
    run_events(tiny_config(model_name="source"), made)
    return made


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "model.safetensors")


def branch(**changes: Any) -> Any:
    return tiny_config(**{"model_name": "branch", "init_from": "source"} | changes)


def test_the_same_checkpoint_by_name_and_by_path(workspace: Workspace) -> None:
    source = workspace.directory("pretrain", "source")
    newest, older = source / "checkpoint-000012", source / "checkpoint-000008"
    assert init_from.find(workspace, "source") == newest
    assert init_from.find(workspace, "source/checkpoint-000008") == older
    assert init_from.find(workspace, str(older)) == older
    assert init_from.settled(workspace, "source") == "source/checkpoint-000012"
    assert init_from.settled(workspace, str(older)) == "source/checkpoint-000008"
    assert init_from.settled(workspace, "nobody") == "nobody"
    for wrong in ("nobody", "source/checkpoint-9", "../source", "source/../source/x"):
        with pytest.raises(InputError, match="init_from"):
            init_from.find(workspace, wrong)


def test_a_run_begins_with_those_weights_and_its_config_says_so(workspace: Workspace) -> None:
    source = workspace.directory("pretrain", "source")
    job = stepped_run(
        branch(learning_rate=1e-9, min_learning_rate=0.0, weight_decay=0.0), workspace
    )
    events = list(job)
    directory = workspace.directory("pretrain", "branch")
    assert runner.read_config(directory).model_dump()["init_from"] == "source/checkpoint-000012"
    said = [event.message for event in events if isinstance(event, Notice)]
    assert said == ["begins with the weights of source/checkpoint-000012"]
    before = [r.event for r in runner.follow(source) if isinstance(r.event, Evaluated)][-1]
    after = [event for event in events if isinstance(event, Evaluated)]
    # With next to no learning rate every evaluation is the last one of the source.
    assert [e.val_loss for e in after] == pytest.approx([before.val_loss] * 3, rel=1e-5)
    ours, theirs = weights(directory / "checkpoint-000012"), weights(source / "checkpoint-000012")
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in theirs)


def test_it_goes_on_when_the_source_is_gone(tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path)
    run_events(tiny_config(model_name="source"), workspace)
    job = stepped_run(branch(), workspace)
    for event in job:
        if isinstance(event, Metrics) and event.step == 5:
            break
    job.close()
    workspace.directory("pretrain", "source").rename(tmp_path / "elsewhere")
    config = runner.resumed_config(workspace.directory("pretrain", "branch"), {})
    events = run_events(config, workspace, resume=True)
    assert isinstance(events[-1], Finished)
    assert [event for event in events if isinstance(event, Notice)] == []


def test_what_does_not_fit_is_told_before_it_starts(workspace: Workspace) -> None:
    def problems(**changes: Any) -> dict[str, str]:
        config = settle(branch(model_name="other", **changes), workspace)
        return {problem.key: problem.message for problem in check(config, workspace)}

    assert problems() == {}
    assert problems(n_layer=3, n_embd=32) == {
        "n_layer": "checkpoint-000012 has 2",
        "n_embd": "checkpoint-000012 has 16",
    }
    assert problems(init_from="nobody") == {"init_from": "there is no such model"}
    with pytest.raises(InputError, match="n_layer = 3: checkpoint-000012 has 2"):
        events_of(pretrain, branch(model_name="other", n_layer=3), workspace)


def test_another_tokenizer_is_told(workspace: Workspace, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(workspace.directory("pretrain", "source") / "checkpoint-000012", copy)
    file = copy / "tokencoder.json"
    file.write_text(file.read_text().replace("<|endoftext|>", "<|other|>"))
    config = settle(branch(model_name="other", init_from=str(copy)), workspace)
    (problem,) = check(config, workspace)
    assert problem.key == "init_from"
    assert "another tokenizer" in problem.message
    (copy / "config.json").write_text("[]")
    (problem,) = check(config, workspace)
    assert "is damaged" in problem.message
