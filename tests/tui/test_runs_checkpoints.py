"""What is done with one checkpoint of a run: chosen, prompted, branched, exported."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from talm_core.jobs.export.config import ExportConfig
from talm_core.model import hf, hf_config
from talm_core.model.transformer import Transformer
from talm_core.runtime.events import Checkpointed
from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp
from talm_tui.forms.editors import PickEditor
from talm_tui.forms.picker import PickScreen
from talm_tui.play.screen import PlayScreen
from talm_tui.runs import export_line
from talm_tui.runs.checkpoint_list import CheckpointList
from talm_tui.runs.export_line import ExportLine
from talm_tui.runs.screen import RunsScreen
from talm_tui.runs.text import checkpoint_rows
from talm_tui.services.clients import ExportProcess
from talm_tui.shell.dialogs import AskScreen
from talm_tui.train.screen import TrainScreen
from tests.tui import canned
from tests.tui.app_pilot import play, said, screen_text, until
from tests.tui.test_runs import drawn, enter, say
from tests.tui.test_runs_text import history

FAKE = str(Path(__file__).with_name("fake_exporter.py"))
STEPS = (200, 300, 400)


@pytest.fixture
def saved(workspace: Workspace) -> Workspace:
    """A workspace whose run `nano` has three checkpoints."""
    for step in STEPS:
        (workspace.directory("pretrain", "nano") / f"checkpoint-{step:06d}").mkdir()
    return workspace


async def listed(app: TalmApp, pilot: Pilot[None]) -> RunsScreen:
    """Runs, with the checkpoints of `nano` listed."""
    screen = await enter(app, pilot)
    await until(pilot, lambda: len(screen.run.files.checkpoints) == len(STEPS))
    screen.monitor.open_view("checkpoints")
    await drawn(pilot, screen)
    return screen


async def picked(app: TalmApp, pilot: Pilot[None], *keys: str) -> None:
    """Answer the list that is asked from."""
    await until(pilot, lambda: isinstance(app.screen, PickScreen))
    asked = app.screen
    await pilot.press(*keys, "enter")
    await until(pilot, lambda: app.screen is not asked)


async def told(app: TalmApp, pilot: Pilot[None], text: str) -> None:
    """Wait for a notification."""
    await until(pilot, lambda: text in said(app), seconds=60)


async def placed(app: TalmApp, pilot: Pilot[None], directory: str = "") -> None:
    """Say where an export is to be; nothing: where exports are."""
    await until(pilot, lambda: isinstance(app.screen, AskScreen))
    asked = app.screen
    asked.query_one(Input).value = directory
    await pilot.press("enter")
    await until(pilot, lambda: app.screen is not asked)


def exporting(monkeypatch: pytest.MonkeyPatch, how: str) -> list[ExportProcess]:
    """Put the script in the place of `talm export`; the processes that are made."""
    made: list[ExportProcess] = []

    def process(config: ExportConfig, root: Path) -> ExportProcess:
        made.append(ExportProcess(config, root, command=(sys.executable, FAKE, how)))
        return made[-1]

    monkeypatch.setattr(export_line, "ExportProcess", process)
    return made


# --- choosing --------------------------------------------------------------------------------


def test_checkpoints_are_listed_by_step_with_what_is_known_of_them() -> None:
    events = [
        Checkpointed(step=step, directory=f"checkpoint-{step:06d}", bytes=size, seconds=1)
        for step, size in ((999_999, 2_500_000), (1_000_000, 1_250_000_000))
    ]
    there = {"checkpoint-1000000", "checkpoint-999999", "checkpoint-[b]x"}
    rows = checkpoint_rows(there, history(*events))
    assert [(name, line.plain) for name, line in rows] == [
        ("checkpoint-1000000", "checkpoint-1000000     1,250.0 MB"),
        ("checkpoint-999999", "checkpoint-999999          2.5 MB"),
        ("checkpoint-[b]x", "checkpoint-[b]x     "),
    ]


def test_the_chosen_checkpoint_stays_chosen_while_others_come(saved: Workspace) -> None:
    nano = saved.directory("pretrain", "nano")

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await listed(app, pilot)
        shown = screen.query_one(CheckpointList)
        assert screen.checkpoints.chosen() == "checkpoint-000400"
        await pilot.press("comma", "comma", "comma", "full_stop")
        assert screen.checkpoints.chosen() == "checkpoint-000300"
        (nano / "checkpoint-000410").mkdir()
        await until(pilot, lambda: len(screen.run.files.checkpoints) == 4)
        await drawn(pilot, screen)
        assert shown.option_count == 4
        assert screen.checkpoints.chosen() == "checkpoint-000300"
        await pilot.click(CheckpointList, offset=(5, 4))
        assert screen.checkpoints.chosen() == "checkpoint-000200"
        await pilot.press("v")
        assert screen.checkpoints.chosen() is None
        screen.monitor.begin(screen.run.spec)
        assert shown.chosen == "checkpoint-000410"

    play(saved, story)


def test_the_newest_is_chosen_until_somebody_chooses(saved: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await listed(app, pilot)
        nano = saved.directory("pretrain", "nano")
        (nano / "checkpoint-000410").mkdir()
        saved_410 = Checkpointed(step=410, directory="checkpoint-000410", bytes=1, seconds=1)
        say(nano, saved_410, at=canned.NOW + 1)
        await until(pilot, lambda: len(screen.run.files.checkpoints) == 4)
        await drawn(pilot, screen)
        assert screen.checkpoints.chosen() == "checkpoint-000410"

    play(saved, story)


# --- prompting and branching -----------------------------------------------------------------


def test_play_takes_the_chosen_checkpoint_along(saved: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await listed(app, pilot)
        await pilot.press("comma", "p")
        await until(pilot, lambda: isinstance(app.screen, PlayScreen))
        screen = app.screen
        assert isinstance(screen, PlayScreen)
        at = screen.query_one("#edit-checkpoint", PickEditor)
        await until(pilot, lambda: screen.choice.models and at.value == "step 300")
        request = screen.choice.request()
        assert request is not None
        assert request.lanes[0].config.model.endswith("nano/checkpoint-000300")
        # From the chart it is the newest, whichever that will be.
        await pilot.press("escape", "5", "v")
        await pilot.press("p")
        await until(pilot, lambda: at.value == "newest")

    play(saved, story)


def test_a_branch_begins_at_the_chosen_checkpoint(saved: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await listed(app, pilot)
        await pilot.press("comma", "b")
        await until(pilot, lambda: isinstance(app.screen, TrainScreen))
        await until(pilot, lambda: "--init-from nano/checkpoint-000300" in screen_text(app))

    play(saved, story, size=(160, 50))


def test_elsewhere_a_branch_asks_for_the_checkpoint(saved: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await until(pilot, lambda: len(screen.run.files.checkpoints) == len(STEPS))
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, PickScreen))
        assert "Branch nano at" in screen_text(app)
        assert "validation loss 3.267" in screen_text(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        await pilot.press("b")
        await picked(app, pilot, "down", "down")
        await until(pilot, lambda: isinstance(app.screen, TrainScreen))
        await until(pilot, lambda: "--init-from nano/checkpoint-000200" in screen_text(app))

    play(saved, story, size=(160, 50))


# --- exporting -------------------------------------------------------------------------------


def model_at(directory: Path) -> None:
    """What makes a directory a model, and what is only for going on with it."""
    config = {
        "model_type": "llama",
        "vocab_size": 264,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "hidden_size": 32,
        "intermediate_size": 64,
        "max_position_embeddings": 16,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
    }
    (directory / "config.json").write_text(json.dumps(config))
    shape = hf_config.read_config(directory)
    model = Transformer(shape)
    model.initialise(1)
    hf.save_weights(dict(model.named_parameters()), shape, directory / "model.safetensors")
    (directory / "training.safetensors").write_bytes(b"state")


def test_a_checkpoint_is_exported_by_a_process_of_its_own(saved: Workspace) -> None:
    checkpoint = saved.directory("pretrain", "nano") / "checkpoint-000300"
    model_at(checkpoint)
    target = saved.root / "exports" / "nano-300-huggingface"

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await listed(app, pilot)
        await pilot.press("comma", "E")
        await picked(app, pilot, *"hugging")
        await placed(app, pilot)
        await until(pilot, lambda: screen.query_one(ExportLine).process is None, seconds=120)
        await told(app, pilot, f"Exported: {target}")
        assert str(screen.query_one(ExportLine).content) == (
            "● nano step 300 as huggingface is exported   X closes this\n"
            f"{target}\nhf upload nano-300-huggingface {target}"
        )
        await pilot.press("X")
        assert not screen.query_one(ExportLine).display

    play(saved, story, size=(120, 40))
    assert {file.name for file in target.iterdir()} == {
        *("README.md", "config.json", "model.safetensors")
    }
    weights = "model.safetensors"
    assert (target / weights).read_bytes() == (checkpoint / weights).read_bytes()


def test_an_export_is_stopped(saved: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    made = exporting(monkeypatch, "forever")

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await listed(app, pilot)
        assert not screen.check_action("export_close", ())
        await pilot.press("E")
        await picked(app, pilot, *"q8")
        await placed(app, pilot)
        await until(pilot, lambda: "12.3/40.0 MB  0:09 left   X stops" in screen_text(app))
        assert "export  nano step 400 as gguf q8_0  writing" in screen_text(app)
        await pilot.press("E")
        await told(app, pilot, "One export at a time: this one is still being written.")
        await pilot.press("X")
        await told(app, pilot, "The export is stopped; nothing was written.")
        assert screen.query_one(ExportLine).process is None
        assert not screen.query_one(ExportLine).display
        assert len(made) == 1

    play(saved, story, size=(120, 40))


def test_an_export_goes_where_somebody_says(
    saved: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[ExportConfig] = []

    def process(config: ExportConfig, root: Path) -> ExportProcess:
        made.append(config)
        return ExportProcess(config, root, command=(sys.executable, FAKE, "die"))

    monkeypatch.setattr(export_line, "ExportProcess", process)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await listed(app, pilot)
        await pilot.press("E")
        await picked(app, pilot, *"f32")
        await until(pilot, lambda: isinstance(app.screen, AskScreen))
        assert "one below exports/ in the workspace" in screen_text(app)
        # What is there is not written over: said before anything begins.
        app.screen.query_one(Input).value = str(tmp_path)
        await pilot.press("enter")
        await until(pilot, lambda: "it exists already" in screen_text(app))
        await placed(app, pilot, str(tmp_path / "out"))
        await until(pilot, lambda: made and screen.query_one(ExportLine).process is None)
        # Left by escape, nothing is exported.
        await pilot.press("X", "E")
        await picked(app, pilot)
        await until(pilot, lambda: isinstance(app.screen, AskScreen))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        assert screen.query_one(ExportLine).process is None

    play(saved, story, size=(120, 40))
    (config,) = made
    assert (config.format, config.outtype) == ("gguf", "f32")
    assert config.output == str(tmp_path / "out")


def test_why_an_export_failed_is_told(saved: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    exporting(monkeypatch, "die")

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await listed(app, pilot)
        await pilot.press("E")
        await picked(app, pilot)
        await placed(app, pilot)
        problem = "output = '[b]x[/]': exists already"
        await told(app, pilot, f"Not exported: {problem}")
        assert screen.query_one(ExportLine).process is None
        assert (
            f"✕ nano step 400 as gguf f16 is not exported: {problem}   X closes this"
            in " ".join(str(screen.query_one(ExportLine).content).split("\n"))
        )
        await pilot.press("X")
        assert not screen.query_one(ExportLine).display

    play(saved, story)


def test_a_program_that_cannot_be_started(
    saved: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        export_line,
        "ExportProcess",
        lambda config, root: ExportProcess(config, root, command=("/nowhere/python",)),
    )

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await listed(app, pilot)
        await pilot.press("E")
        await picked(app, pilot)
        await placed(app, pilot)
        await until(pilot, lambda: any("cannot be started" in text for text in said(app)))
        assert screen.query_one(ExportLine).process is None

    play(saved, story)


def test_the_palette_offers_the_export(saved: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await listed(app, pilot)
        titles = [command.title for command in app.get_system_commands(screen)]
        assert "Export the model as GGUF or for Hugging Face" in titles
        await pilot.press("ctrl+p", *"export the model")
        await until(pilot, lambda: len(app.screen.query_one(OptionList).options) == 1)

    play(saved, story)
