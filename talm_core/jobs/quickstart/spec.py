"""Quick start, for everybody else."""

from talm_core.jobs.spec import ArtifactSpec, CommandSpec, JobSpec

SPEC = JobSpec(
    kind="quickstart",
    commands=(
        CommandSpec(
            "quickstart",
            "Tokenizer, data, model and a sample, one after the other, offline.",
            flags=("RESUME", "DETACH"),
        ),
    ),
    config="talm_core.jobs.quickstart.config:QuickstartConfig",
    entry="talm_core.jobs.quickstart.job:quickstart",
    artifact=ArtifactSpec(folder="quickstarts", noun="quickstart", title="Quick starts"),
    resumable=True,
    stages="talm_core.jobs.quickstart.job:stages",
    at_once="talm_core.jobs.quickstart.job:next_one",
    check="talm_core.jobs.quickstart.check:check",
    given="talm_core.jobs.quickstart.check:given",
    afterwards="talm_core.jobs.quickstart.check:afterwards",
    goes_on=("quickstart", "-n"),
)
