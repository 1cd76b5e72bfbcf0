"""The place where a training run is set up."""

from __future__ import annotations

import shlex
from typing import cast

from textual.pilot import Pilot
from textual.widgets import Input

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.pretrain.presets import find_preset, save_preset
from talm_core.jobs.pretrain.recipes import BUILT_IN
from talm_core.settings.command_line import shell
from talm_core.storage.workspace import Workspace
from talm_core.training.estimate import plan
from talm_tui.forms.command import CommandPreview
from talm_tui.forms.editors import PickEditor
from talm_tui.forms.job_view import JobView
from talm_tui.forms.picker import PickScreen
from talm_tui.forms.screen import FormPlace
from talm_tui.forms.setting_help import SettingHelp
from talm_tui.services.messages import JobStarted
from talm_tui.shell.dialogs import ConfirmScreen
from talm_tui.train.pick_preset import PickPresetScreen
from talm_tui.train.save_preset import SavePresetScreen
from talm_tui.train.screen import TrainScreen
from tests.tui import canned
from tests.tui.form_pilot import add_manifest, field, run_at, settled, text_of, type_into, until


def test_a_run_is_ready_to_start(workspace: Workspace) -> None:
    add_manifest(workspace)

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        # nano is taken by the run that goes on.
        assert place.state.texts["model_name"] == "nano-2"
        assert place.state.texts["data_dir"] == "stdlib/all"
        await settled(pilot, place)
        assert place.state.problems == []
        rows = {row.name: row.value for row in place.meant.rows}
        assert isinstance(place.state.config, PretrainConfig)
        planned = plan(place.state.config, None, 4100)
        assert rows["parameters"] == f"{planned.parameters.total:,}"
        assert rows["memory"].endswith(" of 23 GiB")
        assert " epochs, " in rows["tokens"]
        assert rows["time"].startswith("about ")
        words = shlex.split(place.query_one(CommandPreview).command)
        assert words[:6] == shlex.split(
            "talm train-model --model-name nano-2 --data-dir stdlib/all"
        )

    run_at(workspace, "train", steps)


def test_without_a_dataset_it_says_where_to_get_one(empty_workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        problem = field(place, "data_dir").problem
        assert problem is not None
        assert (problem.message, problem.hint) == (
            "there is no dataset yet",
            "prepare one in Data (3)",
        )
        # Sizes can be reckoned with all the same.
        assert any(row.name == "parameters" for row in place.meant.rows)

    run_at(empty_workspace, "train", steps)


def test_names_of_runs_that_exist(workspace: Workspace) -> None:
    add_manifest(workspace)

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        said = {}
        for name in ("nano", "talm-1", "try-3"):
            await type_into(pilot, place, "model_name", name)
            problem = field(place, "model_name").problem
            assert problem is not None
            said[name] = problem.message
        assert said == {
            "nano": "nano is being made",
            "talm-1": "talm-1 exists already",
            "try-3": "try-3 exists and is not finished",
        }

    run_at(workspace, "train", steps)


def test_a_preset_is_loaded_and_named_in_the_command(workspace: Workspace) -> None:
    add_manifest(workspace)

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await type_into(pilot, place, "n_layer", "9")
        await pilot.press("f3")
        await pilot.pause()
        await pilot.press(*"shake", "enter")
        await until(pilot, lambda: place.state.preset == "shakespeare")
        values = BUILT_IN["shakespeare"].values
        assert place.state.texts["n_layer"] == str(values["n_layer"])
        assert place.query_one("#edit-n_embd", Input).value == "384"
        assert place.query_one("#edit-preset", PickEditor).value == "shakespeare"
        assert place.state.texts["model_name"] == "shakespeare"
        assert place.state.changed == []
        await type_into(pilot, place, "seed", "7")
        assert place.state.changed == ["seed"]
        command = place.query_one(CommandPreview).command
        assert "--preset shakespeare" in command
        assert "--seed 7" in command
        assert "--n-embd" not in command
        await pilot.press("escape", "f5")
        assert place.state.changed == []

    run_at(workspace, "train", steps)


def test_a_depth_is_a_preset(workspace: Workspace) -> None:
    add_manifest(workspace)

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickScreen))
        await pilot.press("d", "6", "enter")
        await until(pilot, lambda: pilot.app.screen is place)
        assert place.state.values["n_layer"] == 6
        assert place.state.values["n_embd"] == 384
        assert "--preset d6" in place.query_one(CommandPreview).command
        # One that is not in the list can be typed; one that is none leaves everything.
        for text, layers in (("d5", 5), ("d99", 5)):
            await pilot.press("f3")
            await until(pilot, lambda: isinstance(pilot.app.screen, PickScreen))
            await pilot.press(*text, "enter")
            await until(pilot, lambda: pilot.app.screen is place)
            assert place.state.values["n_layer"] == layers
            assert place.query_one("#edit-preset", PickEditor).value == "d5"
            assert place.state.preset == "d5"

    run_at(workspace, "train", steps)


def test_the_default_preset_needs_no_word() -> None:
    values = dict(BUILT_IN["nano"].values)
    config = PretrainConfig.model_validate({"model_name": "a", "data_dir": "d"} | values)
    from talm_core.settings.command_line import command_line

    assert shell(command_line(config)) == "talm train-model --model-name a --data-dir d"


def test_a_preset_of_ones_own(workspace: Workspace) -> None:
    add_manifest(workspace)

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await type_into(pilot, place, "n_layer", "6")
        await type_into(pilot, place, "minutes", "2.5")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, SavePresetScreen))
        await pilot.press(*"nano", "enter", "enter")
        wrong = pilot.app.screen.query_one("#save-wrong")
        await until(pilot, lambda: "is built in" in str(wrong.render()))
        await pilot.press("end", *"6", "enter", *"six", "enter")
        await until(pilot, lambda: place.state.preset == "nano6")
        assert place.state.changed == []
        preset = find_preset(workspace, "nano6")
        assert preset.values == {"n_layer": 6, "minutes": 2.5}
        assert preset.description == "six"
        assert "--preset nano6" in place.query_one(CommandPreview).command
        await type_into(pilot, place, "minutes", "")
        assert "--minutes none" in place.query_one(CommandPreview).command

    run_at(workspace, "train", steps)


def test_a_preset_file_that_cannot_be_used_is_told(workspace: Workspace) -> None:
    folder = workspace.root / "presets"
    folder.mkdir()
    (folder / "bad.toml").write_text("n_layer = [1\n")
    (folder / "good.toml").write_text("[settings]\nn_layer = 3\n")

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        told: list[str] = []
        place.notify = lambda message, **_: told.append(message)  # type: ignore[method-assign]
        await pilot.press("f3")
        await until(pilot, lambda: told)
        assert "bad.toml" in told[0]
        await until(pilot, lambda: isinstance(pilot.app.screen, PickScreen))
        await pilot.press(*"good", "enter")
        await until(pilot, lambda: place.state.preset == "good")
        assert place.state.texts["n_layer"] == "3"

    run_at(workspace, "train", steps)


def test_a_preset_of_ones_own_is_deleted_in_the_list(workspace: Workspace) -> None:
    add_manifest(workspace)
    path = save_preset(workspace, "mine", {"n_layer": 7}).path
    assert path is not None

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        assert isinstance(place, TrainScreen)
        place.load_preset("mine")
        assert "--preset mine" in place.query_one(CommandPreview).command
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickPresetScreen))
        listed = cast(PickPresetScreen, pilot.app.screen)
        assert listed.highlighted == "mine"
        await pilot.press(*"nano")
        assert listed.highlighted == "nano"
        await pilot.press("f8")
        assert pilot.app.screen is listed, "it is built in"
        for answer, there in (("n", True), ("y", False)):
            listed.query_one(Input).value = "mine"
            await until(pilot, lambda: listed.highlighted == "mine")
            await pilot.press("f8")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
            await pilot.press(answer)
            await until(pilot, lambda: pilot.app.screen is listed)
            assert path.exists() is there
        await until(pilot, lambda: listed.highlighted is None)
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is place)
        # What it held stays; the command says it in full.
        assert place.state.texts["n_layer"] == "7"
        command = place.query_one(CommandPreview).command
        assert "--preset" not in command
        assert "--n-layer 7" in command

    run_at(workspace, "train", steps)


def test_an_earlier_run_is_begun_with(workspace: Workspace) -> None:
    add_manifest(workspace)
    canned.artifact(
        workspace,
        PretrainConfig(model_name="wide", data_dir="stdlib/all", n_embd=320, lr_schedule="wsd"),
        canned.run_events(10, 10),
    )

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await type_into(pilot, place, "n_layer", "9")
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickPresetScreen))
        await pilot.press(*"run", "space", *"wide", "enter")
        await until(pilot, lambda: pilot.app.screen is place)
        assert place.state.changed == ["n_embd", "lr_schedule"]
        assert place.state.texts["model_name"] == "nano-2"
        await pilot.press("escape", "ctrl+z")
        assert place.state.changed == ["n_layer"]

    run_at(workspace, "train", steps)


def test_a_started_run_is_opened_in_runs(workspace: Workspace) -> None:
    add_manifest(workspace)

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        config = PretrainConfig(model_name="talm-1", data_dir="stdlib/all")
        place.post_message(JobStarted(config, workspace.directory_of(config)))
        await until(pilot, lambda: pilot.app.current_mode == "runs")
        assert not place.query_one(JobView).display

    run_at(workspace, "train", steps)


def test_help_stands_beside_and_below(workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        shown = place.query_one(SettingHelp)
        await type_into(pilot, place, "n_layer", "5")
        assert str(shown.border_title) == "n_layer"
        assert "1 to 128 · default 4" in text_of(place, "#help")
        assert shown.region.x > place.form.region.x
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: shown.region.y > place.form.region.y)
        assert str(shown.border_title) == "n_layer · 1 to 128 · default 4"
        assert text_of(place, "#help").startswith("Transformer blocks.")
        assert "tokens" in text_of(place, "#meaning")
        await pilot.press("escape")
        await until(pilot, lambda: str(shown.border_title) == "Train a model")

    run_at(workspace, "train", steps)
