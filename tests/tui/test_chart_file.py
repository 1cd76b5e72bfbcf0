"""A chart written as SVG, PNG and CSV."""

from __future__ import annotations

import csv
import math
from array import array
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from textual.pilot import Pilot

from talm_core.runtime.history import History
from talm_core.storage.workspace import Artifact, Workspace
from talm_tui.app import TalmApp
from talm_tui.charts import export as chart_file
from talm_tui.charts.curves import Overlaid
from talm_tui.charts.export import Diamond, Line, Text
from talm_tui.charts.ink import BRIGHT, LETTERS, MARK
from talm_tui.charts.plot import Curve, View
from tests.tui.app_pilot import play, said, until
from tests.tui.test_runs import enter

SPACE = "{http://www.w3.org/2000/svg}"


def curves() -> list[Curve]:
    step = array("d", range(1, 401))
    xs = {"step": step, "tokens": array("d", (2048 * x for x in step))}
    loss = array("f", (3 + 5 * math.exp(-x / 80) + 0.1 * math.sin(x) for x in step))
    loss[199] = math.nan
    marks = {name: x[99::100] for name, x in xs.items()}
    return [
        Curve("nano", xs, loss),
        Curve("validation", marks, loss[99::100], "◆"),
        Curve("<other>", xs, array("f", [4.0] * 400), letter="a", ink="series-2"),
    ]


def test_every_point_is_in_the_table_and_a_gap_is_empty(tmp_path: Path) -> None:
    paths = chart_file.write(tmp_path / "new", "nano-loss", "nano", curves(), View())
    assert [path.name for path in paths] == ["nano-loss.svg", "nano-loss.png", "nano-loss.csv"]
    with paths[2].open(newline="") as file:
        table = list(csv.reader(file))
    assert table[0] == ["series", "step", "tokens", "value"]
    assert len(table) == 1 + 400 + 4 + 400
    assert table[200] == ["nano", "200", "409600", ""]
    assert table[-1] == ["<other> (a)", "400", "819200", "4"]
    assert float(table[1][3]) == pytest.approx(curves()[0].y[0], rel=1e-6)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(
        path.name for path in paths
    )


def test_the_picture_has_the_curves_where_their_values_are() -> None:
    shapes = list(chart_file.drawing("nano: loss", curves(), View(beta=0.0)))
    other = next(
        s for s in shapes if isinstance(s, Line) and s.colour == "#a85f00" and s.width == 2
    )
    assert len({y for _, y in other.points}) == 1
    own = [s for s in shapes if isinstance(s, Line) and s.colour == "#0b62a8" and s.width == 2]
    # A value that is no number parts the line.
    assert len(own) == 2
    assert own[0].points[-1][0] < own[1].points[0][0]
    heights = [y for _, y in (*own[0].points, *own[1].points)]
    assert heights[0] == min(heights)
    diamonds = [s for s in shapes if isinstance(s, Diamond)]
    # Three values, and one in the legend.
    assert len(diamonds) == 4
    assert all(s.filled for s in diamonds)
    words = [s.words for s in shapes if isinstance(s, Text)]
    assert words[0] == "nano: loss"
    assert {"nano", "validation", "a  <other>", "step", "400", "4"} <= set(words)


def test_an_earlier_chart_stays(tmp_path: Path) -> None:
    first, second, third = (
        chart_file.write(tmp_path, "nano-loss", "nano", curves(), View()) for _ in range(3)
    )
    assert [path.name for path in second] == [
        "nano-loss-2.svg",
        "nano-loss-2.png",
        "nano-loss-2.csv",
    ]
    assert third[0].name == "nano-loss-3.svg"
    assert all(path.exists() for path in (*first, *second, *third))


def test_no_two_runs_share_a_colour() -> None:
    history = History()
    others = [
        Overlaid(Artifact("pretrain", f"r{index}", Path("r")), letter, history)
        for index, letter in enumerate(LETTERS)
    ]
    colours = [chart_file._colour(other.ink, other.letter) for other in others]
    own = [chart_file._colour(BRIGHT), chart_file._colour(MARK)]
    assert len({*own, *colours}) == 2 + len(LETTERS)


def test_the_svg_is_sound_and_what_is_dim_is_dim() -> None:
    shapes = list(chart_file.drawing("a & b", curves(), View(beta=0.9)))
    root = ElementTree.fromstring(chart_file.svg(shapes))
    assert root.attrib["viewBox"] == "0 0 1200 675"
    assert {text.text for text in root.iter(f"{SPACE}text")} >= {"a & b", "a  <other>"}
    opacities = {line.attrib["stroke-opacity"] for line in root.iter(f"{SPACE}polyline")}
    assert opacities == {"1", "0.35"}


def test_the_png_shows_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    chart_file.write_png(chart_file.drawing("nano", curves(), View(beta=0.0)), path)
    with Image.open(path) as picture:
        assert picture.size == (2400, 1350)
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert {(0x0B, 0x62, 0xA8), (0xA8, 0x5F, 0x00), (255, 255, 255)} <= colours


@pytest.mark.parametrize(
    "view", [View(log=True), View(span=50.0, right=120.0), View(x="tokens", kind="number")]
)
def test_any_view_and_no_points_at_all(view: View) -> None:
    for shown in (curves(), [Curve("x", {"step": array("d"), "tokens": array("d")}, array("f"))]):
        ElementTree.fromstring(chart_file.svg(chart_file.drawing("t", shown, view)))


def test_a_key_writes_the_chart_that_is_shown(workspace: Workspace) -> None:
    folder = workspace.root / "charts"

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        await enter(app, pilot)
        await pilot.press("m", "m", "e")
        await until(pilot, lambda: any(str(folder) in text for text in said(app)))

    play(workspace, story)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["nano-bits-byte.csv", "nano-bits-byte.png", "nano-bits-byte.svg"]
