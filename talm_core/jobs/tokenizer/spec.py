"""Training a tokenizer, for everybody else."""

from talm_core.jobs.spec import ArtifactSpec, ColumnSpec, CommandSpec, JobSpec, PlaceSpec

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
        about_reserved="4,096 tokens",
    ),
    place=PlaceSpec(
        name="tokenizer",
        title="Tokenizer",
        screen="talm_tui.tokenizer.screen:TokenizerScreen",
        follows=True,
        step="Tokenizer",
        about="Cuts text into tokens. One is built in; train your own on your text.",
        key="t",
        verb="train",
    ),
    check="talm_core.jobs.tokenizer.check:check",
    figures="talm_core.jobs.tokenizer.show:figures",
    brief="talm_core.jobs.tokenizer.show:brief",
    columns=(
        ColumnSpec("ids", going=True),
        ColumnSpec("bytes/token"),
        ColumnSpec("learned from", left=True),
    ),
    cells="talm_core.jobs.tokenizer.show:cells",
    page="talm_core.jobs.tokenizer.show:page",
    facts="talm_core.jobs.tokenizer.show:facts",
    shipped="talm_core.jobs.tokenizer.show:shipped",
    fact_keys=("tokenizer",),
    afterwards="talm_core.jobs.tokenizer.show:afterwards",
    begins_anew=True,
)
