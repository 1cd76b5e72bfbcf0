"""Standard input, output and error, however this process was started.

They may be closed, lie on a full disk, or end at a reader that has gone. None of that is a bug of
what is written to them, and none of it may end a run that took hours: it is said, in the exit code
as well.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO, cast

from talm_core.storage import artifact_files


class StandardStream(io.TextIOBase):
    """Standard output or error. What it cannot take is remembered (`failure`) and everything after
    it dropped; that the reader has gone is raised as `BrokenPipeError` if `tells`, for whoever
    writes to somebody is to stop then."""

    def __init__(self, stream: TextIO, *, tells: bool, closed: bool = False) -> None:
        self.failure: OSError | None = None
        self.gone = False
        self._stream = stream
        self._tells = tells
        self._closed = closed

    def write(self, text: str, /) -> int:
        if self._closed and self.failure is None:
            self.failure = OSError(errno.EBADF, "it is closed")
        if self.failure is None and not self.gone:
            try:
                return self._stream.write(text)
            except OSError as error:
                self._failed(error)
        return len(text)

    def flush(self) -> None:
        if self.failure is None and not self.gone:
            try:
                self._stream.flush()
            except OSError as error:
                self._failed(error)

    def _failed(self, error: OSError) -> None:
        # What waits to be written goes nowhere, or the interpreter would try again as it ends.
        with contextlib.suppress(OSError, ValueError):
            nowhere = artifact_files.null_device()
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            self.failure = error
            return
        self.gone = True
        if self._tells:
            raise error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self._stream.errors


def open_closed() -> list[int]:
    """Put the null device in the place of standard streams that are closed, before a file of ours
    is opened under their number; returns which were."""
    closed = []
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            closed.append(number)
            # The lowest free number is taken, which is this one.
            artifact_files.null_device()
            os.set_inheritable(number, True)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    return closed


def guarded(program: str, work: Callable[[], int]) -> int:
    """The exit code of `work`, while standard output and error take whatever is written to them;
    a failure where the output could not be written, which is said. What a terminal or a pipe
    cannot show is replaced: it never ends a run."""
    closed = open_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    out = StandardStream(sys.stdout, tells=True, closed=1 in closed)
    err = StandardStream(sys.stderr, tells=False)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        return _ending(program, work, out, err)
    finally:
        sys.stdout, sys.stderr = before


def _ending(program: str, work: Callable[[], int], out: StandardStream, err: StandardStream) -> int:
    code = 0
    try:
        code = work()
        out.flush()
    except BrokenPipeError:
        # Whoever read this, such as `head`, has seen enough.
        if not out.gone:
            raise
    except SystemExit:
        # So Rich takes it.
        if not out.gone:
            raise
    finally:
        if out.failure is not None:
            err.write(f"{program}: standard output cannot be written: {out.failure.strerror}\n")
        err.flush()
    return code or int(out.failure is not None)
