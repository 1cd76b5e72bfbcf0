"""Training a tokenizer, for everybody else."""

from talm_core.jobs.spec import ArtifactSpec, CommandSpec, JobSpec

SPEC = JobSpec(
    kind="tokenizer",
    commands=(
        CommandSpec("train-tokenizer", "Train a byte-level BPE tokenizer.", flags=("DETACH",)),
    ),
    config="talm_core.jobs.tokenizer.config:TokenizerConfig",
    entry="talm_core.jobs.tokenizer.job:train_tokenizer",
    artifact=ArtifactSpec(
        folder="tokenizers",
        noun="tokenizer",
        title="Tokenizers",
        main_file="tokencoder.json",
        renamable=True,
        reserved=("base",),
    ),
    check="talm_core.jobs.tokenizer.check:check",
    figures="talm_core.jobs.tokenizer.show:figures",
    page="talm_core.jobs.tokenizer.show:page",
    facts="talm_core.jobs.tokenizer.show:facts",
    shipped="talm_core.jobs.tokenizer.show:shipped",
    fact_keys=("tokenizer",),
    afterwards="talm_core.jobs.tokenizer.show:afterwards",
    begins_anew=True,
)
