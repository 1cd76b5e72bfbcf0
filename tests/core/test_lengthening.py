"""A finished run that is trained longer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from talm_core.errors import InputError
from talm_core.runtime import runner
from talm_core.runtime.events import Checkpointed, Event, Finished, Metrics, Notice, Started
from talm_core.runtime.history import History
from talm_core.runtime.journal import JournalReader
from talm_core.runtime.opening import FINISHED_FILE
from talm_core.runtime.runner import Status, status
from talm_core.settings.toml import dumps
from talm_core.storage.workspace import Workspace
from talm_core.training import checkpoint
from talm_core.training.lr_schedule import LRSchedule
from tests.core.driving import run_events, stepped_run
from tests.core.tiny_runs import tiny_config, tiny_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return tiny_workspace(tmp_path)


def train(workspace: Workspace, *, resume: bool = False, **changes: Any) -> list[Event]:
    return run_events(tiny_config(**changes), workspace, resume=resume)


def weights(workspace: Workspace, name: str) -> dict[str, Any]:
    path = checkpoint.find(workspace.directory("pretrain", name)).path
    assert path is not None
    return load_file(path / "model.safetensors") | load_file(path / "training.safetensors")


def rates(events: list[Event]) -> dict[int, float]:
    return {event.step: event.learning_rate for event in events if isinstance(event, Metrics)}


def notice(events: list[Event]) -> str:
    (text,) = [
        event.message
        for event in events
        if isinstance(event, Notice) and event.message.startswith("trained longer")
    ]
    return text


def assert_as_if_begun_so(workspace: Workspace, events: list[Event], **settings: Any) -> None:
    whole = train(workspace, model_name="whole", **settings)
    assert isinstance(events[-1], Finished)
    ours, theirs = weights(workspace, "tiny"), weights(workspace, "whole")
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert rates(events).items() <= rates(whole).items()


def test_at_a_level_rate_it_is_exact_from_the_last_step(workspace: Workspace) -> None:
    level: dict[str, Any] = {"learning_rate": 1e-3, "min_learning_rate": 1e-3}
    train(workspace, max_steps=6, **level)
    events = train(workspace, resume=True, max_steps=11, **level)
    assert [e.resumed_from for e in events if isinstance(e, Started)] == [6]
    assert list(rates(events)) == [7, 8, 9, 10, 11]
    assert notice(events) == (
        "trained longer: step 6 was the last, now it has 11 steps; each step has the learning rate"
        " of a run that long, and gives its weights"
    )
    assert_as_if_begun_so(workspace, events, max_steps=11, **level)


def test_wsd_goes_on_from_before_the_fall(workspace: Workspace) -> None:
    # The rate of 10 steps falls from the seventh on, that of 16 from the eleventh.
    wsd: dict[str, Any] = {"lr_schedule": "wsd", "decay_ratio": 0.4}
    wsd |= {"keep_checkpoints": 2, "checkpoint_every": 1}
    first = train(workspace, max_steps=10, **wsd)
    directory = workspace.directory("pretrain", "tiny")
    assert 7 in [step for step, _ in checkpoint.checkpoints(directory)]
    events = train(workspace, resume=True, max_steps=16, **wsd)
    assert [e.resumed_from for e in events if isinstance(e, Started)] == [7]
    assert notice(events) == (
        "trained longer: step 10 was the last, now it has 16 steps; it goes on from step 7, before"
        " the learning rate began to fall, to the weights of a run that long. The model of step 10"
        " is kept in finished-000010"
    )
    assert (directory / "finished-000010/model.safetensors").is_file()
    assert_as_if_begun_so(workspace, events, max_steps=16, **wsd)
    history = History()
    history.extend(JournalReader(directory).read_all())
    assert list(history.metrics["step"]) == list(range(1, 17))
    assert 7 in [event.step for event in first if isinstance(event, Checkpointed)]


def test_a_cosine_rises_again_to_where_the_longer_one_is(workspace: Workspace) -> None:
    train(workspace, max_steps=6)
    events = train(workspace, resume=True, max_steps=12)
    longer = LRSchedule(3e-3, 1e-4, 2, 12)
    assert rates(events) == {step + 1: longer.rate(step) for step in range(6, 12)}
    assert notice(events) == (
        "trained longer: step 6 was the last, now it has 12 steps; the learning rate goes on where"
        " the cosine of a run that long is, at 0.002, and falls to 0.0001 again"
    )
    changed = [event.message for event in events if isinstance(event, Notice)]
    assert "changed since step 6: max_steps from 6 to 12" in changed
    config = runner.read_config(workspace.directory("pretrain", "tiny"))
    assert config.max_steps == 12  # type: ignore[attr-defined]


@pytest.mark.parametrize("minutes", [10.0, None])
def test_a_run_ended_by_its_time_limit(workspace: Workspace, minutes: float | None) -> None:
    train(workspace, max_steps=5, minutes=1e-6)
    events = train(workspace, resume=True, max_steps=5, minutes=minutes)
    assert list(rates(events)) == [2, 3, 4, 5]
    assert isinstance(events[-1], Finished)
    assert events[-1].summary["step"] == 5


def test_more_of_what_did_not_end_it_is_refused_with_what_did(workspace: Workspace) -> None:
    train(workspace, max_steps=5, minutes=1e-6)
    with pytest.raises(InputError) as caught:
        train(workspace, resume=True, max_steps=50, minutes=1e-6)
    (problem,) = caught.value.problems
    assert problem.message == "is finished, nothing is left to resume"
    assert problem.hint == (
        "its time limit of 1e-06 minutes ended it at step 1 of 5; to train it longer: --resume"
        " --minutes 2e-06, or --minutes none; else choose another name"
    )


def test_a_finished_run_is_made_longer_by_resume_alone(workspace: Workspace) -> None:
    train(workspace, max_steps=2, warmup_steps=1)
    for resume, steps, message in (
        (False, 4, "exists already"),
        (True, 2, "is finished, nothing is left to resume"),
    ):
        with pytest.raises(InputError) as caught:
            train(workspace, resume=resume, max_steps=steps, warmup_steps=1)
        (problem,) = caught.value.problems
        assert problem.message == message
        assert problem.hint == (
            "to train it longer: --resume --max-steps 4; else choose another name"
        )


def test_everything_but_its_length_stays(workspace: Workspace) -> None:
    train(workspace, max_steps=2)
    with pytest.raises(InputError) as caught:
        train(workspace, resume=True, max_steps=4, learning_rate=1e-3)
    assert [problem.key for problem in caught.value.problems] == ["learning_rate"]
    directory = workspace.directory("pretrain", "tiny")
    assert status(directory) is Status.DONE
    assert runner.read_config(directory).max_steps == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("event", [Started, Notice, Metrics, Checkpointed])
def test_one_that_is_stopped_on_the_way_goes_on(workspace: Workspace, event: type[Event]) -> None:
    wsd: dict[str, Any] = {"lr_schedule": "wsd", "decay_ratio": 0.4}
    train(workspace, max_steps=10, **wsd)
    longer = tiny_config(max_steps=16, **wsd)
    job = stepped_run(longer, workspace, resume=True)
    for said in job:
        if isinstance(said, event):
            break
    job.close()
    assert status(workspace.directory("pretrain", "tiny")) is Status.STOPPED
    events = run_events(longer, workspace, resume=True)
    assert not (workspace.directory("pretrain", "tiny") / FINISHED_FILE).exists()
    assert_as_if_begun_so(workspace, events, max_steps=16, **wsd)


def test_one_that_is_killed_before_it_has_gone_back_goes_back(workspace: Workspace) -> None:
    wsd: dict[str, Any] = {"lr_schedule": "wsd", "decay_ratio": 0.4}
    train(workspace, max_steps=10, **wsd)
    # The checkpoint that is gone on from has noted the new length, and is not the newest yet.
    directory = workspace.directory("pretrain", "tiny")
    longer = {"config": dumps(tiny_config(max_steps=16, **wsd))}
    checkpoint.amend(directory / checkpoint.name_of(7), longer)
    events = train(workspace, resume=True, max_steps=16, **wsd)
    assert [e.resumed_from for e in events if isinstance(e, Started)] == [7]
    assert (directory / "finished-000010/model.safetensors").is_file()
    assert_as_if_begun_so(workspace, events, max_steps=16, **wsd)
