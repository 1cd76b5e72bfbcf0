"""Questions in front of a place: one for a text, one for yes or no."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from talm_core.system.foreign_text import plain
from talm_tui.widgets.hint import plain_keys, with_keys


class AskScreen(ModalScreen[str | None]):
    """Asks for a line; answers with it, None when it was left by escape. `wrong` says why an
    answer will not do, in one line, empty when it does: told while somebody types. Where `empty`
    says what no answer stands for, an empty line is one, too."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Close", show=False, id="ask.close"),
    ]

    def __init__(
        self,
        question: str,
        detail: str,
        value: str,
        wrong: Callable[[str], str],
        *,
        yes: str,
        empty: str = "",
    ) -> None:
        super().__init__()
        self._question = plain(question)
        self._detail = plain(detail)
        self._value = value
        self._wrong = wrong
        self._yes = yes
        self._empty = plain(empty)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="ask") as box:
            box.border_title = Content(self._question)
            box.border_subtitle = Content(
                plain_keys(self.app, f"enter {self._yes}, {{ask.close}} leaves")
            )
            yield Static(self._detail, markup=False)
            yield Input(self._value, placeholder=self._empty, compact=True, id="ask-answer")
            yield Static("", id="ask-wrong", markup=False)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._say(event.value)

    def _say(self, answer: str) -> bool:
        wrong = "" if answer.strip() == self._value else self._wrong(answer.strip())
        text = f"✕ {plain(wrong)}" if wrong else ""
        self.query_one("#ask-wrong", Static).update(Content.styled(text, "$text-error"))
        return not wrong

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        answer = event.value.strip()
        if answer == self._value:
            self.dismiss(answer if self._empty and not answer else None)
        elif self._say(answer):
            self.dismiss(answer)


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
