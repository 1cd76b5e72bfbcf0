"""Home: the pipeline, what runs, what to do next."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Static

from talm_tui.screens.place import Place
from talm_tui.theme import styles


class HomeScreen(Place):
    """The pipeline as three steps, what to do next, and the recent runs."""

    CSS_PATH = styles("home")

    def compose_place(self) -> ComposeResult:
        yield Static("Home")
