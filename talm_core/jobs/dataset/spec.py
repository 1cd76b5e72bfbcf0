"""Preparing a dataset, for everybody else."""

from talm_core.jobs.spec import ArtifactSpec, ColumnSpec, CommandSpec, JobSpec, PlaceSpec

SPEC = JobSpec(
    kind="data",
    commands=(
        CommandSpec(
            "prepare-data",
            "Turn documents into token shards.",
            flags=("DETACH",),
            aliases=("download-data",),
        ),
    ),
    config="talm_core.jobs.dataset.config:DataConfig",
    entry="talm_core.jobs.dataset.job:prepare_data",
    artifact=ArtifactSpec(
        folder="data",
        noun="dataset",
        title="Datasets",
        main_file="manifest.json",
        name_key="ds_sample",
        parts=2,
        kept_open=True,
    ),
    place=PlaceSpec(
        name="data",
        title="Data",
        screen="talm_tui.data.screen:DataScreen",
        follows=True,
        step="Data",
        about="Your text as tokens, a part kept back for validation.",
        key="d",
        verb="prepare",
        offer="turns text into tokens with {name}",
    ),
    check="talm_core.jobs.dataset.check:check",
    figures="talm_core.jobs.dataset.show:figures",
    brief="talm_core.jobs.dataset.show:brief",
    columns=(
        ColumnSpec("tokens", going=True),
        ColumnSpec("tokenizer", left=True),
        ColumnSpec("documents"),
    ),
    cells="talm_core.jobs.dataset.show:cells",
    page="talm_core.jobs.dataset.show:page",
    facts="talm_core.jobs.dataset.show:facts",
    documents="talm_core.jobs.dataset.show:documents",
    fact_keys=("dataset",),
    afterwards="talm_core.jobs.dataset.show:afterwards",
    unit="shard",
)
