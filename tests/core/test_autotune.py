"""The search for the fastest way to compute a run: what is tried, taken, remembered and resumed."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.pretrain.job import pretrain
from talm_core.model.transformer import ModelConfig
from talm_core.runtime.events import Event, Finished, Planned, Stop, Tried, Tuned
from talm_core.storage.workspace import Workspace
from talm_core.training import autotune, checkpoint, device
from talm_core.training.autotune import Trial
from talm_core.training.device import (
    Machine,
    computes_bf16,
    makers_peak,
    peak_flops,
    prepare,
    set_attention,
)
from talm_core.training.estimate import plan
from talm_core.training.throughput import FILE, measured
from tests.core.driving import events_of, stepped
from tests.core.test_pretrain import Ahead, tensors
from tests.core.tiny_runs import VOCABULARY, tiny_config, tiny_trainer, tiny_workspace

MACHINE = Machine("cpu", "fp32", compiled=False, threads=1)
TUNED = {"autotune": "on", "compile": "off"}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return tiny_workspace(tmp_path)


@pytest.fixture(autouse=True)
def _attention_is_put_back() -> object:
    yield
    set_attention("auto")


def shape_of(config: PretrainConfig) -> ModelConfig:
    return ModelConfig.of(config, 259)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 NVL", 835e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA H200 NVL", 835e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA A100-PCIE-40GB", 312e12),
        ("NVIDIA A100 80GB PCIe", 312e12),
        ("A100-SXM4-80GB", 312e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40", 181e12),
        ("NVIDIA L40S", 362e12),
        *((name, None) for name in ("NVIDIA A1000", "NVIDIA RTX A1000", "NVIDIA RTX A1000 6GB")),
        *((name, None) for name in ("NVIDIA GH200 480GB", "NVIDIA H1000", "NVIDIA L400", "L40SX")),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
        ("NVIDIA H100 80GB HBM3 MIG 3g.40gb", None),
        ("NVIDIA GeForce RTX 4090", None),
        ("Tesla T4", None),
        ("", None),
    ],
)
def test_a_makers_peak_is_of_that_very_device(name: str, peak: float | None) -> None:
    assert makers_peak(name) == peak


def test_a_device_nobody_knows_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA A1000")
    monkeypatch.setattr(device, "_measured_peak", lambda device, precision: 17.0)
    on_gpu = Machine("cuda", "bf16", compiled=False, threads=1)
    assert peak_flops(on_gpu) == 17.0
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA L4")
    assert peak_flops(on_gpu) == 121e12
    assert peak_flops(replace(on_gpu, precision="fp32")) == 17.0


def test_passes_are_doubled_within_what_divides_a_step() -> None:
    assert autotune.doubled(32, 4) == [4, 8, 16, 32]
    assert autotune.doubled(36, 2) == [2, 4, 9, 18, 36]
    assert autotune.doubled(7, 1) == [1, 7]
    assert autotune.doubled(4, 100) == [4]


def test_every_candidate_is_measured_and_the_step_stays_the_same() -> None:
    config = tiny_config(batch_size=4, total_batch_size=4 * 32 * 16, **TUNED)
    prepare(MACHINE)
    trials = list(autotune.search(config, shape_of(config), MACHINE))
    # The other dtype is tried only where the processor multiplies it in hardware.
    dtypes = ["fp32", "bf16"] if computes_bf16("cpu") else ["fp32"]
    assert [trial.machine.precision for trial in trials[: len(dtypes)]] == dtypes
    first, *others = [trial.machine.attention for trial in trials[: len(dtypes) + 1]]
    assert (first, others[-1]) == ("auto", "math")
    assert trials[0].machine.batch_size == 4
    # 32 tokens a window: the smallest pass is 32 windows of 64.
    assert {trial.machine.batch_size for trial in trials[len(dtypes) + 1 :]} <= {32, 64}
    assert 32 in {trial.machine.batch_size for trial in trials}
    assert all(64 % trial.machine.batch_size == 0 for trial in trials)
    assert all(trial.tokens_per_second for trial in trials)
    found = autotune.best(trials, MACHINE)
    speeds = {trial.machine: trial.tokens_per_second or 0.0 for trial in trials}
    assert 1.02 * speeds[found] >= max(speeds.values()) / 1.02**2


def test_a_checkpoint_that_does_not_say_muons_dtype_goes_on_with_what_was() -> None:
    kept = Machine("cpu", "bf16", compiled=False, threads=2)
    assert kept.muon_dtype == torch.float32
    assert replace(kept, device="cuda").muon_dtype == torch.bfloat16
    assert replace(kept, newton_schulz="bf16").muon_dtype == torch.bfloat16
    # What was asked for is what all products are in.
    asked = device.choose(tiny_config(precision="fp32", device="cpu"))
    assert (asked.muon_dtype, asked.attention) == (torch.float32, "auto")


def test_a_speed_is_of_whole_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune._Bench, "_seconds", lambda *_: 0.5)
    monkeypatch.setattr(autotune._Bench, "_update_seconds", lambda _: 1.0)
    config = tiny_config(batch_size=4, total_batch_size=4 * 32 * 16, **TUNED)
    trial, *_ = autotune.search(config, shape_of(config), MACHINE)
    assert trial.tokens_per_second == 64 * 32 / (16 * 0.5 + 1.0)


def test_only_what_is_clearly_faster_is_taken() -> None:
    slow, same, fast, broken = (
        Trial(Machine("cpu", "fp32", compiled=False, threads=1, batch_size=n), speed)
        for n, speed in ((1, 100.0), (2, 101.0), (3, 110.0), (4, None))
    )
    assert autotune.best([slow, same, broken], MACHINE) == slow.machine
    assert autotune.best([slow, same, fast, broken], MACHINE) == fast.machine
    assert autotune.best([broken, slow], MACHINE) == slow.machine
    assert autotune.best([broken], MACHINE) == MACHINE


def test_a_compiler_that_fails_is_said_and_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> object:
        raise RuntimeError("no C++ compiler here\nand more")

    monkeypatch.setattr(torch, "compile", fail)
    config = tiny_config(autotune="on")
    trials = list(autotune.search(config, shape_of(config), MACHINE))
    assert trials[-1].machine.compiled
    assert trials[-1].tokens_per_second is None
    assert trials[-1].note == "no C++ compiler here"
    assert not autotune.best(trials, MACHINE).compiled


def test_only_long_runs_are_worth_it() -> None:
    def worth(*, processes: int = 1, **changes: object) -> bool:
        config = tiny_config(**changes)
        return autotune.worthwhile(config, plan(config, None, 259), MACHINE, processes=processes)

    assert not worth()
    assert worth(max_steps=100_000_000)
    assert not worth(max_steps=100_000_000, minutes=9.9)
    assert worth(max_steps=100_000_000, minutes=10.0)
    assert not worth(max_steps=100_000_000, autotune="off")
    assert not worth(max_steps=100_000_000, processes=10**9)
    assert worth(autotune="on")


def test_one_of_several_measures_its_part_of_a_step() -> None:
    config = tiny_config(batch_size=6, total_batch_size=6 * 32 * 4, **TUNED)
    prepare(MACHINE)
    trials = list(autotune.search(config, shape_of(config), MACHINE, processes=3))
    assert trials[0].machine.batch_size == 4
    assert {trial.machine.batch_size for trial in trials} <= {4, 8}


def said(events: list[Event], kind: type[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, kind)]


def speed_of(trials: list[Event], tuned: Tuned) -> float | None:
    """What was measured of the way that was taken."""
    way = ("precision", "attention", "batch_size", "compiled")
    (tried,) = (
        trial
        for trial in trials
        if isinstance(trial, Tried) and all(getattr(trial, k) == getattr(tuned, k) for k in way)
    )
    return tried.tokens_per_second


def test_a_run_tells_its_table_and_resumes_with_its_choice(workspace: Workspace) -> None:
    config = tiny_config(model_name="whole", total_batch_size=1_024, **TUNED)
    assert measured(config, VOCABULARY.n_vocab, workspace.root) is None
    whole = events_of(pretrain, config, workspace)
    assert len(said(whole, Tried)) >= 2
    (tuned,) = said(whole, Tuned)
    assert isinstance(tuned, Tuned)
    known = measured(config, VOCABULARY.n_vocab, workspace.root)
    assert known is not None
    assert known.tokens_per_second == speed_of(said(whole, Tried), tuned)
    assert known.source == "measured by autotune"
    assert not tuned.remembered
    assert whole.index(tuned) < whole.index(said(whole, Planned)[0])

    parted = tiny_config(model_name="parted", total_batch_size=1_024, **TUNED)
    job = stepped(pretrain, parted, workspace)
    events = [next(job)]
    while not (isinstance(events[-1], Planned)):
        events.append(next(job))
    (again,) = said(events, Tuned)
    assert isinstance(again, Tuned)
    assert again.remembered
    assert not said(events, Tried)
    events += islice(job, 8)
    events.append(job.send(Stop()))
    events += list(job)
    # What is found later is another's: a resumed run keeps its own.
    (workspace.root / FILE).unlink()
    resumed = events_of(pretrain, parted, workspace)
    assert not said(resumed, Tuned)
    assert isinstance(resumed[-1], Finished)
    ours, theirs = tensors(workspace, "whole"), tensors(workspace, "parted")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    state = checkpoint.find(workspace.directory("pretrain", "parted")).state
    assert state["machine"]["batch_size"] == tuned.batch_size
    assert state["machine"]["attention"] == tuned.attention


def test_attention_is_computed_by_the_kernel_that_was_chosen() -> None:
    part = torch.zeros(1, 2, 8, 16)

    def kernel() -> int:
        return int(torch._fused_sdp_choice(part, part, part, is_causal=True))

    set_attention("auto")
    assert kernel() == torch.nn.attention.SDPBackend.FLASH_ATTENTION.value
    set_attention("math")
    assert kernel() == torch.nn.attention.SDPBackend.MATH.value


def test_a_peak_is_measured_once() -> None:
    assert peak_flops(MACHINE) == peak_flops(MACHINE) > 1e8


ASKING = {Tensor.item, Tensor.tolist, Tensor.cpu, Tensor.__bool__, Tensor.__float__}


class Asked(TorchFunctionMode):
    """Counts how often a device would be asked for a value, and waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.times += func in ASKING
        return func(*args, **(kwargs or {}))


def test_a_step_that_is_not_logged_never_waits_for_the_device(workspace: Workspace) -> None:
    config = tiny_config(grad_clip=0.5, total_batch_size=256)
    trainer = tiny_trainer(config, workspace, kind=Ahead)
    with Asked() as asked:
        for _ in range(4):
            while not trainer.forward_backward():
                pass
            trainer.update(1e-3)
        assert asked.times == 0
        trainer.read()
    # The readings, and whether a step failed.
    assert asked.times == 2
