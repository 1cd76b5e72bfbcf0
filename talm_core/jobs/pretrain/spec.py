"""Pretraining, for everybody else."""

from talm_core.jobs.spec import ArtifactSpec, CommandSpec, JobSpec
from talm_core.runtime.events import Checkpoint, EvaluateEvery, Sample

SPEC = JobSpec(
    kind="pretrain",
    commands=(
        CommandSpec(
            "train-model",
            "Train a model from random weights, or go on with one.",
            flags=("PRESET", "RESUME", "OVERRIDE", "DETACH"),
        ),
        CommandSpec(
            "plan",
            "What a training run is going to be: sizes, memory, disk, and why.",
            entry="talm_core.cli.plan:show_plan",
            flags=("PRESET_ALONE",),
        ),
    ),
    config="talm_core.jobs.pretrain.config:PretrainConfig",
    entry="talm_core.jobs.pretrain.job:pretrain",
    artifact=ArtifactSpec(
        folder="models",
        noun="model",
        title="Models",
        name_key="model_name",
        renamable=True,
    ),
    hears=frozenset({Checkpoint, EvaluateEvery, Sample}),
    resumable=True,
    distributed=True,
    check="talm_core.jobs.pretrain.check:check",
    check_resumed="talm_core.jobs.pretrain.check:check_resumed",
    settle="talm_core.jobs.pretrain.check:settle",
    given="talm_core.jobs.pretrain.check:given",
    figures="talm_core.jobs.pretrain.show:figures",
    saved="talm_core.training.checkpoint:config_of",
    afterwards="talm_core.jobs.pretrain.show:afterwards",
    goes_on=("train-model", "-n"),
)
