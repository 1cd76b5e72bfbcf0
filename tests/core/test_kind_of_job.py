"""A kind of job that lies in a folder of its own gets everything a kind has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from talm_core.cli.main import main
from talm_core.errors import ConfigError
from talm_core.jobs import registry
from talm_core.runtime import runner
from talm_core.runtime.artifacts import resolve
from talm_core.runtime.events import Stop
from talm_core.runtime.upkeep import delete, rename
from talm_core.settings.command_line import command_line
from talm_core.settings.reference import page
from talm_core.settings.toml import dumps, loads
from talm_core.storage.workspace import Workspace
from tests.core.dice.config import DiceConfig
from tests.core.dice.spec import SPEC
from tests.core.driving import run_events
from tests.core.registration import registered

ROOT = Path(__file__).parents[2]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with registered(SPEC):
        yield Workspace(tmp_path)


def told(capsys: pytest.CaptureFixture[str], workspace: Workspace, *words: str) -> tuple[int, str]:
    code = main([*words, "--workspace", str(workspace.root)])
    out, err = capsys.readouterr()
    return code, out + err


def test_its_command_has_its_settings_as_flags(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--help"]) == 0
    assert "roll-dice" in capsys.readouterr().out
    assert main(["roll-dice", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("--name", "-n", "--rolls", "--sides", "--detach"))
    code, text = told(capsys, workspace, "roll-dice", "-n", "a", "--sides", "1", "--rolls", "x")
    assert code == 2
    assert "sides = 1" in text
    assert "rolls = 'x'" in text
    code, text = told(capsys, workspace, "roll-dice", "-n", "a", "--sides", "13")
    assert (code, "brings bad luck (take 12 or 14" in text) == (2, True)
    assert not (workspace.root / "dice").exists()


def test_it_is_run_listed_and_shown(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = told(capsys, workspace, "roll-dice", "-n", "a", "--rolls", "4")
    assert code == 0
    assert "next: talm show a" in text
    _, listed = told(capsys, workspace, "list")
    assert "Dice\n  a  ● done  12 in all" in listed
    _, shown = told(capsys, workspace, "show", "die/a")
    assert "dice/a  ● done" in shown
    assert "total  12" in shown
    assert "rolls  4" in shown
    _, plain = told(capsys, workspace, "show", "a", "--json")
    assert json.loads(plain)["summary"] == {"total": 12}


def test_its_config_is_toml_a_command_and_a_page_of_settings(workspace: Workspace) -> None:
    config = DiceConfig(name="a", sides=20)
    assert loads(dumps(config)) == config
    assert command_line(config) == ["talm", "roll-dice", "--name", "a", "--sides", "20"]
    assert "## Roll dice: `talm roll-dice`" in page()
    assert "| `sides` | `--sides` | 6 | 2 to 100 | How many sides it has. |" in page()
    run_events(config, workspace)
    assert resolve(workspace, "dice/a").directory == workspace.root / "dice/a"
    assert rename(workspace, "dice", "a", "b") == workspace.root / "dice/b"
    assert runner.read_config(workspace.root / "dice/b") == DiceConfig(name="b", sides=20)
    delete(workspace, "dice", "b")
    assert workspace.artifacts("dice") == []


def test_it_is_detached_attached_to_and_stopped(tmp_path: Path) -> None:
    environment = os.environ | {"TALM_JOBS": "tests.core.dice.spec:SPEC", "PYTHONPATH": str(ROOT)}

    def talm(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "talm_core.cli", *words, "--workspace", str(tmp_path)]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
        )

    begun = talm("roll-dice", "-n", "a", "--rolls", "1000", "--pause", "0.05", "--detach")
    assert begun.returncode == 0, begun.stderr
    assert "watch it   talm attach a" in begun.stdout
    directory = tmp_path / "dice" / "a"
    with registered(SPEC):
        deadline = time.monotonic() + 30
        while runner.status(directory) is not runner.Status.RUNNING:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        runner.send(directory, Stop())
    attached = talm("attach", "a")
    assert "dice a" in attached.stdout
    assert "stopped" in attached.stderr, attached
    assert talm("stop", "a").returncode == 2
    assert "◐ stopped" in talm("list").stdout


def test_a_spec_that_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    registry._known.cache_clear()
    try:
        for text in ("nowhere:SPEC", "tests.core.dice.spec:NONE", "tests.core.dice.spec", "os:sep"):
            monkeypatch.setenv(registry.VARIABLE, text)
            with pytest.raises(ConfigError, match=f"TALM_JOBS = {text!r}"):
                registry.specs()
    finally:
        registry._known.cache_clear()
