"""Looking for files instead of typing their paths."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from talm_core.storage.workspace import Workspace
from talm_tui.forms.browser import BrowseScreen
from talm_tui.forms.folder import MOST, Entry, listing, shortened
from talm_tui.forms.screen import FormPlace
from tests.tui.app_pilot import screen_text
from tests.tui.form_pilot import run_at, until


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with texts, in which talm was started."""
    folder = tmp_path / "texts"
    (folder / "books").mkdir(parents=True)
    (folder / "books" / "a tale.txt").write_text("text " * 300)
    (folder / "books" / "b.txt").write_text("text")
    (folder / "notes.md").write_text("text")
    (folder / ".hidden").write_text("text")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder


async def browse(pilot: Pilot[None], place: FormPlace) -> BrowseScreen:
    place.form.go_to("text_file")
    await until(pilot, lambda: getattr(place.focused, "key", None) == "text_file")
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, BrowseScreen))
    screen = pilot.app.screen
    assert isinstance(screen, BrowseScreen)
    await until(pilot, lambda: screen._shown)
    return screen


def names(screen: BrowseScreen) -> list[str]:
    return [entry.name for entry in screen._shown]


def test_a_directory_directories_first(texts: Path) -> None:
    found = listing(texts)
    assert found.entries == (
        Entry("books", is_directory=True),
        Entry(".hidden", is_directory=False, size=4),
        Entry("notes.md", is_directory=False, size=4),
    )
    (texts / "gone").symlink_to(texts / "nowhere")
    (texts / "bad\x1b[31m").touch()
    assert [entry.name for entry in listing(texts).entries] == [
        *("books", ".hidden", "gone", "notes.md")
    ]
    assert listing(texts / "nowhere").problem == "No such file or directory"
    assert shortened(texts) == "~/texts"
    assert shortened(Path("/etc")) == "/etc"


def test_a_huge_directory_is_not_listed_to_its_end(tmp_path: Path) -> None:
    for number in range(MOST + 1):
        (tmp_path / f"{number}").touch()
    found = listing(tmp_path)
    assert found.more
    assert len(found.entries) == MOST


def test_many_files_are_marked_and_taken(empty_workspace: Workspace, texts: Path) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        screen = await browse(pilot, place)
        assert names(screen) == ["..", "books", "notes.md"]
        await pilot.press("down", "space", "up", "right")
        await until(pilot, lambda: names(screen) == ["..", "a tale.txt", "b.txt"])
        assert "1.5 kB" in screen_text(pilot.app)
        await pilot.press("space")
        assert screen.chosen == ["~/texts/notes.md", "~/texts/books/a tale.txt"]
        await pilot.press("space", "space")
        assert screen.chosen == ["~/texts/notes.md", "~/texts/books/a tale.txt"]
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is place)
        assert place.state.texts["text_file"] == '~/texts/notes.md "~/texts/books/a tale.txt"'
        assert place.query_one("#edit-text_file", Input).value == place.state.texts["text_file"]
        assert place.state.values["name"] == "notes-4k"
        # What was chosen is marked, and the list begins where it lies.
        screen = await browse(pilot, place)
        assert len(screen.chosen) == 2
        assert screen.folder == texts
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is place)
        await pilot.press("ctrl+z")
        await until(pilot, lambda: place.state.texts["text_file"] == "")

    run_at(empty_workspace, "tokenizer", steps)


def test_going_about_by_keys(empty_workspace: Workspace, texts: Path) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        screen = await browse(pilot, place)
        await pilot.press("left")
        await until(pilot, lambda: screen.folder == texts.parent)
        assert screen._current == Entry("texts", is_directory=True)
        await pilot.press("right")
        await until(pilot, lambda: screen.folder == texts)
        await pilot.press("n", "o")
        assert names(screen) == ["notes.md"]
        await pilot.press("backspace", "backspace", "full_stop", "h")
        assert names(screen) == [".hidden"]
        # Arrows move in what was typed before they leave it.
        await pilot.press("left")
        assert screen.folder == texts
        assert screen.query_one(Input).cursor_position == 1
        await pilot.press("z")
        assert names(screen) == []
        assert "no match" in screen_text(pilot.app)
        screen.query_one(Input).value = "~/texts/books/"
        await until(pilot, lambda: screen.folder == texts / "books")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is place)
        assert place.state.values["text_file"] == ("~/texts/books/a tale.txt",)

    run_at(empty_workspace, "tokenizer", steps)


def test_a_whole_directory_and_a_path_that_is_typed(
    empty_workspace: Workspace, texts: Path
) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        screen = await browse(pilot, place)
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is place)
        assert place.state.values["text_file"] == ("~/texts/books",)
        screen = await browse(pilot, place)
        screen.query_one(Input).value = "~/a"
        await pilot.press("end", "space", "b")
        assert screen.query_one(Input).value == "~/a b"
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is place)
        assert place.state.values["text_file"] == ("~/texts/books", "~/a b")

    run_at(empty_workspace, "tokenizer", steps)


def test_what_cannot_be_read_is_told(empty_workspace: Workspace, texts: Path) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        screen = await browse(pilot, place)
        screen.query_one(Input).value = "/no/such/place/"
        await until(pilot, lambda: "No such file" in screen_text(pilot.app))
        assert screen.folder == texts

    run_at(empty_workspace, "tokenizer", steps)


def test_by_mouse(empty_workspace: Workspace, texts: Path) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        screen = await browse(pilot, place)
        assert await pilot.click(OptionList, offset=(4, 2))
        await until(pilot, lambda: screen.chosen == ["~/texts/notes.md"])
        assert await pilot.click(OptionList, offset=(4, 1))
        await until(pilot, lambda: screen.folder == texts / "books")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: pilot.app.screen is place)
        assert place.state.values["text_file"] == ("~/texts/notes.md",)

    run_at(empty_workspace, "tokenizer", steps)


def test_pages_of_a_directory(empty_workspace: Workspace, texts: Path) -> None:
    for number in range(60):
        (texts / f"part-{number:02}.txt").touch()

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        screen = await browse(pilot, place)
        listed = screen.query_one(OptionList)
        await until(pilot, lambda: listed.option_count > 60)
        begin = listed.highlighted
        assert begin is not None
        await pilot.press("down", "down", "up")
        assert listed.highlighted == begin + 1
        await pilot.press("pagedown")
        further = listed.highlighted
        assert further is not None
        assert further > begin + 5
        await pilot.press("pageup")
        assert listed.highlighted is not None
        assert listed.highlighted <= begin + 1
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is place)
        assert place.state.values["text_file"] == ()

    run_at(empty_workspace, "tokenizer", steps)
