"""A child process that encodes what is typed: `python -m talm_core --encode`.

One question is on its way at a time; meanwhile only the newest of those that come is kept. A text
of a megabyte is written to the child by the session's own thread, so that a pipe that is full
holds back no key.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from textual.message import Message

_TAIL_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Query:
    """What is to be encoded, and the place whose surroundings are wanted: before the character
    `caret`, or the token `at`; `first` is the token the answer is to begin with."""

    tokenizer: str
    text: str
    count: int
    caret: int | None = None
    at: int | None = None
    first: int | None = None


@dataclass(frozen=True, slots=True)
class Encoding:
    """Tokens around a place: `pieces` are the ids and readable texts from token number `first` on,
    of `tokens` in all, which stand for `size` bytes. `current_bytes` are those of token `current`,
    the first of them if it is very long; it has `current_size`."""

    tokens: int
    size: int
    characters: int
    vocab_size: int
    first: int
    current: int
    pieces: tuple[tuple[int, str], ...]
    current_bytes: bytes
    current_size: int


class Encoded(Message):
    """An answer, or why there is none."""

    def __init__(self, query: Query, encoding: Encoding | None, problem: str = "") -> None:
        super().__init__()
        self.query = query
        self.encoding = encoding
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
            *("--encode", "--workspace", str(workspace)),
        )
        self._tell = tell
        self._changed = threading.Condition()
        self._wanted: Query | None = None
        self._closed = False
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._sent: str | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._process.pid if self._process is not None else None

    def ask(self, query: Query) -> None:
        """Encode this next; a question that is still waiting is forgotten."""
        with self._changed:
            self._wanted = query
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
        while (query := self._next()) is not None:
            answer = self._answered(query)
            with self._changed:
                if self._closed:
                    break
            self._tell(answer)
        self._end()

    def _next(self) -> Query | None:
        with self._changed:
            self._changed.wait_for(lambda: self._wanted is not None or self._closed)
            query, self._wanted = self._wanted, None
            return None if self._closed else query

    def _answered(self, query: Query) -> Encoded:
        try:
            process = self._alive()
        except OSError as error:
            return Encoded(query, None, f"the encoder cannot be started: {error}")
        try:
            values = self._exchange(process, query)
        except (OSError, ValueError) as error:
            reason = self._end() or str(error)
            return Encoded(query, None, f"the encoder's process died: {reason}")
        if "problem" in values:
            return Encoded(query, None, str(values["problem"]))
        return Encoded(query, _encoding(values))

    def _exchange(self, process: subprocess.Popen[bytes], query: Query) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        values: dict[str, Any] = {"tokenizer": query.tokenizer, "count": query.count}
        if query.text != self._sent:
            values["text"] = query.text
        if query.at is not None:
            values["at"] = query.at
        elif query.caret is not None:
            values["caret"] = query.caret
        if query.first is not None:
            values["first"] = query.first
        process.stdin.write(json.dumps(values).encode() + b"\n")
        process.stdin.flush()
        self._sent = query.text
        found = json.loads(process.stdout.readline())
        if not isinstance(found, dict):
            raise ValueError("its answer is none")
        return found

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


def _encoding(values: dict[str, Any]) -> Encoding:
    return Encoding(
        tokens=values["tokens"],
        size=values["bytes"],
        characters=values["characters"],
        vocab_size=values["vocab_size"],
        first=values["first"],
        current=values["current"],
        pieces=tuple((number, text) for number, text in values["pieces"]),
        current_bytes=bytes.fromhex(values["current_bytes"]),
        current_size=values["current_size"],
    )
