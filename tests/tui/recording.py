"""A quick start as it is: `talm-tui` on a pseudo-terminal, its screens in one SVG that plays.

`make recording` writes `docs/screens/quickstart.svg`. Everything in it has happened; only waiting
is cut short. A row that stays the same over many screens is drawn once and referred to.
"""

from __future__ import annotations

import html
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len

from tests.tui.pseudo import PseudoTerminal, talm_tui

COLUMNS, ROWS = 104, 32
CELL, LINE, SIZE = 8.4, 18, 14
"""Width and height of a cell, and of the letters, in pixels."""

FOREGROUND, BACKGROUND = "d7dde4", "10151b"
PROMPT = "__init__(self, "
"""What is typed behind the prompt that a run was sampled with, `def `."""
_RIGHT, _HOME = "\x1b[C", "\x1b[H"
_WRITTEN = re.compile(r"\d+ tokens +[\d,.]+ k? ?tokens/s")
_WORDS = re.compile(r"\S+(?: \S+)*")
_NAMED = {
    "black": "1d2630",
    "red": "f2705a",
    "green": "2fc9a0",
    "brown": "f0c04a",
    "blue": "58b2ee",
    "magenta": "e885bb",
    "cyan": "2fc9a0",
    "white": FOREGROUND,
}
_EVERY = 1.5
"""Seconds between two screens while nothing is pressed."""
_SHOWN = 0.24
"""Seconds each of them is shown."""


@dataclass(frozen=True, slots=True)
class Run:
    """Cells of one row that look the same."""

    column: int
    text: str
    colour: str
    ground: str
    bold: bool


Row = tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Screen:
    """What was on the terminal, and for how many seconds it is shown."""

    rows: tuple[Row, ...]
    seconds: float


def row_of(cells: Iterator[tuple[str, str, str, bool]]) -> Row:
    """A row from (character, colour, ground, bold) of its cells; an empty character is the second
    cell of a wide one."""
    runs: list[Run] = []
    for column, (char, colour, ground, bold) in enumerate(cells):
        last = runs[-1] if runs else None
        if last and (last.colour, last.ground, last.bold) == (colour, ground, bold):
            runs[-1] = Run(last.column, last.text + char, colour, ground, bold)
        else:
            runs.append(Run(column, char, colour, ground, bold))
    return tuple(run for run in runs if run.text.strip() or run.ground != BACKGROUND)


class Recorder:
    """Drives a terminal and keeps its screens."""

    def __init__(self, terminal: PseudoTerminal) -> None:
        self.terminal = terminal
        self.screens: list[Screen] = []
        self._kept = time.monotonic()

    def _rows(self) -> tuple[Row, ...]:
        screen = self.terminal.screen
        return tuple(
            row_of(self._look(y, x) for x in range(screen.columns)) for y in range(screen.lines)
        )

    def _look(self, y: int, x: int) -> tuple[str, str, str, bool]:
        cell = self.terminal.screen.buffer[y][x]
        colour = FOREGROUND if cell.fg == "default" else _NAMED.get(cell.fg, cell.fg)
        ground = BACKGROUND if cell.bg == "default" else _NAMED.get(cell.bg, cell.bg)
        if cell.reverse:
            colour, ground = ground, colour
        return cell.data, colour, ground, cell.bold

    def keep(self, seconds: float) -> None:
        """Keep the screen as it is now, to be shown for some seconds; one that is the same as the
        last is shown longer instead, as long as the longer of the two."""
        rows = self._rows()
        self._kept = time.monotonic()
        if not any(rows):
            return  # Nothing is drawn yet.
        if self.screens and self.screens[-1].rows == rows:
            self.screens[-1] = Screen(rows, max(seconds, self.screens[-1].seconds))
        else:
            self.screens.append(Screen(rows, seconds))

    def until(self, seen: Callable[[str], object] | str, *, timeout: float = 60) -> None:
        """Wait for something on the screen, keeping what comes before it now and then."""
        question = seen if callable(seen) else lambda text: seen in text

        def looked(text: str) -> object:
            if time.monotonic() - self._kept > _EVERY:
                self.keep(_SHOWN)
            return question(text)

        self.terminal.wait(looked, timeout=timeout)

    def settle(self, seconds: float) -> None:
        """Take in what the program still draws, then keep it for a longer look."""
        end = time.monotonic() + 1.0
        while (left := end - time.monotonic()) > 0:
            self.terminal.read(left)
        self.keep(seconds)

    def type(self, text: str) -> None:
        """Type, a screen a character."""
        for char in text:
            self.terminal.press(char)
            self.terminal.read(0.3)
            self.keep(0.07)


def record(root: Path) -> list[Screen]:
    """A quick start in an empty workspace at `root`, from the first screen to a text that the
    model writes."""
    env = {"TALM_CONFIG_DIR": str(root / "config"), "TZ": "UTC"}
    with talm_tui(root / "workspace", columns=COLUMNS, rows=ROWS, env=env) as terminal:
        shot = Recorder(terminal)
        shot.until("Press s:")
        shot.settle(2.5)
        terminal.press("s")
        shot.until("is training")
        shot.settle(1.5)
        terminal.press("enter")
        shot.until("nats/token")
        shot.settle(1.0)
        shot.until("● done", timeout=300)
        shot.settle(2.5)
        terminal.press("p")
        shot.until("prompt")
        shot.settle(1.0)
        shot.type(PROMPT)
        terminal.press("ctrl+r")
        shot.until(lambda text: _WRITTEN.search(text))
        shot.settle(2.0)
        # From token to token, with what else the model thought of.
        terminal.press("tab", _HOME)
        for _ in range(6):
            terminal.press(_RIGHT)
            shot.settle(0.5)
        shot.keep(3.0)
        terminal.press("ctrl+q")
        terminal.wait_end()
    return shot.screens


def drawn(row: Row) -> str:
    """A row as SVG, its upper left corner at the origin."""
    parts = []
    for run in row:
        cells = cell_len(run.text)
        x, width = f"{run.column * CELL:g}", f"{cells * CELL:g}"
        if run.ground != BACKGROUND:
            parts.append(f'<rect x="{x}" width="{width}" height="{LINE}" fill="#{run.ground}"/>')
        bold = ' font-weight="bold"' if run.bold else ""
        # Words far apart stand where they stood, whatever font there is.
        for words in _WORDS.finditer(run.text.replace("\u2800", " ")):
            at = (run.column + cell_len(run.text[: words.start()])) * CELL
            parts.append(
                f'<text x="{at:g}" y="{SIZE}" fill="#{run.colour}"'
                f' textLength="{cell_len(words[0]) * CELL:g}"{bold}>'
                f"{html.escape(words[0], quote=False)}</text>"
            )
    return "".join(parts)


def animated(screens: list[Screen], columns: int, rows: int) -> str:
    """The screens as one SVG that shows one after the other and begins again."""
    width, height = columns * CELL, rows * LINE
    names: dict[Row, str] = {}
    frames = []
    for number, screen in enumerate(screens):
        uses = []
        for y, row in enumerate(screen.rows):
            if row:
                name = names.setdefault(row, f"r{len(names)}")
                uses.append(f'<use href="#{name}" y="{y * LINE}"/>')
        frames.append(f'<g transform="translate(0 {number * height})">{"".join(uses)}</g>')
    whole = sum(screen.seconds for screen in screens)
    steps, at = [], 0.0
    for number, screen in enumerate(screens):
        steps.append(f"{at / whole:.4%}{{transform:translateY(-{number * height}px)}}")
        at += screen.seconds
    defined = "".join(f'<g id="{name}">{drawn(row)}</g>' for row, name in names.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 -12 {width + 24:g} {height + 24}">'
        "<style>text{font-family:'Fira Code','DejaVu Sans Mono',Menlo,Consolas,monospace;"
        f"font-size:{SIZE}px;white-space:pre}}"
        f"@keyframes play{{{''.join(steps)}}}"
        f".strip{{animation:play {whole:.2f}s step-end infinite}}</style>"
        f'<rect x="-12" y="-12" width="100%" height="100%" rx="10" fill="#{BACKGROUND}"/>'
        f"<defs>{defined}</defs>"
        f'<svg width="{width:g}" height="{height}"><g class="strip">{"".join(frames)}</g></svg>'
        "</svg>\n"
    )


def main() -> None:
    """Record, and write the SVG to the file that is named."""
    target = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as root:
        screens = record(Path(root))
    picture = animated(screens, COLUMNS, ROWS)
    target.write_text(picture, encoding="utf-8")
    seconds = sum(screen.seconds for screen in screens)
    sys.stdout.write(f"{target}: {len(screens)} screens, {seconds:.0f} s, {len(picture):,} bytes\n")


if __name__ == "__main__":
    main()
