"""What was made last, to look into, where a terminal has room for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from textual.content import Content
from textual.message import Message
from textual.widgets import Static
from textual.worker import get_current_worker

from talm_core.system.foreign_text import line, plain

Cancelled = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Seen:
    """A line about it and a text; `problem` says why there is none."""

    about: str = ""
    text: str = ""
    problem: str = ""


Look = Callable[[Path, str, Cancelled], Seen | None]
"""Looks into the artifact of a name in a workspace; None when it was cancelled meanwhile."""


class Glimpse(Static):
    """Looks into one artifact, by a process of its own and only while it can be seen."""

    class Came(Message):
        """What was asked for `name` is here."""

        def __init__(self, name: str, seen: Seen) -> None:
            self.name = name
            self.seen = seen
            super().__init__()

    def __init__(self, look: Look, workspace: Path, heading: str, hint: str, empty: str) -> None:
        """`heading` holds `{name}`; `hint` says where there is more of it, `empty` stands here
        while there is nothing to look into."""
        super().__init__("", id="glimpse", markup=False)
        self._look = look
        self._workspace = workspace
        self._heading = heading
        self._empty = empty
        self.border_subtitle = Content(hint)
        self._artifact = ""
        self._asked: str | None = None
        self.seen: Seen | None = None

    def show(self, name: str) -> None:
        """Look into another artifact; an empty name is none."""
        self._artifact = name
        self._begin()

    def on_resize(self) -> None:
        self._begin()

    def _begin(self) -> None:
        """Ask, if somebody can see it and that was not asked yet."""
        name = self._artifact
        if name == self._asked or not self.size.height:
            return
        self._asked, self.seen = name, None
        self.workers.cancel_group(self, "glimpse")
        self.border_title = Content(self._heading.format(name=line(name)) if name else "")
        self.update(Content.styled("reading …" if name else self._empty, "$foreground 65%"))
        if name:
            self.run_worker(
                lambda: self._read(name),
                thread=True,
                exit_on_error=False,
                group="glimpse",
            )

    def _read(self, name: str) -> None:
        worker = get_current_worker()
        seen = self._look(self._workspace, name, lambda: worker.is_cancelled)
        if seen is not None and not worker.is_cancelled:
            self.post_message(self.Came(name, seen))

    def on_glimpse_came(self, event: Came) -> None:
        event.stop()
        if event.name != self._asked:
            return
        self.seen = seen = event.seen
        # A text is shown as it is; why there is none, to its end.
        self.styles.text_wrap = "wrap" if seen.problem else None
        if seen.problem:
            self.update(Content.styled(f"✕ {line(seen.problem)}", "$text-error"))
            return
        head = [(f"{seen.about}\n\n", "$secondary")] if seen.about else []
        self.update(Content.assemble(*head, plain(seen.text)))
