"""The place where a dataset is prepared."""

from __future__ import annotations

from pathlib import Path

from textual.pilot import Pilot

from talm_core.jobs import Status
from talm_core.workspace import Workspace
from talm_tui.forms.place import FormPlace
from talm_tui.screens.data import tokenizer_options
from talm_tui.screens.train import TrainScreen
from talm_tui.widgets.job_view import JobView
from tests.tui.form_pilot import field, run_at, settled, text_of, type_into, until


def test_a_dataset_from_form_to_training(empty_workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "my texts"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.txt").write_text(f"text number {number}\n" * 200)

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        view = place.query_one(JobView)
        place.fill({"source": "text"})
        assert field(place, "path").problem is not None
        await type_into(pilot, place, "path", f'"{folder}"')
        assert place.state.texts["ds_sample"] == "my-texts"
        await settled(pilot, place)
        assert "20 documents" in place.meant.brief
        await pilot.press("ctrl+r")
        await until(pilot, lambda: view.status is Status.DONE, seconds=60)
        assert "● done  Dataset text/my-texts" in text_of(place, "#job")
        # The same again would be in the way of the first: it gets a prefix.
        await until(pilot, lambda: place.state.texts["dir_prefix"] == "base")
        await pilot.press("m")
        await until(pilot, lambda: isinstance(pilot.app.screen, TrainScreen))
        train = pilot.app.screen
        assert isinstance(train, TrainScreen)
        await until(pilot, lambda: train.state.texts["data_dir"] == "text/my-texts")

    run_at(empty_workspace, "data", steps)


def test_a_dataset_that_exists_gets_another_prefix(workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        assert place.state.texts["dir_prefix"] == "base"
        await type_into(pilot, place, "ds_sample", "docs")
        assert place.state.texts["dir_prefix"] == ""
        await type_into(pilot, place, "ds_sample", "all")
        await type_into(pilot, place, "dir_prefix", "")
        await until(pilot, lambda: field(place, "dir_prefix").problem)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: getattr(place.focused, "key", None) == "dir_prefix")

    run_at(workspace, "data", steps)


def test_what_can_be_picked(workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        options = tokenizer_options(place.snapshot.tokenizers)
        assert options == [
            ("base", "4,096 tokens, ships with talm"),
            ("code-8k", "8,192 tokens"),
        ]

    run_at(workspace, "data", steps)
