"""The place where a dataset is prepared."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from talm_core.jobs.dataset.config import DataConfig
from talm_core.runtime.runner import Status
from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp
from talm_tui.data.document_view import FIRST_SEED, DocumentView, about
from talm_tui.data.screen import DataScreen
from talm_tui.forms.artifact_list import ArtifactList
from talm_tui.forms.editors import PickEditor
from talm_tui.forms.glimpse import Glimpse
from talm_tui.forms.job_view import JobView
from talm_tui.forms.names import artifact_options
from talm_tui.forms.picker import PickScreen
from talm_tui.forms.screen import FormPlace
from talm_tui.train.screen import TrainScreen
from tests.core.driving import run_events
from tests.tui.app_pilot import screen_text
from tests.tui.form_pilot import app_at, field, run_at, settled, text_of, type_into, until
from tests.tui.screen_text import Compare


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
        # What came out is shown where the form was, every document as it was written, but for the
        # end that is for validation.
        documents = place.query_one(DocumentView)
        await until(pilot, lambda: documents.found)
        assert documents.dataset == "text/my-texts"
        assert len(documents.found) == 5
        first = documents.found[0]
        number = first.text.split()[2]
        assert (f"text number {number}\n" * 200).startswith(first.text)
        assert (first.bytes, first.complete) == (len(f"text number {number}\n") * 180, False)
        assert not place.query_one("#form-body").display
        # The same again would be in the way of the first: it gets a prefix.
        await until(pilot, lambda: place.state.texts["dir_prefix"] == "base")
        await pilot.press("m")
        await until(pilot, lambda: isinstance(pilot.app.screen, TrainScreen))
        train = pilot.app.screen
        assert isinstance(train, TrainScreen)
        await until(pilot, lambda: train.state.texts["data_dir"] == "text/my-texts")

    run_at(empty_workspace, "data", steps)


@pytest.fixture
def prepared(empty_workspace: Workspace, tmp_path: Path) -> Workspace:
    """A workspace with a dataset of twelve documents."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.txt").write_text(f"[red]{number}\x1b[2J\tword " * (number * 100 + 1))
    config = DataConfig(source="text", path=(str(folder),), ds_sample="mine")
    run_events(config, empty_workspace)
    return empty_workspace


def test_documents_can_be_looked_at_at_any_time(prepared: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        view = place.query_one(DocumentView)
        assert not view.display
        await pilot.press("v")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickScreen))
        await pilot.press("enter")
        await until(pilot, lambda: view.found)
        assert view.has_focus
        assert not place.query_one("#form-body").display
        shown = []
        for _ in view.found:
            excerpt = view.found[view.index]
            shown.append(excerpt.number)
            assert text_of(place, "#document-about") == about(excerpt)
            text = text_of(place, "#document-text")
            assert "\x1b" not in text
            assert text.lstrip().startswith("[red]")
            assert text.endswith("… and so on") is not excerpt.complete
            await pilot.press("right")
        assert len(set(shown)) == len(shown) == 5
        assert view.index == 0
        await pilot.press("left")
        assert view.index == 4
        await pilot.press("n")
        await until(pilot, lambda: view.found and view.seed == FIRST_SEED + 1)
        assert [excerpt.number for excerpt in view.found] != shown
        await pilot.press("escape")
        assert not view.display
        assert place.query_one("#form-body").display
        assert view.dataset is None

    run_at(prepared, "data", steps)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=str)
def test_a_picture_of_documents(
    prepared: Workspace, screen_compare: Compare, size: tuple[int, int]
) -> None:
    async def before(pilot: Pilot[Any]) -> None:
        app = pilot.app
        assert isinstance(app, TalmApp)
        await until(pilot, lambda: app.snapshot.complete)
        place = app.screen
        assert isinstance(place, DataScreen)
        await until(pilot, lambda: place.form.is_mounted)
        place.show_documents("text/mine")
        await until(pilot, lambda: place.query_one(DocumentView).found)
        await pilot.press("right")
        await pilot.pause()

    assert screen_compare(
        app_at(prepared, "data"), terminal_size=size, run_before=before, picture=size == (80, 24)
    )


def test_a_large_screen_looks_into_the_newest_dataset(prepared: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        glimpse = place.query_one(Glimpse)
        # No process is started for what nobody sees.
        assert glimpse.size.height == 0
        assert glimpse.seen is None
        await pilot.resize_terminal(200, 60)
        await until(pilot, lambda: glimpse.seen)
        assert str(glimpse.border_title) == "A document of text/mine"
        shown = text_of(place, "#glimpse")
        assert shown.startswith("document ")
        assert re.search(r"\n\n ?\[red\]\d", shown)
        assert "\x1b" not in shown
        assert [listed.size.height > 0 for listed in place.query(ArtifactList)] == [False, True]
        for file in prepared.directory("data", "text/mine").glob("*.npy"):
            file.unlink()
        glimpse._asked = None
        glimpse.show("text/mine")
        await until(pilot, lambda: glimpse.seen)
        assert "is missing" in text_of(place, "#glimpse")
        glimpse.show("")
        assert text_of(place, "#glimpse").startswith("Once there is a dataset")

    run_at(prepared, "data", steps)


def test_a_damaged_dataset_says_so(prepared: Workspace) -> None:
    (prepared.directory("data", "text/mine") / "train_000001.npy").unlink()
    (prepared.directory("data", "text/mine") / "val_000001.npy").unlink()

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        assert isinstance(place, DataScreen)
        place.show_documents("text/mine")
        await until(pilot, lambda: "✕" in text_of(place, "#document-about"))
        assert "is missing" in text_of(place, "#document-about")

    run_at(prepared, "data", steps)


def test_nothing_to_look_at(empty_workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await pilot.press("v")
        await pilot.pause()
        assert not place.query_one(DocumentView).display
        assert [item.message for item in pilot.app._notifications] == ["There is no dataset yet"]

    run_at(empty_workspace, "data", steps)


def test_a_dataset_that_exists_gets_another_prefix(workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        # That of the tokenizer that was trained last, which is the one to begin with.
        assert place.state.texts["tokenizer_path"] == "code-8k"
        assert place.state.texts["dir_prefix"] == "code-8k"
        place.fill({"ds_sample": "docs"})
        assert place.state.texts["dir_prefix"] == ""
        place.fill({"ds_sample": "all"})
        await type_into(pilot, place, "dir_prefix", "")
        await until(pilot, lambda: field(place, "dir_prefix").problem)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: getattr(place.focused, "key", None) == "dir_prefix")

    run_at(workspace, "data", steps)


def test_samples_say_how_large_they_are(empty_workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        place.fill({"source": "smol"})
        picker = place.query_one("#edit-ds_sample", PickEditor)
        assert picker.value == place.state.texts["ds_sample"] == "cosmopedia-v2"
        assert dict(picker.options())["fineweb-edu-dedup"] == "220 G tokens · 550 GB to download"
        place.form.go_to("ds_sample")
        await until(pilot, lambda: place.focused is picker)
        await pilot.press("right")
        assert place.state.values["ds_sample"] == "fineweb-edu-dedup"
        await until(pilot, lambda: "220 G tokens" in place.meant.brief)
        # One that is no sample of the next source does not stay.
        place.fill({"source": "fineweb"})
        assert place.state.texts["ds_sample"] == "sample-10BT"
        place.fill({"source": "text"})
        assert list(picker.options()) == []
        picker.action_open()
        await until(pilot, lambda: isinstance(pilot.app.screen, PickScreen))
        await pilot.press(*"mine", "enter")
        await until(pilot, lambda: place.state.values["ds_sample"] == "mine")

    run_at(empty_workspace, "data", steps)


def test_a_disk_that_is_too_small_is_told_of(
    empty_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=3_000_000))

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await settled(pilot, place)
        assert "! the disk has 3.0 MB free, about" in place.meant.brief
        place.fill({"max_tokens": 100_000})
        await settled(pilot, place)
        assert "!" not in place.meant.brief

    run_at(empty_workspace, "data", steps)


def test_what_can_be_picked(workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        options = artifact_options("tokenizer", place.snapshot.of("tokenizer"))
        assert options == [
            ("base", "4,096 tokens, ships with talm"),
            ("code-8k", "8,192 tokens"),
        ]

    run_at(workspace, "data", steps)


def test_what_a_source_needs_is_the_next_field(empty_workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        assert place.state.texts["tokenizer_path"] == "base"
        place.form.go_to("source")
        await until(pilot, lambda: getattr(place.focused, "key", None) == "source")
        await pilot.press(*"text", "enter")
        await until(pilot, lambda: getattr(place.focused, "key", None) == "path")
        assert place.state.texts["source"] == "text"
        # The same where it is stepped to.
        place.form.go_to("source")
        await until(pilot, lambda: getattr(place.focused, "key", None) == "source")
        await pilot.press("escape", "ctrl+z", "ctrl+z")
        place.form.go_to("source")
        await until(pilot, lambda: getattr(place.focused, "key", None) == "source")
        while place.state.texts["source"] != "hub":
            await pilot.press("right")
        await pilot.press("down")
        await until(pilot, lambda: getattr(place.focused, "key", None) == "dataset")

    run_at(empty_workspace, "data", steps)


def test_own_files_have_a_name_and_it_is_shown_as_commands_want_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "a tale.txt").write_text("text " * 300)

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        assert "ds_sample" in screen_text(place.app)
        # As in every list and in what is typed after `talm`.
        assert "stdlib/all" in screen_text(place.app)
        assert "text/book" in screen_text(place.app)
        place.fill({"source": "text", "path": (str(tmp_path / "a tale.txt"),)})
        await pilot.pause()
        assert place.state.texts["ds_sample"] == "a-tale"
        lines = [line.split() for line in screen_text(place.app).splitlines()]
        assert ["name", "a-tale"] in [line[:2] for line in lines]
        assert "ds_sample" not in screen_text(place.app)
        command = place.command()
        assert command[command.index("--name") + 1] == "a-tale"
        place.fill({"source": "stdlib", "path": (), "ds_sample": "docs"})
        await pilot.pause()
        assert "ds_sample" in screen_text(place.app)
        assert "--ds-sample" in place.command()

    run_at(workspace, "data", steps)
