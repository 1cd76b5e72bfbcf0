"""Exporting, for everybody else."""

from talm_core.jobs.spec import CommandSpec, JobSpec

SPEC = JobSpec(
    kind="export",
    commands=(
        CommandSpec(
            "export",
            "Write a model for llama.cpp, Ollama or transformers.",
            entry="talm_core.cli.export:export",
        ),
    ),
    config="talm_core.jobs.export.config:ExportConfig",
    entry="talm_core.jobs.export.job:export",
)
