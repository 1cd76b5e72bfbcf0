"""Text that costs no new layout while it keeps its height."""

from __future__ import annotations

from textual.visual import VisualType
from textual.widgets import Static


class Sheet(Static):
    """A `Static` that has its screen laid out anew only when it needs another height. Beside a
    form whose consequences change with every key, laying out is most of what a key costs."""

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        """Show other content."""
        width = self.content_size.width
        before = self._height(width)
        super().update(content, layout=False)
        # While it is hidden it has no height; showing it lays out anyway.
        if layout and self.display and (not width or self._height(width) != before):
            self.refresh(layout=True)

    def _height(self, width: int) -> int:
        return self.visual.get_height(self.styles, width) if width else 0  # type: ignore[arg-type]
