"""What a job printed: the end of its `log.txt`, as plain text."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Log, Static

from talm_core.storage import artifact_files
from talm_core.system.foreign_text import line, plain
from talm_tui.widgets.hint import plain_keys

_TAIL_BYTES = 256 * 1024
_LOOK_SECONDS = 0.5


class LogScreen(ModalScreen[None]):
    """Follows a job's log. `l` and `escape` close it."""

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
        """The log of the job in `directory`; where it printed nothing, of one of `others`."""
        super().__init__()
        files = [item / "log.txt" for item in (directory, *others)]
        self.path = next((file for file in files if _size(file)), files[0])
        self._offset = 0
        self._rest = ""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="log") as dialog:
            dialog.border_title = Content(line(str(self.path)))
            dialog.border_subtitle = Content(plain_keys(self.app, "{log.close}  close"))
            yield Log(highlight=False, max_lines=10_000)
            yield Static("", id="log-empty", markup=False)

    def on_mount(self) -> None:
        self._offset = max(0, _size(self.path) - _TAIL_BYTES)
        self._read(first=True)
        self.set_interval(_LOOK_SECONDS, self._read)

    def _read(self, *, first: bool = False) -> None:
        size = _size(self.path)
        if size < self._offset:
            # Begun anew by another run of the same name.
            self._offset, self._rest = 0, ""
        empty = self.query_one("#log-empty", Static)
        empty.display = size == 0
        empty.update("The job has printed nothing.")
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
        self.query_one(Log).write_lines([_shown(text) for text in lines[1 if cut else 0 :]])
        if first and self._rest:
            self.query_one(Log).write_line(_shown(self._rest))
            self._rest = ""

    def action_close(self) -> None:
        """Back to the place."""
        self.dismiss()

    def action_top(self) -> None:
        """To the oldest line."""
        self.query_one(Log).scroll_home(animate=False)

    def action_bottom(self) -> None:
        """To the newest line."""
        self.query_one(Log).scroll_end(animate=False)

    def action_by(self, lines: int) -> None:
        """Scroll."""
        self.query_one(Log).scroll_relative(y=lines, animate=False)


def _shown(text: str) -> str:
    """A line as a terminal would leave it: what a carriage return wrote over is gone."""
    return plain(text.rstrip("\r").rsplit("\r", 1)[-1]).expandtabs()


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
