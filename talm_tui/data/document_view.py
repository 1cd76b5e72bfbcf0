"""Documents of a dataset, one at a time: what a model is going to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static
from textual.worker import get_current_worker

from talm_core.system.foreign_text import line, plain
from talm_tui.data.documents import Excerpt, Excerpts, draw
from talm_tui.forms.glimpse import Cancelled, Seen
from talm_tui.widgets.format import count, size
from talm_tui.widgets.hint import plain_keys

FIRST_SEED = 1337


def about(excerpt: Excerpt) -> str:
    """`document 378 · train · 2,684 tokens · 9.6 kB · 3.59 bytes a token`."""
    parts = [
        f"document {excerpt.number:,}",
        excerpt.split,
        f"{count(excerpt.tokens)} {'token' if excerpt.tokens == 1 else 'tokens'}",
        size(excerpt.bytes),
    ]
    if excerpt.bytes_per_token is not None:
        parts.append(f"{excerpt.bytes_per_token:.2f} bytes a token")
    return " · ".join(parts)


def document(workspace: Path, dataset: str, cancelled: Cancelled) -> Seen | None:
    """A document of a dataset, read back from its shards."""
    found = draw(workspace, dataset, FIRST_SEED, cancelled=cancelled)
    if found is None:
        return None
    if not found.found:
        return Seen(problem=found.problem or "it has no documents")
    first = found.found[0]
    return Seen(about(first), first.text.expandtabs(4))


class DocumentView(VerticalScroll, can_focus=True):
    """Documents drawn at random. Hidden while there is no dataset to draw from."""

    DEFAULT_CSS = """
    DocumentView {
        display: none;
        height: 1fr;
        border: round $foreground 25%;
        border-title-color: $foreground;
        border-subtitle-color: $foreground 60%;
        padding: 0 1;
        scrollbar-size-vertical: 1;
        &:focus { border: round $primary; }
        Static { height: auto; }
        #document-about { color: $secondary; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "left,comma",
            "leaf(-1)",
            "document",
            id="documents.previous",
            key_display="← →",
            tooltip="The document before",
        ),
        Binding("right,full_stop", "leaf(1)", "Next document", id="documents.next", show=False),
        Binding(
            "n",
            "draw",
            "others",
            id="documents.draw",
            tooltip="Other random documents of this dataset",
        ),
    ]

    def __init__(self) -> None:
        super().__init__(id="documents")
        self.dataset: str | None = None
        self.seed = FIRST_SEED
        self.found: tuple[Excerpt, ...] = ()
        self.index = 0
        self._problem = ""

    def compose(self) -> ComposeResult:
        yield Static("", id="document-about", markup=False)
        yield Static("", id="document-text", markup=False)

    def show(self, workspace: Path, dataset: str, *, seed: int = FIRST_SEED) -> None:
        """Draw documents of a dataset and show the first."""
        self._workspace = workspace
        self.dataset, self.seed = dataset, seed
        self.found, self.index, self._problem = (), 0, ""
        self.display = True
        self._redraw()
        self.run_worker(
            lambda: self._draw(workspace, dataset, seed),
            thread=True,
            exclusive=True,
            exit_on_error=False,
            group="documents",
        )

    def dismiss(self) -> None:
        """Show nothing any more."""
        self.workers.cancel_group(self, "documents")
        self.dataset = None
        self.display = False

    def _draw(self, workspace: Path, dataset: str, seed: int) -> None:
        worker = get_current_worker()
        found = draw(workspace, dataset, seed, cancelled=lambda: worker.is_cancelled)
        if found is not None and not worker.is_cancelled:
            self.post_message(found)

    def on_excerpts(self, event: Excerpts) -> None:
        event.stop()
        if (event.dataset, event.seed) == (self.dataset, self.seed):
            self.found, self._problem = event.found, event.problem
            self._redraw()

    def _redraw(self) -> None:
        told, text = Content(""), Content("")
        if self._problem:
            told = Content.styled(f"✕ {line(self._problem)}", "$text-error")
        elif self.found:
            excerpt = self.found[self.index]
            told = Content(about(excerpt))
            body = plain(excerpt.text).expandtabs(4)
            text = Content(body) if excerpt.tokens else Content.styled("empty", "$foreground 60%")
            if not excerpt.complete:
                text = Content.assemble(text, ("\n… and so on", "$foreground 60%"))
        else:
            told = Content("decoding documents …")
        of = f"  {self.index + 1} of {len(self.found)}" if self.found else ""
        self.border_title = Content(f"{line(self.dataset or '')}: random documents{of}")
        self.border_subtitle = Content(
            plain_keys(self.app, "{documents.draw} others  {place.leave} back")
        )
        self.query_one("#document-about", Static).update(told)
        self.query_one("#document-text", Static).update(text)
        self.scroll_home(animate=False)

    def action_leaf(self, step: int) -> None:
        """To the next document or the one before."""
        if self.found:
            self.index = (self.index + step) % len(self.found)
            self._redraw()

    def action_draw(self) -> None:
        """Draw other documents."""
        if self.dataset is not None:
            self.show(self._workspace, self.dataset, seed=self.seed + 1)
