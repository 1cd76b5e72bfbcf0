"""Whether a plan's memory is what a run takes.

    python benchmarks/memory.py [--preset nano d4 ...]

Each preset has a process of its own: two steps on random tokens, the second with a copy of the
state as a checkpoint takes it, and the most resident memory beside what `plan` says. Presets of
more than 10,000 tokens a step run with two passes of about 1,000, which a CPU gets through. Linux
only: the peak is read from /proc.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.pretrain.presets import find_preset
from talm_core.jobs.pretrain.recipes import BUILT_IN
from talm_core.model.transformer import ModelConfig, Transformer
from talm_core.settings.schema import build
from talm_core.storage.workspace import Workspace
from talm_core.training.device import choose, prepare
from talm_core.training.estimate import Plan, plan
from talm_core.training.optim import Optimizers

# GPT-2's own, rounded; the others' are small.
VOCABULARIES = {"gpt2-124m": 50_304}
_STEPS = 2
_MANY, _FEW = 10_000, 1_024


def config_of(preset: str) -> PretrainConfig:
    found = find_preset(Workspace(), preset)
    values = dict(found.values) | {"model_name": "x", "data_dir": "x"}
    config = build(PretrainConfig, values)
    if config.tokens_per_step > _MANY:
        batch = max(1, _FEW // config.context_len)
        smaller = {"batch_size": batch, "grad_accum_steps": 2, "total_batch_size": None}
        config = build(PretrainConfig, values | smaller)
    return config


def vocabulary_of(preset: str) -> int:
    return VOCABULARIES.get(preset, find_preset(Workspace(), preset).vocab_size)


def planned(preset: str) -> Plan:
    return plan(config_of(preset), None, vocabulary_of(preset))


def resident(line: str) -> int:
    """A line of /proc/self/status, in bytes."""
    text = Path("/proc/self/status").read_text()
    return next(int(row.split()[1]) * 1024 for row in text.splitlines() if row.startswith(line))


def measure(preset: str) -> int:
    """The most resident bytes of a process that trains, with a copy for a checkpoint at hand."""
    config = config_of(preset)
    machine = choose(config)
    prepare(machine)
    model = Transformer(ModelConfig.of(config, vocabulary_of(preset)), dtype=machine.dtype)
    model.initialise(1)
    optimizers = Optimizers(model, config)
    batch = torch.randint(vocabulary_of(preset), (config.batch_size, config.context_len + 1))
    copies: list[Tensor] = []
    for step in range(_STEPS):
        for _ in range(config.micro_batches):
            loss = model.loss(batch[:, :-1].contiguous(), batch[:, 1:].contiguous())
            torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizers.step(1e-3)
        optimizers.zero_grad()
        if step == 0:
            kept = [*model.parameters(), *optimizers.tensors.values()]
            copies = [tensor.detach().clone() for tensor in kept]
    assert copies
    return resident("VmHWM")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", nargs="*", default=list(BUILT_IN))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    print("| preset | planned MB | measured MB | ratio |\n|---|---|---|---|")
    for preset in options.preset:
        command = [sys.executable, __file__, "--measure", preset]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found, expected = json.loads(done.stdout), planned(preset).memory.total
        ratio = expected / found
        print(
            f"| {preset} | {expected / 1e6:,.0f} | {found / 1e6:,.0f} | {ratio:.2f} |", flush=True
        )


if __name__ == "__main__":
    main()
