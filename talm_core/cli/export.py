"""`talm export`: a model for other programs."""

from __future__ import annotations

import shlex
import time
from contextlib import closing
from typing import Any

from talm_core.cli.call import DONE, STOPPED, Call
from talm_core.cli.output import output
from talm_core.errors import InputError
from talm_core.jobs.export.commands import following
from talm_core.jobs.export.config import ExportConfig
from talm_core.runtime import control
from talm_core.runtime.events import Event, Finished, Record
from talm_core.runtime.kinds import share_cores
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
    event: Event | None = None
    with closing(job(config, call.workspace)) as events:
        # What is wrong is said plainly, before the screen is touched.
        first = next(events)
        with output(as_json=call.as_json) as screen:
            screen.show(Record(time.time(), first))
            for event in events:
                screen.show(Record(time.time(), event))
                if control.stop_reason() is not None and not isinstance(event, Finished):
                    break
    if not isinstance(event, Finished):
        call.tell("stopped; nothing was written")
        return STOPPED
    if not call.as_json:
        _tell_next(call, event.summary)
    return DONE


def _tell_next(call: Call, summary: dict[str, Any]) -> None:
    directory = call.workspace.root / str(summary["directory"])
    call.say(str(directory))
    for words in following(directory, summary):
        call.tell(f"next: {shlex.join(words)}")
