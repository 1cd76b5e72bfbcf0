"""The places one key leads to. A place is a mode of the app: its screen is imported and built
when it is first gone to, and keeps its state from then on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from talm_tui.screens.place import Place


@dataclass(frozen=True, slots=True)
class Entry:
    """A place: its mode, its key, its title in the header and `module:class` of its screen."""

    mode: str
    key: str
    title: str
    screen: str

    def load(self) -> type[Place]:
        """Import the screen."""
        module, name = self.screen.split(":")
        return cast("type[Place]", getattr(import_module(module), name))

    def open(self) -> Place:
        """Import and build the screen."""
        return self.load()()


PLACES = (
    Entry("home", "1", "Home", "talm_tui.screens.home:HomeScreen"),
    Entry("tokenizer", "2", "Tokenizer", "talm_tui.screens.tokenizer:TokenizerScreen"),
    Entry("data", "3", "Data", "talm_tui.screens.data:DataScreen"),
    Entry("train", "4", "Train", "talm_tui.screens.train:TrainScreen"),
    Entry("runs", "5", "Runs", "talm_tui.screens.runs:RunsScreen"),
    Entry("play", "6", "Play", "talm_tui.screens.play:PlayScreen"),
)

FORMS = {"tokenizer": "tokenizer", "data": "data", "pretrain": "train"}
"""The mode of the form for each kind of job."""


def modes() -> dict[str, Callable[[], Place]]:
    """What `App.MODES` wants."""
    return {entry.mode: partial(Entry.open, entry) for entry in PLACES}


def load() -> None:
    """Import every place, so that the first visit has only to build it."""
    for entry in PLACES:
        entry.load()
