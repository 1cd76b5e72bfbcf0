"""What a tokenizer has learned, as `talm show` tells it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Static
from textual.worker import get_current_worker

from talm_core.system.foreign_text import line, plain
from talm_tui.services.clients import Said, ask
from talm_tui.widgets.hint import plain_keys


class Told(Message):
    """What `talm show` said."""

    def __init__(self, said: Said) -> None:
        super().__init__()
        self.said = said


class LearnedScreen(ModalScreen[None]):
    """A page about one tokenizer: how well it fits text, its longest tokens, each script."""

    DEFAULT_CSS = """
    LearnedScreen { align: center middle; }
    #learned {
        width: 88;
        max-width: 96%;
        height: 92%;
        border: round $primary;
        border-title-color: $primary;
        padding: 0 1;
        background: $surface;
        scrollbar-size-vertical: 1;
    }
    #learned Static { height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
    """
    AUTO_FOCUS = "#learned"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f3,q", "close", "Close", id="learned.close", tooltip="Back")
    ]

    def __init__(self, workspace: Path, tokenizer: str) -> None:
        super().__init__()
        self._workspace = workspace
        self.tokenizer = tokenizer
        self.said: Said | None = None

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="learned") as page:
            page.border_title = Content(f"What {line(self.tokenizer)} has learned")
            page.border_subtitle = Content(plain_keys(self.app, "{learned.close}  close"))
            yield Static("measuring …", markup=False)

    def on_mount(self) -> None:
        self.run_worker(self._ask, thread=True, exit_on_error=False, group="learned")

    def _ask(self) -> None:
        worker = get_current_worker()
        words = ("show", f"tokenizers/{self.tokenizer}")
        said = ask(self._workspace, *words, cancelled=lambda: worker.is_cancelled)
        if said is not None and not worker.is_cancelled:
            self.post_message(Told(said))

    def on_told(self, event: Told) -> None:
        event.stop()
        self.said = event.said
        text = Content(plain(event.said.text).rstrip("\n"))
        if event.said.problem:
            text = Content.styled(f"✕ {line(event.said.problem)}", "$text-error")
        self.query_one(Static).update(text)

    def action_close(self) -> None:
        """Back to the text."""
        self.dismiss()
