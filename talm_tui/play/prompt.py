"""The text a model is to continue."""

from __future__ import annotations

from textual.widgets import TextArea

from talm_core.system.foreign_text import plain


class PromptArea(TextArea):
    """What somebody writes there stays; until then it is what the model was trained to continue."""

    def __init__(self) -> None:
        super().__init__(
            "def ", id="play-prompt", soft_wrap=True, tab_behavior="focus", compact=True
        )
        self.border_title = "prompt"
        self._is_own = False

    def on_mount(self) -> None:
        self.move_cursor(self.document.end)

    def propose(self, text: str | None) -> None:
        """Show this, unless somebody has written something."""
        if text is not None and not self._is_own and text != self.text:
            self._show(text)

    def take(self, text: str) -> None:
        """Show a text that somebody has chosen."""
        self._show(text)
        self._is_own = True
        self.focus()

    def _show(self, text: str) -> None:
        with self.prevent(TextArea.Changed):
            self.load_text(plain(text))
        self.move_cursor(self.document.end)

    def on_text_area_changed(self) -> None:
        self._is_own = True
