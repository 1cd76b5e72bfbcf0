"""Style sheets that are read once.

Textual parses all of them again when one is added by a screen, when a theme is set that is set
already, and for every new widget once there are more than it remembers. Read once, the first
frame comes a tenth sooner, and a place is built without the styles of every other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.cache import LRUCache
from textual.css.stylesheet import Stylesheet

if TYPE_CHECKING:
    from textual.css.model import RuleSet

_REMEMBERED = 1024
"""Sheets that are remembered; the app with every place has about a hundred, one a class."""


class ReadOnce(Stylesheet):
    """A style sheet that parses a source anew only when a variable has another value."""

    def __init__(self, *, variables: dict[str, str] | None = None) -> None:
        super().__init__(variables=variables)
        self._parse_cache: LRUCache[tuple[object, ...], list[RuleSet]] = LRUCache(_REMEMBERED)

    def copy(self) -> ReadOnce:
        """The same sources, read anew when they are asked for."""
        sheet = ReadOnce(variables=self._variables.copy())
        sheet.source = self.source.copy()
        return sheet

    def set_variables(self, variables: dict[str, str]) -> None:
        """Take these variables; forgets what was parsed if any differs."""
        if variables != self._variables:
            super().set_variables(variables)

    def reparse(self) -> None:
        """Parse what has not been parsed with these variables.

        Raises:
            StylesheetError: a source cannot be read.
            StylesheetParseError: a source is invalid; the rules stay as they were.
        """
        self.parse()
