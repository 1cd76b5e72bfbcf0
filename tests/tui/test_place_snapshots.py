"""Every place at three sizes, dark, light, and without colour. A picture or text that changed was
looked at."""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.color import Color
from textual.filter import Monochrome
from textual.pilot import Pilot

from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime.events import Finished, Merged, Progress, Started
from talm_core.runtime.lock import Lock
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.vocabulary import BASE, FILE_NAME
from talm_tui.app import TalmApp
from talm_tui.forms.glimpse import Glimpse
from talm_tui.forms.screen import FormPlace
from talm_tui.shell.places import places
from talm_tui.shell.theme import DARK, LIGHT
from talm_tui.train.screen import TrainScreen
from tests.core.driving import stepped_run
from tests.tui import canned
from tests.tui.app_pilot import play, screen_text
from tests.tui.form_pilot import add_manifest, app_at, settled, text_of, type_into, until
from tests.tui.play_pilot import child, models
from tests.tui.screen_text import Compare, text_of_screen
from tests.tui.test_form_snapshots import shown
from tests.tui.test_home_snapshots import looked
from tests.tui.test_play_snapshots import prompted
from tests.tui.test_runs_snapshot import overlaid, runs

__all__ = ["child", "models"]

SIZES = [(80, 24), (120, 40), (200, 60)]
PLACE_NAMES = [entry.mode for entry in places()]


@pytest.fixture
def busy(models: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """The canned workspace with a tokenizer in training and a dataset to learn from, in one time
    zone; it is the usual workspace, and texts lie where the app is started."""
    monkeypatch.setenv("TALM_HOME", str(models.root))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    texts = models.root.parent / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("some text\n" * 50_000)
    monkeypatch.chdir(texts.parent)
    add_manifest(models)
    newest = [" re", "self", " return", "__init", "        if"]
    started = [
        Started(job="tokenizer", name="other"),
        Progress(
            phase="reading", done=31_200_000, total=40_000_000, unit="bytes", rate=14e6, eta=1.0
        ),
        Progress(phase="merging", done=300, total=744, unit="tokens"),
        Merged(vocab_size=556, newest=newest, bytes_per_token=2.4146),
    ]
    config = TokenizerConfig(name="other", vocab_size=1000)
    with Lock.acquire(canned.artifact(models, config, started)):
        yield models
    monkeypatch.undo()
    time.tzset()


def look_into(workspace: Workspace) -> None:
    """A tokenizer and a dataset that are there, not only told of: large screens look into them."""
    notes = workspace.root.parent / "notes"
    notes.mkdir()
    for name in ("first", "second"):
        text = "".join(f"def {name}_{n}(x):\n    return x + {n}\n\n" for n in range(400))
        (notes / f"{name}.py").write_text(text)
    made = canned.artifact(
        workspace,
        TokenizerConfig(name="notes-4k", text_file=("notes",)),
        [
            Started(job="tokenizer", name="notes-4k"),
            Finished(seconds=1.2, summary={"vocab_size": 4096, "n_vocab": 4100}),
        ],
        end=canned.NOW - 2 * canned.HOUR,
    )
    shutil.copy(BASE, made / FILE_NAME)
    config = DataConfig(source="text", path=("notes",), ds_sample="notes")
    elsewhere = Workspace(workspace.root.parent / "elsewhere")
    *_, last = stepped_run(config, elsewhere)
    made = workspace.directory_of(config)
    shutil.copytree(elsewhere.directory_of(config), made)
    events = [Started(job="data", name="text/notes"), last]
    canned.artifact(workspace, config, events, end=canned.NOW - canned.HOUR)


async def looked_into(pilot: Pilot[Any], place: FormPlace) -> None:
    """Wait for what a large screen shows of the newest."""
    glimpse = place.query_one(Glimpse)
    await until(pilot, lambda: glimpse.seen or not glimpse.size.height)


async def tokenizer(pilot: Pilot[Any], place: FormPlace) -> None:
    place.fill({"text_file": ("texts",)})
    await settled(pilot, place)
    await until(pilot, lambda: "newest" in text_of(place, "#job"))
    await looked_into(pilot, place)


async def data(pilot: Pilot[Any], place: FormPlace) -> None:
    place.fill({"source": "text", "path": ("texts",)})
    await settled(pilot, place)
    place.fill({"path": ()})
    await pilot.press("down")
    await looked_into(pilot, place)


async def train(pilot: Pilot[Any], place: FormPlace) -> None:
    assert isinstance(place, TrainScreen)
    # Unlike nano's, its values are not tuned any more.
    place.load_preset("talm")
    await type_into(pilot, place, "max_steps", "2k")
    await settled(pilot, place)
    await type_into(pilot, place, "n_embd", "130")


STORIES: dict[str, Callable[[Pilot[Any]], Awaitable[None]]] = {
    "home": looked,
    "tokenizer": shown(tokenizer),
    "data": shown(data),
    "train": shown(train),
    "runs": runs,
    "play": prompted(1, keys=("tab", "left", "left")),
}
"""What is done at a place before it is looked at."""


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("place", PLACE_NAMES)
def test_a_place(
    busy: Workspace, screen_compare: Compare, place: str, size: tuple[int, int]
) -> None:
    if size == (200, 60) and place in ("tokenizer", "data"):
        look_into(busy)
    app = app_at(busy, place if place in ("tokenizer", "data", "train") else "home")
    app.theme = DARK
    picture = size == (120, 40)
    assert screen_compare(app, terminal_size=size, run_before=STORIES[place], picture=picture)


@pytest.mark.parametrize("place", PLACE_NAMES)
def test_a_place_in_the_light_theme(busy: Workspace, place: str) -> None:
    app = app_at(busy, place if place in ("tokenizer", "data", "train") else "home")
    app.theme = LIGHT
    grounds: Counter[str] = Counter()

    async def before(pilot: Pilot[Any]) -> None:
        await STORIES[place](pilot)
        await pilot.pause()
        for strip in app.screen._compositor.render_strips():
            for segment in strip:
                if segment.style is not None and (colour := segment.style.bgcolor) is not None:
                    red, green, blue = colour.get_truecolor()
                    ground = "light" if red + green + blue > 600 else "other"
                    grounds[ground] += segment.cell_length

    text = text_of_screen(app, (80, 24), before)
    file = Path(__file__).parent / "__snapshots__" / "test_place_snapshots"
    assert text == (file / f"test_a_place[{place}-80x24].txt").read_text()
    # Bars, a chosen line and a cursor stand out.
    assert grounds["light"] > 0.9 * 80 * 24


def marks(text: str, *names: str) -> list[str]:
    """The character before each name where a line begins with them."""
    found = [re.search(rf"^\W*?(\S) +{re.escape(name)}\b", text, re.MULTILINE) for name in names]
    return [match[1] if match else "" for match in found]


def test_nothing_relies_on_colour(busy: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    names = ("nano", "try-3", "talm-1", "try-2")

    async def story(app: TalmApp, pilot: Pilot[None]) -> None:
        home = screen_text(app)
        recent = home[home.index("Recent runs") :]
        assert marks(recent, *names) == ["▶", "◐", "●", "✕"]
        await overlaid(pilot)
        # Each line on the chart carries the glyph it has in the legend.
        series = re.findall(r"(\S) (nano|try-3|talm-1) +\d\.\d+\b", screen_text(app))
        assert dict(series) == {"━": "nano", "b": "try-3", "c": "talm-1"}
        (grey,) = (line for line in app._filters if isinstance(line, Monochrome))
        shown = {
            tuple(color.triplet)
            for strip in app.screen._compositor.render_strips()
            for segment in strip.apply_filter(grey, Color(0, 0, 0))
            if segment.style and (color := segment.style.color) and color.triplet
        }
        assert shown
        assert all(len(set(parts)) == 1 for parts in shown)

    play(busy, story, size=(120, 40))
