"""`talm-tui` on a real pseudo-terminal: what a driver in memory cannot show."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime import lock, runner
from talm_core.runtime.events import Pause, Paused, Stop
from talm_core.runtime.journal import last_record
from talm_core.runtime.lock import Lock
from talm_core.storage.workspace import Workspace
from tests.tui.pseudo import PseudoTerminal, talm_tui

pytestmark = pytest.mark.pty


def eventually(question: object, *, seconds: float = 30) -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + seconds
    assert callable(question)
    while not question():
        assert time.monotonic() < deadline, "never came to be"
        time.sleep(0.02)


def corpus(path: Path) -> Path:
    """A little text."""
    words = "the quick brown fox jumps over the lazy dog and runs away from it"
    path.write_text("".join(f"{n} {words[n % 40 :]}\n" for n in range(4000)))
    return path


def test_first_frame_and_quit(empty_workspace: Workspace) -> None:
    with talm_tui(empty_workspace.root) as terminal:
        text = terminal.wait("Press s:")
        lines = text.splitlines()
        assert len(lines) == 24
        assert "talm  1 Home" in lines[0]
        assert "GiB" in lines[0]
        assert "^q quit" in lines[-1]
        assert "╭─ Tokenizer" in lines[1]
        # Another program has written over it.
        terminal.screen.reset()
        terminal.press("\x0c")
        terminal.wait(lambda text: "Press s:" in text and "^q quit" in text)
        terminal.press("ctrl+q")
        assert terminal.wait_end() == 0
        assert not empty_workspace.root.exists()


def test_a_hang_up_leaves_the_job_alive(empty_workspace: Workspace) -> None:
    """From the key to a second terminal: start, hang up, look again, stop."""
    workspace = empty_workspace
    directory = workspace.directory("quickstart", "quickstart")
    try:
        with talm_tui(workspace.root) as terminal:
            terminal.wait("Press s:")
            terminal.press("s")
            terminal.wait("Quick start: quickstart")
            # Paused, so that it is still there whatever the speed of the machine.
            runner.send(directory, Pause())
            terminal.wait("‖ quickstart")
            terminal.hang_up()
            assert terminal.process.wait(10) == -signal.SIGHUP
        assert lock.held(directory)
        owner = lock.owner(directory)
        assert owner is not None
        assert os.getsid(owner.pid) != os.getsid(0), "a session of its own"
        with talm_tui(workspace.root) as terminal:
            terminal.wait("Quick start: quickstart")
            terminal.wait("‖ quickstart")
            terminal.press("K")
            terminal.wait("Stop quickstart?")
            terminal.press("y")
            terminal.wait("r  go on")
            terminal.press("ctrl+q")
            assert terminal.wait_end() == 0
        assert not lock.held(directory)
    finally:
        if lock.held(directory):
            runner.send(directory, Stop())
            eventually(lambda: not lock.held(directory))


def test_quit_leaves_the_job_alive_and_the_next_start_shows_it(
    empty_workspace: Workspace, tmp_path: Path
) -> None:
    workspace = empty_workspace
    config = TokenizerConfig(
        name="little", vocab_size=400, text_file=(str(corpus(tmp_path / "text.txt")),)
    )
    directory = workspace.directory_of(config)
    with talm_tui(workspace.root) as terminal:
        terminal.wait("Press s:")
        # Somebody in another terminal starts a job.
        runner.start(config, workspace)
        try:
            runner.send(directory, Pause())
            eventually(lambda: isinstance(getattr(last_record(directory), "event", None), Paused))
            terminal.wait("‖ little")
            terminal.press("ctrl+q")
            assert terminal.wait_end() == 0
            assert lock.held(directory)
            with talm_tui(workspace.root) as again:
                again.wait("‖ little")
                again.press("ctrl+q")
                assert again.wait_end() == 0
        finally:
            if lock.held(directory):
                runner.send(directory, Stop())
            eventually(lambda: not lock.held(directory))


def test_resize_to_next_to_nothing_and_back(workspace: Workspace) -> None:
    # What a shell has exported of its size says nothing about the terminal later on.
    with talm_tui(workspace.root, env={"COLUMNS": "80", "LINES": "24"}) as terminal:
        terminal.wait("Recent runs")
        for key in "123456":
            terminal.press(key)
            terminal.resize(20, 5)
            terminal.wait(lambda text: "talm" in text and len(text.splitlines()[0]) == 20)
            terminal.resize(1, 1)
            terminal.resize(80, 24)
            terminal.wait("5 Runs")
        terminal.press("ctrl+q")
        assert terminal.wait_end() == 0


NOISY = """
import os, sys, threading
from pathlib import Path
from talm_tui.__main__ import main

def noise():
    for number in (1, 2):
        os.write(number, b"\\x1b[2J\\x1b[HNOISE from a driver\\n" * 40)
    os.system("echo NOISE from a child; echo NOISE again >&2")

from talm_tui.app import TalmApp
TalmApp.on_workspace_changed_before = None
before = TalmApp.on_workspace_changed
def changed(self, message):
    before(self, message)
    noise()
TalmApp.on_workspace_changed = changed
sys.exit(main(["--workspace", sys.argv[1]]))
"""


def test_noise_on_the_descriptors_stays_off_the_screen(workspace: Workspace) -> None:
    command = [sys.executable, "-P", "-c", NOISY, str(workspace.root)]
    with PseudoTerminal(command) as terminal:
        terminal.wait("Recent runs")
        terminal.press("down")
        terminal.wait("resume")
        assert "NOISE" not in terminal.text
        terminal.press("ctrl+q")
        assert terminal.wait_end() == 0
        assert "NOISE" not in terminal.text
    log = Path(os.environ["TALM_CONFIG_DIR"]) / "tui.log"
    assert log.read_text().count("NOISE from a driver") >= 80
    assert "NOISE from a child" in log.read_text()


LATE = """
import sys
from textual import events
from textual.geometry import Size
from talm_tui.__main__ import main
from talm_tui.app import TalmApp

before = TalmApp.on_workspace_changed
def changed(self, message):
    before(self, message)
    TalmApp.on_workspace_changed = before
    self.post_message(events.Resize(Size(20, 5), Size(20, 5)))
    self.call_later(self.notify, "an old size came")
TalmApp.on_workspace_changed = changed
sys.exit(main(["--workspace", sys.argv[1]]))
"""


def test_an_old_size_that_comes_last_is_not_believed(workspace: Workspace) -> None:
    with PseudoTerminal([sys.executable, "-P", "-c", LATE, str(workspace.root)]) as terminal:
        terminal.wait("an old size came")
        terminal.screen.reset()
        terminal.press("6")
        terminal.wait("5 Runs  6 Play")
        terminal.press("ctrl+q")
        assert terminal.wait_end() == 0


def test_without_a_terminal_it_says_so(tmp_path: Path) -> None:
    import subprocess

    done = subprocess.run(
        [sys.executable, "-P", "-m", "talm_tui"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr


def test_two_screens_on_one_workspace(workspace: Workspace) -> None:
    directory = workspace.directory("pretrain", "try-3")
    with talm_tui(workspace.root) as one, talm_tui(workspace.root) as other:
        one.wait("◐ try-3")
        other.wait("◐ try-3")
        with Lock.acquire(directory):
            one.wait("▶ try-3")
            other.wait("▶ try-3")
        one.wait("◐ try-3")
        other.wait("◐ try-3")
        for terminal in (one, other):
            terminal.press("ctrl+q")
        assert [terminal.wait_end() for terminal in (one, other)] == [0, 0]
