"""What can go wrong, as a family with one root.

    TalmError
    ├── InputError          something the user can mend; a list of problems, told all at once
    │   ├── ConfigError     settings: unknown keys, values out of range, fields that contradict
    │   ├── CorpusError     text that cannot be read: missing, empty, binary, not UTF-8
    │   ├── ArtifactError   a tokenizer, dataset or model that is missing, damaged or does not fit
    │   ├── WorkspaceError  names and directories: taken, not writable, outside the workspace
    │   │   └── DoneError   what is asked for has been made already, with these very settings
    │   └── BusyError       another process works in this artifact
    └── RunError            a job that cannot go on: disk full, no memory
        └── NonFiniteError  a loss or gradient that is no number

`InputError` ends the `talm` command with exit code 2, everything else with 1. What is not a
`TalmError` is a bug: its traceback is kept in the job's `log.txt`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    `key` is the setting's name (`vocab_size`) or the path of a file, `value` what was given,
    `message` what is allowed instead, `hint` what to do about it.
    """

    key: str
    message: str
    value: object = None
    hint: str = ""

    def __str__(self) -> str:
        shown = "" if self.value is None else f" = {self.value!r}"
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.key}{shown}: {self.message}{hint}"


class TalmError(Exception):
    """The root of every error talm raises on purpose."""


class InputError(TalmError, ValueError):
    """One or more problems the user can mend, in the order they were found."""

    def __init__(self, *problems: Problem) -> None:
        assert problems, "an InputError without a problem says nothing"
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


class ConfigError(InputError):
    """Settings that are unknown, out of range or contradict each other."""


class CorpusError(InputError):
    """Text that cannot be used: missing, empty, binary or not UTF-8."""


class ArtifactError(InputError):
    """A tokenizer, dataset or model that is missing, damaged, too new or does not fit."""


class WorkspaceError(InputError):
    """A name or directory that is taken, not writable or outside the workspace."""


class DoneError(WorkspaceError):
    """The name is taken by what was asked for: it is done, and was with the same settings."""


class BusyError(InputError):
    """Another process holds the lock of this artifact."""


class RunError(TalmError):
    """A job that cannot go on; what it had done so far is kept."""


class UnforeseenError(RunError):
    """A job that broke by what nobody raised on purpose; the traceback is in its `log.txt`."""


class NonFiniteError(RunError):
    """Loss or gradient of `step` are not finite; that step was not taken."""

    def __init__(self, step: int, loss: float, rate: float, norm: float) -> None:
        self.step = step
        super().__init__(
            f"step {step:,} gave a loss of {loss:g} and a gradient norm of {norm:g} at learning"
            f" rate {rate:.3g}; the weights before it are kept in the last checkpoint. Try a lower"
            " learning_rate, a longer warmup_steps or a smaller grad_clip"
        )


def problems_of(look: Callable[[], object]) -> list[Problem]:
    """What `look` says is wrong; empty where it says nothing."""
    try:
        look()
    except InputError as error:
        return list(error.problems)
    return []


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the closest known word, or lists some: `did you mean 'nano'?`."""
    names = sorted(known)
    close = get_close_matches(word, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    if not names:
        return "there are none yet"
    shown = ", ".join(names[:12])
    return f"known: {shown}" + (" and more" if len(names) > 12 else "")
