"""The pictures in `docs/places`: real screens over a workspace written by hand.

`make screenshots` writes them to `docs/screens`; here they go to a temporary directory, and what
they have to show is looked for in them.
"""

from __future__ import annotations

import html
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime.events import Merged, Progress, Started
from talm_core.runtime.lock import Lock
from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp
from talm_tui.data.screen import DataScreen
from talm_tui.forms.editors import PickEditor, TextEditor
from talm_tui.play.screen import PlayScreen
from talm_tui.runs.screen import RunsScreen
from talm_tui.shell.places import places
from talm_tui.tokenizer.screen import TokenizerScreen
from talm_tui.train.screen import TrainScreen
from tests.tui import canned
from tests.tui.app_pilot import Story, play, until
from tests.tui.form_pilot import add_manifest, settled, type_into
from tests.tui.play_pilot import child, models

__all__ = ["child", "models"]

DOCS = Path(__file__).parents[2] / "docs"
SIZE = (120, 36)


@pytest.fixture(autouse=True)
def usual(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One time zone, a workspace that needs no words, and texts of somebody's own."""
    monkeypatch.setenv("TALM_HOME", str(workspace.root))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    texts = workspace.root.parent / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("some text\n" * 500_000)
    monkeypatch.chdir(texts.parent)
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where pictures go: `$TALM_SCREENSHOTS`, or nowhere."""
    return Path(os.environ.get("TALM_SCREENSHOTS") or tmp_path)


def picture(workspace: Workspace, folder: Path, name: str, story: Story) -> str:
    """Play a story, write the screen as it is then, and return the words on it."""

    async def shot(app: TalmApp, pilot: Pilot[None]) -> None:
        await story(app, pilot)
        app.clear_notifications()
        await pilot.pause()
        app.save_screenshot(f"{name}.svg", str(folder))

    play(workspace, shot, size=SIZE)
    drawn = (folder / f"{name}.svg").read_text()
    return html.unescape(re.sub(r"<[^>]*>", "", drawn)).replace("\xa0", " ")


def test_home(workspace: Workspace, folder: Path) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.pause()

    said = picture(workspace, folder, "home", story)
    assert "Recent runs" in said
    assert "talm-1" in said


def test_tokenizer(workspace: Workspace, folder: Path) -> None:
    progress = Progress(
        phase="reading", done=31_200_000, total=40_000_000, unit="bytes", rate=14e6, eta=1.0
    )
    newest = [" re", "self", " return", "__init", "        if"]
    started = [
        Started(job="tokenizer", name="notes-8k"),
        progress,
        Progress(phase="merging", done=2212, total=7936, unit="tokens"),
        Merged(vocab_size=2468, newest=newest),
    ]
    config = TokenizerConfig(name="notes-8k", vocab_size=8192)
    directory = canned.artifact(workspace, config, started)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("2")
        place = app.screen
        assert isinstance(place, TokenizerScreen)
        await until(pilot, lambda: place.form.is_mounted)
        place.fill({"text_file": ("texts",)})
        await settled(pilot, place)
        await until(pilot, lambda: "newest" in str(place.query_one("#job").render()))

    with Lock.acquire(directory):
        said = picture(workspace, folder, "tokenizer", story)
    assert "notes-8k" in said
    assert "5.0 MB, 1 document" in said


def test_data(workspace: Workspace, folder: Path) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("3")
        place = app.screen
        assert isinstance(place, DataScreen)
        await until(pilot, lambda: place.form.is_mounted)
        place.fill({"source": "text", "path": ("texts",)})
        await settled(pilot, place)
        place.form.go_to("path")
        await until(pilot, lambda: getattr(place.focused, "key", None) == "path")

    said = picture(workspace, folder, "data", story)
    assert "talm prepare-data text --path texts" in said


def test_train(workspace: Workspace, folder: Path) -> None:
    add_manifest(workspace)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("4")
        place = app.screen
        assert isinstance(place, TrainScreen)
        await until(pilot, lambda: place.form.is_mounted)
        place.load_preset("talm")
        await type_into(pilot, place, "max_steps", "20k")
        await settled(pilot, place)
        await type_into(pilot, place, "n_embd", "130")

    said = picture(workspace, folder, "train", story)
    assert "must be a multiple of n_head" in said
    assert "What this meant before the error" in said


def test_runs(workspace: Workspace, folder: Path) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("5")
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        await until(pilot, lambda: len(screen.run.history.metrics))
        await until(pilot, lambda: screen.run.files.config)
        await pilot.pause()
        screen._changed()
        screen._tick()

    assert "nano" in picture(workspace, folder, "runs", story)


def test_play(models: Workspace, folder: Path) -> None:
    (models.directory("pretrain", "nano") / "checkpoint-000200").mkdir()

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("6")
        screen = app.screen
        assert isinstance(screen, PlayScreen)
        await until(pilot, lambda: screen.choice.models)
        screen.prompt.text = "class Queue:"
        screen.query_one("#edit-samples", TextEditor).value = "2"
        screen.query_one("#edit-beside", PickEditor).choose("step 200")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: not screen.generating)
        await pilot.press("tab", "home", *["right"] * 4)

    said = picture(models, folder, "play", story)
    assert "nano step 200 · seed 1338" in said


def test_every_place_has_its_page_and_every_picture_is_there() -> None:
    pages = {path.stem: path.read_text() for path in (DOCS / "places").glob("*.md")}
    assert {entry.mode for entry in places()} == set(pages)
    for name, page in pages.items():
        assert f"](../screens/{name}.svg)" in page
    for page in (*pages.values(), (DOCS.parent / "README.md").read_text()):
        for picture in re.findall(r"\((?:\.\./|docs/)(screens/[^)]*)\)", page):
            assert (DOCS / picture).is_file()
