"""`talm export`: a model for other programs."""

from __future__ import annotations

import shlex
from typing import Any

from talm_core.cli.call import DONE, STOPPED, Call
from talm_core.cli.output import Delayed, output
from talm_core.errors import InputError
from talm_core.jobs.export.commands import following
from talm_core.jobs.export.config import ExportConfig
from talm_core.runtime import control
from talm_core.runtime.context import Foreground
from talm_core.runtime.entry import share_cores
from talm_core.runtime.events import Event, Finished
from talm_core.settings.schema import build


def export(call: Call) -> int:
    """Run the job here and say what can be done with what it made."""
    try:
        config = build(ExportConfig, call.given.settings())
    except InputError as error:
        call.require(error.problems)
        raise
    call.require()
    share_cores()
    # Not at the top: it loads torch.
    from talm_core.jobs.export.job import export as job

    control.stop_on_signals()
    last: Event | None = None

    def told(event: Event) -> None:
        nonlocal last
        last = event
        show(event)

    with Delayed(lambda: output(as_json=call.as_json)) as show:
        context = Foreground(call.workspace, call.workspace.root, told)
        context.drive(lambda ctx: job(ctx, config))
    if not isinstance(last, Finished):
        call.tell("stopped; nothing was written")
        return STOPPED
    if not call.as_json:
        _tell_next(call, last.summary)
    return DONE


def _tell_next(call: Call, summary: dict[str, Any]) -> None:
    directory = call.workspace.root / str(summary["directory"])
    call.say(str(directory))
    for words in following(directory, summary):
        call.tell(f"next: {shlex.join(words)}")
