"""A kind of job that lies in a folder of its own gets everything in the screen that a kind has."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

import talm_tui
from talm_core.jobs import registry
from talm_core.runtime import runner
from talm_core.runtime.events import Stop
from talm_core.storage.workspace import Artifact, Workspace
from talm_tui.app import TalmApp
from talm_tui.charts.chart import Chart
from talm_tui.forms.artifact_list import ArtifactList
from talm_tui.forms.screen import FormPlace
from talm_tui.home.screen import HomeScreen
from talm_tui.runs.screen import RunsScreen
from tests.core.dice.config import DiceConfig
from tests.core.dice.spec import SPEC
from tests.core.driving import run_events
from tests.core.registration import registered
from tests.tui.app_pilot import play, said, screen_text, until

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def dice(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The kind is known here and in the processes that are started."""
    monkeypatch.setenv(registry.VARIABLE, "tests.core.dice.spec:SPEC")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with registered(SPEC):
        yield


def rolled(workspace: Workspace, name: str, **settings: int) -> Artifact:
    config = DiceConfig(name=name, **settings)
    run_events(config, workspace)
    return Artifact("dice", name, workspace.directory_of(config))


def test_its_form_is_a_place_that_starts_it(empty_workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("7")
        place = app.screen
        assert isinstance(place, FormPlace)
        await until(pilot, lambda: "Roll dice" in screen_text(app))
        assert "7 Dice" in screen_text(app)
        assert place.state.values["name"] == "dice"
        assert list(place.state.by_key) == ["name", "rolls", "sides", "pause"]
        place.state.set_text("sides", "13")
        place.judge()
        await until(pilot, lambda: "brings bad luck" in screen_text(app))
        place.state.set_text("sides", "20")
        place.state.set_text("rolls", "1000")
        place.state.set_text("pause", "0.05")
        place.judge()
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        directory = empty_workspace.root / "dice" / "dice"
        try:
            await until(pilot, lambda: "rolling" in screen_text(app))
            assert runner.status(directory) is runner.Status.RUNNING
            await pilot.press("K")
            await until(pilot, lambda: "Stop dice?" in screen_text(app))
            await pilot.press("y")
            await until(pilot, lambda: runner.status(directory) is runner.Status.STOPPED)
        finally:
            if runner.status(directory).active:
                runner.send(directory, Stop())
        assert runner.read_config(directory) == DiceConfig(
            name="dice", sides=20, rolls=1000, pause=0.05
        )

    play(empty_workspace, story, size=(120, 40))


def test_what_it_made_stands_in_its_lists(empty_workspace: Workspace) -> None:
    rolled(empty_workspace, "lucky", rolls=4)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        assert isinstance(app.screen, HomeScreen)
        row = next(line for line in screen_text(app).splitlines() if "● lucky" in line)
        assert row.split() == ["●", "lucky", "done", "die", "12", "in", "all", "just", "now"]
        await pilot.press("7")
        listed = app.screen.query(ArtifactList).first()
        await until(pilot, lambda: "lucky" in screen_text(app))
        row = next(line for line in screen_text(app).splitlines() if "● lucky" in line)
        assert "12 in all" in row
        assert listed.border_title == "Dice so far"
        await pilot.press("5")
        await until(pilot, lambda: "die  12 in all" in screen_text(app))

    play(empty_workspace, story, size=(120, 40))


def test_its_monitor_has_a_curve_of_every_number_it_says(empty_workspace: Workspace) -> None:
    run = rolled(empty_workspace, "lucky", rolls=5)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        app.open_run(run)
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        await until(pilot, lambda: screen.run.over and screen.query_one(Chart).curves)
        [curve] = screen.query_one(Chart).curves
        assert (curve.label, list(curve.xs["step"])) == ("rolled", [1, 2, 3, 4, 5])
        assert list(curve.y) == [4, 4, 1, 3, 5]
        await pilot.press("m")
        [curve] = screen.query_one(Chart).curves
        assert curve.label == "mean"
        assert curve.y[-1] == pytest.approx(17 / 5)
        assert "total 17" in screen_text(app)
        views = []
        for _ in range(3):
            await pilot.press("v")
            views.append(screen.monitor.view)
        assert views == ["log", "config", "chart"]
        offered = ("pause", "stop", "checkpoint", "sample", "every", "resume", "play", "rename")
        assert [x for x in offered if screen.check_action(x, ())] == ["rename"]

    play(empty_workspace, story, size=(120, 40))


def test_its_settings_fill_its_form_and_it_is_renamed(empty_workspace: Workspace) -> None:
    run = rolled(empty_workspace, "lucky", sides=20)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        app.open_run(run)
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        await until(pilot, lambda: screen.run.over)
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, FormPlace))
        place = app.screen
        assert isinstance(place, FormPlace)
        assert place.state.values == DiceConfig(name="lucky-2", sides=20).model_dump()
        await pilot.press("5", "n")
        await pilot.press("end", "s", "enter")
        await until(pilot, lambda: (empty_workspace.root / "dice" / "luckys").is_dir())
        await until(pilot, lambda: screen.chosen == "luckys")
        assert said(app) == []

    play(empty_workspace, story, size=(120, 40))


OWN = {
    "pretrain": {"train"},
    "tokenizer": {"tokenizer"},
    "data": {"data"},
    "quickstart": set(),
}
"""The folders that are a kind's own."""

FROM = {
    "talm_core.jobs.tokenizer": {"tokenizer"},
    "talm_core.jobs.dataset": {"data", "tokenizer", "train"},
    "talm_core.jobs.pretrain": {"data", "train"},
    "talm_core.jobs.quickstart": set(),
    "talm_core.jobs.sample": {"play", "services"},
    "talm_core.jobs.export": {"runs", "services"},
}
"""Where a kind's own modules may be imported."""


def test_no_other_file_spells_a_kind() -> None:
    package = Path(talm_tui.__file__).parent
    found = []
    for path in sorted(package.rglob("*.py")):
        folder = path.relative_to(package).parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                spelled, allowed = node.value, OWN.get(node.value, {folder})
            elif isinstance(node, ast.ImportFrom):
                spelled = node.module or ""
                allowed = FROM.get(".".join(spelled.split(".")[:3]), {folder})
            else:
                continue
            if folder not in allowed:
                found.append(f"{path.relative_to(package)}:{node.lineno} {spelled}")
    assert found == []
