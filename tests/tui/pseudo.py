"""A terminal for `talm-tui` to run in: a pseudo-terminal read by an emulator."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte

KEYS = {
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "ctrl+q": "\x11",
    "ctrl+p": "\x10",
    "ctrl+r": "\x12",
    "f1": "\x1bOP",
    "f3": "\x1bOR",
    "f4": "\x1bOS",
}


class PseudoTerminal:
    """A program on a terminal of its own. Waiting is for what appears, never for time."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 80,
        rows: int = 24,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.bytes = 0
        self.began = time.monotonic()
        self._main, side = pty.openpty()
        self._set_size(columns, rows)
        self.process = subprocess.Popen(
            command,
            stdin=side,
            stdout=side,
            stderr=side,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})},
            cwd=cwd,
        )
        os.close(side)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.hang_up()

    @property
    def text(self) -> str:
        """What is on the screen, a line a row."""
        return "\n".join(self.screen.display)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns: int, rows: int) -> None:
        """Make the window another size. What was there is forgotten: all
        that is seen afterwards was drawn for it."""
        self.screen.resize(rows, columns)
        self.screen.reset()
        self._set_size(columns, rows)

    def press(self, *keys: str) -> None:
        """Type keys: names of `KEYS` or characters."""
        for key in keys:
            os.write(self._main, KEYS.get(key, key).encode())

    def find(self, text: str) -> tuple[int, int]:
        """Column and row of a text on the screen, the first from the top; both from 0."""
        for row, line in enumerate(self.screen.display):
            if text in line:
                return line.index(text), row
        raise AssertionError(f"{text!r} is nowhere; the screen is\n{self.text}")

    def click(self, text: str, *, within: str = "") -> None:
        """Click into the middle of a text, as a mouse in SGR mode does, where it stands behind
        `within` in its line."""
        column, row = self.find(within or text)
        column = self.screen.display[row].index(text, column) + len(text) // 2
        place = f"{column + 1};{row + 1}"
        os.write(self._main, f"\x1b[<0;{place}M\x1b[<0;{place}m".encode())

    def read(self, seconds: float) -> bool:
        """Take in what the program writes within `seconds`; False when it has closed."""
        return self.read_timed(seconds) > 0

    def read_timed(self, seconds: float) -> float:
        """The same; the moment at which it arrived, 0 when the program has closed."""
        if self._main < 0:
            return 0.0
        ready, _, _ = select.select([self._main], [], [], seconds)
        arrived = time.monotonic()
        if not ready:
            return arrived
        try:
            data = os.read(self._main, 65536)
        except OSError:
            return 0.0
        if not data:
            return 0.0
        self.bytes += len(data)
        self._stream.feed(data)
        return arrived

    def wait(self, seen: Callable[[str], object] | str, *, timeout: float = 20.0) -> str:
        """Read until `seen` (a text, or a question about the screen) is true of the screen."""
        question = seen if callable(seen) else lambda text: seen in text
        deadline = time.monotonic() + timeout
        while not question(self.text):
            left = deadline - time.monotonic()
            if left <= 0 or not self.read(min(left, 0.2)):
                raise AssertionError(f"never appeared: {seen!r}; the screen is\n{self.text}")
        return self.text

    def wait_end(self, *, timeout: float = 10.0) -> int:
        """Read until the program has ended; its exit code."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"did not end; the screen is\n{self.text}")
            self.read(0.05)
        while self._main >= 0 and select.select([self._main], [], [], 0)[0] and self.read(0):
            pass
        return self.process.returncode

    def hang_up(self) -> None:
        """Close the terminal, as a window or a lost connection does."""
        if self._main >= 0:
            os.close(self._main)
            self._main = -1


TITLES = ("Home", "Tokenizer", "Data", "Train", "Runs", "Play")


def arrived(terminal: PseudoTerminal, key: str) -> None:
    """Wait until the header marks the place with this digit."""
    title = f"{key} {TITLES[int(key) - 1]}"
    terminal.wait(title, timeout=60)
    column, row = terminal.find(title)
    terminal.wait(lambda _: terminal.screen.buffer[row][column].bold, timeout=60)


def leave(terminal: PseudoTerminal) -> None:
    """Quit by key."""
    terminal.press("ctrl+q")
    assert terminal.wait_end(timeout=30) == 0


def talm_tui(
    workspace: Path,
    *,
    columns: int = 80,
    rows: int = 24,
    env: Mapping[str, str] | None = None,
) -> PseudoTerminal:
    """`talm-tui` on a terminal."""
    return PseudoTerminal(
        [sys.executable, "-P", "-m", "talm_tui", "--workspace", str(workspace)],
        columns=columns,
        rows=rows,
        env=env,
    )
