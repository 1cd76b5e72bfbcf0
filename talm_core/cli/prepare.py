"""`talm prepare-data`: which text, if that was not said, and then the job."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from talm_core.cli.call import Call
from talm_core.cli.run import run_job
from talm_core.data.sources import ALSO, SOURCES
from talm_core.errors import Problem
from talm_core.jobs.registry import spec_of

_ASKED_FOR = {
    "text": ("path", "Which file or directory?"),
    "hub": ("dataset", "Which dataset of the Hub, as OWNER/NAME?"),
}
"""What a source is nothing without."""


def prepare(call: Call) -> int:
    """Prepare a dataset of the source that was named, or is named when asked for."""
    given = call.given
    if given.text("source") is None and not given.problems:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            message = f"must be given: one of {', '.join(SOURCES)}"
            hint = "for example: talm prepare-data stdlib"
            call.require([Problem("source", message, hint=hint)])
        call = replace(call, given=replace(given, values=_asked(dict(given.values))))
    return run_job(call, spec_of("data"))


def _asked(values: dict[str, Any]) -> dict[str, Any]:
    """The values with a source, and what it is nothing without."""
    width = max(map(len, SOURCES))
    sys.stderr.write("Where does the text come from?\n")
    for number, source in enumerate(SOURCES.values(), 1):
        sys.stderr.write(f"  {number}  {source.name.ljust(width)}  {source.help}\n")
    by_number = {str(number): name for number, name in enumerate(SOURCES, 1)}
    known = by_number | {name: name for name in SOURCES} | dict(ALSO)
    while (answer := _answer(f"A name or 1 to {len(SOURCES)}: ")) not in known:
        sys.stderr.write(f"There is no source {answer!r}.\n" if answer else "")
    values["source"] = known[answer]
    key, question = _ASKED_FOR.get(known[answer], ("", ""))
    if key and key not in values:
        while not (answer := _answer(f"{question} ")):
            pass
        values[key] = [answer] if key == "path" else answer
    return values


def _answer(question: str) -> str:
    """A line from the terminal. Its end there is that of the command, as ctrl-c is."""
    sys.stderr.write(question)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        sys.stderr.write("\n")
        raise KeyboardInterrupt
    return line.strip()
