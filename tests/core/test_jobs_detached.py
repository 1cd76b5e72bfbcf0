"""Jobs as processes of their own: started, followed, commanded, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from talm_core.errors import BusyError
from talm_core.runtime import control, journal, lock, runner
from talm_core.runtime.events import (
    Checkpointed,
    Event,
    Finished,
    Metrics,
    Pause,
    Paused,
    Started,
    Stop,
    Stopped,
)
from talm_core.runtime.lock import Lock
from talm_core.runtime.runner import Status
from talm_core.settings.toml import dumps
from talm_core.storage.workspace import Workspace
from tests.core.counting import CountConfig, PlainConfig, registered
from tests.core.driving import stepped_run


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with registered():
        workspace = Workspace(tmp_path / "ws")
        yield workspace
        # A test that failed leaves no process behind.
        for artifact, status in runner.find(workspace):
            if status.active:
                os.kill(pid_of(artifact.directory), signal.SIGKILL)


def steps(events: list[Event]) -> list[int]:
    return [event.step for event in events if isinstance(event, Metrics)]


def until(directory: Path, kind: type[Event], count: int = 1) -> list[Event]:
    """Events of a running job up to the one asked for."""
    seen: list[Event] = []
    for record in runner.follow(directory):
        seen.append(record.event)
        if sum(isinstance(event, kind) for event in seen) == count:
            return seen
    log = (directory / runner.LOG_FILE).read_text()
    raise AssertionError(f"it ended before: {seen[-3:]}\n{log}")


def pid_of(directory: Path) -> int:
    owner = lock.owner(directory)
    assert owner is not None
    return owner.pid


def test_every_event_is_followed_once_while_it_is_written(workspace: Workspace) -> None:
    directory = runner.start(CountConfig(name="a", steps=3_000), workspace)
    # From the first moment, before the process has imported anything.
    assert runner.status(directory) is Status.RUNNING
    seen = [record.event for record in runner.follow(directory)]
    assert isinstance(seen[0], Started)
    assert seen[0].pid not in (0, os.getpid())
    assert steps(seen) == list(range(1, 3_001))
    assert isinstance(seen[-1], Finished)
    assert runner.status(directory) is Status.DONE
    assert (directory / runner.LOG_FILE).read_bytes() == b""


def test_another_process_has_it(workspace: Workspace) -> None:
    config = CountConfig(name="a", steps=100_000, pause=0.01)
    directory = runner.start(config, workspace)
    with pytest.raises(BusyError, match="is in use by process"):
        runner.start(config, workspace)
    with pytest.raises(BusyError):
        next(stepped_run(config, workspace, resume=True))
    runner.send(directory, Stop())
    assert isinstance(until(directory, Stopped)[-1], Stopped)


def test_what_is_said_right_after_the_start_is_heard(workspace: Workspace) -> None:
    directory = runner.start(CountConfig(name="a", steps=100_000, pause=0.01), workspace)
    runner.send(directory, Stop())
    seen = [record.event for record in runner.follow(directory)]
    assert [type(event) for event in seen[-2:]] == [Checkpointed, Stopped]


def test_a_killed_job_is_interrupted_and_can_be_resumed(workspace: Workspace) -> None:
    config = CountConfig(name="a", steps=60, pause=0.01)
    directory = runner.start(config, workspace)
    until(directory, Metrics, 3)
    os.kill(pid_of(directory), signal.SIGKILL)
    list(runner.follow(directory))
    assert runner.status(directory) is Status.INTERRUPTED
    with Lock.acquire(directory):
        pass
    again = runner.start(runner.resumed_config(directory, {"pause": 0.0}), workspace, resume=True)
    assert again == directory
    events = [record.event for record in runner.follow(directory)]
    last = max(i for i, event in enumerate(events) if isinstance(event, Started))
    assert steps(events[last:]) == list(range(1, 61))
    assert runner.status(directory) is Status.DONE


ENDING = [
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU, signal.SIGALRM),
]


@pytest.mark.parametrize("number", ENDING)
def test_signals_stop_and_save(workspace: Workspace, number: signal.Signals) -> None:
    directory = runner.start(CountConfig(name="a", steps=100_000, pause=0.01), workspace)
    until(directory, Metrics)
    os.kill(pid_of(directory), number)
    seen = [record.event for record in runner.follow(directory)]
    assert isinstance(seen[-2], Checkpointed)
    assert seen[-1] == Stopped(reason=number.name)


def test_a_limit_of_processor_time_that_warns_every_second_stops_once(workspace: Workspace) -> None:
    directory = runner.start(CountConfig(name="a", steps=100_000, pause=0.3), workspace)
    until(directory, Metrics)
    for _ in range(3):
        os.kill(pid_of(directory), signal.SIGXCPU)
    seen = [record.event for record in runner.follow(directory)]
    assert seen[-1] == Stopped(reason="SIGXCPU")


def test_a_signal_ends_a_pause(workspace: Workspace) -> None:
    directory = runner.start(PlainConfig(name="a", steps=100_000, pause=0.01), workspace)
    until(directory, Started)
    runner.send(directory, Pause())
    until(directory, Paused)
    assert runner.status(directory) is Status.PAUSED
    os.kill(pid_of(directory), signal.SIGTERM)
    seen = [record.event for record in runner.follow(directory)]
    assert seen[-1] == Stopped(reason="SIGTERM")


def by_hand(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "talm_core", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_by_hand_a_directory_is_gone_on_with(workspace: Workspace) -> None:
    config = CountConfig(name="a", steps=9)
    events = stepped_run(config, workspace)
    assert [next(events) for _ in range(4)]
    events.close()
    directory = workspace.directory_of(config)
    # Something said to the process before.
    control.leave(directory, Stop())
    root = ("--workspace", str(workspace.root))
    done = by_hand(str(directory), *root)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    events_read = [record.event for record in runner.follow(directory)]
    assert steps(events_read) == list(range(1, 10))
    again = by_hand(str(directory), *root)
    assert again.returncode == 2
    assert "is finished" in again.stderr
    elsewhere = by_hand(str(workspace.root), *root)
    assert elsewhere.returncode == 2
    assert "config.toml: cannot be read" in elsewhere.stderr


def test_by_hand_the_exit_code_says_how_it_ended(workspace: Workspace) -> None:
    root = ("--workspace", str(workspace.root))
    for wrong, code in (("bug", 1), ("run", 1), ("input", 2)):
        config = CountConfig(name=wrong, steps=9, wrong=wrong)
        directory = workspace.directory_of(config)
        directory.mkdir(parents=True)
        (directory / runner.CONFIG_FILE).write_text(dumps(config))
        assert runner.status(directory) is Status.INTERRUPTED
        ended = by_hand(str(directory), *root)
        assert ended.returncode == code
        assert "Traceback" not in ended.stderr
        assert runner.status(directory) is Status.FAILED
    assert "ZeroDivisionError: oh no" in (workspace.root / "counts/bug/log.txt").read_text()


@pytest.mark.parametrize(("variables", "code"), [({}, 130), ({"WORLD_SIZE": "1"}, 0)])
def test_a_launcher_does_not_take_a_stop_for_a_failure(
    workspace: Workspace, variables: dict[str, str], code: int
) -> None:
    config = CountConfig(name="a", steps=100_000, pause=0.01)
    directory = workspace.directory_of(config)
    directory.mkdir(parents=True)
    (directory / runner.CONFIG_FILE).write_text(dumps(config))
    words = [sys.executable, "-m", "talm_core", str(directory), "--workspace", str(workspace.root)]
    with subprocess.Popen(words, env=os.environ | variables) as process:
        # Before it has the lock nobody could be told.
        while runner.status(directory) is not Status.RUNNING:
            assert process.poll() is None
        until(directory, Metrics)
        runner.send(directory, Stop())
        assert process.wait(300) == code
    assert runner.status(directory) is Status.STOPPED


def test_a_journal_torn_by_a_kill_is_closed_off(workspace: Workspace) -> None:
    config = CountConfig(name="a", steps=5)
    events = stepped_run(config, workspace)
    assert [next(events) for _ in range(3)]
    events.close()
    directory = workspace.directory_of(config)
    with (directory / journal.FILE_NAME).open("ab") as file:
        file.write(b'{"event": "Metrics", "step": 99')
    assert runner.status(directory) is Status.STOPPED
    runner.start(config, workspace, resume=True)
    seen = [record.event for record in runner.follow(directory)]
    assert steps(seen) == [1, 2, 3, 4, 5]
