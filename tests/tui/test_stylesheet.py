"""Style sheets that are read once."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from textual.css.stylesheet import Stylesheet, StylesheetParseError
from textual.pilot import Pilot

from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp
from talm_tui.shell.stylesheet import ReadOnce
from tests.tui.app_pilot import play

SHEETS = sorted((Path(__file__).parents[2] / "styles").glob("*.tcss"))


def css(sheet: Stylesheet) -> list[str]:
    """Its rules, written out."""
    return [rule.css for rule in sheet.rules]


def read(sheet: Stylesheet) -> Stylesheet:
    """With every style sheet of talm."""
    for path in SHEETS:
        sheet.read(path)
    return sheet


def test_the_rules_are_those_of_textual() -> None:
    variables = TalmApp().get_css_variables()
    own, usual = read(ReadOnce(variables=variables)), read(Stylesheet(variables=variables))
    assert css(own) == css(usual) != []
    own.reparse()
    assert css(own) == css(usual)
    changed = variables | {"primary": "#123456", "foreground": "#abcdef"}
    for sheet in (own, usual):
        sheet.set_variables(changed)
        sheet.reparse()
    assert css(own) == css(usual)
    assert css(own) != css(read(Stylesheet(variables=variables)))
    copied = own.copy()
    copied.parse()
    assert css(copied) == css(own)


def test_what_was_read_is_not_read_again() -> None:
    variables = TalmApp().get_css_variables()
    sheet = ReadOnce(variables=variables)
    # As many sources as there are classes of widgets, and more than Textual remembers.
    for number in range(200):
        sheet.add_source(f"#a{number} {{ color: $primary; }}", read_from=("", str(number)))
    before = sheet.rules
    sheet.set_variables(dict(variables))
    sheet.add_source("Label { height: 3; }", read_from=("", "another"))
    sheet.reparse()
    *kept, added = sheet.rules
    assert all(new is old for new, old in zip(kept, before, strict=True))
    assert "height: 3" in added.css
    sheet.set_variables(variables | {"primary": "#123456"})
    sheet.reparse()
    assert not any(new is old for new, old in zip(sheet.rules, before, strict=False))


def test_a_damaged_source_leaves_the_rules_as_they_were() -> None:
    sheet = read(ReadOnce(variables=TalmApp().get_css_variables()))
    before = css(sheet)
    sheet.add_source("Label { height: far; }", read_from=("", "damaged"))
    with pytest.raises(StylesheetParseError):
        sheet.reparse()
    assert [rule.css for rule in sheet._rules] == before


def test_rubbish_is_looked_for_after_the_first_frame(empty_workspace: Workspace) -> None:
    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await pilot.pause()
        assert gc.isenabled()
        assert isinstance(app.stylesheet, ReadOnce)

    gc.disable()
    try:
        play(empty_workspace, story)
    finally:
        gc.enable()
