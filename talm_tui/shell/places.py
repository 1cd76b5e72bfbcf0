"""The places one key leads to. A place is a mode of the app: its screen is imported and built
when it is first gone to, and keeps its state from then on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import cast

from textual.screen import Screen


@dataclass(frozen=True, slots=True)
class Entry:
    """A place: its mode, its key, its title in the header and `module:class` of its screen."""

    mode: str
    key: str
    title: str
    screen: str

    def load(self) -> type[Screen[None]]:
        """Import the screen."""
        module, name = self.screen.split(":")
        return cast("type[Screen[None]]", getattr(import_module(module), name))

    def open(self) -> Screen[None]:
        """Import and build the screen."""
        return self.load()()


PLACES = (
    Entry("home", "1", "Home", "talm_tui.home.screen:HomeScreen"),
    Entry("tokenizer", "2", "Tokenizer", "talm_tui.tokenizer.screen:TokenizerScreen"),
    Entry("data", "3", "Data", "talm_tui.data.screen:DataScreen"),
    Entry("train", "4", "Train", "talm_tui.train.screen:TrainScreen"),
    Entry("runs", "5", "Runs", "talm_tui.runs.screen:RunsScreen"),
    Entry("play", "6", "Play", "talm_tui.play.screen:PlayScreen"),
)

FORMS = {"tokenizer": "tokenizer", "data": "data", "pretrain": "train"}
"""The mode of the form for each kind of job."""


def modes() -> dict[str, Callable[[], Screen[None]]]:
    """What `App.MODES` wants."""
    return {entry.mode: partial(Entry.open, entry) for entry in PLACES}


def load() -> None:
    """Import every place, so that the first visit has only to build it."""
    for entry in PLACES:
        entry.load()
