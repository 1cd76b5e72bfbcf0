"""The settings of a pretraining run: its name, what it reads, and all that training is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from talm_core.errors import Problem
from talm_core.jobs.pretrain.fitting import fitted, fitted_defaults
from talm_core.settings.name import Name
from talm_core.settings.schema import JobConfig, Setting, settings_of
from talm_core.training.config import ModelTrainingConfig
from talm_core.training.lengthening import is_longer, more_of


class PretrainConfig(ModelTrainingConfig, JobConfig):
    """Train a transformer from random weights.

    Defaults are those of the preset `nano`.
    """

    kind: ClassVar[str] = "pretrain"
    title: ClassVar[str] = "Train a model"
    order: ClassVar[tuple[str, ...]] = (
        "model_name",
        "data_dir",
        "tokenizer_path",
        "seed",
        "init_from",
        "n_layer",
        "n_head",
        "n_kv_head",
        "n_embd",
        "n_hidden",
        "context_len",
        "rope_theta",
        "tie_embeddings",
        "batch_size",
        "grad_accum_steps",
        "total_batch_size",
        "max_steps",
        "minutes",
        "optimizer",
        "learning_rate",
        "min_learning_rate",
        "warmup_steps",
        "lr_schedule",
        "decay_ratio",
        "weight_decay",
        "dropout",
        "beta1",
        "beta2",
        "grad_clip",
        "non_finite",
        "max_rollbacks",
        "eval_every",
        "eval_tokens",
        "sample_every",
        "sample_prompt",
        "sample_tokens",
        "log_every",
        "checkpoint_every",
        "checkpoint_minutes",
        "keep_checkpoints",
        "device",
        "precision",
        "compile",
        "autotune",
        "threads",
        "nproc",
        "parallel",
    )

    model_name: Annotated[
        Name,
        Setting(
            "Run",
            "Name of the model.",
            more="The run is shown under it, and its checkpoints lie in a directory of that name.",
            flags=("-n", "--name"),
            bare=True,
        ),
    ]
    data_dir: Annotated[
        str,
        Field(min_length=1),
        Setting(
            "Run",
            "Dataset: a name in the workspace or a directory.",
            more="A model can be used only with the tokenizer its data was prepared with.",
            flags=("-d",),
            picks="dataset",
        ),
    ]
    tokenizer_path: Annotated[
        str | None,
        Setting(
            "Run",
            "Tokenizer; none means the one the dataset was made with.",
            flags=("-t",),
            picks="tokenizer",
            more="It must be the dataset's own: its identity is compared before the run starts.",
            advanced=True,
            resume=True,
        ),
    ] = None
    init_from: Annotated[
        str | None,
        Field(min_length=1),
        Setting(
            "Run",
            "Checkpoint whose weights the run begins with; none draws them from the seed.",
            picks="path",
            more="A model's name for its newest checkpoint, `nano/checkpoint-000500` for a certain"
            " one, or a directory. Its shape and tokenizer must be the run's own; the optimizer and"
            " the data's order begin anew.",
            advanced=True,
            names="model",
            resume=True,
        ),
    ] = None

    @property
    def artifact(self) -> str:
        return self.model_name

    @classmethod
    def beside(cls, preset: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
        """A preset's values, scaled to what was asked for beside it."""
        return fitted(preset, said)

    @classmethod
    def completed(cls, said: Mapping[str, Any]) -> dict[str, Any]:
        """What was asked for, and defaults that would contradict it as they do not."""
        usual = {item.key: item.default for item in settings_of(cls)}
        return fitted_defaults(usual, said) | dict(said)

    def extends(self, done: PretrainConfig, directory: Path) -> bool:
        """Whether this run was finished and is to be trained longer."""
        del done
        return is_longer(self, directory)

    def to_extend(self, directory: Path) -> str:
        return more_of(directory)

    def contradictions(self) -> list[Problem]:
        return [*self.shape_problems(), *self.training_problems()]
