"""Losses and gradients that are no numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from talm_core.errors import RunError
from talm_core.jobs.pretrain.job import pretrain
from talm_core.runtime.events import Event, Metrics, Notice, Record, RolledBack
from talm_core.runtime.history import History
from talm_core.storage.workspace import Workspace
from talm_core.training import checkpoint
from talm_core.training.lr_schedule import LRSchedule
from talm_core.training.trainer import Trainer
from tests.core.driving import events_of, stepped
from tests.core.test_pretrain import assert_equal, tensors
from tests.core.tiny_runs import tiny_config, tiny_trainer, tiny_workspace

POISON = 24  # windows before the batch of step 7


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return tiny_workspace(tmp_path)


def poison(monkeypatch: pytest.MonkeyPatch, *, last: int = POISON) -> None:
    """Give the batches from POISON to `last` a gradient that is no number."""
    healthy = Trainer.forward_backward

    def poisoned(self: Trainer) -> bool:
        index = self.loader.state["index"]
        done = healthy(self)
        gradient = self.model.norm.grad
        assert gradient is not None
        if POISON <= index <= last:
            gradient[0] = math.nan
        return done

    monkeypatch.setattr(Trainer, "forward_backward", poisoned)


def expected(workspace: Workspace) -> dict[str, Tensor]:
    """Five steps, past the batches of two, and seven more: taken one by one."""
    config = tiny_config()
    schedule = LRSchedule.of(config)
    trainer = tiny_trainer(config, workspace)
    for step in range(12):
        if step == 5:
            trainer.loader.next_batch()
            trainer.loader.next_batch()
        trainer.forward_backward()
        trainer.update(schedule.rate(step))
    return {name: p.detach() for name, p in trainer.model.named_parameters()}


def assert_as_expected(workspace: Workspace) -> None:
    ours = tensors(workspace)
    wanted = expected(workspace)
    assert torch.equal(ours["model.norm.weight"], wanted["norm"])
    assert torch.equal(ours["model.layers.1.mlp.down_proj.weight"], wanted["blocks.1.down"])
    assert torch.equal(ours["model.embed_tokens.weight"], wanted["embedding"])


def test_a_run_goes_back_and_past_those_batches(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        poison(patched)
        events = events_of(pretrain, tiny_config(non_finite="rollback"), workspace)
    back = [e for e in events if isinstance(e, RolledBack)]
    assert [(e.step, e.failed_step) for e in back] == [(5, 7)]
    assert "step 7 gave a loss of" in back[0].reason
    notices = [e.message for e in events if isinstance(e, Notice)]
    assert len(notices) == 1
    assert notices[0].startswith("step 7 gave a loss of ")
    assert "gradient norm of nan at learning rate 0.00" in notices[0]
    assert "Back at step 5" in notices[0]
    assert "rollback 1 of 3" in notices[0]
    assert [e.step for e in events if isinstance(e, Metrics)] == [*range(1, 7), *range(6, 13)]
    history = History()
    history.extend(Record(float(i), event) for i, event in enumerate(events))
    assert history.metrics["step"].tolist() == list(range(1, 13))
    assert_as_expected(workspace)


def test_a_device_that_works_ahead_goes_back_to_the_same(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It notices later, at the next metrics, and ends with the same weights."""
    with monkeypatch.context() as patched:
        poison(patched)
        patched.setattr(Trainer, "_asynchronous", True)
        config = tiny_config(non_finite="rollback", log_every=20, checkpoint_every=20)
        # A checkpoint at step 5, for it is evaluated.
        events = events_of(pretrain, config, workspace)
    back = [e for e in events if isinstance(e, RolledBack)]
    assert [(e.step, e.failed_step) for e in back] == [(5, 7)]
    assert_as_expected(workspace)


@pytest.mark.parametrize("before", [True, False])
def test_closed_around_the_way_back_it_ends_the_same(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    with monkeypatch.context() as patched:
        poison(patched)
        config = tiny_config(non_finite="rollback")
        job = stepped(pretrain, config, workspace)
        for event in job:
            if isinstance(event, Metrics) and event.step == 6 and before:
                break
            if isinstance(event, RolledBack):
                break
        job.close()
        if not before:
            state = checkpoint.find(workspace.directory_of(config)).state
            assert (state["rollbacks"], state["loader"]["index"]) == (1, 28)
        events: list[Event] = events_of(pretrain, config, workspace)
    assert [isinstance(e, RolledBack) for e in events].count(True) == int(before)
    if not before:
        assert_as_expected(workspace)
        return
    # Closing saved step 6, from where it goes past one batch only.
    with monkeypatch.context() as patched:
        poison(patched)
        again = tiny_config(model_name="again", non_finite="rollback", checkpoint_every=6)
        events_of(pretrain, again, workspace)
    assert_equal(tensors(workspace), tensors(workspace, "again"))


def test_it_does_not_go_back_for_ever(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, last=10_000)
    config = tiny_config(non_finite="rollback", max_rollbacks=2)
    events: list[Any] = []
    with pytest.raises(RunError, match=r"step 6 gave .* The run had gone back 2 times before"):
        events.extend(stepped(pretrain, config, workspace))
    # Resumed, it has no more tries than it had.
    with pytest.raises(RunError, match="gone back 2 times"):
        events.extend(stepped(pretrain, config, workspace))
    assert checkpoint.find(workspace.directory_of(config)).step == 5


def test_without_a_checkpoint_there_is_no_way_back(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch)
    config = tiny_config(non_finite="rollback", checkpoint_every=0, eval_every=0)
    with pytest.raises(RunError, match="no checkpoint yet to go back to"):
        events_of(pretrain, config, workspace)
