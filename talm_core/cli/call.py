"""One call of `talm`: what was given, where it works, where it writes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from talm_core.cli.options import Flag, Given
from talm_core.errors import InputError, Problem
from talm_core.runtime.render import plain
from talm_core.storage.workspace import Workspace

DONE, FAILED, INVALID, STOPPED = 0, 1, 2, 130
"""Exit codes."""


@dataclass(frozen=True, slots=True)
class Call:
    """What somebody typed after `talm`."""

    command: str
    given: Given
    workspace: Workspace

    @property
    def as_json(self) -> bool:
        return self.given.on("json")

    @property
    def detach(self) -> bool:
        return self.given.on("detach")

    def require(self, problems: Sequence[Problem] = ()) -> None:
        """Stop here when something is wrong with the words, or with what they mean.

        Raises:
            InputError: with all of it.
        """
        said = {problem.key for problem in self.given.problems}
        # A flag without its value is not missing as well.
        found = [*self.given.problems, *(item for item in problems if item.key not in said)]
        if found:
            raise InputError(*found)

    def tell(self, text: str) -> None:
        """Say something that is no result: on stderr, so that stdout stays clean. Control codes of
        names and of what files say are taken out, as in all that is said."""
        sys.stderr.write(f"talm: {plain(text)}\n")
        sys.stderr.flush()

    def say(self, text: str) -> None:
        """Say a result: a line on stdout."""
        sys.stdout.write(plain(text) + "\n")
        sys.stdout.flush()

    def command_line(self, *words: str) -> str:
        """A `talm` command for this workspace, ready to be pasted."""
        where = self.given.text("workspace")
        return shlex.join(["talm", *words, *(["--workspace", where] if where else [])])


def complain(problems: Sequence[Problem], flags: Sequence[Flag]) -> None:
    """Say on stderr what is wrong, a line each."""
    sys.stdout.flush()
    for problem in problems:
        sys.stderr.write(f"talm: {plain(problem_line(problem, flags))}\n")


def problem_line(problem: Problem, flags: Sequence[Flag]) -> str:
    """`vocab_size = 200: must be a whole number, 256 to 1,000,000 (flag --vocab-size)`."""
    hints = [problem.hint.removesuffix(".")] if problem.hint else []
    hints += [
        f"argument {flag.key.upper()}" if flag.positional else f"flag {flag.long}"
        for flag in flags
        if flag.key == problem.key
    ]
    shown = "" if problem.value is None else f" = {problem.value!r}"
    last = f" ({'; '.join(hints)})" if hints else ""
    return f"{problem.key}{shown}: {problem.message}{last}"
