"""Clients of talm's own processes, one JSON object a line: for what needs libraries the screen does
not load, or takes longer than a frame.

`ask` has one command answered, `EncodeSession` has texts cut into tokens, `PlaySession` has prompts
continued, `Export` follows an export.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from talm_core.jobs.export.config import ExportConfig
from talm_core.jobs.sample.config import SampleConfig
from talm_core.runtime.event_json import decode as event_of
from talm_core.runtime.events import Event, Record
from talm_core.settings.command_line import command_line
from talm_core.tokenizer.playground import Answer, Ask
from talm_core.tokenizer.playground import decode as answer_of
from talm_tui.services.child_process import ChildProcess, DetachedProcess, complaint, talm
from talm_tui.services.newest import Newest

_LOOK_SECONDS = 0.1
_BATCH_SECONDS = 0.04


# --- one command -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """What it printed; `problem` is its last complaint, empty when it did what it was asked."""

    text: str
    problem: str = ""


def ask(workspace: Path, *words: str, cancelled: Callable[[], bool] = lambda: False) -> Said | None:
    """Run `talm` with these words on a workspace; None when it was `cancelled` meanwhile."""
    command = talm(*words, "--workspace", str(workspace), module="talm_core.cli")
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        return Said("", f"talm cannot be started: {error}")
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            if cancelled():
                with contextlib.suppress(OSError):
                    process.terminate()
                return

    threading.Thread(target=watch, name="asking", daemon=True).start()
    out, errors = process.communicate()
    over.set()
    if cancelled():
        return None
    text = out.decode("utf-8", "replace")
    if process.returncode == 0:
        return Said(text)
    return Said(text, complaint(errors) or f"talm ended with code {process.returncode}")


# --- texts cut into tokens -------------------------------------------------------------------


class Encoded(Message):
    """What the child said to an ask; `problem` says why it is none."""

    def __init__(self, ask: Ask, answer: Answer | None, problem: str = "") -> None:
        super().__init__()
        self.ask = ask
        self.answer = answer
        self.problem = problem


class EncodeSession:
    """A child process that cuts into tokens what is typed: `python -m talm_core --tokenize`.

    `ask` returns at once; `tell` gets `Encoded` from the session's thread. One question is on its
    way at a time; meanwhile only the newest of those that come is kept. A text of a megabyte is
    written to the child by the session's own thread, so that a pipe that is full holds back no key.
    The child is started with the first question, and a new one after one has died.
    """

    def __init__(
        self,
        workspace: Path,
        tell: Callable[[Encoded], object],
        *,
        command: Sequence[str] | None = None,
    ) -> None:
        """`command` is what is run instead of talm's own."""
        self._command = command or talm("--tokenize", "--workspace", str(workspace))
        self._tell = tell
        self._asks = Newest("encode", self._answer, finish=self._end)
        self._child: ChildProcess | None = None
        self._sent: str | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._child.pid if self._child is not None else None

    def ask(self, ask: Ask) -> None:
        """Answer this next; a question that is still waiting is forgotten."""
        self._asks.ask(ask)

    def close(self) -> None:
        """End the child; returns at once."""
        self._asks.close()
        child = self._child
        if child is not None:
            child.terminate()

    # --- in the session's thread

    def _answer(self, ask: Ask) -> None:
        said = self._answered(ask)
        if not self._asks.closed:
            self._tell(said)

    def _answered(self, ask: Ask) -> Encoded:
        try:
            child = self._living()
        except OSError as error:
            return Encoded(ask, None, f"the encoder cannot be started: {error}")
        try:
            answer = self._exchange(child, ask)
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = self._end() or str(error)
            return Encoded(ask, None, f"the encoder's process died: {reason}")
        if answer.error:
            self._sent = None
            return Encoded(ask, None, answer.error)
        return Encoded(ask, answer)

    def _exchange(self, child: ChildProcess, ask: Ask) -> Answer:
        # It remembers the text: looking at another part of it sends none.
        short = ask.model_copy(update={"text": None}) if ask.text == self._sent else ask
        child.write(short.line().encode())
        self._sent = ask.text
        return answer_of(child.read_line())

    def _living(self) -> ChildProcess:
        if self._child is None or not self._child.alive:
            self._end()
            self._child = ChildProcess(self._command)
        return self._child

    def _end(self) -> str:
        child, self._child, self._sent = self._child, None, None
        return child.end() if child is not None else ""


# --- prompts continued -----------------------------------------------------------------------


class Heard(Message):
    """What the child said since the last time; `died` says why there will be no more."""

    def __init__(self, records: list[Record], died: str | None = None) -> None:
        super().__init__()
        self.records = records
        self.died = died


class PlaySession:
    """A child process that keeps a model loaded and answers prompts: `python -m talm_core --play`
    (`talm_core.jobs.sample.service`). It has nothing to save and ends with the terminal.

    Prompts go in by `ask`; `tell` gets `Heard` from a thread of the session's own. For the child a
    process is started with the first prompt, and a new one after one has died.
    """

    def __init__(
        self,
        workspace: Path,
        tell: Callable[[Heard], object],
        *,
        command: Sequence[str] | None = None,
    ) -> None:
        """`command` is what is run instead of talm's own."""
        self._command = command or talm("--play", "--workspace", str(workspace))
        self._tell = tell
        self._child: ChildProcess | None = None

    @property
    def alive(self) -> bool:
        """A child is there to answer."""
        return self._child is not None and self._child.alive

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._child.pid if self._child is not None else None

    def ask(self, lanes: Mapping[int, SampleConfig]) -> None:
        """Continue these prompts, all at once; what is being written is ended. What comes back
        carries the number each has here: give every text one of its own, above 0, and nothing
        that comes late can be taken for another's.

        Raises:
            OSError: no child can be started.
        """
        request = [
            {"lane": lane, "settings": config.model_dump(mode="json")}
            for lane, config in lanes.items()
        ]
        line = json.dumps(request).encode() + b"\n"
        child = self._child if self._child is not None and self._child.alive else self._start()
        try:
            child.write(line)
        except OSError:
            # It died between the look and the write.
            self._start().write(line)

    def stop(self) -> None:
        """End what is being written; the model stays loaded."""
        if self._child is not None and self._child.alive:
            with contextlib.suppress(OSError):
                self._child.write(b"\n")

    def close(self) -> None:
        """End the child, which may be in the middle of a long text."""
        child, self._child = self._child, None
        if child is not None:
            child.hang_up()
            child.terminate()

    def _start(self) -> ChildProcess:
        self.close()
        child = self._child = ChildProcess(self._command)
        threading.Thread(target=self._listen, args=(child,), name="play", daemon=True).start()
        return child

    def _listen(self, child: ChildProcess) -> None:
        rest = b""
        while chunk := child.read():
            *lines, rest = (rest + chunk).split(b"\n")
            records = [record for line in lines if (record := event_of(line)) is not None]
            if records and child is self._child:
                self._tell(Heard(records))
            # What comes meanwhile is read at once afterwards: a batch, not a message a token.
            time.sleep(_BATCH_SECONDS)
        code, said = child.wait()
        if child is self._child:
            self._child = None
            self._tell(Heard([], died=said or f"it ended with code {code}"))


# --- an export -------------------------------------------------------------------------------


class ExportProcess:
    """`talm export` as a process that goes on when the terminal is closed: what it makes appears
    complete in the workspace, or not at all. Started and followed in one thread, stopped from
    any."""

    def __init__(
        self, config: ExportConfig, workspace: Path, *, command: Sequence[str] | None = None
    ) -> None:
        """`command` is what is run instead of talm's own."""
        words = command_line(config, workspace=str(workspace))
        self._command = command or talm(*words[1:], "--json", module="talm_core.cli")
        self._process: DetachedProcess | None = None
        self._asked = threading.Event()
        self._problem = ""

    def start(self) -> None:
        """Start the process.

        Raises:
            OSError: it cannot be started.
        """
        self._process = DetachedProcess(self._command)
        if self._asked.is_set():
            self.stop()

    def events(self, cancelled: Callable[[], bool]) -> Iterator[Event]:
        """What it says, until it has ended; the process goes on when `cancelled` is true."""
        assert self._process is not None
        pause = threading.Event()
        with contextlib.closing(self._process) as process:
            rest = b""
            over = False
            while not over and not cancelled():
                # Asked first: what it wrote before its end is still read.
                over = not process.alive
                *lines, rest = (rest + process.read()).split(b"\n")
                for line in lines:
                    record = event_of(line)
                    if record is not None:
                        yield record.event
                if not over:
                    pause.wait(_LOOK_SECONDS)
            if over and process.failed and not self._asked.is_set():
                self._problem = process.last_words()

    @property
    def problem(self) -> str:
        """Why it has failed; empty for one that has not, or was stopped."""
        return self._problem

    def stop(self) -> None:
        """Ask it to end without having written anything."""
        self._asked.set()
        if self._process is not None:
            self._process.interrupt()
