"""What a job has said and printed: the end of its journal as lines, and of its `log.txt`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Log, Static

from talm_core.runtime import render
from talm_core.runtime.events import Planned
from talm_core.runtime.history import History
from talm_core.runtime.journal import JournalReader
from talm_core.storage import artifact_files
from talm_core.system.foreign_text import line, plain, wrapped
from talm_tui.widgets.hint import plain_keys

_TAIL_BYTES = 256 * 1024
_LOOK_SECONDS = 0.5
_MOST_LINES = 10_000


class Lines(Log):
    """Lines of text, broken between words where they are longer than there is room: what to do
    about an error often stands at its end."""

    def __init__(self) -> None:
        super().__init__(highlight=False, max_lines=_MOST_LINES)
        self._whole: deque[str] = deque(maxlen=_MOST_LINES)
        self._room = 0

    def add(self, lines: Sequence[str]) -> None:
        """Add lines at the end."""
        self._whole.extend(lines)
        self._put(lines)

    def on_resize(self) -> None:
        room = self.size.width - self.scrollbar_size_vertical
        if room != self._room:
            self._room = room
            self.clear()
            self._put(self._whole)

    def _put(self, lines: Iterable[str]) -> None:
        if self._room > 0:
            self.write_lines([part for text in lines for part in wrapped(text, self._room) or [""]])


class LogScreen(ModalScreen[None]):
    """Follows what a job says, step by step, and what its process prints. `l` and `escape` close
    it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,l,q", "close", "Close", id="log.close"),
        Binding("home,g", "top", "Oldest line", show=False, id="log.top"),
        Binding("end,G", "bottom", "Newest line", show=False, id="log.bottom"),
        Binding("up", "by(-1)", "Line up", show=False, id="log.up"),
        Binding("down", "by(1)", "Line down", show=False, id="log.down"),
        Binding("pageup", "by(-10)", "Ten lines up", show=False, id="log.page_up"),
        Binding("pagedown,space", "by(10)", "Ten lines down", show=False, id="log.page_down"),
    ]

    def __init__(self, directory: Path, *others: Path) -> None:
        """The log of the job in `directory`; what was printed, where that is nothing, of one of
        `others`."""
        super().__init__()
        files = [item / "log.txt" for item in (directory, *others)]
        self.path = next((file for file in files if _size(file)), files[0])
        self._offset = 0
        self._rest = ""
        self._journal = JournalReader(directory, last=_TAIL_BYTES)
        self._planned: Planned | None = None
        self._day = ""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="log") as dialog:
            dialog.border_title = Content(line(str(self.path.parent)))
            dialog.border_subtitle = Content(plain_keys(self.app, "{log.close}  close"))
            yield Lines()
            yield Static("", id="log-empty", markup=False)

    def on_mount(self) -> None:
        self._offset = max(0, _size(self.path) - _TAIL_BYTES)
        self._take_said()
        if _size(self.path):
            self.query_one(Lines).add(["", "output of its process (log.txt):"])
        self._read(first=True)
        self.set_interval(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._take_said()
        self._read()

    def _take_said(self) -> None:
        """Add a line for whatever the job has said since the last look."""
        history = History()
        history.extend(self._journal.read_all())
        self._planned = history.planned or self._planned
        shown = list(render.log_lines(history.said, self._planned))
        if shown and shown[0] == self._day:
            del shown[0]
        elif shown:
            self._day = shown[0]
        if shown:
            self.query_one(Lines).add(shown)

    def _read(self, *, first: bool = False) -> None:
        size = _size(self.path)
        if size < self._offset:
            # Begun anew by another run of the same name.
            self._offset, self._rest = 0, ""
        empty = self.query_one("#log-empty", Static)
        empty.display = size == 0 and not self._day
        empty.update("Nothing logged yet.")
        if size == self._offset:
            return
        try:
            with artifact_files.reading(self.path) as file:
                file.seek(self._offset)
                data = file.read(_TAIL_BYTES)
        except OSError:
            return
        cut = first and self._offset > 0
        self._offset += len(data)
        text = self._rest + data.decode("utf-8", "replace")
        lines = text.split("\n")
        self._rest = lines.pop()
        self.query_one(Lines).add([_shown(text) for text in lines[1 if cut else 0 :]])
        if first and self._rest:
            self.query_one(Lines).add([_shown(self._rest)])
            self._rest = ""

    def action_close(self) -> None:
        """Back."""
        self.dismiss()

    def action_top(self) -> None:
        """To the oldest line."""
        self.query_one(Lines).scroll_home(animate=False)

    def action_bottom(self) -> None:
        """To the newest line."""
        self.query_one(Lines).scroll_end(animate=False)

    def action_by(self, lines: int) -> None:
        """Scroll."""
        self.query_one(Lines).scroll_relative(y=lines, animate=False)


def _shown(text: str) -> str:
    """A line as a terminal would leave it: what a carriage return wrote over is gone."""
    return plain(text.rstrip("\r").rsplit("\r", 1)[-1]).expandtabs()


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
