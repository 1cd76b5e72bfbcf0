"""What a chart's characters are drawn with: names of styles, to which the widget gives colours."""

from __future__ import annotations

RAW, BRIGHT, MARK, AXIS, LABEL, CURSOR = "raw", "line", "marker", "axis", "label", "cursor"
SERIES = tuple(f"series-{number}" for number in range(1, 7))
LETTERS = "abcdefghijklmnopqrstuvwxyz"
"""What tells the lines of several runs apart where there is no colour."""
