"""A child process that cuts into tokens what is typed: `python -m talm_core --tokenize`.

One question is on its way at a time; meanwhile only the newest of those that come is kept. A text
of a megabyte is written to the child by the session's own thread, so that a pipe that is full
holds back no key.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from textual.message import Message

from talm_core.tokenizer.playground import Answer, Ask, decode

_TAIL_BYTES = 8192


class Encoded(Message):
    """What the child said to an ask; `problem` says why it is none."""

    def __init__(self, ask: Ask, answer: Answer | None, problem: str = "") -> None:
        super().__init__()
        self.ask = ask
        self.answer = answer
        self.problem = problem


class EncodeSession:
    """`ask` returns at once; `tell` gets `Encoded` from the session's thread. The child is started
    with the first question, and a new one after one has died."""

    def __init__(
        self,
        workspace: Path,
        tell: Callable[[Encoded], object],
        *,
        command: Sequence[str] | None = None,
    ) -> None:
        """`command` is what is run instead of talm's own."""
        self._command = command or (
            *(sys.executable, "-P", "-m", "talm_core"),
            *("--tokenize", "--workspace", str(workspace)),
        )
        self._tell = tell
        self._changed = threading.Condition()
        self._wanted: Ask | None = None
        self._closed = False
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._sent: str | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._process.pid if self._process is not None else None

    def ask(self, ask: Ask) -> None:
        """Answer this next; a question that is still waiting is forgotten."""
        with self._changed:
            self._wanted = ask
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="encode", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """End the child; returns at once."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        process = self._process
        if process is not None:
            with contextlib.suppress(OSError):
                process.terminate()

    # --- in the session's thread -------------------------------------------------------------

    def _run(self) -> None:
        while (ask := self._next()) is not None:
            said = self._answered(ask)
            with self._changed:
                if self._closed:
                    break
            self._tell(said)
        self._end()

    def _next(self) -> Ask | None:
        with self._changed:
            self._changed.wait_for(lambda: self._wanted is not None or self._closed)
            ask, self._wanted = self._wanted, None
            return None if self._closed else ask

    def _answered(self, ask: Ask) -> Encoded:
        try:
            process = self._alive()
        except OSError as error:
            return Encoded(ask, None, f"the encoder cannot be started: {error}")
        try:
            answer = self._exchange(process, ask)
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = self._end() or str(error)
            return Encoded(ask, None, f"the encoder's process died: {reason}")
        if answer.error:
            self._sent = None
            return Encoded(ask, None, answer.error)
        return Encoded(ask, answer)

    def _exchange(self, process: subprocess.Popen[bytes], ask: Ask) -> Answer:
        assert process.stdin is not None
        assert process.stdout is not None
        # It remembers the text: looking at another part of it sends none.
        short = ask.model_copy(update={"text": None}) if ask.text == self._sent else ask
        process.stdin.write(short.line().encode())
        process.stdin.flush()
        self._sent = ask.text
        return decode(process.stdout.readline())

    def _alive(self) -> subprocess.Popen[bytes]:
        process = self._process
        if process is not None and process.poll() is None:
            return process
        self._end()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )
        return self._process

    def _end(self) -> str:
        """End the child; the last line it has printed."""
        process, errors = self._process, self._errors
        self._process = self._errors = self._sent = None
        if process is not None:
            for stream in (process.stdin, process.stdout):
                # What could not be written to a child that is gone is of no interest.
                with contextlib.suppress(OSError):
                    if stream is not None:
                        stream.close()
            with contextlib.suppress(OSError):
                process.terminate()
            process.wait()
        if errors is None:
            return ""
        with errors:
            return _last_line(errors)


def _last_line(errors: IO[bytes]) -> str:
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - _TAIL_BYTES))
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
