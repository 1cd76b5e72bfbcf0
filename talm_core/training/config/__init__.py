"""The settings of training, each declared with its component and composed by the jobs that train.

Nothing here loads torch. A job's config inherits `TrainingConfig` and adds what is its own;
the parts of `talm_core.training` take the component they need.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from talm_core.errors import Problem
from talm_core.model.config import ArchitectureConfig
from talm_core.settings.schema import Setting
from talm_core.training.config.batch import BatchConfig
from talm_core.training.config.checkpoints import CheckpointConfig, RecoveryConfig
from talm_core.training.config.device import DeviceConfig, ParallelConfig
from talm_core.training.config.evaluation import EvaluationConfig, MetricsConfig, SamplingConfig
from talm_core.training.config.optimizer import OptimizerConfig
from talm_core.training.config.schedule import ScheduleConfig

__all__ = [
    "BatchConfig",
    "CheckpointConfig",
    "DeviceConfig",
    "EvaluationConfig",
    "MetricsConfig",
    "ModelTrainingConfig",
    "OptimizerConfig",
    "ParallelConfig",
    "RecoveryConfig",
    "SamplingConfig",
    "ScheduleConfig",
    "TrainingConfig",
]


class TrainingConfig(
    BatchConfig,
    ScheduleConfig,
    OptimizerConfig,
    RecoveryConfig,
    EvaluationConfig,
    SamplingConfig,
    MetricsConfig,
    CheckpointConfig,
    DeviceConfig,
    ParallelConfig,
):
    """What every training run is told, whatever it learns from."""

    seed: Annotated[
        int,
        Field(ge=0, lt=2**63),
        Setting(
            "Run",
            "Seed of weights, data order and samples.",
            flags=("-s",),
            more="The same seed, settings, machine and device give the same weights, bit for bit.",
        ),
    ] = 1337

    def training_problems(self) -> list[Problem]:
        """What is wrong between these settings."""
        # Processes share a batch that is right.
        return [*(self.batch_problems() or self._share_problems()), *self.schedule_problems()]

    def _share_problems(self) -> list[Problem]:
        if self.sequences_per_step % self.nproc == 0:
            return []
        message = f"must divide the {self.sequences_per_step:,} windows of a step"
        return [Problem("nproc", message, self.nproc, "change batch_size or grad_accum_steps")]


class ModelTrainingConfig(ArchitectureConfig, TrainingConfig):
    """A training run together with the shape of its model."""
