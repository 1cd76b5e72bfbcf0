"""Artifacts as jobs leave them, written by hand: nothing is trained in a test of the screen."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable
from pathlib import Path

from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime import runner
from talm_core.runtime.event_json import to_json
from talm_core.runtime.events import (
    Checkpointed,
    Evaluated,
    Event,
    Failed,
    Finished,
    Metrics,
    Planned,
    Progress,
    Sampled,
    Started,
    Stopped,
    Telemetry,
)
from talm_core.settings.schema import JobConfig
from talm_core.settings.toml import dumps
from talm_core.storage.workspace import Workspace
from talm_core.system.memory import DeviceMemory
from talm_core.tokenizer.vocabulary import BASE, FILE_NAME

NOW = 1_790_000_000.0
"""When the tests believe it is."""

HOUR = 3600.0
GIB = 2**30


def artifact(
    workspace: Workspace, config: JobConfig, events: Iterable[Event], *, end: float = NOW
) -> Path:
    """The directory of an artifact whose journal says `events`, a second apart, the last at
    `end`. Nobody holds its lock."""
    directory = workspace.directory_of(config)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / runner.CONFIG_FILE).write_text(dumps(config), encoding="utf-8")
    said = list(events)
    lines = [to_json(event, time=end - (len(said) - 1 - index)) for index, event in enumerate(said)]
    (directory / "events.jsonl").write_text("".join(f"{x}\n" for x in lines), encoding="utf-8")
    (directory / "lock").touch()
    return directory


def loss_at(step: int) -> float:
    """A loss that falls from 8.3 and wobbles, the same every time."""
    wobble = 0.12 * math.sin(step * 1.7) + 0.07 * math.sin(step * 0.31)
    return 2.6 + 5.7 * math.exp(-step / 130) + wobble


def metrics(step: int, max_steps: int, *, eta: float | None = None) -> Metrics:
    """A step of a run whose loss follows `loss_at`."""
    return Metrics(
        step=step,
        max_steps=max_steps,
        steps=10,
        tokens=step * 2048,
        loss=loss_at(step),
        loss_ema=2.6 + 5.7 * math.exp(-step / 130),
        learning_rate=3e-3 * min(1.0, step / 40),
        grad_norm=0.7 + 0.2 * math.cos(step),
        tokens_per_second=41_000.0 + 500 * math.sin(step),
        elapsed=step * 0.05,
        epoch=step * 2048 / 3_000_000,
        eta=eta,
    )


def telemetry(*, gpu: bool = False) -> Telemetry:
    """Memory and load of a small machine, or of one with an accelerator."""
    device = DeviceMemory(
        name="NVIDIA H200",
        used=41 * GIB,
        total=139 * GIB,
        allocated=38 * GIB,
        reserved=40 * GIB,
        utilisation=0.97,
        temperature=61.0,
        power=640.0,
    )
    return Telemetry(
        process_memory=400 * 2**20,
        host_used=int(4.1 * GIB),
        host_total=23 * GIB,
        cpu=0.96,
        devices=[device] if gpu else [],
    )


def run_events(step: int, max_steps: int, *, name: str = "nano") -> list[Event]:
    """A run up to `step`: metrics every ten steps, an evaluation, a sample and a checkpoint
    every hundred."""
    events: list[Event] = [
        Started(job="pretrain", name=name, pid=4242, version="0.1.0"),
        Progress(phase="loading", done=1, total=1),
        Planned(
            parameters=1_318_144,
            vocab_size=4100,
            device="cpu",
            precision="fp32",
            compiled=False,
            tokens_per_step=2048,
            max_steps=max_steps,
            train_tokens=3_015_000,
            val_tokens=334_000,
            flops_per_token=9.1e6,
        ),
    ]
    for at in range(10, step + 1, 10):
        events.append(metrics(at, max_steps, eta=(max_steps - at) * 0.1))
        if at % 50 == 0:
            events.append(telemetry())
        if at % 100 == 0:
            loss = 2.7 + 5.7 * math.exp(-at / 130)
            events += [
                Evaluated(
                    step=at, val_loss=loss, bits_per_byte=loss / 1.28, tokens=65_536, seconds=0.8
                ),
                Sampled(
                    step=at,
                    prompt="def ",
                    text=f"__init__(self, name=None):\n    self.name = {at}\n",
                    tokens=24,
                    tokens_per_second=900.0,
                ),
                Checkpointed(
                    step=at, directory=f"checkpoint-{at:06d}", bytes=16_000_000, seconds=0.2
                ),
            ]
    if step % 10:
        events.append(metrics(step, max_steps, eta=(max_steps - step) * 0.1))
    return events


def fill(workspace: Workspace) -> dict[str, Path]:
    """A workspace somebody has worked in for some days. The directories by name; the lock of
    `nano` is for the fixture to take."""
    made = {
        "code-8k": artifact(
            workspace,
            TokenizerConfig(name="code-8k", vocab_size=8192),
            [
                Started(job="tokenizer", name="code-8k"),
                Finished(seconds=4.2, summary={"vocab_size": 8192, "n_vocab": 8196}),
            ],
            end=NOW - 26 * HOUR,
        ),
        "stdlib": artifact(
            workspace,
            DataConfig(),
            [
                Started(job="data", name="stdlib/all"),
                Finished(seconds=3.1, summary={"train_tokens": 3_015_000, "val_tokens": 334_000}),
            ],
            end=NOW - 25 * HOUR,
        ),
        "book": artifact(
            workspace,
            DataConfig(source="text", path=("/texts/book.txt",), ds_sample="book"),
            [
                Started(job="data", name="text/book"),
                Progress(phase="encoding", done=12, total=100, unit="bytes"),
                Stopped(reason="asked to stop"),
            ],
            end=NOW - 2 * HOUR,
        ),
    }
    # Whatever its name says of its size: a file that can be read.
    shutil.copyfile(BASE, made["code-8k"] / FILE_NAME)
    return made | _runs(workspace)


def _runs(workspace: Workspace) -> dict[str, Path]:
    def config(name: str, max_steps: int) -> PretrainConfig:
        return PretrainConfig(model_name=name, data_dir="stdlib/all", max_steps=max_steps)

    done = [*run_events(2000, 2000, name="talm-1"), Finished(seconds=210.0, summary={})]
    failed = [
        *run_events(17, 2000, name="try-2"),
        Failed(message="not finite at step 17, learning rate 3.0e-2", kind="RunError"),
    ]
    return {
        "nano": artifact(workspace, config("nano", 900), run_events(412, 900)),
        "talm-1": artifact(workspace, config("talm-1", 2000), done, end=NOW - 24 * HOUR),
        "try-3": artifact(
            workspace,
            config("try-3", 2000),
            run_events(300, 2000, name="try-3"),
            end=NOW - 3 * HOUR,
        ),
        "try-2": artifact(workspace, config("try-2", 2000), failed, end=NOW - 50 * HOUR),
    }
