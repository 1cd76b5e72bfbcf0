"""What is broken on purpose: every kind of job that is registered, and every upkeep command.

A kind that has no case of its own here, such as one to come, gets the plain one: its command with
a name and the defaults of its settings.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from talm_core.jobs.registry import specs
from talm_core.jobs.spec import JobSpec
from tests.core.hub_server import Repo, parquet

Words = tuple[str, ...]

HUB = "a/b"
TEXT, PRESET = "text.txt", "tiny"


@dataclass(frozen=True, slots=True)
class Case:
    """A command that is broken on purpose.

    `base` are the commands before it. `words` is the command, `again` what is natural after it was
    broken, by default the same; then come `after`, which must work in any case. `kind` is the
    job's. `loose` are files that are not the same twice, by the ends of their names. Where `ended`
    is a number, the last command of `base` is killed in that part of what it does to files.
    """

    name: str
    kind: str
    words: Words
    base: tuple[Words, ...] = ()
    again: Words = ()
    after: tuple[Words, ...] = ()
    loose: tuple[str, ...] = ()
    ended: float = 0.0


_TOKENIZER: Words = ("train-tokenizer", "-n", "t", "-vs", "290", "--text-file", TEXT)
_DATA: Words = ("prepare-data", "--source", "text", "--path", TEXT, "--tokenizer-path", "t")
_STREAMED: Words = (*_DATA, "--shard-size", "1000")
_HUB: Words = ("prepare-data", "--source", "hub", "--dataset", HUB, "--tokenizer-path", "t")
_HUB_STREAMED: Words = (*_HUB, "--shard-size", "1000")
_MODEL: Words = ("train-model", "-n", "m", "-d", "text/text", "--preset", PRESET)
_OTHER: Words = ("train-model", "-n", "o", *_MODEL[3:], "--max-steps", "2", "--warmup-steps", "1")
_GO_ON: Words = ("train-model", "-n", "m", "--resume")
_LONGER: Words = (*_GO_ON, "--max-steps", "18")
_MADE = (_TOKENIZER, _DATA)
_TUNED = ("autotune.json",)
# What was asked; the name of the directory is what counts.
_NAMED = ("config.toml",)

CASES = (
    Case("tokenizer", "tokenizer", _TOKENIZER),
    Case(
        "tokenizer from the Hub",
        "tokenizer",
        ("train-tokenizer", "-n", "t", "-vs", "290", "--corpus", "hub", "--dataset", HUB),
    ),
    Case(
        "tokenizer from a dataset",
        "tokenizer",
        ("train-tokenizer", "-n", "u", "-vs", "280", "--corpus", "dataset", "-d", "text/text"),
        _MADE,
    ),
    Case("dataset", "data", _DATA, (_TOKENIZER,)),
    Case("dataset in shards", "data", _STREAMED, (_TOKENIZER,)),
    Case("dataset from the Hub", "data", _HUB_STREAMED, (_TOKENIZER,)),
    Case(
        "dataset made longer",
        "data",
        (*_STREAMED, "--max-tokens", "4700"),
        (_TOKENIZER, (*_STREAMED, "--max-tokens", "2400")),
    ),
    Case(
        "dataset from the Hub made longer",
        "data",
        (*_HUB_STREAMED, "--max-tokens", "4700"),
        (_TOKENIZER, (*_HUB_STREAMED, "--max-tokens", "2400")),
    ),
    Case("pretrain", "pretrain", _MODEL, _MADE),
    Case("pretrain resumed", "pretrain", _GO_ON, (*_MADE, _MODEL), ended=0.5),
    Case("pretrain trained longer", "pretrain", _LONGER, (*_MADE, _MODEL)),
    Case(
        "pretrain with wsd trained longer",
        "pretrain",
        _LONGER,
        (*_MADE, (*_MODEL, "--lr-schedule", "wsd")),
    ),
    Case(
        "pretrain with autotune",
        "pretrain",
        (
            *_MODEL,
            "--max-steps",
            "4",
            "--warmup-steps",
            "1",
            "--autotune",
            "on",
            "--compile",
            "off",
        ),
        _MADE,
        loose=(*_TUNED, ".safetensors"),
    ),
    Case("sample", "sample", ("sample", "m", "--prompt", "1"), (*_MADE, _MODEL)),
    Case("export to GGUF", "export", ("export", "m"), (*_MADE, _MODEL)),
    Case(
        "export to Hugging Face", "export", ("export", "m", "-f", "huggingface"), (*_MADE, _MODEL)
    ),
    Case(
        "export to a folder",
        "export",
        ("export", "m", "--output", "out/m"),
        (*_MADE, _MODEL),
    ),
    Case(
        "quick start",
        "quickstart",
        ("quickstart", "-n", "q", "--preset", PRESET, "--text-file", TEXT, "-vs", "290"),
    ),
    Case(
        "rename a model",
        "",
        ("rename", "models/m", "n"),
        (*_MADE, _MODEL),
        after=(("rename", "models/n", "o"),),
        loose=_NAMED,
    ),
    Case(
        "rename a tokenizer",
        "",
        ("rename", "tokenizers/t", "u"),
        (_TOKENIZER,),
        after=(("rename", "tokenizers/u", "v"),),
        loose=_NAMED,
    ),
    Case("delete a model", "", ("delete", "models/m", "--yes"), (*_MADE, _MODEL), after=(_OTHER,)),
    Case(
        "delete a dataset",
        "",
        ("delete", "data/text/text", "--yes"),
        _MADE,
        after=(_STREAMED,),
    ),
    Case(
        "delete a tokenizer",
        "",
        ("delete", "tokenizers/t", "--yes"),
        (_TOKENIZER,),
        after=(("train-tokenizer", "-n", "u", *_TOKENIZER[3:]),),
    ),
)


def cases() -> tuple[Case, ...]:
    """Every one, those of kinds that are only registered included."""
    own = {case.kind for case in CASES}
    return (*CASES, *(_plain(spec) for spec in specs() if spec.kind not in own))


def _plain(spec: JobSpec) -> Case:
    named = ("--name", "x") if spec.artifact is not None else ()
    return Case(spec.kind, spec.kind, (spec.command, *named))


# Every operation a run has, in twelve steps: several checkpoints, of which the older are pruned,
# one that is better than those after it, and samples.
_SETTINGS = """version = 1
description = "A run of a second."

[settings]
n_layer = 1
n_head = 2
n_embd = 16
context_len = 32
batch_size = 4
max_steps = 12
warmup_steps = 2
learning_rate = 3e-3
eval_every = 5
eval_tokens = 128
sample_every = 6
sample_tokens = 8
log_every = 2
checkpoint_every = 3
keep_checkpoints = 2
threads = 1
compile = "off"
autotune = "off"
"""


def lay_out(place: Path) -> None:
    """What all cases begin with: a text, and a preset for runs of a second."""
    lines = (f"{i}: the sum of {i % 7} and {i % 5} is {i % 7 + i % 5}.\n" for i in range(400))
    (place / TEXT).write_text("".join(lines), encoding="utf-8")
    presets = place / "home" / "presets"
    presets.mkdir(parents=True)
    (presets / f"{PRESET}.toml").write_text(_SETTINGS, encoding="utf-8")


def repository() -> Repo:
    """What the Hub has."""
    rows = [f"{row} the thing in\n" * (row * 37 % 13 + 1) for row in range(60)]
    parts = {f"data/train-{n}.parquet": parquet(rows[n * 20 : n * 20 + 20]) for n in range(3)}
    return Repo(files=parts)


def steps_said(directory: Path) -> list[int]:
    """The steps of all checkpoints that a journal speaks of."""
    found = []
    for line in (directory / "events.jsonl").read_bytes().splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if event.get("event") == "checkpointed":
            found.append(int(event["step"]))
    return found
