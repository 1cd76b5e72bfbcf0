"""What of a screen is painted again when a part of it has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from textual._compositor import ChopsUpdate, Compositor
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class SparingCompositor(Compositor):
    """Paints only widgets, and of these only lines, that lie where something has changed.

    Textual's own asks every widget within the rectangle around all changes for all of its lines,
    containers behind others included: with a changing line at the top and one at the bottom that
    is the whole screen. What is sent to the terminal is the same.
    """

    def render_partial_update(self) -> ChopsUpdate | None:
        """What to send to the terminal for the regions that have changed; None without any."""
        screen = self.size.region
        regions = [region.intersection(screen) for region in self._dirty_regions]
        self._dirty_regions.clear()
        spans = list(self._regions_to_spans(filter(None, regions)))
        if not spans:
            return None
        cuts = self.cuts
        lines = {y: dict.fromkeys(cuts[y][:-1]) for y, _, _ in spans}
        # Those in front come first.
        for widget, (region, clip) in self.visible_widgets.items():
            self._paint(widget, region, clip, spans, lines)
        ends = {y: cuts[y][1:] for y in lines}
        # Both are looked up by the number of a line, for the lines in `spans` only.
        return ChopsUpdate(
            cast("Sequence[Mapping[int, Strip | None]]", lines),
            spans,
            cast("list[list[int]]", ends),
        )

    def _paint(
        self,
        widget: Widget,
        region: Region,
        clip: Region,
        spans: Sequence[tuple[int, int, int]],
        lines: Mapping[int, dict[int, Strip | None]],
    ) -> None:
        """Fill the pieces of `lines` that a widget owns and that lie in a span."""
        shown = region.intersection(clip)
        left, right = shown.column_span
        top, bottom = shown.line_span
        cuts = self.cuts
        wanted: dict[int, list[tuple[int, int]]] = {}
        for y, begin, end in spans:
            if not (top <= y < bottom and begin < right and left < end):
                continue
            pieces = lines[y]
            for start, stop in zip(cuts[y], cuts[y][1:], strict=False):
                inside = left <= start and stop <= right and start < end and begin < stop
                if inside and pieces[start] is None:
                    wanted.setdefault(y, []).append((start, stop))
        if not wanted:
            return
        first, last = min(wanted), max(wanted) + 1
        strips = widget.render_lines(
            Region(left - region.x, first - region.y, shown.width, last - first)
        )
        for y, pieces_of in wanted.items():
            strip = strips[y - first]
            for start, stop in pieces_of:
                lines[y][start] = strip.crop(start - left, stop - left)
