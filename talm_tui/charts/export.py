"""A chart as files: SVG and PNG to look at, CSV to go on with.

The picture is that of the screen, with the same part in view, drawn as lines instead of dots: dim
what was measured, bold its average, markers for validation, a letter at the end of another run's
line. It is laid out once as primitives, in pixels, which each format only writes down.
"""

from __future__ import annotations

import colorsys
import csv
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from talm_core.storage import atomic
from talm_core.system.foreign_text import plain
from talm_tui.charts import plot, raster
from talm_tui.charts.canvas import Layer
from talm_tui.charts.ink import BRIGHT, LETTERS, MARK, RAW, SERIES
from talm_tui.charts.plot import Curve, View
from talm_tui.shell.theme import series

WIDTH, HEIGHT = 1200, 675
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 30, 60, 60
_INK, _FAINT, _GRID = "#1a222b", "#6a7684", "#e2e7ec"
_XMLNS = "http://www.w3.org/2000/svg"
_SCALE = 2  # pixels of a PNG for one of the picture

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points, without a fill."""

    points: tuple[Point, ...]
    colour: str
    width: float = 1.0
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Diamond:
    """A marker: filled, or only its outline."""

    at: Point
    colour: str
    filled: bool


@dataclass(frozen=True, slots=True)
class Text:
    """Words; `anchor` is the end of them that lies at the point: start, middle or end."""

    at: Point
    words: str
    colour: str = _INK
    anchor: str = "start"
    size: int = 14
    bold: bool = False


Shape = Line | Diamond | Text


def write(folder: Path, name: str, title: str, curves: Sequence[Curve], view: View) -> list[Path]:
    """Write `name.svg`, `name.png` and `name.csv`, or `name-2` and so on where one of them is
    there already; returns their paths.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shapes = list(drawing(title, curves, view))
    paths = _free(folder, name)
    atomic.write_text(paths[0], svg(shapes))
    with atomic.new_file(paths[1]) as temporary:
        write_png(shapes, temporary)
    with atomic.new_file(paths[2]) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows(rows(curves))
    return paths


def _free(folder: Path, name: str) -> list[Path]:
    for number in itertools.count(1):
        stem = name if number == 1 else f"{name}-{number}"
        paths = [folder / f"{stem}{suffix}" for suffix in (".svg", ".png", ".csv")]
        if not any(path.exists() or path.is_symlink() for path in paths):
            return paths
    raise AssertionError("numbers never end")


def rows(curves: Sequence[Curve]) -> Iterator[tuple[object, ...]]:
    """A table of every point: its series, its x on each axis, its value. A gap is an empty
    value."""
    axes = list(curves[0].xs) if curves else []
    yield ("series", *axes, "value")
    for curve in curves:
        label = f"{curve.label} ({curve.letter})" if curve.letter else curve.label
        xs = [curve.xs[name] for name in axes]
        for index, value in enumerate(curve.y):
            shown = f"{value:.7g}" if math.isfinite(value) else ""
            yield (plain(label), *(f"{x[index]:.10g}" for x in xs), shown)


# --- laying out ------------------------------------------------------------------------------


def drawing(title: str, curves: Sequence[Curve], view: View) -> Iterator[Shape]:
    """Everything the picture consists of, what lies below first."""
    frame = plot.frame(curves, view, (HEIGHT - _TOP - _BOTTOM) // 30)
    columns, lines = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def place(x: float, y: float) -> Point:
        across = (x - frame.low) / (frame.high - frame.low)
        up = (y - frame.bottom) / (frame.top - frame.bottom)
        return round(_LEFT + across * columns, 1), round(_TOP + (1 - up) * lines, 1)

    yield Text((_LEFT, 32), plain(title), size=18, bold=True)
    for tick in frame.y_ticks:
        _, y = place(frame.low, tick.value)
        yield Line(((_LEFT, y), (WIDTH - _RIGHT, y)), _GRID)
        yield Text((_LEFT - 10, y + 5), tick.label, _FAINT, "end")
    for tick in frame.x_ticks:
        x, _ = place(tick.value, frame.bottom)
        yield Line(((x, HEIGHT - _BOTTOM), (x, HEIGHT - _BOTTOM + 6)), _FAINT)
        yield Text((x, HEIGHT - _BOTTOM + 24), tick.label, _FAINT, "middle")
    yield Line(((_LEFT, HEIGHT - _BOTTOM), (WIDTH - _RIGHT, HEIGHT - _BOTTOM)), _FAINT)
    yield Text((WIDTH - _RIGHT, HEIGHT - 12), view.x, _FAINT, "end")
    for layer in frame.layers:
        colour = _colour(layer.ink, layer.letter)
        if layer.marker:
            yield from (
                Diamond(place(float(x), float(y)), colour, layer.marker == "◆")
                for x, y in zip(layer.x, layer.y, strict=True)
                if math.isfinite(y) and frame.low <= x <= frame.high
            )
            continue
        dim = layer.ink == RAW
        for points in _pieces(layer, frame, columns):
            placed = tuple(place(x, y) for x, y in points)
            yield Line(placed, colour, 1.0 if dim else 2.0, 0.35 if dim else 1.0)
    yield from _legend(curves)


def _pieces(layer: Layer, frame: plot.Frame, columns: int) -> Iterator[list[Point]]:
    """The parts of a line between its gaps, in as many points as there are pixels to show."""
    x, y, join = raster.joined(layer.x, layer.y)
    inside = (x >= frame.low) & (x <= frame.high)
    x, y, join = x[inside], y[inside], join[inside]
    places, y, join = raster.thinned(raster.dots(x, frame.low, frame.high, columns), y, join)
    piece: list[Point] = []
    for place, value, joined in zip(places.tolist(), y.tolist(), join.tolist(), strict=True):
        if not joined and piece:
            yield piece
            piece = []
        at = frame.low + place / (columns - 1) * (frame.high - frame.low)
        piece.append((at, min(frame.top, max(frame.bottom, value))))
    if piece:
        yield piece


def _legend(curves: Sequence[Curve]) -> Iterator[Shape]:
    for row, curve in enumerate(curve for curve in curves if len(curve.y)):
        y = _TOP + 18 + 20 * row
        colour = _colour(curve.ink or (MARK if curve.marker else BRIGHT), curve.letter)
        label = f"{curve.letter}  {curve.label}" if curve.letter else curve.label
        if curve.marker:
            yield Diamond((WIDTH - 237.5, y - 5), colour, curve.marker == "◆")
        else:
            yield Line(((WIDTH - 250, y - 5), (WIDTH - 225, y - 5)), colour, 3.0)
        yield Text((WIDTH - 215, y), plain(label)[:24], colour)


def _colour(ink: str, letter: str = "") -> str:
    """The colour of a curve. Of the runs laid over another each has one of its own: beyond those
    of the theme, hues as far from each other as can be."""
    colours = series(dark=False)
    others = len(SERIES) - 2
    if letter and (number := LETTERS.index(letter)) >= others:
        rgb = colorsys.hls_to_rgb(number * 0.618 % 1, 0.38, 0.6)
        return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)
    if ink == MARK:
        return colours["series-2"]
    return colours.get(ink, colours["series-1"])


# --- writing down ----------------------------------------------------------------------------


def svg(shapes: Iterable[Shape]) -> str:
    """The picture as SVG."""
    font = "Inter, Helvetica, Arial, sans-serif"
    parts = [
        f'<svg xmlns="{_XMLNS}" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="{font}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for shape in shapes:
        match shape:
            case Line():
                points = " ".join(f"{x:g},{y:g}" for x, y in shape.points)
                parts.append(
                    f'<polyline points="{points}" fill="none" stroke="{shape.colour}"'
                    f' stroke-width="{shape.width:g}" stroke-opacity="{shape.opacity:g}"'
                    ' stroke-linejoin="round"/>'
                )
            case Diamond():
                points = " ".join(f"{x:g},{y:g}" for x, y in _corners(shape.at))
                fill = shape.colour if shape.filled else "#ffffff"
                parts.append(f'<polygon points="{points}" fill="{fill}" stroke="{shape.colour}"/>')
            case Text():
                weight = ' font-weight="bold"' if shape.bold else ""
                parts.append(
                    f'<text x="{shape.at[0]:g}" y="{shape.at[1]:g}" fill="{shape.colour}"'
                    f' font-size="{shape.size}" text-anchor="{shape.anchor}"{weight}>'
                    f"{escape(shape.words)}</text>"
                )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _corners(at: Point) -> list[Point]:
    x, y = at
    return [(x, y - 5), (x + 5, y), (x, y + 5), (x - 5, y)]


def write_png(shapes: Iterable[Shape], path: Path) -> None:
    """The picture as PNG, twice as fine."""
    from PIL import Image, ImageColor, ImageDraw, ImageFont

    image = Image.new("RGB", (WIDTH * _SCALE, HEIGHT * _SCALE), "#ffffff")
    draw = ImageDraw.Draw(image)
    anchors = {"start": "ls", "middle": "ms", "end": "rs"}

    def scaled(points: Iterable[Point]) -> list[Point]:
        return [(x * _SCALE, y * _SCALE) for x, y in points]

    def blended(colour: str, opacity: float) -> tuple[int, ...]:
        red, green, blue = ImageColor.getrgb(colour)[:3]
        return tuple(round(255 + (part - 255) * opacity) for part in (red, green, blue))

    for shape in shapes:
        match shape:
            case Line():
                colour = blended(shape.colour, shape.opacity)
                draw.line(scaled(shape.points), colour, round(shape.width * _SCALE), "curve")
            case Diamond():
                fill = shape.colour if shape.filled else "#ffffff"
                draw.polygon(scaled(_corners(shape.at)), fill, shape.colour)
            case Text():
                font = ImageFont.load_default(shape.size * _SCALE)
                (at,) = scaled([shape.at])
                draw.text(at, shape.words, shape.colour, font, anchors[shape.anchor])
    image.save(path, "PNG")
