"""`talm plan`: what a run is going to be, before anything is trained."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict
from typing import Any

from talm_core.cli.call import DONE, INVALID, Call, problem_line
from talm_core.data.manifest import Manifest
from talm_core.errors import InputError, Problem
from talm_core.jobs.pretrain.check import given
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.settings.schema import build
from talm_core.system import hardware
from talm_core.system.foreign_text import wrapped
from talm_core.tokenizer.vocabulary import BASE, Vocabulary
from talm_core.training.concerns import Concern, Reason, concerns, reasons
from talm_core.training.estimate import Plan, plan
from talm_core.training.throughput import like, measured, ran

_ANY = {"model_name": "model", "data_dir": "data"}
"""Stand-ins for what a plan does without."""


def show_plan(call: Call) -> int:
    """Every number of the run that `talm train-model` with these flags would be, each with its
    reason, then what is worrying about it. Exit code 2: it could not end well here."""
    values = call.given.settings()
    problems: list[Problem] = []
    try:
        values, _ = given(values, call.given.text("preset"), False, call.workspace)
    except InputError as error:
        problems += error.problems
    config, manifest = _read(call, values, problems)
    vocab_size = manifest.tokenizer.n_vocab if manifest else Vocabulary.load(BASE).n_vocab
    room = hardware.room(config.device, call.workspace.folder("pretrain"))
    planned = plan(config, manifest, vocab_size, room)
    found = concerns(config, planned, room)
    speed = measured(config, vocab_size, call.workspace.root) or like(
        planned.flops_per_token, ran(call.workspace, vocab_size)
    )
    lines = reasons(config, planned, speed)
    call.say(_json(planned, lines, found) if call.as_json else table(lines, _width()))
    if not call.as_json:
        for concern in found:
            word = "cannot be trained here" if concern.fatal else "warning"
            call.tell(f"{word}: {problem_line(concern.problem, call.given.flags)}")
    return INVALID if any(concern.fatal for concern in found) else DONE


def _read(
    call: Call, values: dict[str, Any], problems: list[Problem]
) -> tuple[PretrainConfig, Manifest | None]:
    """The config and the dataset's manifest, or every problem at once."""
    manifest = None
    if "data_dir" in values:
        try:
            directory = call.workspace.locate("data", values["data_dir"], key="data_dir")
            manifest = Manifest.load(directory)
        except InputError as error:
            problems += error.problems
    try:
        config = build(PretrainConfig, _ANY | values)
    except InputError as error:
        call.require([*problems, *error.problems])
        raise
    call.require(problems)
    return config, manifest


def _width() -> int | None:
    """Columns of the terminal that is written to; None where a line may be as long as it likes."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(lines: list[Reason], width: int | None) -> str:
    """A number a line. Where `width` is given, a reason goes on below itself, between words."""
    names = max(len(line.name) for line in lines)
    values = max(len(line.value) for line in lines)
    room = None if width is None else max(24, width - names - values - 4)
    told = []
    for line in lines:
        first, *others = [line.why] if room is None else wrapped(line.why, room)
        told.append(f"{line.name:<{names}}  {line.value:>{values}}  {first}")
        told += [" " * (names + values + 4) + other for other in others]
    return "\n".join(told)


def _json(planned: Plan, lines: list[Reason], found: list[Concern]) -> str:
    return json.dumps(
        {
            "plan": asdict(planned),
            "reasons": [asdict(line) for line in lines],
            "concerns": [
                {"key": item.problem.key, "message": str(item.problem), "fatal": item.fatal}
                for item in found
            ],
        }
    )
