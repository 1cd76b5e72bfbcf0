"""What a checkpoint written beside the training costs.

    python benchmarks/checkpoints.py [--preset shakespeare] [--rounds 4]

Steps on random tokens, by turns with nothing beside them and with a checkpoint on its way to the
disk; first the copy that the loop waits for. Medians, for other programs only make a step slower.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.pretrain.presets import find_preset
from talm_core.model.transformer import ModelConfig, Transformer
from talm_core.settings.schema import build
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.vocabulary import BASE, Vocabulary
from talm_core.training.checkpointer import CheckpointWriter
from talm_core.training.device import choose, prepare
from talm_core.training.estimate import plan
from talm_core.training.optim import Optimizers
from talm_core.training.snapshot import Snapshot


class Run:
    """A model that takes steps, and copies itself."""

    def __init__(self, config: PretrainConfig, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.shape = ModelConfig.of(config, vocabulary.n_vocab)
        self.model = Transformer(self.shape, dtype=choose(config).dtype)
        self.model.initialise(1)
        self.optimizers = Optimizers(self.model, config)
        size = (config.batch_size, config.context_len + 1)
        self.batch = torch.randint(vocabulary.n_vocab, size)

    def step(self) -> float:
        """Seconds of one."""
        began = time.perf_counter()
        tokens, targets = self.batch[:, :-1].contiguous(), self.batch[:, 1:].contiguous()
        torch.autograd.backward(self.model.loss(tokens, targets))
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizers.step(1e-3)
        self.optimizers.zero_grad()
        return time.perf_counter() - began

    def copy(self) -> Snapshot:
        parameters = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        training = {key: value.clone() for key, value in self.optimizers.tensors.items()}
        return Snapshot(parameters, training, self.shape, self.vocabulary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="shakespeare")
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    values = dict(find_preset(Workspace(), options.preset).values)
    config = build(PretrainConfig, values | {"model_name": "x", "data_dir": "x"})
    prepare(choose(config))
    vocabulary = Vocabulary.load(BASE)
    run = Run(config, vocabulary)
    expected = plan(config, None, vocabulary.n_vocab).checkpoint_bytes
    run.step()
    alone, beside, copies, writes = [], [], [], []
    size = 0
    with tempfile.TemporaryDirectory() as directory:
        saver = CheckpointWriter(Path(directory), keep=1, expected_bytes=expected)
        for number in range(1, options.rounds + 1):
            alone += [run.step() for _ in range(3)]
            began = time.perf_counter()
            snapshot = run.copy()
            copies.append(time.perf_counter() - began)
            saver.write(number, snapshot.write, {})
            while saver.busy:
                beside.append(run.step())
            saver.wait()
            event = saver.collect()
            assert event is not None
            writes.append(event.seconds)
            size = event.bytes
        saver.close()
    plain, busy = statistics.median(alone), statistics.median(beside)
    print(f"checkpoint of {size / 1e6:,.0f} MB, {options.preset}")
    print(f"copy: {1e3 * statistics.median(copies):.0f} ms")
    print(f"written in: {statistics.median(writes):.2f} s, during {len(beside)} steps")
    print(f"step alone {1e3 * plain:.0f} ms, beside {1e3 * busy:.0f} ms, {busy / plain:.2f} times")


if __name__ == "__main__":
    main()
