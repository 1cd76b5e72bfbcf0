"""Files and directories to choose from, on a screen over the form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from talm_core.system.foreign_text import plain
from talm_tui.forms.folder import Entry, Listing, expanded, is_path, listing, shortened
from talm_tui.widgets.format import size
from talm_tui.widgets.hint import plain_keys

_UP = ".."


class _Typed(Input):
    """What is typed over the list; the space bar is the screen's."""

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """All that can be typed but a space, which marks."""
        return key != "space" and super().check_consume_key(key, character)


class BrowseScreen(ModalScreen[tuple[str, ...] | None]):
    """Answers with the paths chosen, None when it was left by escape.

    Letters filter, a path typed out leads there. Directories are read in a thread: one on a slow
    network must not hold a key back.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Close", id="browse.close", show=False),
        Binding("down", "move('down')", "Next", id="browse.next", show=False),
        Binding("up", "move('up')", "Previous", id="browse.previous", show=False),
        Binding("pagedown", "move('page_down')", "Page down", id="browse.page_down", show=False),
        Binding("pageup", "move('page_up')", "Page up", id="browse.page_up", show=False),
        Binding("space", "mark", "Mark", id="browse.mark", show=False, priority=True),
        Binding("left", "up", "Up", id="browse.up", show=False, priority=True),
        Binding("right", "open", "Open", id="browse.open", show=False, priority=True),
        Binding("ctrl+s", "take", "Take what is marked", id="browse.take", show=False),
    ]

    class Read(Message):
        """A directory was read."""

        def __init__(self, found: Listing, highlight: str) -> None:
            super().__init__()
            self.found = found
            self.highlight = highlight

    def __init__(self, title: str, chosen: Sequence[str], folder: Path | None = None) -> None:
        """`chosen` are marked from the start; `folder` is where to begin, by default where the
        first of them lies."""
        super().__init__()
        self._title = title
        self.chosen = [shortened(expanded(path)) for path in chosen]
        first = expanded(chosen[0]).parent if chosen else Path.cwd()
        self.folder = folder if folder is not None and not chosen else first
        self._listing = Listing(self.folder)
        self._shown: list[Entry] = []

    def compose(self) -> ComposeResult:
        with Vertical(id="browse") as box:
            box.border_title = Content(plain(self._title))
            box.border_subtitle = Content(
                plain_keys(
                    self.app,
                    "{browse.mark} marks · {browse.open} opens · {browse.up} up · enter takes"
                    " · {browse.close}",
                )
            )
            yield Static("", id="browse-folder", markup=False)
            yield _Typed(placeholder="type to filter, or a path", compact=True, id="browse-text")
            yield OptionList(id="browse-list", compact=True, markup=False)
            yield Static("", id="browse-chosen", markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).can_focus = False
        self._read(self.folder, "")
        self._show_chosen()

    # --- reading ---------------------------------------------------------------------------

    @work(thread=True, exclusive=True, group="browse", exit_on_error=False)
    def _read(self, folder: Path, highlight: str) -> None:
        found = listing(folder)
        if self.is_running:
            self.post_message(self.Read(found, highlight))

    def on_browse_screen_read(self, event: Read) -> None:
        event.stop()
        if event.found.problem and event.found.folder != self.folder:
            # Where it was stays: from a directory that cannot be read there is no way back.
            self._say(f"✕ {event.found.folder}: {event.found.problem}")
            return
        self._listing = event.found
        self.folder = event.found.folder
        self._filter(_name_in(self.query_one(Input).value), event.highlight)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        text = event.value.strip()
        if is_path(text) and "/" in text:
            folder = expanded(text.rpartition("/")[0] + "/")
            if folder != self.folder:
                # What is typed stays: more of it may be on its way.
                self._read(folder, "")
                return
        self._filter(_name_in(text))

    def _go_to(self, folder: Path, highlight: str = "") -> None:
        """Look into a directory that was chosen; what was typed has done its work."""
        with self.prevent(Input.Changed):
            self.query_one(Input).value = ""
        self._read(folder, highlight)

    def _filter(self, text: str, highlight: str = "") -> None:
        """Show what has `text` in its name; hidden files only for a text that begins with a
        dot."""
        hidden = text.startswith(".")
        words = text.lower().split()
        entries = [
            entry
            for entry in self._listing.entries
            if (hidden or not entry.name.startswith("."))
            and all(word in entry.name.lower() for word in words)
        ]
        if not text and self.folder != self.folder.parent:
            entries.insert(0, Entry(_UP, is_directory=True))
        self._shown = entries
        self._draw(highlight or (self._current.name if self._current and not text else ""))
        said = self._listing.problem and f"✕ {self._listing.problem}"
        if self._listing.more:
            said = f"only the first {len(self._listing.entries):,} are listed: type a path"
        self._say(said or ("" if entries else "no match"))

    def _draw(self, highlight: str) -> None:
        listed = self.query_one(OptionList)
        listed.clear_options()
        listed.add_options(Option(self._line(entry)) for entry in self._shown)
        names = [entry.name for entry in self._shown]
        if names:
            # The way up comes first in the list, but is not what one looks for first.
            usual = 1 if names[0] == _UP and len(names) > 1 else 0
            listed.highlighted = names.index(highlight) if highlight in names else usual

    def _line(self, entry: Entry) -> Content:
        if entry.name == _UP:
            return Content.assemble("  ", ("../", "dim"))
        marked = self._path(entry) in self.chosen
        name = entry.name + ("/" if entry.is_directory else "")
        said = "" if entry.is_directory else size(entry.size)
        width = max(10, self.query_one(OptionList).size.width - 6 - len(said))
        return Content.assemble(
            ("● " if marked else "  ", "$accent bold"),
            Content(name).truncate(width, ellipsis=True).pad_right(max(0, width - len(name))),
            "  ",
            (said, "dim"),
        )

    def _say(self, text: str) -> None:
        place = shortened(self.folder)
        self.query_one("#browse-folder", Static).update(
            Content.assemble((plain(place), "bold"), ("  " + plain(text), "$text-warning"))
        )

    def _show_chosen(self) -> None:
        """The marked ones, the newest last, as many as there is room for."""
        shown = self.query_one("#browse-chosen", Static)
        count = len(self.chosen)
        names = "  ".join(plain(path) for path in reversed(self.chosen))
        text = f"{count} marked: {names}" if count else "nothing is marked"
        shown.update(Content.styled(text, "$accent" if count else "dim"))

    # --- choosing --------------------------------------------------------------------------

    @property
    def _current(self) -> Entry | None:
        index = self.query_one(OptionList).highlighted
        return self._shown[index] if index is not None and index < len(self._shown) else None

    def _path(self, entry: Entry) -> str:
        return shortened(self.folder / entry.name)

    def action_move(self, direction: str) -> None:
        """Move the highlight while the text keeps the focus."""
        listed = self.query_one(OptionList)
        getattr(listed, f"action_{direction if 'page' in direction else 'cursor_' + direction}")()

    def action_mark(self) -> None:
        """Mark what is highlighted, or take the mark off, and go on to the next. In a path that
        is being typed, a space."""
        typed = self.query_one(Input)
        if is_path(typed.value) and not typed.value.endswith("/"):
            typed.insert_text_at_cursor(" ")
            return
        entry = self._current
        if entry is None or entry.name == _UP:
            return
        path = self._path(entry)
        if path in self.chosen:
            self.chosen.remove(path)
        else:
            self.chosen.append(path)
        listed = self.query_one(OptionList)
        assert listed.highlighted is not None
        listed.replace_option_prompt_at_index(listed.highlighted, self._line(entry))
        if listed.highlighted + 1 < len(self._shown):
            listed.action_cursor_down()
        self._show_chosen()

    def action_up(self) -> None:
        """Go to the directory above; in a text, one character back."""
        typed = self.query_one(Input)
        if typed.value:
            typed.action_cursor_left()
        elif self.folder != self.folder.parent:
            self._go_to(self.folder.parent, self.folder.name)

    def action_open(self) -> None:
        """Go into the directory that is highlighted."""
        entry = self._current
        typed = self.query_one(Input)
        if typed.value and typed.cursor_position < len(typed.value):
            typed.action_cursor_right()
        elif entry is not None and entry.name == _UP:
            self.action_up()
        elif entry is not None and entry.is_directory:
            self._go_to(self.folder / entry.name)

    def action_take(self) -> None:
        """Answer with what is marked; where nothing is, with what is highlighted."""
        entry = self._current
        if self.chosen:
            self.dismiss(tuple(self.chosen))
        elif entry is not None and entry.name != _UP:
            self.dismiss((self._path(entry),))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        text = event.value.strip()
        if is_path(text) and not text.endswith("/"):
            path = expanded(text)
            if path.is_dir():
                self._go_to(path)
            else:
                self.dismiss((*self.chosen, shortened(path)))
            return
        entry = self._current
        if not self.chosen and entry is not None and entry.name == _UP:
            self.action_up()
        else:
            self.action_take()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click: into a directory, a mark on a file."""
        event.stop()
        entry = self._shown[event.option_index]
        if entry.is_directory:
            self.query_one(OptionList).highlighted = event.option_index
            self.action_open()
        else:
            self.action_mark()


def _name_in(text: str) -> str:
    """What is typed of a name: all of it, or the end of a path."""
    return text.strip().rpartition("/")[2] if is_path(text) else text.strip()
