"""Preparing a dataset, for everybody else."""

from talm_core.jobs.spec import ArtifactSpec, CommandSpec, JobSpec

SPEC = JobSpec(
    kind="data",
    commands=(
        CommandSpec(
            "prepare-data",
            "Turn documents into token shards.",
            entry="talm_core.cli.prepare:prepare",
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
    check="talm_core.jobs.dataset.check:check",
    figures="talm_core.jobs.dataset.show:figures",
    page="talm_core.jobs.dataset.show:page",
    facts="talm_core.jobs.dataset.show:facts",
    documents="talm_core.jobs.dataset.show:documents",
    fact_keys=("dataset",),
    afterwards="talm_core.jobs.dataset.show:afterwards",
    unit="shard",
)
