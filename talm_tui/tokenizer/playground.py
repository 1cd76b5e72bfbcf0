"""A tokenizer at work: what is typed, cut into tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static, TextArea

from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.system.foreign_text import line, plain
from talm_core.tokenizer.playground import Answer, Ask, Token
from talm_core.tokenizer.vocabulary import readable
from talm_tui.forms.editors import Edited, PickEditor
from talm_tui.forms.names import artifact_options
from talm_tui.forms.picker import PickScreen
from talm_tui.services.clients import Encoded, EncodeSession
from talm_tui.services.messages import OpenForm
from talm_tui.shell.screen import Place
from talm_tui.shell.theme import styles
from talm_tui.tokenizer.token_grid import TokenGrid, shown
from talm_tui.widgets.format import size

if TYPE_CHECKING:
    from textual.screen import Screen

EXAMPLE = "def greet(name):\n    return f'Hello, {name}! 你好 👋'\n"
"""What is there to begin with: code, prose, and what is not Latin."""

LONGEST = 10_000
"""Characters a text area edits without a key being held back; more is shown and not edited."""

REACH = 1_500
"""Characters before and after a place that are fetched with it: some screens full."""


def facts(answer: Answer) -> str:
    """`12 tokens · 41 B · 38 characters · 3.42 bytes a token`."""
    parts = [
        f"{answer.tokens:,} {'token' if answer.tokens == 1 else 'tokens'}",
        size(answer.bytes),
        f"{answer.characters:,} {'character' if answer.characters == 1 else 'characters'}",
    ]
    if answer.tokens:
        parts.append(f"{answer.bytes / answer.tokens:.2f} bytes a token")
    return " · ".join(parts)


def readout(token: Token | None, number: int, tokens: int, text: str) -> Content:
    """`"␣return"  id 330   token 4 of 12   bytes 20 72 65 74 75 72 6e`."""
    if token is None:
        return Content.styled("Select a token to see its id and bytes.", "$foreground 55%")
    piece = text[token.start : token.stop]
    data = piece.encode("utf-8", "replace")
    about = ""
    if not piece:
        about = f"part of {plain(text[max(0, token.start - 1) : token.start])}"
    elif readable(data) == token.text:
        about = f"bytes {data[:32].hex(' ')}{' …' if len(data) > 32 else ''}"
    elif len(piece) == 1:
        about = f"part of {plain(piece)}"
    return Content.assemble(
        (f'"{shown(token, text)}"', "bold"),
        f"  id {token.id:,}",
        (f"   token {number + 1:,} of {tokens:,}   ", "$foreground 60%"),
        about,
    )


def around(text: str, place: int) -> tuple[int, int]:
    """The characters to look at around a place: from the beginning of a line, if one is near, so
    that rows stay as they are when the place moves on."""
    start = max(0, place - REACH)
    if start:
        start = max(start, text.rfind("\n", start, start + REACH // 2) + 1)
    return start, place + REACH


def token_at(answer: Answer, caret: int) -> int:
    """The number of the token that holds the character before the caret."""
    found = 0
    for index, token in enumerate(answer.part):
        if token.start < caret or token.start == token.stop <= caret:
            found = index
    return answer.first + found


class TextInput(TextArea):
    """A text area that does not take in what would freeze it: `Held` has the whole text then."""

    class Held(Message):
        """So much was pasted that it is shown without being edited."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    async def _on_paste(self, event: events.Paste) -> None:
        if len(self.text) + len(event.text) <= LONGEST:
            return
        event.stop()
        event.prevent_default()
        first, last = sorted((self.selection.start, self.selection.end))
        before = self.get_text_range((0, 0), first)
        after = self.get_text_range(last, self.document.end)
        self.post_message(self.Held(before + event.text + after))


class PlaygroundScreen(Place):
    """A text and its tokens. The text's cursor chooses the token that is told about; with the
    focus on the tokens their own does."""

    HELP = """\
# A tokenizer at work

Type or paste: every colour is a token, its id stands below, gaps show where one ends. ␣ is a space,
⏎ the end of a line, ⇥ a tab; `\\xe4` is a byte that is no whole character by itself.

`tab` goes from the text to the tokens, where the arrows go from token to token and `home` and `end`
to the first and the last. `{playground.learned}` shows what the tokenizer has learned: bytes a
token, its longest tokens, each script. `esc` leaves the field, and then goes back to the form.
"""
    CSS_PATH = styles("tokenizer")
    AUTO_FOCUS = "#playground-text"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "ctrl+t",
            "choose",
            "tokenizer",
            id="playground.tokenizer",
            tooltip="Choose a tokenizer",
            priority=True,
        ),
        Binding(
            "ctrl+s",
            "special",
            "special",
            id="playground.special",
            tooltip="Encode special tokens as such, or as plain text",
        ),
        Binding(
            "f3",
            "learned",
            "learned",
            id="playground.learned",
            tooltip="Its longest tokens, and bytes per token on different texts",
        ),
        Binding("ctrl+n", "clear", "new text", id="playground.clear", tooltip="Clear the text"),
        Binding("escape", "leave", "back", id="playground.leave", tooltip="Back to the form"),
    ]

    def __init__(self, tokenizer: str = "base") -> None:
        super().__init__()
        self.session: EncodeSession | None = None
        self.answer: Answer | None = None
        self.problem = ""
        self.held: str | None = None
        self._tokenizer = tokenizer
        self._special = False
        self._place: int | None = None

    # --- making ------------------------------------------------------------------------------

    def compose_place(self) -> ComposeResult:
        with Horizontal(id="playground-head"):
            yield Static("Playground", id="playground-title", markup=False)
            yield Static("tokenizer", id="playground-label", markup=False)
            yield PickEditor("playground", self._tokenizer, self._options, placeholder="none")
            yield Static("", id="playground-facts", markup=False)
        with Vertical(id="playground-body"):
            text = TextInput(
                EXAMPLE,
                id="playground-text",
                soft_wrap=True,
                tab_behavior="focus",
                compact=True,
                placeholder="type or paste",
            )
            text.border_title = "text"
            yield text
            grid = TokenGrid(id="playground-tokens")
            grid.border_title = "tokens"
            yield grid
        yield Static("", id="playground-readout", markup=False)

    def on_mount(self) -> None:
        self.session = EncodeSession(self.talm.workspace.root, self._hear)
        text = self.query_one(TextInput)
        text.move_cursor(text.document.end)
        self.ask()
        self._tell()

    def on_unmount(self) -> None:
        if self.session is not None:
            self.session.close()

    def _options(self) -> list[tuple[str, str]]:
        return artifact_options(TokenizerConfig.kind, self.talm.snapshot.of(TokenizerConfig.kind))

    # --- asking ------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """What is cut: what was typed, or a text too long to be edited."""
        return self.query_one(TextInput).text if self.held is None else self.held

    @property
    def caret(self) -> int:
        """The character the text's cursor stands before."""
        area = self.query_one(TextInput)
        return len(area.get_text_range((0, 0), area.cursor_location)) if self.held is None else 0

    def ask(self, place: int | None = None) -> None:
        """Have the present text cut, and look at a place in it; none means where its cursor is."""
        self._place = place
        text = self.text
        start, stop = around(text, self.caret if place is None else place)
        if self.session is not None:
            self.session.ask(
                Ask(
                    tokenizer=self._tokenizer,
                    text=text,
                    start=start,
                    stop=stop,
                    special=self._special,
                )
            )

    def _hear(self, message: Encoded) -> None:
        """In the session's thread."""
        if self.is_running:
            self.post_message(message)

    @on(Encoded)
    def _take(self, message: Encoded) -> None:
        message.stop()
        ask = message.ask
        if (ask.tokenizer, ask.special) != (self._tokenizer, self._special):
            return
        self.problem, self.answer = message.problem, message.answer
        grid = self.query_one(TokenGrid)
        cursor = grid.cursor
        if self.answer is not None and self._place is None:
            cursor = token_at(self.answer, self.caret)
        grid.show(self.answer, ask.text or "", cursor)
        self._tell()

    def _tell(self) -> None:
        answer, grid = self.answer, self.query_one(TokenGrid)
        told = facts(answer) if answer else ""
        if self.problem:
            told = f"✕ {line(self.problem)}"
        says = self.query_one("#playground-facts", Static)
        says.set_class(bool(self.problem), "-problem")
        says.update(told)
        tokens = answer.tokens if answer else 0
        self.query_one("#playground-readout", Static).update(
            readout(grid.current, grid.cursor, tokens, self.text)
        )
        grid.border_subtitle = Content("special tokens encoded as such" if self._special else "")

    # --- what happens ------------------------------------------------------------------------

    @on(TextArea.Changed)
    def _changed(self, event: TextArea.Changed) -> None:
        event.stop()
        if event.text_area.text:
            self._hold(None)
        self.ask()

    @on(TextArea.SelectionChanged)
    def _selected(self, event: TextArea.SelectionChanged) -> None:
        event.stop()
        if self.held is None:
            self.ask()

    @on(TextInput.Held)
    def _pasted(self, event: TextInput.Held) -> None:
        event.stop()
        self._hold(event.text)
        self.query_one(TextInput).text = ""
        self.query_one(TokenGrid).focus()
        self.ask()

    def _hold(self, text: str | None) -> None:
        self.held = text
        area = self.query_one(TextInput)
        area.set_class(text is not None, "-held")
        if text is None:
            area.placeholder = "type or paste"
        else:
            many = size(len(text.encode("utf-8", "replace")))
            area.placeholder = f"{many} were pasted: below are the tokens. Type for something new."

    @on(TokenGrid.Moved)
    def _moved(self, event: TokenGrid.Moved) -> None:
        event.stop()
        token = self.query_one(TokenGrid).current
        if event.enough:
            self._tell()
        elif token is not None:
            self.ask(token.start)
        else:
            self.ask(len(self.text) if event.at else 0)

    @on(Edited)
    def _picked(self, event: Edited) -> None:
        event.stop()
        self.choose(event.text)

    def choose(self, tokenizer: str) -> None:
        """Have the text encoded by another tokenizer."""
        self._tokenizer = tokenizer
        self.query_one(PickEditor).show_text(tokenizer)
        self.ask()

    def on_pick_editor_opened(self, message: PickEditor.Opened) -> None:
        message.stop()
        self._open_list(message.text)

    def action_choose(self) -> None:
        """Choose a tokenizer from the list."""
        self._open_list("")

    def _open_list(self, text: str) -> None:
        def take(name: str | None) -> None:
            if name is not None:
                self.choose(name)

        self.app.push_screen(
            PickScreen(
                "tokenizer",
                self._options(),
                text=text,
                current=self._tokenizer,
                free="type the path of one",
            ),
            take,
        )

    def action_special(self) -> None:
        """Let the texts of special tokens be tokens, or text like any."""
        self._special = not self._special
        self.ask()

    def action_learned(self) -> None:
        """Show what the tokenizer has learned."""
        from talm_tui.tokenizer.learned import LearnedScreen

        self.app.push_screen(LearnedScreen(self.talm.workspace.root, self._tokenizer))

    def action_clear(self) -> None:
        """Begin with an empty text."""
        self._hold(None)
        area = self.query_one(TextInput)
        area.text = ""
        area.focus()
        self.ask()

    def action_leave(self) -> None:
        """Leave the field; from none, go back to the form."""
        if self.focused is not None:
            self.set_focus(None)
        else:
            self.dismiss()

    def on_open_form(self, event: OpenForm) -> None:
        """The form below is wanted."""
        event.stop()
        stack = self.app.screen_stack
        below: Screen[object] = stack[stack.index(self) - 1]
        self.dismiss()
        below.post_message(OpenForm(event.values))
