"""A question that is answered by one key."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from talm_core.system.foreign_text import plain
from talm_tui.widgets.hint import with_keys


class ConfirmScreen(ModalScreen[bool]):
    """Asks before something is done that cannot be taken back; answers True or False."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "Yes", id="confirm.yes"),
        Binding("n,escape", "answer(False)", "No", id="confirm.no"),
    ]

    def __init__(
        self, question: str, detail: str = "", *, yes: str = "yes", no: str = "no"
    ) -> None:
        super().__init__()
        self._question = plain(question)
        self._detail = plain(detail)
        self._yes = yes
        self._no = no

    def compose(self) -> ComposeResult:
        parts: list[tuple[str, str] | str] = [(self._question, "bold")]
        if self._detail:
            parts.append(f"\n{self._detail}")
        yes, no = (with_keys(self.app, key) for key in ("{confirm.yes}", "{confirm.no}"))
        answers = Content.assemble(yes, f"  {self._yes}      ", no, f"  {self._no}")
        with Vertical(classes="dialog"):
            yield Static(Content.assemble(*parts, "\n\n", answers), markup=False)

    def action_answer(self, answer: bool) -> None:
        """Close with the answer."""
        self.dismiss(answer)
