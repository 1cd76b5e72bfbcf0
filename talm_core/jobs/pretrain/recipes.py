"""The recipes that ship with talm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.settings.schema import settings_of

# Chosen with each run, and therefore in no recipe.
NOT_PRESET = frozenset({"model_name", "data_dir", "tokenizer_path"})


@dataclass(frozen=True, slots=True)
class Preset:
    """A recipe. `values` are settings of `PretrainConfig`; `path` is None for a built-in one.
    `vocab_size` and `minutes` are what a quick start with it takes, unless it is told."""

    name: str
    description: str
    values: Mapping[str, Any]
    path: Path | None = None
    vocab_size: int = 4096
    minutes: float | None = 1.25


PRESETTABLE = tuple(item.key for item in settings_of(PretrainConfig) if item.key not in NOT_PRESET)
"""The settings a recipe may hold."""


def _nano() -> dict[str, Any]:
    defaults = {item.key: item.default for item in settings_of(PretrainConfig)}
    return {key: defaults[key] for key in PRESETTABLE if defaults[key] is not None}


BUILT_IN: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "nano",
            "Learns visibly in a minute on two CPU cores.",
            # The defaults were tuned for just that; saying them here again could only be wrong.
            _nano(),
        ),
        Preset(
            "talm",
            "The shape the first talm trained: tiny, minutes on a CPU.",
            {
                # Narrow and, with 8 dimensions a head, more heads than one would choose today;
                # kept as they were, so that old and new runs can be compared.
                "n_layer": 4,
                "n_head": 8,
                "n_embd": 64,
                "context_len": 128,
                "batch_size": 16,
                # 10 M tokens: some fifty for each parameter besides the embedding.
                "max_steps": 5_000,
                # GPT-2's rate. A narrow model would bear five times as much.
                "learning_rate": 6e-4,
                "min_learning_rate": 6e-5,
                "optimizer": "adamw",
                "warmup_steps": 200,
                "weight_decay": 0.01,
                "beta1": 0.9,
                "beta2": 0.95,
                # A look every quarter of a minute or so.
                "eval_every": 250,
                "sample_every": 250,
                "checkpoint_every": 1_000,
            },
        ),
        Preset(
            "shakespeare",
            "For a book or a few: 11 M parameters, minutes on a GPU, an hour on two CPU cores.",
            {
                # nanoGPT's recipe for tiny-shakespeare, which has become a yardstick.
                "n_layer": 6,
                "n_head": 6,
                "n_embd": 384,
                "context_len": 256,
                # A quarter of the recipe's: it fits small memories and takes more steps from
                # the same little text.
                "batch_size": 16,
                # 8 M tokens, some twenty times a megabyte of text; beyond that the model learns
                # it by heart and its validation loss rises.
                "max_steps": 2_000,
                "learning_rate": 1e-3,
                "min_learning_rate": 1e-4,
                "optimizer": "adamw",
                "warmup_steps": 100,
                # Against learning by heart.
                "weight_decay": 0.1,
                "beta1": 0.9,
                # Batches are small and their gradients noisy: average squares over more of them.
                "beta2": 0.99,
                "eval_every": 100,
                "sample_every": 100,
                # What books are written in.
                "sample_prompt": ("",),
                "checkpoint_every": 500,
            },
        ),
        Preset(
            "shakespeare-sprint",
            "A megabyte of text to 1.88 nats per byte in seconds on two CPU cores.",
            {
                # One layer: every further one costs more time than it learns in so short a run.
                "n_layer": 1,
                "n_head": 4,
                "n_embd": 128,
                # Short: attention over more than a line or two is not what is learned first.
                "context_len": 64,
                # 1,024 tokens a step, a quarter of an epoch in all.
                "batch_size": 16,
                "max_steps": 100,
                # As high as Muon bears it here; it stays there for half the run.
                "learning_rate": 2e-2,
                "min_learning_rate": 1e-4,
                "lr_schedule": "wsd",
                "decay_ratio": 0.5,
                "warmup_steps": 5,
                # Nothing but training until the end.
                "eval_every": 0,
                "sample_every": 0,
                "sample_prompt": ("ROMEO:",),
                "checkpoint_every": 0,
            },
            # Few tokens are learned from few examples of each.
            vocab_size=1_000,
            minutes=None,
        ),
        Preset(
            "shakespeare-best",
            "A low loss on a megabyte of text, minutes on two CPU cores.",
            {
                # 2 M parameters for 0.4 M tokens: enough to learn it all.
                "n_layer": 4,
                "n_head": 6,
                "n_embd": 192,
                "context_len": 128,
                "batch_size": 16,
                # Nearly seven times through a megabyte at a vocabulary of 1,000.
                "max_steps": 1_300,
                "learning_rate": 1e-2,
                "min_learning_rate": 1e-4,
                "warmup_steps": 40,
                # Both against learning by heart: three times the usual decay, and dropout, without
                # which the loss rises again from some 900 steps on.
                "weight_decay": 0.3,
                "dropout": 0.1,
                # Only where it is judged; the best is kept.
                "eval_every": 200,
                "sample_every": 0,
                "sample_prompt": ("ROMEO:",),
                "checkpoint_every": 200,
            },
            vocab_size=1_000,
            minutes=None,
        ),
        Preset(
            "gpt2-124m",
            "GPT-2 small's size on 10 billion tokens: a day on one large GPU, hours on eight.",
            {
                # 12 heads of 64 dimensions: GPT-2 small.
                "n_layer": 12,
                "n_head": 12,
                "n_embd": 768,
                "context_len": 1_024,
                # 16 x 32 x 1,024 = 524,288 tokens a step, GPT-3's choice for this size; more
                # memory takes a larger batch and fewer passes for the same steps.
                "batch_size": 16,
                "grad_accum_steps": 32,
                # 10 billion tokens, four times what compute-optimal training would use: the
                # model is small to run for what it knows.
                "max_steps": 19_073,
                # GPT-3's rate for this size, and a tenth of it at the end.
                "learning_rate": 6e-4,
                "min_learning_rate": 6e-5,
                "optimizer": "adamw",
                # 367 million tokens, as GPT-3 warmed up.
                "warmup_steps": 700,
                "weight_decay": 0.1,
                "beta1": 0.9,
                "beta2": 0.95,
                "grad_clip": 1.0,
                # Validation noise must be below what 250 steps gain late in the run.
                "eval_every": 250,
                "eval_tokens": 4_194_304,
                "sample_every": 1_000,
                "sample_prompt": ("The most important thing about",),
                # About an hour's work to lose on one GPU.
                "checkpoint_every": 1_000,
            },
        ),
    )
}
