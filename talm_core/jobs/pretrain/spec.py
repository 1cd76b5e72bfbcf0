"""Pretraining, for everybody else."""

from talm_core.jobs.spec import ArtifactSpec, ColumnSpec, CommandSpec, JobSpec, PlaceSpec

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
    hears=frozenset({"Checkpoint", "EvaluateEvery", "Sample"}),
    resumable=True,
    distributed=True,
    place=PlaceSpec(
        name="train",
        title="Train",
        screen="talm_tui.train.screen:TrainScreen",
        step="Model",
        about="A transformer that learns from the data.",
        key="m",
        verb="train",
        offer="trains a model on {name}",
    ),
    makes_model=True,
    check="talm_core.jobs.pretrain.check:check",
    check_resumed="talm_core.jobs.pretrain.check:check_resumed",
    settle="talm_core.jobs.pretrain.check:settle",
    given="talm_core.jobs.pretrain.check:given",
    figures="talm_core.jobs.pretrain.show:figures",
    brief="talm_core.jobs.pretrain.show:brief",
    asked="talm_core.jobs.pretrain.show:asked",
    columns=(
        ColumnSpec("bits/byte"),
        ColumnSpec("val loss"),
        ColumnSpec("shape"),
        ColumnSpec("steps", going=True),
        ColumnSpec("tokens/s"),
    ),
    cells="talm_core.jobs.pretrain.show:cells",
    saved="talm_core.training.checkpoint:config_of",
    afterwards="talm_core.jobs.pretrain.show:afterwards",
    length="max_steps",
    limit="minutes",
    goes_on=("train-model", "-n"),
)
