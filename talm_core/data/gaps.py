"""Rows without a text, which are left out."""

from __future__ import annotations

from collections import deque


class Gaps:
    """Counts the rows without a text that a reader has come past. Places only grow."""

    def __init__(self, before: int = 0) -> None:
        """`before` is how many there were in front of where reading begins."""
        self._before = before
        self._places: deque[tuple[int, int]] = deque()

    @property
    def count(self) -> int:
        """How many there were so far."""
        return self._before + len(self._places)

    def add(self, part: int, row: int) -> None:
        """There is none in this row of a file."""
        self._places.append((part, row))

    def before(self, part: int, row: int) -> int:
        """How many of them come before a place. Each time one that is not before the last."""
        while self._places and self._places[0] < (part, row):
            self._places.popleft()
            self._before += 1
        return self._before
