"""What a place is for, and every key that works there."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from talm_core.system.foreign_text import plain
from talm_tui.widgets.hint import plain_keys

_KEY_WIDTH = 12
_MARKS = re.compile(r"\*\*(.+?)\*\*|`(.+?)`")


class HelpScreen(ModalScreen[None]):
    """The `HELP` of the widget that has the focus (of a field, all there is to say about its
    setting) and of the screen, then the keys: those of this place first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f1,q", "close", "Close", id="help.close", tooltip="Back"),
    ]

    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__()
        self._texts = list(_texts(screen))
        self._keys = list(_keys(screen))

    def compose(self) -> ComposeResult:
        parts = [*self._texts, Content.styled("Keys", "bold $accent"), *self._keys]
        with VerticalScroll(classes="dialog", id="help-text") as dialog:
            dialog.border_subtitle = Content(plain_keys(self.app, "{help.close}  close"))
            yield Static(Content("\n").join(parts), markup=False)

    def action_close(self) -> None:
        """Back."""
        self.dismiss()


def _texts(screen: Screen[Any]) -> Iterator[Content]:
    # What somebody is at comes first; what a field of a form is, its parent knows.
    at = screen.focused
    texts = () if at is None else (getattr(at.parent, "about", ""), at.HELP)
    for text in (*texts, screen.HELP):
        if text:
            yield from _marked(plain_keys(screen.app, inspect.cleandoc(text)))


def _marked(text: str) -> Iterator[Content]:
    """Paragraphs as one line each, so that they wrap where the window ends; `# heads`, `**bold**`
    and code as such."""
    # A head is a paragraph of its own, whether an empty line follows or not.
    text = re.sub(r"(?m)^(#.*)$", r"\n\1\n", text).strip()
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.startswith("#"):
            yield Content.styled(paragraph.lstrip("# ").rstrip(), "bold $accent")
            continue
        words = _MARKS.split(" ".join(plain(paragraph).split()))
        styles = ("", "bold", "bold $accent")
        yield Content.assemble(
            *((word, styles[index % 3]) for index, word in enumerate(words) if word)
        )
        yield Content("")


def _keys(screen: Screen[Any]) -> Iterator[Content]:
    rows: dict[tuple[int, str], tuple[list[str], str]] = {}
    for node, binding, enabled, tooltip in screen.active_bindings.values():
        text = tooltip or binding.description
        if not enabled or not text or (binding.system and not binding.id):
            continue
        # First what belongs to the place, then what works everywhere, then Textual's own.
        rank = 2 if not binding.id else 1 if isinstance(node, App) else 0
        keys, _ = rows.setdefault((rank, binding.action), ([], text))
        keys.append(screen.app.get_key_display(binding))
    for (_, _), (keys, text) in sorted(rows.items(), key=lambda item: item[0][0]):
        shown = " ".join(keys[:2])
        yield Content.assemble((f"{shown:>{_KEY_WIDTH}}", "bold $accent"), f"  {plain(text)}")
