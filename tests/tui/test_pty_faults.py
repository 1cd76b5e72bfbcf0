"""`talm-tui` on a real pseudo-terminal while the world around it misbehaves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime.events import Failed, Sampled, Started
from talm_core.runtime.lock import Lock
from talm_core.storage.workspace import Workspace
from tests.tui import canned
from tests.tui.pseudo import PseudoTerminal, arrived, leave, talm_tui

pytestmark = [pytest.mark.pty, pytest.mark.slow]

EVIL = "[red]a[/] [@click=app.quit]b[/] \x1b]0;OWNED\x07\x1b[2J\x1b[31m[/nothing] \u202ex"
SHOWN = "[red]a[/] [@click=app.quit]b[/] [/nothing] x"


def visit(terminal: PseudoTerminal, keys: str = "123456") -> None:
    """Go to each place, from whatever has the focus; the header shows that it answers."""
    for key in keys:
        terminal.press("\x0f")
        terminal.wait("esc leaves", timeout=60)
        terminal.press(key)
        terminal.wait(lambda text: "esc leaves" not in text, timeout=60)
        arrived(terminal, key)


def test_a_workspace_deleted_and_made_again_under_it(workspace: Workspace) -> None:
    with talm_tui(workspace.root) as terminal:
        terminal.wait("Recent runs")
        visit(terminal)
        shutil.rmtree(workspace.root)
        visit(terminal, "165432")
        visit(terminal, "1")
        terminal.wait("Press s:")
        canned.fill(workspace)
        terminal.wait("try-3")
        visit(terminal, "51")
        leave(terminal)


def test_a_workspace_that_becomes_a_file(workspace: Workspace) -> None:
    with talm_tui(workspace.root) as terminal:
        terminal.wait("Recent runs")
        shutil.rmtree(workspace.root)
        workspace.root.write_text("not a directory")
        terminal.wait("Press s:")
        terminal.press("s")
        terminal.wait("cannot be written")
        visit(terminal)
        leave(terminal)


def evil_run(workspace: Workspace) -> Path:
    """A run whose every text tries to act on the screen."""
    config = PretrainConfig(model_name="evil", data_dir="stdlib/all", max_steps=100)
    events = [
        *canned.run_events(60, 100, name="evil"),
        Sampled(step=60, prompt=EVIL, text=f"\n{EVIL}\n", tokens=9, tokens_per_second=1.0),
        Failed(message=EVIL, kind=EVIL),
    ]
    directory = canned.artifact(workspace, config, events, end=canned.NOW + 9)
    (directory / "log.txt").write_text(f"first {EVIL}\nsecond {EVIL}\n")
    return directory


def test_text_that_tries_to_act_on_the_terminal(empty_workspace: Workspace) -> None:
    workspace = empty_workspace
    evil_run(workspace)
    # A directory somebody made by hand.
    named = workspace.folder("pretrain") / "[red]n[-]\x1b]0;OWNED\x07"
    named.mkdir()
    (named / "events.jsonl").write_text("")
    with talm_tui(workspace.root, columns=120, rows=40) as terminal:
        terminal.wait("[red]a[/] [@click=app.quit]b[/]")
        terminal.wait("[red]n[-]")
        terminal.press("l")
        terminal.wait(f"second {SHOWN}")
        terminal.press("escape")
        terminal.press("5")
        terminal.wait("evil")
        for _ in range(6):
            terminal.press("v")
            terminal.read(0.1)
        terminal.press("l")
        terminal.wait(f"second {SHOWN}")
        terminal.press("escape")
        visit(terminal, "1656")
        assert terminal.screen.title != "OWNED"
        leave(terminal)
        assert terminal.screen.title != "OWNED"


TORN = [
    '{"event": "Metrics", "time": 1, "step": "x", "loss": []}',
    '{"event": "Nonsense", "time": 1}',
    '{"event": "Metrics", "time": 1e400, "step": 70',
    "\x00\x01\x02 not json \ud83d",
    "[]",
    "null",
    '{"event": 5}',
    '{"event": "Sampled", "time": NaN, "step": -1, "prompt": null}',
]


def test_a_journal_with_torn_lines_while_it_grows(workspace: Workspace) -> None:
    directory = workspace.directory("pretrain", "try-3")
    journal = directory / "events.jsonl"
    with Lock.acquire(directory), talm_tui(workspace.root) as terminal:
        terminal.wait("▶ try-3")
        terminal.press("5")
        terminal.wait("300/2,000")
        with journal.open("ab", buffering=0) as file:
            for number, line in enumerate(TORN):
                half = len(line) // 2
                raw = line.encode("utf-8", "surrogatepass")
                file.write(raw[:half])
                terminal.read(0.05)
                file.write(raw[half:] + b"\n")
                step = 310 + 10 * number
                metrics = {"event": "Metrics", "time": canned.NOW + number}
                good = canned.metrics(step, 2000)
                values = {name: getattr(good, name) for name in good.__dataclass_fields__}
                file.write(json.dumps(metrics | values).encode() + b"\n")
                terminal.wait(f"{step}/2,000")
        visit(terminal, "15")
        leave(terminal)


def test_five_hundred_runs(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "many")
    for number in range(500):
        config = PretrainConfig(model_name=f"run-{number:03d}", data_dir="stdlib/all")
        events = canned.run_events(300, 900)
        canned.artifact(workspace, config, events, end=canned.NOW + number)
    with talm_tui(workspace.root, columns=120, rows=40) as terminal:
        terminal.wait("run-499")
        visit(terminal)
        visit(terminal, "5")
        terminal.wait("run-499")
        leave(terminal)


def test_a_run_that_vanishes_while_it_is_shown(workspace: Workspace) -> None:
    with talm_tui(workspace.root) as terminal:
        terminal.wait("Recent runs")
        terminal.press("5")
        terminal.wait("talm-1")
        for name in ("talm-1", "try-3", "try-2"):
            shutil.rmtree(workspace.directory("pretrain", name))
        terminal.wait(lambda text: "talm-1" not in text)
        visit(terminal, "15")
        leave(terminal)


def test_started_events_of_another_version(workspace: Workspace) -> None:
    """A journal begun by a newer talm, with events and fields this one does not know."""
    config = PretrainConfig(model_name="newer", data_dir="stdlib/all")
    directory = canned.artifact(workspace, config, [Started(job="pretrain", name="newer")])
    with (directory / "events.jsonl").open("a") as file:
        file.write('{"event": "Dreamt", "time": 1, "of": "sheep"}\n')
        file.write('{"event": "Stopped", "time": 1790000009, "reason": "x", "mood": 3}\n')
    with talm_tui(workspace.root) as terminal:
        terminal.wait("newer")
        visit(terminal, "51")
        leave(terminal)
