from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from talm_core.errors import ArtifactError, RunError
from talm_core.jobs.pretrain.job import pretrain
from talm_core.model import hf
from talm_core.runtime.events import (
    Checkpoint,
    Checkpointed,
    Command,
    Evaluated,
    EvaluateEvery,
    Event,
    Finished,
    Metrics,
    Notice,
    Planned,
    Progress,
    Record,
    Sample,
    Sampled,
    Started,
    Stop,
    Telemetry,
)
from talm_core.runtime.history import History
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.vocabulary import Vocabulary
from talm_core.training import checkpoint, estimate
from talm_core.training.trainer import Trainer
from tests.core.driving import events_of, stepped
from tests.core.tiny_runs import NAME, VOCABULARY, tiny_config, tiny_trainer, tiny_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return tiny_workspace(tmp_path)


def steps_of(events: list[Event], kind: type[Any]) -> list[int]:
    return [event.step for event in events if isinstance(event, kind)]


def tensors(workspace: Workspace, name: str = "tiny") -> dict[str, Tensor]:
    """Everything the newest checkpoint of a run holds, the optimizer's memory too."""
    path = checkpoint.find(workspace.directory("pretrain", name)).path
    assert path is not None
    return load_file(path / "model.safetensors") | load_file(path / "training.safetensors")


def assert_equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def drive(
    workspace: Workspace, answer: Callable[[Event], Command | None], **changes: Any
) -> list[Event]:
    """All events of a run that is answered."""
    job = stepped(pretrain, tiny_config(**changes), workspace)
    events = [next(job)]
    try:
        while True:
            events.append(job.send(answer(events[-1])))
    except StopIteration:
        return events


def test_a_run_says_everything_in_order(workspace: Workspace) -> None:
    events = events_of(pretrain, tiny_config(), workspace)
    assert events[0] == Started(job="pretrain", name="tiny", resumed_from=None)
    assert isinstance(events[-1], Finished)
    assert [type(e) for e in events].count(Planned) == 1
    assert steps_of(events, Metrics) == list(range(1, 13))
    assert steps_of(events, Evaluated) == [5, 10, 12]
    assert steps_of(events, Sampled) == [6, 12]
    # One before each evaluation as well.
    assert steps_of(events, Checkpointed) == [4, 5, 8, 10, 12]
    # Checkpoints are written meanwhile.
    beside = Progress | Telemetry | Checkpointed
    kinds = [type(e) for e in events if not isinstance(e, beside)]
    assert kinds[-4:] == [Metrics, Evaluated, Sampled, Finished]
    metrics = [e for e in events if isinstance(e, Metrics)]
    assert all(e.steps == 1 and math.isfinite(e.grad_norm) for e in metrics)
    assert [e.tokens for e in metrics] == [128 * step for step in range(1, 13)]
    assert metrics[0].loss == pytest.approx(math.log(259), abs=0.7)
    assert metrics[-1].loss < metrics[0].loss
    assert metrics[0].learning_rate == pytest.approx(1.5e-3)
    assert metrics[4].eta is None
    assert metrics[-1].eta is not None


def test_its_moving_average_is_debiased(workspace: Workspace) -> None:
    metrics = [e for e in events_of(pretrain, tiny_config(), workspace) if isinstance(e, Metrics)]
    average = 0.0
    for event in metrics:
        average = 0.98 * average + 0.02 * event.loss
        assert event.loss_ema == pytest.approx(average / (1 - 0.98**event.step), rel=1e-5)


def test_the_summary_is_what_was_reached(workspace: Workspace) -> None:
    events = events_of(pretrain, tiny_config(), workspace)
    last = events[-1]
    evaluated = [e for e in events if isinstance(e, Evaluated)][-1]
    assert isinstance(last, Finished)
    parameters = estimate.plan(tiny_config(), None, 259).parameters.total
    assert last.summary.pop("elapsed") > 0
    assert last.summary == {
        "step": 12,
        "val_loss": evaluated.val_loss,
        "bits_per_byte": evaluated.bits_per_byte,
        "best_step": 12,
        "best_val_loss": evaluated.val_loss,
        "parameters": parameters,
        "tokens": 12 * 128,
        "directory": "models/tiny",
    }


def test_validation_is_what_the_saved_model_gives(workspace: Workspace) -> None:
    """The loss and the bits per byte, window by window and token by token."""
    events = events_of(pretrain, tiny_config(eval_tokens=10**6, dropout=0.5), workspace)
    evaluated = [e for e in events if isinstance(e, Evaluated)][-1]
    path = checkpoint.find(workspace.directory("pretrain", "tiny")).path
    assert path is not None
    model = hf.load(path)
    ids = np.load(workspace.directory("data", NAME) / "val_000001.npy").astype(np.int64)
    nats, tokens, raw_bytes = 0.0, 0, 0
    for start in range(0, len(ids) - 32, 32):
        window = torch.from_numpy(ids[start : start + 33])
        with torch.no_grad():
            likelihood = model(window[None, :-1])[0].double().log_softmax(-1)
        for place, token in enumerate(window[1:].tolist()):
            nats -= likelihood[place, token].item()
            tokens += 1
            raw_bytes += VOCABULARY.token_bytes()[token]
    assert evaluated.tokens == tokens
    assert evaluated.val_loss == pytest.approx(nats / tokens, rel=1e-5)
    assert evaluated.bits_per_byte == pytest.approx(nats / math.log(2) / raw_bytes, rel=1e-5)


def test_the_same_seed_gives_the_same_weights(workspace: Workspace) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        events_of(pretrain, tiny_config(model_name=name, seed=seed, log_every=0), workspace)
    assert_equal(tensors(workspace, "a"), tensors(workspace, "b"))
    assert not torch.equal(
        tensors(workspace, "a")["model.norm.weight"], tensors(workspace, "c")["model.norm.weight"]
    )


def test_watching_changes_nothing(workspace: Workspace) -> None:
    events_of(pretrain, tiny_config(), workspace)
    rarely: dict[str, Any] = {"eval_every": 0, "sample_every": 0, "checkpoint_every": 0}
    events = events_of(pretrain, tiny_config(model_name="b", log_every=7, **rarely), workspace)
    assert steps_of(events, Metrics) == [7, 12]
    assert [e.steps for e in events if isinstance(e, Metrics)] == [7, 5]
    ours, theirs = tensors(workspace), tensors(workspace, "b")
    assert_equal(ours, theirs)


def read_back(records: list[Event]) -> History:
    history = History()
    history.extend(Record(float(i), event) for i, event in enumerate(records))
    return history


@pytest.mark.parametrize("every", [1, 5])
def test_a_run_closed_anywhere_goes_on_exactly(workspace: Workspace, every: int) -> None:
    """Closed at ever later events and resumed, it ends where a run in one go ends."""
    settings: dict[str, Any] = {"log_every": 2, "grad_accum_steps": 2, "dropout": 0.1}
    whole = events_of(pretrain, tiny_config(model_name="whole", **settings), workspace)
    said: list[Event] = []
    for limit in range(3, 400, every):
        job = stepped(pretrain, tiny_config(**settings), workspace)
        for _, event in zip(range(limit), job, strict=False):
            said.append(event)
        job.close()
        if isinstance(said[-1], Finished):
            break
    assert isinstance(said[-1], Finished)
    assert len([e for e in said if isinstance(e, Started)]) > 2
    assert_equal(tensors(workspace), tensors(workspace, "whole"))
    ours, theirs = read_back(said), read_back(whole)
    # Each step once, with the same values; closing may cut a pair of steps in two.
    steps = ours.metrics["step"].tolist()
    assert steps == sorted(set(steps))
    assert set(theirs.metrics["step"]) <= set(steps)
    assert ours.evaluations["step"] == theirs.evaluations["step"]
    assert ours.evaluations["val_loss"] == theirs.evaluations["val_loss"]
    assert {(s.step, s.text) for s in ours.samples} == {(s.step, s.text) for s in theirs.samples}


def test_stop_saves_and_says_so(workspace: Workspace) -> None:
    whole = tiny_config(model_name="whole")
    events_of(pretrain, whole, workspace)

    def stop_at_7(event: Event) -> Command | None:
        return Stop() if isinstance(event, Metrics) and event.step == 7 else None

    events = drive(workspace, stop_at_7)
    assert isinstance(events[-1], Checkpointed)
    assert (events[-1].step, events[-1].directory) == (7, "checkpoint-000007")
    resumed = events_of(pretrain, tiny_config(), workspace)
    assert resumed[0] == Started(job="pretrain", name="tiny", resumed_from=7)
    assert steps_of(resumed, Metrics) == [8, 9, 10, 11, 12]
    assert_equal(tensors(workspace), tensors(workspace, "whole"))


@pytest.mark.parametrize("heard", [True, False])
def test_a_run_stopped_between_two_micro_batches_goes_on_exactly(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, heard: bool
) -> None:
    """Dropout draws for the step that is begun again what it had drawn for it."""
    # A sign of life after every micro-batch, as on a slow machine.
    monkeypatch.setattr("talm_core.training.metrics.OFTEN", 0.0)
    settings: dict[str, Any] = {"dropout": 0.2, "grad_accum_steps": 3, "max_steps": 6}
    settings |= {"eval_every": 0, "sample_every": 0, "checkpoint_every": 0, "log_every": 0}
    events_of(pretrain, tiny_config(model_name="whole", **settings), workspace)
    job = stepped(pretrain, tiny_config(**settings), workspace)
    seen = 0
    command: Command | None = None
    try:
        while True:
            event = job.send(command)
            # The first after step 3 comes with its end, the second after a micro-batch of step 4.
            seen += isinstance(event, Progress) and event.phase == "training" and event.done == 3
            if seen == 2 and not heard:
                job.close()
                break
            command = Stop() if seen == 2 else None
    except StopIteration:
        pass
    assert checkpoint.find(workspace.directory("pretrain", "tiny")).step == 3
    events_of(pretrain, tiny_config(**settings), workspace)
    assert_equal(tensors(workspace), tensors(workspace, "whole"))


def test_stop_during_evaluation_is_heard_and_the_evaluation_done_later(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A sign of life after every batch, as on a slow machine.
    monkeypatch.setattr("talm_core.training.metrics.OFTEN", 0.0)
    monkeypatch.setattr("talm_core.training.evaluator._CPU_TOKENS", 32)

    def stop(event: Event) -> Command | None:
        return Stop() if isinstance(event, Progress) and event.phase == "evaluating" else None

    events = drive(workspace, stop)
    assert steps_of(events, Evaluated) == []
    assert steps_of(events, Checkpointed) == [4, 5]
    resumed = events_of(pretrain, tiny_config(), workspace)
    assert steps_of(resumed, Evaluated) == [5, 10, 12]
    assert steps_of(resumed, Metrics) == [6, 7, 8, 9, 10, 11, 12]


def test_commands_are_obeyed_between_steps(workspace: Workspace) -> None:
    def command(event: Event) -> Command | None:
        if isinstance(event, Metrics) and event.step == 2:
            return Checkpoint()
        if isinstance(event, Metrics) and event.step == 3:
            return Sample(prompt="sum")
        return None

    events = drive(workspace, command)
    assert steps_of(events, Checkpointed) == [2, 4, 5, 8, 10, 12]
    saved = next(place for place, e in enumerate(events) if isinstance(e, Checkpointed))
    assert steps_of(events[:saved], Metrics) == [1, 2]
    samples = [(e.step, e.prompt) for e in events if isinstance(e, Sampled)]
    assert samples == [(3, "sum"), (6, "the"), (12, "the")]
    assert steps_of(events, Metrics) == list(range(1, 13))


def test_the_interval_of_evaluations_changes_while_it_runs(workspace: Workspace) -> None:
    def command(event: Event) -> Command | None:
        if isinstance(event, Metrics) and event.step in (2, 9):
            return EvaluateEvery(steps=3 if event.step == 2 else -1)
        return Stop() if isinstance(event, Metrics) and event.step == 10 else None

    events = drive(workspace, command)
    assert steps_of(events, Evaluated) == [3, 6, 9]
    said = [event.message for event in events if isinstance(event, Notice)]
    assert said == [
        "evaluates every 3 steps from now on",
        "cannot evaluate every -1 steps: 0 or more",
    ]
    # It stays so over a stop, unless the config says something new.
    assert steps_of(events_of(pretrain, tiny_config(), workspace), Evaluated) == [12]


def test_a_changed_interval_is_that_of_a_changed_config(workspace: Workspace) -> None:
    def command(event: Event) -> Command | None:
        if isinstance(event, Metrics) and event.step == 1:
            return EvaluateEvery(steps=0)
        return Stop() if isinstance(event, Metrics) and event.step == 6 else None

    assert steps_of(drive(workspace, command), Evaluated) == []
    resumed = events_of(pretrain, tiny_config(eval_every=4), workspace)
    assert steps_of(resumed, Evaluated) == [8, 12]


def test_a_damaged_checkpoint_is_passed_over(workspace: Workspace) -> None:
    events_of(pretrain, tiny_config(), workspace)
    expected = tensors(workspace)
    file = workspace.directory("pretrain", "tiny") / "checkpoint-000012" / "training.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    events = events_of(pretrain, tiny_config(), workspace)
    assert events[0] == Started(job="pretrain", name="tiny", resumed_from=10)
    assert isinstance(events[1], Notice)
    assert "checkpoint-000012" in events[1].message
    assert_equal(tensors(workspace), expected)


@pytest.mark.parametrize("kept", [None, {"device": "cpu", "words": 3}, "cpu"])
def test_a_checkpoint_of_another_talm_is_named(workspace: Workspace, kept: object) -> None:
    events_of(pretrain, tiny_config(max_steps=4), workspace)
    path = workspace.directory("pretrain", "tiny") / "checkpoint-000004"
    checkpoint.amend(path, {"machine": kept, "over": False})
    with pytest.raises(ArtifactError) as caught:
        events_of(pretrain, tiny_config(), workspace)
    (problem,) = caught.value.problems
    assert problem.key == str(path / "checkpoint.json")
    assert "init_from" in problem.hint


def test_a_finished_run_only_says_so_again(workspace: Workspace) -> None:
    first = events_of(pretrain, tiny_config(), workspace)[-1]
    events = events_of(pretrain, tiny_config(), workspace)
    again = events[-1]
    assert isinstance(first, Finished)
    assert isinstance(again, Finished)
    assert again.summary | {"elapsed": 0} == first.summary | {"elapsed": 0}
    assert steps_of(events, Metrics) == []


def test_a_loss_that_is_not_finite_ends_before_the_step(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = Trainer.forward_backward

    def poisoned(self: Trainer) -> bool:
        if self.step == 6:
            with torch.no_grad():
                self.model.norm[0] = math.inf
        return healthy(self)

    monkeypatch.setattr(Trainer, "forward_backward", poisoned)
    with pytest.raises(RunError, match=r"step 7 gave a loss of nan .* at learning rate 0\.00"):
        events_of(pretrain, tiny_config(), workspace)
    found = checkpoint.find(workspace.directory("pretrain", "tiny"))
    assert (found.step, found.damaged) == (5, ())


class Ahead(Trainer):
    """A trainer that takes its device for one that works ahead."""

    _asynchronous = True


def test_a_device_that_works_ahead_skips_the_step_and_says_it_later(workspace: Workspace) -> None:
    config = tiny_config(grad_clip=0.5)
    trainer = tiny_trainer(config, workspace, kind=Ahead)
    for _ in range(2):
        trainer.forward_backward()
        trainer.update(1e-3)
    assert trainer.read() is not None
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.forward_backward()
    gradient = trainer.model.norm.grad
    assert gradient is not None
    gradient[0] = math.nan
    trainer.update(1e-3)
    for _ in range(2):
        trainer.forward_backward()
        trainer.update(2e-3)
    for ours, theirs in zip(trainer.model.parameters(), before, strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(
        RunError, match=r"step 3 gave .* gradient norm of nan at learning rate 0\.001"
    ):
        trainer.read()


def test_accumulated_passes_are_one_large_batch(workspace: Workspace) -> None:
    events_of(pretrain, tiny_config(model_name="a", batch_size=8, max_steps=4), workspace)
    accumulated = tiny_config(model_name="b", batch_size=4, grad_accum_steps=2, max_steps=4)
    events_of(pretrain, accumulated, workspace)
    in_tokens = tiny_config(model_name="c", batch_size=4, total_batch_size=256, max_steps=4)
    events_of(pretrain, in_tokens, workspace)
    ours, theirs = tensors(workspace, "a"), tensors(workspace, "b")
    again = tensors(workspace, "c")
    assert all(torch.equal(theirs[name], again[name]) for name in theirs)
    for name in ours:
        torch.testing.assert_close(ours[name].float(), theirs[name].float(), atol=2e-5, rtol=1e-3)


def test_a_checkpoint_in_the_middle_of_a_step_is_that_of_its_beginning(
    workspace: Workspace,
) -> None:
    """With dropout, the step draws again what it had drawn."""
    config = tiny_config(dropout=0.2, grad_accum_steps=3)

    def take(trainer: Trainer, steps: int) -> None:
        while trainer.step < steps:
            while not trainer.forward_backward():
                pass
            trainer.update(1e-3)

    whole = tiny_trainer(config, workspace)
    take(whole, 1)
    assert not whole.forward_backward()
    snapshot = whole.snapshot(VOCABULARY)
    assert snapshot is not None
    path = workspace.root / "middle"
    path.mkdir()
    snapshot.write(path)
    state = whole.state
    take(whole, 3)
    resumed = tiny_trainer(config, workspace)
    resumed.restore(path, 1, state)
    take(resumed, 3)
    assert_equal(dict(resumed.model.named_parameters()), dict(whole.model.named_parameters()))


def test_time_ends_a_run_with_everything_due(workspace: Workspace) -> None:
    events = events_of(pretrain, tiny_config(minutes=1e-6, max_steps=10_000), workspace)
    assert steps_of(events, Metrics) == [1]
    assert steps_of(events, Evaluated) == steps_of(events, Checkpointed) == [1]
    assert isinstance(events[-1], Finished)
    assert events[-1].summary["ended_by"] == "its time limit of 0.0 s"
    assert isinstance(
        events_of(pretrain, tiny_config(minutes=1e-6, max_steps=10_000), workspace)[-1], Finished
    )


def test_bf16_learns_too(workspace: Workspace) -> None:
    events = events_of(pretrain, tiny_config(precision="bf16"), workspace)
    losses = [e.loss for e in events if isinstance(e, Metrics)]
    assert losses[-1] < losses[0]
    planned = next(e for e in events if isinstance(e, Planned))
    assert planned.precision == "bf16"


def test_a_tokenizer_that_is_not_the_datasets_is_refused(workspace: Workspace) -> None:
    other = Vocabulary("other", VOCABULARY.pattern, VOCABULARY.ranks, {"<|endoftext|>": 300})
    directory = workspace.directory("tokenizer", "other")
    directory.mkdir(parents=True)
    other.save(directory / "tokencoder.json")
    with pytest.raises(ArtifactError, match=r"tokenizer_path = 'other': .*other.*tiny") as caught:
        events_of(pretrain, tiny_config(tokenizer_path="other"), workspace)
    assert [problem.key for problem in caught.value.problems] == ["tokenizer_path"]


def test_too_little_disk_is_said_before_the_first_step(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage())
    with pytest.raises(RunError, match="a checkpoint takes 2 MB"):
        events_of(pretrain, tiny_config(), workspace)


def test_trying_what_was_compiled_draws_no_random_numbers(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config()
    trainer = tiny_trainer(config, workspace, compiled=True)
    drawn = []

    def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def drawing(*arguments: Tensor) -> Tensor:
            drawn.append(torch.rand(1))
            return function(*arguments)

        return drawing

    monkeypatch.setattr(torch, "compile", compiled)
    before = torch.get_rng_state()
    assert trainer.compile() == ""
    assert len(drawn) == 1
    assert torch.equal(torch.get_rng_state(), before)
