"""The one declaration of actions, and keys of somebody's own."""

from __future__ import annotations

import tomllib
from collections import Counter

import pytest
from textual.pilot import Pilot

from talm_core.storage.workspace import Workspace
from talm_tui.__main__ import main
from talm_tui.app import TalmApp
from talm_tui.shell import actions, keymap
from talm_tui.shell.keymap import Keymap
from talm_tui.shell.places import places
from tests.tui.app_pilot import play, said, screen_text, until


def write(text: str) -> None:
    path = keymap.path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# --- the declaration -------------------------------------------------------------------------


def test_every_binding_has_an_id_of_its_own_and_says_what_it_does() -> None:
    catalogue = actions.catalogue()
    listed = [action.id for cls in actions._classes() for action in actions.declared(cls)]
    assert not [action_id for action_id, count in Counter(listed).items() if count > 1]
    listed += [entry.action_id for entry in places()]
    assert sorted(listed) == sorted(catalogue)
    assert all(action.text and action.keys for action in catalogue.values())
    assert catalogue["home.quickstart"].keys == ("s",)
    assert catalogue["form.next"].keys == ("down", "enter")


def test_no_two_actions_of_a_place_share_a_key() -> None:
    for scope in actions.scopes():
        own = [key for name, keys in scope.keys.items() if "." in name for key in keys]
        assert not [key for key, count in Counter(own).items() if count > 1], scope.name


def test_every_key_reaches_an_app_in_every_terminal() -> None:
    """Letters, digits, signs, f1 to f12, arrows, the few named ones and ctrl with most letters."""
    for action in actions.catalogue().values():
        for key in action.keys:
            assert keymap._named(key) == (key, ""), action
            modifiers, _, base = key.rpartition("+")
            assert modifiers in ("", "ctrl"), action
            assert not modifiers or (len(base) == 1 and base.isalpha()), action


# --- reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("/", "slash"), ("+", "plus"), ("^r", "ctrl+r"), ("Ctrl+X", "ctrl+x"), ("esc", "escape"),
        ("PgDn", "pagedown"), ("shift+g", "G"), ("J", "J"), ("ctrl++", "ctrl+plus"), ("↑", "up"),
        ("F5", "f5"), ("shift+ctrl+left", "ctrl+shift+left"), (" ", "space"), ("é", "é"),
    ],
)  # fmt: skip
def test_keys_are_understood_as_they_are_written_and_shown(typed: str, key: str) -> None:
    assert keymap._named(typed) == (key, "")


def test_a_file_of_tables_and_of_dotted_names() -> None:
    write(
        'home.quickstart = "f5"\n"runs.pause" = ["space", "P"]\n'
        '[app]\nhelp = "?, f1"\nquit = "^x"\n'
    )
    assert keymap.check(keymap.read()) == Keymap(
        {
            "home.quickstart": "f5",
            "runs.pause": "space,P",
            "app.help": "question_mark,f1",
            "app.quit": "ctrl+x",
        }
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("home.log = ", "cannot be read"),
        ("home.log = " + "[" * 100_000, "cannot be read"),
        ("home.log = 5", 'home.log = 5: keys are written "j" or "j, down"'),
        ('home.log = ""', "home.log: a key is missing"),
        ('home.log = "entre"', 'there is no key "entre"; do you mean enter?'),
        ('home.log = "ctrl+i"', "a terminal sends ctrl+i as tab"),
        ('home.lgo = "z"', "home.lgo: there is no such action; do you mean home.log?"),
        ('app.quit = "q"', "q could not be typed into a field any more"),
        ('home.log = "r"', "r is the key of home.resume (Resume the chosen run)"),
        ('app.data = "s"', "s is the key of home.quickstart"),
        ('home.log = "tab"', "tab is the key of Focus Next (Textual's own)"),
    ],
)
def test_what_cannot_be_is_told_and_left_out(text: str, told: str) -> None:
    write(text)
    checked = keymap.check(keymap.read())
    assert checked.keys == {}
    [problem] = checked.problems
    assert told in problem


def test_keys_can_be_swapped_and_a_refusal_does_not_take_others_along() -> None:
    swapped = {"home.quickstart": "r", "home.resume": "s"}
    assert keymap.check(Keymap(swapped)) == Keymap(swapped)
    # The second takes a key that is not free, so the first cannot have the second's.
    chained = keymap.check(Keymap({"runs.pause": "K", "runs.stop": "c", "home.log": "o"}))
    assert chained.keys == {"home.log": "o"}
    assert [problem.split(":")[0] for problem in chained.problems] == ["runs.stop", "runs.pause"]


def test_the_written_file_changes_nothing_until_it_is_edited() -> None:
    path = keymap.write()
    assert keymap.read() == Keymap()
    text = path.read_text(encoding="utf-8")
    live = "\n".join(
        line.removeprefix("# ") if " = " in line else line for line in text.splitlines()
    )
    tables = tomllib.loads(live)
    assert {f"{group}.{name}" for group, names in tables.items() for name in names} == set(
        actions.catalogue()
    )
    write(live)
    assert keymap.check(keymap.read()).problems == ()
    with pytest.raises(FileExistsError):
        keymap.write()


def test_the_command_writes_it_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--write-keymap"]) == 0
    assert capsys.readouterr().out == f"{keymap.path()}\n"
    assert main(["--write-keymap"]) == 2
    assert capsys.readouterr().err == f"{keymap.path()} is there already\n"


# --- in the app ------------------------------------------------------------------------------


def test_footer_header_help_and_hints_show_the_keys_that_work(empty_workspace: Workspace) -> None:
    write('[home]\nquickstart = "f5"\ntokenizer = "o"\n[app]\ndata = "f8"\nquit = "ctrl+x"\n')

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        lines = screen_text(app).splitlines()
        assert "f8 Data" in lines[0]
        # Where it is declared: first.
        assert lines[-1].startswith(" f5 quick start")
        assert "^x quit" in lines[-1]
        assert "Press f5: talm trains" in screen_text(app)
        assert "o  train one" in screen_text(app)
        await pilot.press("f1")
        await pilot.pause()
        assert "f5 does" in screen_text(app)
        await pilot.press("escape", "3")
        assert app.current_mode == "home"
        await pilot.press("f8")
        await pilot.pause()
        assert app.current_mode == "data"
        # In a dialog's place, too: Runs tells what to press in Home.
        await pilot.press("5")
        await until(pilot, lambda: "and then f5" in screen_text(app))

    play(empty_workspace, story)


def test_lists_and_dialogs_name_the_keys_that_work(workspace: Workspace) -> None:
    write(
        '[home]\nresume = "f6"\nlog = "f7"\n[confirm]\nyes = "j"\nno = "f9"\n'
        '[log]\nclose = "f10"\n[train]\npreset = "f12"\n'
    )

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        runs = screen_text(app)
        assert "f6  resume" in runs
        assert "f7  log" in runs
        await pilot.press("K")
        await until(pilot, lambda: "j  stop" in screen_text(app))
        assert "f9  keep running" in screen_text(app)
        await pilot.press("f9", "f7")
        await until(pilot, lambda: "f10  close" in screen_text(app))
        await pilot.press("f10", "4")
        await until(pilot, lambda: "f12 preset" in screen_text(app))

    play(workspace, story)


def test_a_bad_line_is_told_and_the_rest_holds(workspace: Workspace) -> None:
    write('[home]\nquickstrat = "f5"\nlog = "r"\nstop = "f9"\n')

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: said(app))
        assert "keymap.toml" in said(app)[0]
        assert "do you mean home.quickstart?" in said(app)[0]
        assert "home.log: r is the key of home.resume" in said(app)[0]
        await until(pilot, lambda: "f9 stop" in screen_text(app).splitlines()[-1])
        await pilot.press("f9")
        await until(pilot, lambda: "Stop nano?" in screen_text(app))

    play(workspace, story)


def test_the_palette_writes_the_file_and_reads_it_again(workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        commands = {item.title: item.callback for item in app.get_system_commands(app.screen)}
        commands["Write keymap.toml"]()
        await until(pilot, lambda: said(app))
        assert str(keymap.path()) in said(app)[-1]
        commands["Write keymap.toml"]()
        await until(pilot, lambda: "is there already" in said(app)[-1])
        write('home.quickstart = "f5"')
        commands["Read keymap.toml again"]()
        await until(pilot, lambda: "f5 quick start" in screen_text(app).splitlines()[-1])

    play(workspace, story)
