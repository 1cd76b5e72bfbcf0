"""The recording in README: how it is drawn, and what is in the one that is there."""

from __future__ import annotations

import html
import re
from pathlib import Path
from xml.etree import ElementTree

from tests.tui.recording import BACKGROUND, CELL, LINE, Run, Screen, animated, row_of

FILE = Path(__file__).parents[2] / "docs" / "screens" / "quickstart.svg"
SVG = "{http://www.w3.org/2000/svg}"


def cells(text: str, colour: str = "aaaaaa", ground: str = BACKGROUND) -> list[tuple[str, ...]]:
    return [(char, colour, ground) for char in text]


def test_a_row_is_as_few_runs_as_it_looks_different() -> None:
    looks = [*cells("ab "), *cells("c", "bbbbbb"), *cells("  "), *cells(" ", ground="123456")]
    row = row_of((char, colour, ground, False) for char, colour, ground in looks)
    assert row == (
        Run(0, "ab ", "aaaaaa", BACKGROUND, False),
        Run(3, "c", "bbbbbb", BACKGROUND, False),
        Run(6, " ", "aaaaaa", "123456", False),
    )
    # A wide character takes two cells, the second of which is empty.
    wide = row_of((char, "aaaaaa", BACKGROUND, True) for char in ("日", "", "x"))
    assert wide == (Run(0, "日x", "aaaaaa", BACKGROUND, True),)
    assert row_of(iter([(" ", "aaaaaa", BACKGROUND, False)] * 3)) == ()


def test_screens_follow_each_other_and_rows_are_drawn_once() -> None:
    same = (Run(0, "a <b> &   c", "aaaaaa", BACKGROUND, False),)
    other = (Run(2, "█", "bbbbbb", "123456", True),)
    screens = [Screen((same, ()), 1.0), Screen((same, other), 3.0)]
    root = ElementTree.fromstring(animated(screens, 10, 2))
    drawn = root.findall(f"{SVG}defs/{SVG}g")
    assert [row.attrib["id"] for row in drawn] == ["r0", "r1"]
    assert drawn[0][0].text == "a <b> &"
    assert drawn[0][0].attrib["textLength"] == f"{7 * CELL:g}"
    assert [word.attrib["x"] for word in drawn[0]] == ["0", f"{10 * CELL:g}"]
    assert drawn[1][0].attrib["fill"] == "#123456"
    strip = root.findall(f".//{SVG}g[@class='strip']/{SVG}g")
    assert [[use.attrib["href"] for use in frame] for frame in strip] == [["#r0"], ["#r0", "#r1"]]
    assert strip[1].attrib["transform"] == f"translate(0 {2 * LINE})"
    style = root.find(f"{SVG}style")
    assert style is not None
    steps = re.findall(r"([\d.]+)%{transform:translateY\(-(\d+)px\)}", style.text or "")
    assert steps == [("0.0000", "0"), ("25.0000", str(2 * LINE))]
    assert "play 4.00s step-end infinite" in (style.text or "")


def test_the_recording_shows_the_way_from_nothing_to_a_text() -> None:
    picture = FILE.read_text(encoding="utf-8")
    assert len(picture) < 1_500_000
    root = ElementTree.fromstring(picture)
    rows = {row.attrib["id"]: " ".join(row.itertext()) for row in root.findall(f"{SVG}defs/{SVG}g")}
    strip = root.findall(f".//{SVG}g[@class='strip']/{SVG}g")
    screens = [
        html.unescape("\n".join(rows[use.attrib["href"].removeprefix("#")] for use in frame))
        for frame in strip
    ]
    # Each is seen, and for the first time after the one before it.
    seen = [
        next(number for number, screen in enumerate(screens) if re.search(what, screen))
        for what in (
            r"Press +s *:",
            r"Quick start: quickstart",
            r"is training",
            r"loss \(nats/token\)",
            r"sample at step",
            r"● +quickstart +done",
            r"def __init__\(self, ",
            r"tokens/s",
        )
    ]
    assert seen[:7] == sorted(seen[:7])
