"""A kind of job from a folder of its own: it rolls a die."""

from talm_core.jobs.spec import ArtifactSpec, CommandSpec, JobSpec

SPEC = JobSpec(
    kind="dice",
    commands=(CommandSpec("roll-dice", "Roll a die, again and again.", flags=("DETACH",)),),
    config="tests.core.dice.config:DiceConfig",
    entry="tests.core.dice.job:roll",
    artifact=ArtifactSpec("dice", "die", "Dice", renamable=True),
    check="tests.core.dice.job:check",
    figures="tests.core.dice.job:figures",
    afterwards="tests.core.dice.job:afterwards",
    unit="roll",
)
