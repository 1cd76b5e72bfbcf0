"""Play: prompt a model and watch it write."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static, TextArea

from talm_core.config import SampleConfig
from talm_core.errors import ConfigError, Problem
from talm_core.events import Event, Failed, Finished, Generated, Sampled, Started, Stopped
from talm_core.settings import build, settings_of
from talm_tui.following import has_checkpoint
from talm_tui.forms.editors import Edited, EditorDone, PickEditor, TextEditor
from talm_tui.forms.picker import PickScreen
from talm_tui.messages import OpenPlay
from talm_tui.play_session import Heard, PlaySession
from talm_tui.screens.place import Place
from talm_tui.theme import line, plain, styles
from talm_tui.widgets.hint import Hint
from talm_tui.widgets.token_view import Token, TokenView, visible

if TYPE_CHECKING:
    from pathlib import Path

FIELDS = {
    "temperature": "temperature",
    "top_p": "top-p",
    "top_k": "top-k",
    "max_tokens": "max",
    "seed": "seed",
}
"""The settings in the row, with their labels."""

_DEFAULTS = {item.key: item.default for item in settings_of(SampleConfig)}

EMPTY = (
    "There is no model to talk to yet. Press {app.home} and then {home.quickstart} for one in about"
    " a minute,\nor {app.train} to train one of your own."
)


def readout(token: Token | None) -> Content:
    """`"return"  p 0.41   next best:  "raise" 0.22  "self" 0.09`."""
    if token is None:
        return Content.styled("The likelihood of each token is told here.", "$foreground 55%")
    parts: list[str | tuple[str, str]] = [
        (visible(token.text), "bold"),
        f"  p {token.probability:.2f}" if token.probability >= 0.005 else "  p < 0.01",
    ]
    others = [(text, p) for text, p in token.alternatives if text != token.text]
    if others:
        parts.append(("   next best:  ", "$foreground 60%"))
        parts.append("  ".join(f"{visible(text)} {p:.2f}" for text, p in others[:6]))
    return Content.assemble(*parts)


class Models(Message):
    """Which models have a checkpoint; `notes` says something beside each."""

    def __init__(self, names: list[tuple[str, str]]) -> None:
        super().__init__()
        self.names = names


class PlayScreen(Place):
    """A prompt, how to sample, and the text as it comes."""

    HELP = """\
# Play

`{play.generate}` lets the model continue the prompt, `{play.stop}` stops it. `tab` goes from the
prompt to the settings and to the text. In the text `{tokens.previous}` `{tokens.next}` go from
token to token: below stands how likely each was and what else the model thought of. Orange and
underlined is what it hardly expected itself, blue what went without saying.
"""
    CSS_PATH: ClassVar = [styles("forms"), styles("play")]
    AUTO_FOCUS = "#play-prompt"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "generate", "go", id="play.generate", priority=True, tooltip="Continue"),
        Binding("escape", "escape", "stop", id="play.stop", tooltip="Stop; then leave the field"),
        Binding("m", "model", "model", id="play.model", tooltip="Choose a model"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.session: PlaySession | None = None
        self.generating = False
        self.rate: float | None = None
        self.problems: tuple[Problem, ...] = ()
        self.said = ""
        self._asked = self._begun = 0
        self._since = 0.0
        self._models: list[tuple[str, str]] = []
        self._seen: tuple[object, ...] = ()
        self._wanted: str | None = None

    # --- making ------------------------------------------------------------------------------

    def compose_place(self) -> ComposeResult:
        yield Hint(EMPTY, id="play-empty")
        with Vertical(id="play"):
            with Container(id="play-settings"):
                with Horizontal(id="play-model"):
                    yield Static("model", classes="play-label", markup=False)
                    yield PickEditor("model", "", lambda: self._models, placeholder="none")
                with Horizontal(id="play-fields"):
                    for key, label in FIELDS.items():
                        yield Static(label, classes="play-label", markup=False)
                        yield TextEditor(key, str(_DEFAULTS[key]))
            yield Static("", id="play-problem", markup=False)
            with Horizontal(id="play-body"):
                prompt = TextArea(
                    "def ", id="play-prompt", soft_wrap=True, tab_behavior="focus", compact=True
                )
                prompt.border_title = "prompt"
                yield prompt
                yield TokenView(id="play-text")
            yield Static("", id="play-readout", markup=False)

    def on_mount(self) -> None:
        self.query_one("#play-prompt", TextArea).move_cursor((0, 1000))
        self._name_text()
        self._show_readout()
        self.watch(self.app, "snapshot", self._workspace_changed)

    def on_unmount(self) -> None:
        if self.session is not None:
            self.session.close()

    # --- which model -------------------------------------------------------------------------

    def _workspace_changed(self) -> None:
        models = self.talm.snapshot.models
        found = tuple(
            (item.artifact.directory, item.name, item.status, item.val_loss) for item in models
        )
        if found != self._seen or not models:
            self._seen = found
            notes = [
                (
                    item.artifact.directory,
                    item.name,
                    f"validation loss {item.val_loss:.3f}" if item.val_loss is not None else "",
                )
                for item in models
            ]
            self._look_for_models(notes, self.talm.snapshot.complete)

    @work(thread=True, exclusive=True, group="models", exit_on_error=False)
    def _look_for_models(self, notes: list[tuple[Path, str, str]], complete: bool) -> None:
        names = [(name, note) for directory, name, note in notes if has_checkpoint(directory)]
        if names or complete:
            self.post_message(Models(names))

    def on_models(self, message: Models) -> None:
        message.stop()
        self._models = message.names
        names = [name for name, _ in self._models]
        picker = self.query_one("#edit-model", PickEditor)
        wanted = self._wanted if self._wanted in names else picker.value
        if wanted not in names:
            wanted = names[0] if names else ""
        picker.show_text(wanted)
        picker.refresh()
        self.query_one("#play").display = bool(names)
        self.query_one("#play-empty").display = not names
        self._check()

    def on_open_play(self, message: OpenPlay) -> None:
        message.stop()
        self._wanted = message.name
        self.query_one("#edit-model", PickEditor).show_text(message.name)
        self.query_one("#play-prompt", TextArea).focus()
        self._check()

    def on_pick_editor_opened(self, message: PickEditor.Opened) -> None:
        message.stop()
        screen = PickScreen("model", self._models, text=message.text, current=message.editor.value)
        self.app.push_screen(screen, self._picked)

    def _picked(self, name: str | None) -> None:
        if name is not None:
            self.query_one("#edit-model", PickEditor).choose(name)

    def action_model(self) -> None:
        """Choose a model from the list."""
        self.query_one("#edit-model", PickEditor).action_open()

    # --- the settings ------------------------------------------------------------------------

    def values(self) -> dict[str, object]:
        """What the fields hold, as far as it can be read."""
        values: dict[str, object] = {
            "model": self.query_one("#edit-model", PickEditor).value,
            "prompt": self.query_one("#play-prompt", TextArea).text,
        }
        for key in FIELDS:
            text = self.query_one(f"#edit-{key}", TextEditor).value.strip().replace(",", "")
            values[key] = _number(text)
        return values

    def config(self) -> SampleConfig | None:
        """The settings, None while something is wrong with them."""
        try:
            config = build(SampleConfig, self.values())
        except ConfigError as error:
            self.problems = error.problems
            return None
        self.problems = ()
        return config

    def _check(self) -> None:
        self.config()
        wrong = {problem.key for problem in self.problems}
        for key in FIELDS:
            self.query_one(f"#edit-{key}", TextEditor).set_class(key in wrong, "-invalid")
        self._show_note()

    def _show_note(self) -> None:
        note = self.query_one("#play-problem", Static)
        text = "   ".join(
            f"✕ {FIELDS.get(problem.key, problem.key)}: {problem.message}"
            for problem in self.problems
        )
        note.update(line(text or self.said))
        note.display = bool(text or self.said)

    def on_edited(self, event: Edited) -> None:
        event.stop()
        if event.key == "model":
            self._wanted = event.text
        self._check()

    def on_editor_done(self, event: EditorDone) -> None:
        event.stop()
        self.action_generate()

    # --- generating --------------------------------------------------------------------------

    def action_generate(self) -> None:
        """Let the model continue the prompt; what it was writing is ended."""
        config = self.config()
        if config is None:
            self._check()
            first = next((p.key for p in self.problems if p.key in FIELDS), None)
            if first is not None:
                self.query_one(f"#edit-{first}", TextEditor).focus()
            return
        if self.session is None:
            self.session = PlaySession(self.talm.workspace.root, self._hear)
        try:
            self.session.ask(config)
        except OSError as error:
            self._ended(f"✕ cannot be started: {error}")
            return
        self._asked += 1
        self.generating, self.rate, self.said = True, None, ""
        self._since = time.monotonic()
        self.query_one(TokenView).begin(config.prompt)
        self._name_text()
        self._show_note()
        self.refresh_bindings()

    def _hear(self, message: Heard) -> None:
        """In the session's thread."""
        if self.is_running:
            self.post_message(message)

    @on(Heard)
    def _take(self, message: Heard) -> None:
        message.stop()
        tokens: list[Token] = []
        for event in message.events:
            if isinstance(event, Started):
                self._begun += 1
            elif self._begun < self._asked and not isinstance(event, Failed):
                # Still about a prompt before this one.
                continue
            elif isinstance(event, Generated):
                if self.generating:
                    tokens.append(_token(event))
            else:
                self._add(tokens)
                tokens = []
                self._take_end(event)
        self._add(tokens)
        if message.died is not None:
            self._asked = self._begun = 0
            self._ended(f"✕ the model's process died: {message.died}   ^r starts another")

    def _add(self, tokens: list[Token]) -> None:
        if tokens:
            self.query_one(TokenView).add(tokens)
            self._name_text()

    def _take_end(self, event: Event) -> None:
        if isinstance(event, Sampled):
            self.rate = event.tokens_per_second
        elif isinstance(event, Failed):
            self._begun = self._asked
            self._ended(f"✕ {event.message}")
        elif isinstance(event, Finished | Stopped) and self.generating:
            self._ended("")

    def _ended(self, said: str) -> None:
        self.generating = False
        self.said = plain(said)
        self._name_text()
        self._show_note()
        self.refresh_bindings()

    def _name_text(self) -> None:
        view = self.query_one(TokenView)
        count = len(view.tokens)
        state = "loading the model" if self.generating and not count else "continuation"
        view.border_title = Content(state)
        rate = f"  {self.rate:,.0f} tokens/s" if self.rate else ""
        if self.generating:
            view.border_subtitle = Content(f"{count:,} tokens  esc stops")
        else:
            view.border_subtitle = Content(f"{count:,} tokens{rate}" if count else "^r starts")

    @on(TokenView.Moved)
    def _show_readout(self) -> None:
        readout_line = self.query_one("#play-readout", Static)
        readout_line.update(readout(self.query_one(TokenView).current))

    def action_escape(self) -> None:
        """Stop the generation; without one, leave the field."""
        if self.generating and self.session is not None:
            self.session.stop()
            self._ended("stopped")
        else:
            self.set_focus(None)

    def on_key(self, event: events.Key) -> None:
        # From nowhere the arrows lead into the text.
        if self.focused is None and event.key in ("left", "right", "up", "down"):
            self.query_one(TokenView).focus()


def _number(text: str) -> object:
    """A number if it is one; the text itself otherwise, which `build` refuses by name."""
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text


def _token(event: Generated) -> Token:
    """The event's values; alternatives from outside are taken only where they are pairs."""
    pairs = [
        (str(item[0]), float(item[1]))
        for item in event.alternatives
        if isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[1], int | float)
    ]
    return Token(event.text, event.probability, pairs)
