"""Letters over everything that can be gone to; a letter goes there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.css.query import NoMatches
from textual.errors import NoWidget
from textual.geometry import Region
from textual.screen import ModalScreen, Screen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from talm_tui.host import host
from talm_tui.shell.places import places
from talm_tui.widgets.hint import plain_keys

LETTERS = "asdfghjklqwertyuiopzxcvbnm"
"""In the order in which fingers reach them."""

_SETTLE_SECONDS = 0.1


def labels(count: int) -> list[str]:
    """`count` labels of which none begins another: single letters, or pairs where those do not
    reach."""
    if count <= len(LETTERS):
        return list(LETTERS[:count])
    pairs = ("".join(pair) for pair in product(LETTERS, repeat=2))
    return [label for label, _ in zip(pairs, range(count), strict=False)]


class JumpScreen(ModalScreen[Widget]):
    """Answers with the widget that was chosen, None when it was left by escape. A digit goes to a
    place, also from within a field."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+o", "leave", "Leave", id="jump.leave", tooltip="Stay where you are"),
    ]

    def __init__(self, place: Screen[Any]) -> None:
        super().__init__()
        self._place = place
        self._timer: Timer | None = None
        self._typed = ""
        self.targets: dict[str, Widget] = {}

    def compose(self) -> ComposeResult:
        yield Static(self._hint("jump: type a letter"), id="jump-hint", markup=False)

    def on_mount(self) -> None:
        self.call_after_refresh(self._label)

    def on_resize(self, _: events.Resize) -> None:
        """What is underneath is laid out anew, too: the letters follow once it rests."""
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_SETTLE_SECONDS, self._label)

    def _label(self) -> None:
        found = list(targets(self._place))
        self.targets = dict(zip(labels(len(found)), (widget for widget, _ in found), strict=True))
        self._typed = ""
        self.query(Letter).remove()
        self.mount(
            *(Letter(label, region) for label, (_, region) in zip(self.targets, found, strict=True))
        )
        text = "jump: type a letter" if found else "nothing to jump to here"
        self.query_one("#jump-hint", Static).update(self._hint(text))

    def _hint(self, text: str) -> str:
        return plain_keys(self.app, text + ", {jump.leave} leaves")

    def on_key(self, event: events.Key) -> None:
        """A letter of a label, or the key of a place."""
        if not event.is_printable or event.character is None or not self.is_current:
            return
        event.stop()
        talm = host(self)
        for entry in places():
            if entry.key and event.key in talm.keys(entry.action_id):
                self.dismiss(None)
                self.app.call_later(talm.action_place, entry.mode)
                return
        typed = self._typed + event.character.lower()
        if not any(label.startswith(typed) for label in self.targets):
            self.app.bell()
            return
        self._typed = typed
        for letter in self.query(Letter):
            letter.display = letter.label.startswith(typed)
        if typed in self.targets:
            self.dismiss(self.targets[typed])

    def on_click(self, event: events.Click) -> None:
        """A click on a letter is the letter; one beside them leaves."""
        event.stop()
        if not self.is_current:
            return
        chosen = event.widget
        self.dismiss(self.targets.get(chosen.label) if isinstance(chosen, Letter) else None)

    def action_leave(self) -> None:
        """Back, with the focus where it was."""
        self.dismiss(None)


class Letter(Static):
    """A label beside what it stands for."""

    DEFAULT_CSS = """
    Letter {
        position: absolute;
        width: auto;
        height: 1;
        padding: 0 1;
        background: $accent;
        color: $background;
        text-style: bold;
    }
    """
    ALLOW_SELECT = False

    def __init__(self, label: str, region: Region) -> None:
        super().__init__(label, markup=False)
        self.label = label
        # Before a field, so that its value can be read; at the corner of anything larger.
        width = len(label) + 2
        before = region.height == 1 and region.x >= width
        self.styles.offset = (region.x - width if before else region.x, region.y)


def targets(place: Screen[Any]) -> Iterator[tuple[Widget, Region]]:
    """What takes the focus, or can be gone to by `jump`, and where of it can be seen; in reading
    order."""
    found = []
    for widget in place.walk_children(Widget):
        if not (widget.focusable or getattr(widget, "jump", None)) or not widget.display:
            continue
        try:
            region = place.find_widget(widget).visible_region
        except (NoWidget, NoMatches):
            continue
        if region.area:
            found.append((widget, region))
    yield from sorted(found, key=lambda item: (item[1].y, item[1].x))
