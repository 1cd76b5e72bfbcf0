"""Several texts at once, a run that is followed, prompts and texts that are kept."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from textual.pilot import Pilot

from talm_core.runtime.event_json import to_json
from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp
from talm_tui.forms.editors import PickEditor, TextEditor
from talm_tui.play.files import MOST_PROMPTS, Prompts, save
from talm_tui.play.screen import PlayScreen
from tests.tui import canned
from tests.tui.app_pilot import play, said, screen_text, until
from tests.tui.play_pilot import TEXT, child, enter, idle, models

__all__ = ["child", "models"]


@pytest.mark.parametrize("text", ["0", "9", "two", ""])
def test_a_wrong_number_of_samples_is_told(models: Workspace, text: str) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        screen.query_one("#edit-samples", TextEditor).value = text
        await pilot.pause()
        assert "samples: must be a whole number, 1 to 8" in screen_text(app)
        await pilot.press("ctrl+r")
        assert screen.session is None
        assert screen.focused is screen.query_one("#edit-samples", TextEditor)

    play(models, story)


# --- several texts ---------------------------------------------------------------------------


def panes(screen: PlayScreen) -> list[tuple[str, str]]:
    return [
        (pane.border_title or "", pane.content.removeprefix("def ").split("(")[0][:8])
        for pane in screen.grid.panes
    ]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
def test_several_samples_have_seeds_of_their_own(models: Workspace, size: tuple[int, int]) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        screen.query_one("#edit-samples", TextEditor).value = "4"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: idle(screen))
        await pilot.pause()
        assert panes(screen) == [
            ("nano step 400 · seed 1337", "__init__"),
            ("nano step 400 · seed 1338", ""),
            ("nano step 400 · seed 1339", ", name=N"),
            ("nano step 400 · seed 1340", "name=Non"),
        ]
        columns = len({pane.region.x for pane in screen.grid.panes})
        assert columns == {80: 2, 120: 2, 200: 4}[size[0]]
        for pane in screen.grid.panes:
            assert pane.region.right <= size[0]
            assert pane.region.bottom <= size[1] - 1
            assert pane.region.height >= 5
        # The token under the cursor is that of the text that has the focus.
        await pilot.press("tab", "tab", "home")
        assert screen.grid.current is screen.grid.panes[1]
        assert '"(self"  p 0.90' in screen_text(app) or size[0] > 80
        screen.query_one("#edit-samples", TextEditor).value = "1"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: idle(screen))
        assert panes(screen) == [("nano step 400", "__init__")]

    play(models, story, size=size)


def test_two_checkpoints_on_the_same_prompt_and_seeds(models: Workspace) -> None:
    (models.directory("pretrain", "nano") / "checkpoint-000200").mkdir()

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await pilot.press("escape", "b")
        await until(pilot, lambda: app.screen is not screen)
        text = screen_text(app)
        assert "step 200" in text
        assert "of nano" in text
        assert "talm-1" in text
        await pilot.press("2", "0", "0", "enter")
        await until(pilot, lambda: app.screen is screen)
        screen.query_one("#edit-samples", TextEditor).value = "2"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: idle(screen))
        assert [title for title, _ in panes(screen)] == [
            "nano step 400 · seed 1337",
            "nano step 200 · seed 1337",
            "nano step 400 · seed 1338",
            "nano step 200 · seed 1338",
        ]
        models_asked = [lane.config.model for lane in screen.written]
        directory = models.directory("pretrain", "nano")
        assert models_asked == ["nano", str(directory / "checkpoint-000200")] * 2
        # Below each other stand two seeds, beside each other two checkpoints.
        corners = [(pane.region.x, pane.region.y) for pane in screen.grid.panes]
        assert corners[0][1] == corners[1][1]
        assert corners[0][0] == corners[2][0]
        # An older checkpoint alone, and another model beside it.
        await pilot.press("escape", "c")
        await until(pilot, lambda: app.screen is not screen)
        await pilot.press("2", "enter")
        await until(pilot, lambda: app.screen is screen)
        screen.query_one("#edit-beside", PickEditor).choose("talm-1")
        screen.query_one("#edit-samples", TextEditor).value = "1"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: idle(screen))
        assert [title for title, _ in panes(screen)] == ["nano step 200", "talm-1 step 400"]
        # With another model the steps of this one say nothing.
        screen.query_one("#edit-model", PickEditor).choose("talm-1")
        await pilot.pause()
        assert screen.query_one("#edit-checkpoint", PickEditor).value == "newest"
        assert screen.query_one("#edit-beside", PickEditor).value == ""

    play(models, story)


def test_escape_stops_all_of_them(models: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot, "forever")
        screen.query_one("#edit-samples", TextEditor).value = "3"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: all(len(pane.tokens) > 5 for pane in screen.grid.panes))
        counts = {len(pane.tokens) for pane in screen.grid.panes}
        # They are written in turn: none is far ahead.
        assert max(counts) - min(counts) <= 1
        await pilot.press("escape")
        assert idle(screen)
        assert all("stopped" in str(pane.border_subtitle) for pane in screen.grid.panes)

    play(models, story)


def test_a_failure_of_one_is_told(models: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot, "refuse")
        screen.query_one("#edit-samples", TextEditor).value = "2"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: idle(screen))
        await pilot.pause()
        assert "✕ failed" in str(screen.grid.panes[1].border_subtitle)
        assert "has no checkpoint yet" in screen_text(app)

    play(models, story)


# --- a run that goes on ----------------------------------------------------------------------


def test_a_new_checkpoint_is_followed_when_asked(models: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await pilot.press("ctrl+r")
        await until(pilot, lambda: idle(screen))
        directory = models.directory("pretrain", "nano")

        async def saves(step: int) -> None:
            (directory / f"checkpoint-{step:06d}").mkdir()
            with (directory / "events.jsonl").open("a") as journal:
                journal.write(to_json(canned.metrics(step, 900), time=canned.NOW + step) + "\n")
            app.refresh_workspace()
            await until(pilot, lambda: screen.choice.model and screen.choice.model.steps[0] == step)

        await saves(420)
        # Nobody asked for it.
        assert panes(screen)[0][0] == "nano step 400"
        await pilot.press("f4")
        assert "f4  follows the run" in screen_text(app)
        await until(pilot, lambda: len(screen.written) == 1 and idle(screen))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: idle(screen))
        before = dict(screen.__dict__)["written"]
        await saves(440)
        await until(pilot, lambda: screen.written is not before and idle(screen))
        assert screen._newest == ("nano", 440)
        await pilot.press("f4")
        assert "f4  follows" not in screen_text(app)

    play(models, story)


# --- prompts and texts that are kept ---------------------------------------------------------


def test_prompts_are_kept_for_the_next_time(models: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot, "class A:\n    def ")
        for prompt in ("class A:\n    def ", "import "):
            screen.prompt.text = prompt
            await pilot.press("ctrl+r")
            await until(pilot, lambda: idle(screen))
        await pilot.press("f3")
        await until(pilot, lambda: app.screen is not screen)
        text = screen_text(app)
        assert text.index("import") < text.index("class A: def")
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is screen)
        assert screen.prompt.text == "import "

    async def later(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot, "")
        await pilot.press("f3")
        await until(pilot, lambda: app.screen is not screen)
        await pilot.press("c", "l", "a", "enter")
        await until(pilot, lambda: app.screen is screen)
        assert screen.prompt.text == "class A:\n    def "
        assert screen.focused is screen.prompt

    play(models, story)
    play(models, later)


def test_the_texts_are_saved(models: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        screen = await enter(app, pilot)
        await pilot.press("ctrl+s")
        assert "Nothing is generated yet" in said(app)[-1]
        screen.query_one("#edit-samples", TextEditor).value = "2"
        await pilot.press("ctrl+r")
        await until(pilot, lambda: idle(screen))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: any("saved as" in text for text in said(app)))
        told = said(app)[-1]
        files = list((models.root / "play").glob("nano-*.txt"))
        assert len(files) == 1
        settings = "temperature 0.8, top-p 0.95, top-k 0"
        assert files[0].read_text() == (
            f"# nano step 400 · seed 1337; seed 1337, {settings}\n{TEXT}\n\n"
            f"# nano step 400 · seed 1338; seed 1338, {settings}\n"
            f"def {TEXT.removeprefix('def __init__')}\n"
        )
        assert app.clipboard == TEXT
        assert f"saved as {files[0]}" in told

    play(models, story)


def test_two_windows_keep_each_others_prompts(tmp_path: Path) -> None:
    first, second = Prompts(tmp_path), Prompts(tmp_path)
    assert first.read() == second.read() == []
    first.add("one")
    second.add("two")
    first.add("three")
    assert first.read() == Prompts(tmp_path).read() == ["three", "one", "two"]
    assert second.read() == ["two", "one"]


def test_prompts_survive_nonsense_in_their_file(tmp_path: Path) -> None:
    prompts = Prompts(tmp_path)
    assert prompts.known == []
    for number in range(MOST_PROMPTS + 5):
        prompts.add(f"prompt {number}")
    prompts.add("  ")
    prompts.add("prompt 9")
    path = tmp_path / "play" / "prompts.jsonl"
    path.write_text(path.read_text() + '{"a": 1}\n{torn\n"last"\n')
    known = Prompts(tmp_path).known
    assert known[:3] == ["last", "prompt 9", f"prompt {MOST_PROMPTS + 4}"]
    assert len(known) == MOST_PROMPTS
    path.write_bytes(b"\xff\xfe")
    assert Prompts(tmp_path).known == []


def test_a_name_never_leads_out_of_the_workspace(tmp_path: Path) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert save(tmp_path, "../../etc/x", "t", when).parent == tmp_path / "play"
    assert save(tmp_path, "nano", "t", when).name == "nano-20260102-030405.txt"
