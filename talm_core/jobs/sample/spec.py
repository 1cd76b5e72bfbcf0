"""Sampling, for everybody else."""

from talm_core.jobs.spec import CommandSpec, JobSpec

SPEC = JobSpec(
    kind="sample",
    commands=(
        CommandSpec(
            "sample",
            "Continue a text with a trained model.",
            entry="talm_core.cli.sample:sample",
        ),
    ),
    config="talm_core.jobs.sample.config:SampleConfig",
    entry="talm_core.jobs.sample.job:sample",
)
