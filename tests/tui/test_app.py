"""The app around the places: switching, jobs, notifications, preferences, survival."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from textual.color import Color
from textual.pilot import Pilot
from textual.widgets import Input

from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime.events import Stop
from talm_core.runtime.lock import Lock
from talm_core.storage.workspace import Workspace
from talm_core.system.foreign_text import line, plain
from talm_tui.app import TalmApp
from talm_tui.charts.sparkline import sparkline
from talm_tui.services import messages
from talm_tui.services.watcher import Looker, Machine, Snapshot
from talm_tui.shell import preferences
from talm_tui.shell.header import pulse
from talm_tui.shell.help import HelpScreen
from talm_tui.shell.places import places
from talm_tui.shell.screen import Place
from talm_tui.shell.theme import DARK, LIGHT, SERIES, themes
from talm_tui.widgets.format import ago, percent
from talm_tui.widgets.status import bar
from tests.tui import canned
from tests.tui.app_pilot import play, said, screen_text, until

# --- places ----------------------------------------------------------------------------------


def test_each_digit_leads_to_its_place(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        for entry in (*places()[::-1], *places()):
            app.screen.set_focus(None)
            await pilot.press(entry.key)
            await pilot.pause()
            assert app.current_mode == entry.mode
            assert isinstance(app.screen, Place)
            assert f"{entry.key} {entry.title}" in screen_text(app).splitlines()[0]

    play(workspace, story)


def test_the_header_is_a_row_of_places_to_click(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        column = screen_text(app).splitlines()[0].index("3 Data")
        await pilot.click("#header", offset=(column, 0))
        await until(pilot, lambda: app.current_mode == "data")

    play(workspace, story)


def test_the_footer_is_a_row_of_keys_to_click(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        column = screen_text(app).splitlines()[-1].index("help")
        await pilot.click("#keys", offset=(column, 0))
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("f1")
        await until(pilot, lambda: not isinstance(app.screen, HelpScreen))

    play(workspace, story)


def test_digits_typed_into_a_field_stay_there(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        field = Input()
        await app.screen.mount(field)
        field.focus()
        await pilot.press("3", "4")
        assert field.value == "34"
        assert app.current_mode == "home"
        await pilot.press("escape", "2")
        await pilot.pause()
        assert app.current_mode == "tokenizer"

    play(workspace, story)


def test_a_place_waits_while_a_question_is_open(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("K", "3")
        assert app.current_mode == "home"
        await pilot.press("n")

    play(workspace, story)


def test_the_palette_offers_the_places(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        titles = [command.title for command in app.get_system_commands(app.screen)]
        assert [f"Go to {entry.title}" for entry in places()] == titles[: len(places())]
        await pilot.press("ctrl+p")
        await until(pilot, lambda: "Go to Data" in screen_text(app))
        await pilot.press("escape")

    play(workspace, story)


def test_help_says_what_the_place_is_for_and_all_its_keys(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        for entry in places():
            app.action_place(entry.mode)
            await pilot.pause()
            place = app.screen
            await pilot.press("f1")
            await pilot.pause()
            text = screen_text(app)
            assert "Keys" in text
            assert "`" not in text
            assert "**" not in text
            for _, binding, enabled, tooltip in place.active_bindings.values():
                if binding.show and enabled and binding.id:
                    assert (tooltip or binding.description) in text, (entry.mode, binding)
            await pilot.press("escape")
            await pilot.pause()

    play(workspace, story, size=(120, 120))


def test_the_palette_does_what_the_keys_do(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        commands = {item.title: item.callback for item in app.get_system_commands(app.screen)}
        await app.run_action("place('home')")
        stop = commands["Save and end the chosen run"]()
        assert stop is not None
        await stop
        await until(pilot, lambda: "Stop nano?" in screen_text(app))

    play(workspace, story)


# --- jobs ------------------------------------------------------------------------------------


def test_a_job_that_cannot_start_says_why(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        app.start_job(TokenizerConfig(name="x", text_file=("/not/there.txt",)))
        await until(pilot, lambda: said(app))
        assert "/not/there.txt" in said(app)[0]
        assert not workspace.directory("tokenizer", "x").exists()

    play(workspace, story)


def test_problems_go_to_the_screen_that_asked(workspace: Workspace) -> None:
    heard: list[messages.JobRefused] = []

    class Asking(TalmApp):
        def on_job_refused(self, message: messages.JobRefused) -> None:
            heard.append(message)

    app = Asking(workspace)

    async def story(_: TalmApp, pilot: Pilot[None]) -> None:
        app.start_job(PretrainConfig(model_name="talm-1", data_dir="nowhere"))
        await pilot.press("3")
        await until(pilot, lambda: heard)
        assert [problem.key for problem in heard[0].problems] == ["data_dir"]

    play(workspace, story, app=app)


def test_a_command_to_a_job_that_is_gone_is_told(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        app.send(workspace.directory("pretrain", "try-3"), Stop())
        await until(pilot, lambda: said(app))
        assert "is not running" in said(app)[0]

    play(workspace, story)


def test_a_command_reaches_the_job(workspace: Workspace) -> None:
    folder = workspace.directory("pretrain", "nano") / "commands"

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        app.send(folder.parent, Stop())
        await until(pilot, lambda: folder.is_dir() and any(folder.glob("*.json")))
        [file] = folder.glob("*.json")
        assert json.loads(file.read_text()) == {"command": "Stop"}

    play(workspace, story)


def test_jobs_of_other_terminals_appear(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        config = PretrainConfig(model_name="elsewhere", data_dir="stdlib/all", max_steps=100)
        directory = canned.artifact(workspace, config, canned.run_events(40, 100))
        with Lock.acquire(directory):
            app.refresh_workspace()
            await until(pilot, lambda: len(app.snapshot.active) == 2)
            await until(pilot, lambda: "▶ elsewhere" in screen_text(app))
        # The process dies without a word.
        app.refresh_workspace()
        await until(pilot, lambda: len(app.snapshot.active) == 1)
        await until(pilot, lambda: "◐ elsewhere" in screen_text(app))

    play(workspace, story)


# --- watching --------------------------------------------------------------------------------


def look(looker: Looker) -> Snapshot:
    *_, last = looker.snapshots()
    return last


def test_a_look_keeps_what_has_not_changed(workspace: Workspace) -> None:
    looker = Looker(workspace)
    first, second = look(looker), look(looker)
    assert first == second
    assert all(a is b for a, b in zip(first.models, second.models, strict=True))
    assert [item.name for item in first.active] == ["nano"]


def test_a_run_made_again_under_its_name_is_read_anew(workspace: Workspace) -> None:
    looker = Looker(workspace)
    look(looker)
    config = PretrainConfig(model_name="try-2", data_dir="stdlib/all", max_steps=50)
    journal = workspace.directory_of(config) / "events.jsonl"
    journal.rename(journal.with_name("old"))
    canned.artifact(workspace, config, canned.run_events(20, 50))
    [again] = [item for item in look(looker).models if item.name == "try-2"]
    assert again.metrics is not None
    assert (again.metrics.step, again.metrics.max_steps) == (20, 50)
    assert again.message == ""


def test_what_is_deleted_is_gone(workspace: Workspace) -> None:
    looker = Looker(workspace)
    look(looker)
    for file in (workspace.folder("pretrain") / "try-2").iterdir():
        file.unlink()
    assert "try-2" not in [item.name for item in look(looker).models]


def test_five_hundred_runs_are_listed_and_looked_at_cheaply(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for number in range(500):
        config = PretrainConfig(model_name=f"run-{number:03d}", data_dir="stdlib/all")
        canned.artifact(workspace, config, canned.run_events(30, 900), end=canned.NOW + number)
    looker = Looker(workspace)
    assert [item.name for item in look(looker).models[:2]] == ["run-499", "run-498"]
    began = time.thread_time()
    look(looker)
    assert time.thread_time() - began < 0.25, "seconds of a core, every second"

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.press("end")
        await pilot.pause()
        assert "run-000" in screen_text(app)
        await pilot.press("home")
        await pilot.pause()
        assert "run-499" in screen_text(app)

    play(workspace, story)


# --- preferences -----------------------------------------------------------------------------


def test_a_theme_is_remembered(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        assert app.theme == DARK
        app.theme = LIGHT
        await pilot.pause()

    play(workspace, story)
    assert preferences.Preferences.load() == preferences.Preferences(theme=LIGHT)
    assert TalmApp(workspace).theme == LIGHT


def test_a_theme_leaves_the_rest_of_the_file_alone() -> None:
    path = preferences.directory() / preferences.FILE_NAME
    path.parent.mkdir(parents=True)
    path.write_text('# mine\nfuture = "x"\n')
    preferences.save_theme(LIGHT)
    assert path.read_text() == f'# mine\nfuture = "x"\ntheme = "{LIGHT}"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("theme = ", "cannot be read"),
        ("theme = " + "[" * 100_000, "cannot be read"),
        ("theme = 5", "cannot understand theme"),
        ('theme = "solarised"', "There is no theme solarised"),
    ],
)
def test_a_damaged_file_of_preferences_is_told(workspace: Workspace, text: str, told: str) -> None:
    path = preferences.directory() / preferences.FILE_NAME
    path.parent.mkdir(parents=True)
    path.write_text(text)

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        assert told in said(app)[0]
        assert app.theme == DARK

    play(workspace, story)


# --- words and colours -----------------------------------------------------------------------


def test_text_from_outside_cannot_act_on_the_terminal() -> None:
    assert plain("a\x1b[31mb\x1b]0;title\x07c\x1b(Bd\x9b2Je\x00\r\u202e\ud800") == "abcd2Je"
    assert plain("[b]x[/b]\tü\n日本") == "[b]x[/b]\tü\n日本"
    assert plain("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\") == "link"
    assert line("a\n\tb  c") == "a b c"


def test_the_pulse_keeps_what_runs_when_there_is_no_room(workspace: Workspace) -> None:
    whole = look(Looker(workspace))
    assert pulse(whole, 60) == "2 cores · 4.1/23 GiB · ▶ nano 46 %"
    assert pulse(whole, 30) == "4.1/23 GiB · ▶ nano 46 %"
    assert pulse(whole, 12) == "▶ nano 46 %"
    assert pulse(whole, 9) == "▶ n… 46 %"
    both = replace(whole, active=whole.active * 2, machine=Machine())
    assert pulse(both, 60) == "▶ nano 46 % +1"
    assert pulse(Snapshot(), 60) == ""
    gib = canned.GIB
    gpu = Machine("NVIDIA H200", 4 * gib, 23 * gib, 41 * gib, 139 * gib, "node-7")
    big = replace(whole, machine=gpu)
    assert pulse(big, 80) == ("node-7 · NVIDIA H200 41.0/139 GiB · host 4.0/23 GiB · ▶ nano 46 %")
    assert pulse(big, 60) == "NVIDIA H200 41.0/139 GiB · host 4.0/23 GiB · ▶ nano 46 %"
    assert pulse(big, 40) == "host 4.0/23 GiB · ▶ nano 46 %"


def test_a_share_says_all_only_when_it_is() -> None:
    assert [percent(value) for value in (None, 0.0, 0.456, 0.9999, 1.0)] == [
        "", "0 %", "46 %", "99 %", "100 %",
    ]  # fmt: skip
    assert bar(0.5, 4).plain == "██  "
    assert bar(0.53125, 4).plain == "██▏ "
    assert bar(1, 3).plain == "███"
    assert bar(None, 3).plain == "╌╌╌"


def test_when_something_was() -> None:
    spans = {5: "just now", 300: "5 min ago", 7300: "2 h ago", 90_000: "yesterday"}
    spans |= {400_000: "5 days ago"}
    assert {seconds: ago(canned.NOW - seconds) for seconds in spans} == spans


def test_a_sparkline_falls_with_its_values() -> None:
    assert sparkline([4, 3, 2, 1], 2) == "⠑⢄"
    assert sparkline([1, 1], 4) == "⠤"
    assert sparkline([], 4) == ""
    assert sparkline([float("nan")] * 4, 4) == ""
    assert sparkline([4, 4, float("nan"), float("nan"), 1, 1], 3) == "⠉⠀⣀"
    assert sparkline([4, 1], 1) == "⢱", "neighbours are joined"
    assert len(sparkline(list(range(1000)), 7)) == 7


def test_colours_can_be_read() -> None:
    """Contrast of 4.5 to 1 on the background, as WCAG 2 asks of text."""
    for theme in themes():
        background = Color.parse(theme.background or "")
        named = {
            "primary": theme.primary,
            "secondary": theme.secondary,
            "accent": theme.accent,
            "success": theme.success,
            "warning": theme.warning,
            "error": theme.error,
            **{k: v for k, v in theme.variables.items() if k.startswith("series-")},
        }
        for name, colour in named.items():
            ratio = _contrast(Color.parse(colour or "").rgb, background.rgb)
            assert ratio >= 4.5, (theme.name, name, ratio)
        # The first and the last line.
        panel = Color.parse(theme.panel or "").rgb
        for colour in (theme.accent, theme.secondary, theme.variables["footer-key-foreground"]):
            ratio = _contrast(Color.parse(colour or "").rgb, panel)
            assert ratio >= 4.5, (theme.name, colour, ratio)


def test_every_theme_dresses_every_place(workspace: Workspace) -> None:
    """Textual's themes know nothing of series: those must be there, and be seen (3 to 1)."""

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        assert {DARK, LIGHT, "textual-dark", "nord", "solarized-light"} <= set(app.available_themes)
        for theme in sorted(app.available_themes):
            app.theme = theme
            await pilot.pause()
            colours = app.get_css_variables()
            if colours["background"].startswith("ansi"):
                continue
            background = Color.parse(colours["background"]).rgb
            for number in range(1, SERIES + 1):
                ratio = _contrast(Color.parse(colours[f"series-{number}"]).rgb, background)
                assert ratio >= 3, (theme, number, ratio)
        for entry in places():
            app.action_place(entry.mode)
            await pilot.pause()
            assert app.current_mode == entry.mode

    play(workspace, story)


def _contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    def luminance(rgb: tuple[int, int, int]) -> float:
        parts = [value / 255 for value in rgb]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# --- imports ---------------------------------------------------------------------------------


def test_the_screen_loads_nothing_heavy(tmp_path: Path) -> None:
    """In a fresh interpreter: before the first frame not even the settings, ever no torch."""
    code = """
import re, sys
import talm_tui.app, talm_tui.home.screen
early = {name.split(".")[0] for name in sys.modules}
core = {name for name in sys.modules if name.split(".")[0] == "talm_core"}
from talm_tui.shell.places import places
for entry in places():
    entry.open()
from talm_core.storage.workspace import Workspace
from talm_tui.services.watcher import Looker
list(Looker(Workspace(sys.argv[1])).snapshots())
late = {name.split(".")[0] for name in sys.modules}
print(sorted(early & {"pydantic", "numpy", "psutil"}))
light = {"talm_core", "talm_core.errors", "talm_core.system", "talm_core.system.foreign_text"}
# Which places there are is said by the specs, which load nothing.
specs = re.compile(r"talm_core[.]jobs([.](registry|spec|[a-z]+|[a-z]+[.]spec))?")
print(sorted(name for name in core - light if not specs.fullmatch(name)))
print(sorted(late & {"torch", "tiktoken", "datasets", "pyarrow", "transformers", "numba"}))
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n[]\n[]\n"


def test_rubbish_is_looked_for_after_the_first_frame(empty_workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.pause()
        assert gc.isenabled()

    gc.disable()
    try:
        play(empty_workspace, story)
    finally:
        gc.enable()
