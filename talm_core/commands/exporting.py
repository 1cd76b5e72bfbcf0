"""`talm export`: a model for other programs."""

from __future__ import annotations

import shlex
import time
from contextlib import closing
from typing import Any

from talm_core import inbox
from talm_core.commands.call import DONE, STOPPED, Call
from talm_core.config import ExportConfig
from talm_core.errors import InputError
from talm_core.events import Event, Finished, Record
from talm_core.export.following import following
from talm_core.kinds import share_cores
from talm_core.output import output
from talm_core.settings import build


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
    from talm_core.export.exporting import export as job

    inbox.stop_on_signals()
    event: Event | None = None
    with closing(job(config, call.workspace)) as events:
        # What is wrong is said plainly, before the screen is touched.
        first = next(events)
        with output(as_json=call.as_json) as screen:
            screen.show(Record(time.time(), first))
            for event in events:
                screen.show(Record(time.time(), event))
                if inbox.stop_reason() is not None and not isinstance(event, Finished):
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
