"""The machinery of jobs in one process: drive, journal, command, refuse, resume."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from talm_core.errors import ArtifactError, BusyError, InputError, RunError, WorkspaceError
from talm_core.runtime import control, journal, lock, runner
from talm_core.runtime.events import (
    Checkpoint,
    Checkpointed,
    Event,
    Failed,
    Finished,
    Metrics,
    Notice,
    Pause,
    Paused,
    Sample,
    Sampled,
    Started,
    Stop,
    Stopped,
    Unpause,
    Unpaused,
)
from talm_core.runtime.journal import JournalReader
from talm_core.runtime.lock import Lock
from talm_core.runtime.runner import Status
from talm_core.storage.workspace import Workspace
from talm_core.version import version
from tests.core.counting import STATE, CountConfig, PlainConfig, registered
from tests.core.driving import run_events, stepped_run


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with registered():
        yield Workspace(tmp_path / "ws")


def steps(events: list[Event]) -> list[int]:
    return [event.step for event in events if isinstance(event, Metrics)]


def said(directory: Path) -> list[Event]:
    return [record.event for record in JournalReader(directory).read_all()]


def test_a_run_is_journalled_event_by_event(workspace: Workspace) -> None:
    config = CountConfig(name="a", steps=5)
    directory = workspace.directory_of(config)
    seen: list[Event] = []
    for event in stepped_run(config, workspace):
        seen.append(event)
        # In the journal before anybody sees it.
        assert said(directory) == seen
        assert runner.status(directory) is (
            Status.DONE if isinstance(event, Finished) else Status.RUNNING
        )
    started = seen[0]
    assert started == Started(
        job="count",
        name="a",
        pid=os.getpid(),
        version=version(),
        settings=config.model_dump(mode="json"),
    )
    assert steps(seen) == [1, 2, 3, 4, 5]
    assert seen[-1] == Finished(seconds=0.0, summary={"step": 5})
    assert runner.read_config(directory) == config
    assert not lock.held(directory)
    assert runner.find(workspace) == [(workspace.artifacts("count")[0], Status.DONE)]


@pytest.mark.parametrize("resume", [False, True])
def test_what_is_finished_is_not_done_again(workspace: Workspace, resume: bool) -> None:
    config = CountConfig(name="a", steps=2)
    run_events(config, workspace)
    directory = workspace.directory_of(config)
    before = (directory / journal.FILE_NAME).read_bytes()
    with pytest.raises(WorkspaceError) as caught:
        run_events(config, workspace, resume=resume)
    (problem,) = caught.value.problems
    assert (problem.key, problem.value, problem.hint) == ("name", "a", "choose another name")
    assert (directory / journal.FILE_NAME).read_bytes() == before
    assert not lock.held(directory)


@pytest.mark.parametrize("model", [CountConfig, PlainConfig])
def test_closing_stops_and_saves(workspace: Workspace, model: type[CountConfig]) -> None:
    config = model(name="a", steps=9)
    events = stepped_run(config, workspace)
    for event in events:
        if isinstance(event, Metrics) and event.step == 4:
            events.close()
    directory = workspace.directory_of(config)
    assert said(directory)[-1] == Stopped(reason="closed")
    assert runner.status(directory) is Status.STOPPED
    with pytest.raises(WorkspaceError, match="go on with it by --resume, or choose another name"):
        next(stepped_run(config, workspace))
    rest = run_events(config, workspace, resume=True)
    assert rest[0] == Started(
        job=model.kind,
        name="a",
        pid=os.getpid(),
        version=version(),
        resumed_from=4,
        settings=config.model_dump(mode="json"),
    )
    assert steps(rest) == [5, 6, 7, 8, 9]
    assert runner.status(directory) is Status.DONE


def test_a_resumed_run_keeps_its_settings(workspace: Workspace) -> None:
    directory = _stopped_at_two(workspace)
    config = runner.resumed_config(directory, {"steps": 20, "pause": 0.5})
    with pytest.raises(InputError) as caught:
        next(stepped_run(config, workspace, resume=True))
    (problem,) = caught.value.problems
    assert (problem.key, problem.value) == ("steps", 20)
    assert problem.message == "the run was started with 9"
    changed = runner.resumed_config(directory, {"pause": 0.001})
    assert steps(run_events(changed, workspace, resume=True)) == [3, 4, 5, 6, 7, 8, 9]
    assert runner.read_config(directory) == CountConfig(name="a", steps=9, pause=0.001)


def _stopped_at_two(workspace: Workspace) -> Path:
    config = CountConfig(name="a", steps=9)
    events = stepped_run(config, workspace)
    assert [next(events) for _ in range(3)]
    events.close()
    return workspace.directory_of(config)


def test_there_must_be_something_to_resume(workspace: Workspace) -> None:
    with pytest.raises(ArtifactError, match="there is nothing to resume"):
        next(stepped_run(CountConfig(name="a"), workspace, resume=True))
    assert not workspace.root.exists()


def test_a_bug_is_told_in_a_line_and_logged_whole(workspace: Workspace) -> None:
    config = CountConfig(name="a", wrong="bug")
    seen: list[Event] = []
    with pytest.raises(RunError, match="ZeroDivisionError: oh no") as caught:
        seen.extend(stepped_run(config, workspace))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    directory = workspace.directory_of(config)
    assert said(directory)[-1] == Failed(message="ZeroDivisionError: oh no", kind="bug")
    assert runner.status(directory) is Status.FAILED
    log = (directory / runner.LOG_FILE).read_text()
    assert log.startswith("Traceback")
    assert log.endswith("ZeroDivisionError: oh no\n")


def test_a_run_that_cannot_go_on_keeps_what_it_has(workspace: Workspace) -> None:
    config = CountConfig(name="a", wrong="run")
    with pytest.raises(RunError, match="the loss is not finite"):
        run_events(config, workspace)
    directory = workspace.directory_of(config)
    assert said(directory)[-1] == Failed(message="the loss is not finite", kind="RunError")
    assert steps(said(directory)) == [1, 2]


def test_an_error_while_closing_is_said_and_raised(workspace: Workspace) -> None:
    config = CountConfig(name="a", wrong="closing")
    events = stepped_run(config, workspace)
    assert [next(events) for _ in range(3)]
    with pytest.raises(RunError, match="cannot be closed"):
        events.close()
    directory = workspace.directory_of(config)
    assert said(directory)[-1] == Failed(message="cannot be closed", kind="RunError")
    assert not lock.held(directory)


def test_bad_input_leaves_nothing_behind(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="is damaged"):
        run_events(CountConfig(name="a", wrong="input"), workspace)
    assert list(workspace.root.iterdir()) == []


def test_bad_input_does_not_remove_what_was_there(workspace: Workspace) -> None:
    directory = _stopped_at_two(workspace)
    config = runner.resumed_config(directory, {"wrong": "input"})
    with pytest.raises(InputError, match="is damaged"):
        run_events(config, workspace, resume=True)
    assert (directory / STATE).read_text() == "2"
    assert runner.status(directory) is Status.FAILED


@pytest.mark.parametrize("inside", ["file", "file/deeper"])
def test_a_workspace_that_cannot_be_written(tmp_path: Path, inside: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with registered():
        workspace = Workspace(tmp_path / inside)
        with pytest.raises(WorkspaceError, match=r"workspace = .*cannot be written"):
            next(stepped_run(CountConfig(name="a"), workspace))
        with pytest.raises(WorkspaceError, match="cannot be written"):
            runner.start(CountConfig(name="a"), workspace)


def test_a_folder_that_is_a_file(workspace: Workspace) -> None:
    workspace.root.mkdir()
    (workspace.root / "counts").write_text("in the way")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        next(stepped_run(CountConfig(name="a"), workspace))


def test_two_jobs_cannot_work_in_one_directory(workspace: Workspace) -> None:
    config = CountConfig(name="a", steps=9)
    events = stepped_run(config, workspace)
    next(events)
    with pytest.raises(BusyError) as caught:
        next(stepped_run(config, workspace, resume=True))
    (problem,) = caught.value.problems
    assert problem.key == "name"
    assert f"is in use by process {os.getpid()}" in problem.message
    assert problem.hint == "stop it with: talm stop a"
    events.close()
    assert steps(run_events(config, workspace, resume=True))[-1] == 9


# --- commands --------------------------------------------------------------------------------


def commanded(
    workspace: Workspace, config: CountConfig, script: dict[type[Event], list[object]]
) -> list[Event]:
    """Every event of a run to which a thread sends commands: after the first event of a type the
    first in its list, after the second the second."""
    directory = workspace.directory_of(config)
    seen: list[Event] = []

    def command() -> None:
        for record in runner.follow(directory):
            waiting = script.get(type(record.event))
            if waiting:
                order = waiting.pop(0)
                if order is not None:
                    runner.send(directory, order)  # type: ignore[arg-type]

    events = stepped_run(config, workspace)
    seen.append(next(events))
    thread = threading.Thread(target=command)
    thread.start()
    seen.extend(events)
    thread.join()
    assert said(directory) == seen
    return seen


def test_pause_and_go_on(workspace: Workspace) -> None:
    config = PlainConfig(name="a", steps=40, pause=0.01)
    seen = commanded(workspace, config, {Started: [Pause()], Paused: [Unpause()]})
    assert steps(seen) == list(range(1, 41))
    kinds = [type(event) for event in seen if not isinstance(event, Metrics)]
    assert kinds == [Started, Paused, Unpaused, Finished]


def test_a_paused_job_can_be_stopped(workspace: Workspace) -> None:
    config = CountConfig(name="a", steps=400, pause=0.01)
    seen = commanded(workspace, config, {Started: [Pause()], Paused: [Stop()]})
    kinds = [type(event) for event in seen if not isinstance(event, Metrics)]
    assert kinds == [Started, Paused, Checkpointed, Stopped]
    assert runner.status(workspace.directory_of(config)) is Status.STOPPED


def test_a_paused_job_that_takes_no_stop_is_closed(workspace: Workspace) -> None:
    config = PlainConfig(name="a", steps=400, pause=0.01)
    seen = commanded(workspace, config, {Started: [Pause()], Paused: [Stop()]})
    kinds = [type(event) for event in seen if not isinstance(event, Metrics)]
    assert kinds == [Started, Paused, Stopped]
    assert (workspace.directory_of(config) / STATE).read_text() == str(steps(seen)[-1])


def test_a_paused_job_obeys_and_waits_again(workspace: Workspace) -> None:
    config = CountConfig(name="a", steps=60, pause=0.005)
    orders: list[object] = [Checkpoint(), Sample(prompt="p"), Unpause()]
    seen = commanded(workspace, config, {Started: [Pause()], Paused: orders})
    first = next(i for i, event in enumerate(seen) if isinstance(event, Paused))
    at = steps(seen[:first])[-1]
    # The metrics before a checkpoint are said of the same step: nothing was trained meanwhile.
    assert [type(event) for event in seen[first : first + 6]] == [
        *(Paused, Metrics, Checkpointed, Paused, Sampled, Paused)
    ]
    assert steps(seen[first : first + 6]) == [at]
    assert isinstance(seen[first + 6], Unpaused)
    sampled = next(event for event in seen if isinstance(event, Sampled))
    assert (sampled.step, sampled.prompt, sampled.text) == (at, "p", str(at))
    assert isinstance(seen[-1], Finished)


def test_a_job_is_told_stop_and_says_what_it_saved(workspace: Workspace) -> None:
    config = CountConfig(name="a", steps=400, pause=0.01)
    seen = commanded(workspace, config, {Started: [Stop()]})
    assert [type(event) for event in seen[-2:]] == [Checkpointed, Stopped]
    assert seen[-1] == Stopped(reason="asked to stop")


def test_what_a_job_cannot_do_is_said(workspace: Workspace) -> None:
    config = PlainConfig(name="a", steps=60, pause=0.005)
    seen = commanded(
        workspace,
        config,
        {Started: [Sample()], Notice: [Pause()], Paused: [Checkpoint(), Unpause()]},
    )
    notices = [event.message for event in seen if isinstance(event, Notice)]
    assert notices == ["this job has no sample", "this job has no checkpoint"]
    kinds = [type(event) for event in seen if not isinstance(event, Metrics)]
    assert kinds == [Started, Notice, Paused, Notice, Paused, Unpaused, Finished]
    first, second = (place for place, event in enumerate(seen) if isinstance(event, Paused))
    # Nothing went on between the two.
    assert steps(seen[first:second]) == []


def test_commands_for_a_job_that_has_ended_are_forgotten(workspace: Workspace) -> None:
    directory = _stopped_at_two(workspace)
    with pytest.raises(ArtifactError, match="is not running"):
        runner.send(directory, Stop())
    control.leave(directory, Stop())
    config = runner.resumed_config(directory, {})
    assert isinstance(run_events(config, workspace, resume=True)[-1], Finished)


def test_nonsense_in_the_commands_is_passed_over(workspace: Workspace) -> None:
    config = CountConfig(name="a", steps=30, pause=0.01)
    events = stepped_run(config, workspace)
    seen = [next(events)]
    folder = workspace.directory_of(config) / control.FOLDER
    folder.mkdir()
    (folder / "1.json").write_bytes(b"\xff\x00")
    (folder / "2.json").write_text('{"command": "Explode"}')
    (folder / "3.json").mkdir()
    control.leave(workspace.directory_of(config), Stop())
    seen.extend(events)
    assert isinstance(seen[-1], Stopped)


# --- status ----------------------------------------------------------------------------------


def test_status_is_read_off_lock_and_last_event(tmp_path: Path) -> None:
    assert runner.status(tmp_path) is Status.DONE  # copied here by hand
    with Lock.acquire(tmp_path), journal.JournalWriter(tmp_path) as writer:
        assert runner.status(tmp_path) is Status.RUNNING
        writer.write(Paused())
        assert runner.status(tmp_path) is Status.PAUSED
        writer.write(Unpaused())
        assert runner.status(tmp_path) is Status.RUNNING
    assert runner.status(tmp_path) is Status.INTERRUPTED
    for event, expected in (
        (Stopped(reason=""), Status.STOPPED),
        (Failed(message=""), Status.FAILED),
        (Finished(seconds=0, summary={}), Status.DONE),
    ):
        with journal.JournalWriter(tmp_path) as writer:
            writer.write(event)
        assert runner.status(tmp_path) is expected
    assert [state.glyph for state in Status] == ["▶", "‖", "●", "◐", "✕", "◐", "!"]
    assert [state for state in Status if state.active] == [Status.RUNNING, Status.PAUSED]


def test_following_without_waiting(workspace: Workspace) -> None:
    directory = _stopped_at_two(workspace)
    with Lock.acquire(directory):
        records = list(runner.follow(directory, live=False))
        assert list(runner.follow(directory, cancelled=lambda: True)) == []
    assert [record.event for record in records] == said(directory)
    assert runner.ended(records[-1])
    assert not runner.ended(records[0])
