"""A form by its keys: moving, typing, choosing, finding."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from talm_core.storage.workspace import Workspace
from talm_tui.data.screen import DataScreen
from talm_tui.forms.command import CommandPreview
from talm_tui.forms.editors import ChoiceEditor, PickEditor, TextEditor
from talm_tui.forms.field import Field
from talm_tui.forms.form import Fold
from talm_tui.forms.picker import PickScreen
from talm_tui.forms.screen import FormPlace
from talm_tui.forms.setting_help import SettingHelp
from talm_tui.train.screen import TrainScreen
from tests.tui.app_pilot import screen_text
from tests.tui.form_pilot import add_manifest, field, run_at, settled, text_of, type_into, until


def key_of(place: FormPlace) -> str | None:
    return getattr(place.focused, "key", None)


def test_moving_between_fields_and_out(empty_workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        assert key_of(place) is None
        visited = []
        for press in ("down", "enter", "tab", "down", "up", "shift+tab", "pagedown", "pagedown"):
            await pilot.press(press)
            visited.append(key_of(place))
        assert visited == [
            *("name", "vocab_size", "text_file", "corpus", "text_file", "vocab_size", None, None)
        ]
        assert place.query_one(Fold).has_focus
        await pilot.press("escape")
        assert not place.query("*:focus")
        await pilot.press("3")
        await until(pilot, lambda: isinstance(pilot.app.screen, DataScreen))

    run_at(empty_workspace, "tokenizer", steps)


def test_digits_typed_into_a_field_stay_there(empty_workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await pilot.press("down", "down", "3", "0", "0")
        assert pilot.app.screen is place
        assert place.state.texts["vocab_size"] == "300"
        assert place.state.texts["name"] == "stdlib-300"
        assert field(place, "vocab_size").changed
        assert "1 changed" in text_of(place, "#form-changed")

    run_at(empty_workspace, "tokenizer", steps)


def test_what_is_wrong_stands_under_the_field(empty_workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await pilot.press("down", "down", "2", "0", "0")
        wrong = field(place, "vocab_size")
        assert "must be a whole number, 256 to 1,000,000" in str(wrong.render())
        await pilot.pause()
        assert wrong.size.height == 2
        assert "1 error" in text_of(place, "#form-changed")
        await pilot.press("0")
        assert wrong.problem is None
        assert place.state.config is not None
        await pilot.press("f5")
        assert place.state.texts["vocab_size"] == "4096"
        assert place.state.changed == []

    run_at(empty_workspace, "tokenizer", steps)


def test_changes_are_taken_back_and_made_again(workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        before = dict(place.state.texts)
        await type_into(pilot, place, "n_layer", "9")
        await type_into(pilot, place, "beta2", "0.5")
        await pilot.press("ctrl+z")
        await until(pilot, lambda: place.state.texts["beta2"] == before["beta2"])
        assert place.state.changed == ["n_layer"]
        assert place.query_one("#edit-beta2", Input).value == before["beta2"]
        await pilot.press("ctrl+z")
        await until(pilot, lambda: key_of(place) == "n_layer")
        assert place.state.changed == []
        await pilot.press("ctrl+y", "ctrl+y")
        await until(pilot, lambda: place.state.changed == ["n_layer", "beta2"])
        assert isinstance(place, TrainScreen)
        place.load_preset("talm")
        assert place.state.texts["n_head"] == "8"
        await pilot.press("escape", "ctrl+z")
        await until(pilot, lambda: place.state.changed == ["n_layer", "beta2"])
        assert place.query_one("#edit-preset", PickEditor).value == "nano"

    run_at(workspace, "train", steps)


def test_what_was_typed_is_there_after_a_visit_elsewhere(workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await type_into(pilot, place, "n_layer", "9")
        await pilot.press("escape", "3")
        await until(pilot, lambda: isinstance(pilot.app.screen, DataScreen))
        await pilot.press("4")
        await until(pilot, lambda: pilot.app.screen is place)
        assert place.query_one("#edit-n_layer", Input).value == "9"
        assert field(place, "n_layer").changed

    run_at(workspace, "train", steps)


def test_a_setting_is_found_from_inside_a_field(workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await pilot.press("down", "slash")
        assert place.state.texts["model_name"].endswith("/")
        await pilot.press("ctrl+f")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickScreen))

    run_at(workspace, "train", steps)


def test_files_are_looked_at_while_somebody_types(
    empty_workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("text\n" * 2000)

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await type_into(pilot, place, "text_file", str(tmp_path / "b.txt"))
        await until(pilot, lambda: field(place, "text_file").problem)
        await type_into(pilot, place, "text_file", str(tmp_path / "a.txt"))
        assert field(place, "text_file").problem is None
        await settled(pilot, place)
        assert field(place, "text_file").problem is None
        assert "10 kB, 1 document" in place.meant.brief

    run_at(empty_workspace, "tokenizer", steps)


def test_completion_of_a_path(empty_workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await type_into(pilot, place, "text_file", f"{tmp_path}/cor")
        editor = place.focused
        assert isinstance(editor, TextEditor)
        await until(pilot, lambda: editor._suggestion.endswith("corpus/"))
        await pilot.press("end", "right")
        await until(pilot, lambda: place.state.texts["text_file"] == f"{tmp_path}/corpus/")

    run_at(empty_workspace, "tokenizer", steps)


def test_choices_by_key_and_mouse(empty_workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        place.form.go_to("pattern")
        await until(pilot, lambda: key_of(place) == "pattern")
        editor = place.query_one("#edit-pattern", ChoiceEditor)
        assert place.focused is editor
        await pilot.press("right")
        assert place.state.texts["pattern"] == "gpt2"
        await pilot.press("left")
        assert place.state.texts["pattern"] == "default"
        await pilot.pause()
        assert await pilot.click("#edit-pattern", offset=(13, 0))
        assert place.state.texts["pattern"] == "gpt2"
        await pilot.press("enter")
        assert key_of(place) == "special_tokens"
        await pilot.click("#field-val_fraction", offset=(2, 0))
        assert key_of(place) == "val_fraction"

    run_at(empty_workspace, "tokenizer", steps)


def test_what_means_nothing_now_is_not_shown(empty_workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        assert not field(place, "path").display
        assert not field(place, "dataset").display
        await pilot.press("down", "down")
        assert key_of(place) == "ds_sample"
        await pilot.press("up", "right")
        assert place.state.texts["source"] == "text"
        assert field(place, "path").display
        assert not field(place, "dataset").display
        assert field(place, "path").problem is not None
        await pilot.press("down")
        assert key_of(place) == "path"
        await pilot.press("x", "up", "left")
        # It has to be seen, or nobody knows why nothing starts.
        assert field(place, "path").display
        assert field(place, "path").problem is not None
        place.state.reset("path")
        place.judge()
        assert not field(place, "path").display
        # Whoever looks for it finds it.
        place.form.go_to("dataset")
        await until(pilot, lambda: key_of(place) == "dataset")

    run_at(empty_workspace, "data", steps)


def test_many_choices_are_a_list_that_says_what_each_is(empty_workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickScreen))
        await pilot.press(*"megabyte", "enter")
        await until(pilot, lambda: pilot.app.screen is place)
        assert place.state.texts["source"] == "tiny-shakespeare"
        await pilot.press("up", "enter", *"nonsense", "enter")
        assert isinstance(pilot.app.screen, PickScreen)

    run_at(empty_workspace, "data", steps)


def test_a_changed_field_says_what_it_was(workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await type_into(pilot, place, "n_layer", "9")
        await type_into(pilot, place, "max_steps", "1e3")
        assert "* " in str(field(place, "n_layer").render())
        assert str(field(place, "n_layer").render()).endswith("was 4    ")
        assert " * steps   was 700" in str(field(place, "max_steps").render())
        assert place.state.values["max_steps"] == 1000
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert "was" not in str(field(place, "n_layer").render())
        assert "*" in str(field(place, "n_layer").render())

    run_at(workspace, "train", steps)


def test_picking_a_tokenizer(workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        place.form.go_to("tokenizer_path")
        await until(pilot, lambda: key_of(place) == "tokenizer_path")
        await pilot.press("c", "o", "8")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickScreen))
        listed = pilot.app.screen.query_one(OptionList)
        await until(pilot, lambda: listed.option_count == 0)
        await pilot.press("backspace")
        await until(pilot, lambda: listed.option_count == 1)
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is place)
        assert place.state.texts["tokenizer_path"] == "code-8k"
        await until(pilot, lambda: key_of(place) == "max_tokens")
        await pilot.press("up", "left")
        assert place.state.texts["tokenizer_path"] == "base"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickScreen))
        await pilot.press("~", "/", "x", ".", "j", "enter")
        await until(pilot, lambda: pilot.app.screen is place)
        assert place.state.texts["tokenizer_path"] == "~/x.j"
        await pilot.press("up", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickScreen))
        await pilot.press("escape")
        assert place.state.texts["tokenizer_path"] == "~/x.j"

    run_at(workspace, "data", steps)


def test_finding_a_setting_unfolds_it(workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        assert not place.query("#field-beta2")
        await pilot.press("slash", "b", "e", "t", "a", "2")
        assert pilot.app.screen.query_one(OptionList).option_count == 1
        await pilot.press("enter")
        await until(pilot, lambda: key_of(place) == "beta2")
        assert "AdamW" in text_of(place, SettingHelp.__name__)
        await pilot.press("f4")
        assert not field(place, "beta2").display
        await pilot.press("f4")
        assert field(place, "beta2").display

    run_at(workspace, "train", steps)


def test_starting_with_something_wrong_goes_there(workspace: Workspace) -> None:
    add_manifest(workspace)

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await type_into(pilot, place, "n_embd", "130")
        await type_into(pilot, place, "beta2", "2")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: key_of(place) == "n_embd")
        assert "128 or 136" in " ".join(str(field(place, "n_embd").render()).split())
        await type_into(pilot, place, "n_embd", "136")
        await pilot.press("f4", "escape", "ctrl+r")
        await until(pilot, lambda: key_of(place) == "beta2")
        assert place.query_one(Fold).open

    run_at(workspace, "train", steps)


def test_the_command_is_copied_and_kept(empty_workspace: Workspace, tmp_path: Path) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await type_into(pilot, place, "special_tokens", '<|endoftext|> "<a b>"')
        command = place.query_one(CommandPreview).command
        await pilot.press("f2")
        assert shlex.split(command) == [
            *("talm", "train-tokenizer", "--name", "stdlib-4k"),
            *("--special-tokens", "<|endoftext|>", "--special-tokens", "<a b>"),
            *("--workspace", str(empty_workspace.root)),
        ]
        assert pilot.app.clipboard == command
        file = empty_workspace.root / "commands" / "train-tokenizer-stdlib-4k.sh"
        assert file.read_text() == f"#!/bin/sh\n{command}\n"

    run_at(empty_workspace, "tokenizer", steps)


def test_a_command_that_is_kept_works_from_anywhere(
    empty_workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("text")
    monkeypatch.chdir(tmp_path)

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await type_into(pilot, place, "text_file", "a.txt")
        assert "--text-file a.txt " in place.query_one(CommandPreview).command
        await pilot.press("f2")
        assert f"--text-file {tmp_path}/a.txt " in pilot.app.clipboard

    run_at(empty_workspace, "tokenizer", steps)


def test_a_command_that_cannot_be_kept_is_still_copied(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await pilot.press("f2")
        assert pilot.app.clipboard.startswith("talm train-tokenizer")

    run_at(Workspace(tmp_path / "file" / "ws"), "tokenizer", steps)


@pytest.mark.parametrize(
    ("mode", "key"), [("tokenizer", "name"), ("data", "max_tokens"), ("train", "n_layer")]
)
def test_it_fits_every_terminal(workspace: Workspace, mode: str, key: str) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        await type_into(pilot, place, key, "x")
        for width, height in ((200, 60), (120, 40), (20, 5), (80, 24)):
            await pilot.resize_terminal(width, height)
            await until(pilot, lambda: place.size.width == width)  # noqa: B023 - awaited here
            assert not place.form.show_horizontal_scrollbar
            for shown in (*place.query(Field), place.query_one("#help")):
                assert shown.region.right <= width
        assert place.query_one("#command").region.bottom == 23

    run_at(workspace, mode, steps, (80, 24))


def test_text_from_outside_is_only_text(empty_workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        place.fill({"name": "[red]\x1b[31mx", "text_file": ("/no[such]\x07",)})
        await pilot.pause()
        assert place.query_one("#edit-name", Input).value == "[red]x"
        await settled(pilot, place)
        assert "\x1b" not in place.query_one(CommandPreview).render_str("x").plain
        assert "\x07" not in str(field(place, "text_file").render())

    run_at(empty_workspace, "tokenizer", steps)


def test_values_from_another_place(workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        pilot.app.open_form("data", tokenizer_path="code-8k")  # type: ignore[attr-defined]
        await until(pilot, lambda: isinstance(pilot.app.screen, DataScreen))
        data = pilot.app.screen
        assert isinstance(data, DataScreen)
        await until(pilot, lambda: data.state.texts["tokenizer_path"] == "code-8k")
        # stdlib/all is there already: the new one is named after its tokenizer.
        assert data.state.texts["dir_prefix"] == "code-8k"
        assert data.query_one("#edit-tokenizer_path", PickEditor).value == "code-8k"

    run_at(workspace, "tokenizer", steps)


@pytest.mark.parametrize(
    ("mode", "key", "wrong", "right", "width"),
    [
        ("tokenizer", "vocab_size", "12", "300", 120),
        ("data", "max_tokens", "many", "10k", 120),
        ("train", "n_embd", "130", "256", 80),
    ],
)
def test_what_the_last_valid_values_mean_is_told_apart(
    workspace: Workspace, mode: str, key: str, wrong: str, right: str, width: int
) -> None:
    add_manifest(workspace)
    mark = "(what this meant before the error)" if width < 100 else "What this meant before"

    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        if mode == "data":
            # The one that would be proposed has no file here.
            place.fill({"tokenizer_path": "base"})
        await settled(pilot, place)
        before = place.meant
        assert before.rows
        assert mark not in screen_text(place.app)
        await type_into(pilot, place, key, wrong)
        await until(pilot, lambda: mark in screen_text(place.app))
        assert place.meant == before
        await type_into(pilot, place, key, right)
        await settled(pilot, place)
        await until(pilot, lambda: mark not in screen_text(place.app))
        assert place.meant != before

    run_at(workspace, mode, steps, size=(width, 30))


def test_pages_of_fields_and_of_a_list(workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        order = [item.key for item in place.state.items if not item.setting.advanced]
        await pilot.press("down")
        first = key_of(place)
        assert first is not None
        begin = order.index(first)
        await pilot.press("pagedown")
        assert key_of(place) == order[begin + 8]
        await pilot.press("up", "pageup")
        assert key_of(place) == first
        await pilot.press("ctrl+f")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickScreen))
        listed = pilot.app.screen.query_one(OptionList)
        assert listed.highlighted == 0
        visited = []
        for press in ("down", "down", "up", "pagedown", "pageup"):
            await pilot.press(press)
            assert listed.highlighted is not None
            visited.append(listed.highlighted)
        assert visited[:3] == [1, 2, 1]
        assert visited[3] > 5
        assert visited[4] < visited[3]
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is place)

    run_at(workspace, "train", steps)


def test_a_dozen_lines_are_for_the_fields(workspace: Workspace) -> None:
    async def steps(pilot: Pilot[None], place: FormPlace) -> None:
        assert place.form.size.height == 9
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: place.query_one("#form-side").size.height)
        assert place.form.size.height < 16

    run_at(workspace, "data", steps, size=(60, 12))
