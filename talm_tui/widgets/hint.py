"""Text that names keys: `{home.quickstart}` stands for the key of that action, as it is now."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from textual.content import Content
from textual.widget import Widget

from talm_tui.host import host

if TYPE_CHECKING:
    from textual.app import App


_ACTION = re.compile(r"\{([a-z_]+\.[a-z_]+)\}")


def with_keys(app: App[Any], text: str) -> Content:
    """`text`, a text of our own, with the keys in place and set off."""
    talm = host(app)
    words = _ACTION.split(text)
    return Content.assemble(
        *(
            (talm.key(word), "bold $accent") if index % 2 else word
            for index, word in enumerate(words)
            if word
        )
    )


def plain_keys(app: App[Any], text: str) -> str:
    """The same as a plain string."""
    return _ACTION.sub(lambda found: host(app).key(found[1]), text)


class Hint(Widget):
    """What to do next where there is nothing to show yet."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "Hint { height: auto; }"

    def __init__(self, text: str, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._text = text

    def show(self, text: str) -> None:
        """Say something else."""
        if text != self._text:
            self._text = text
            self.refresh(layout=True)

    def render(self) -> Content:
        return with_keys(self.app, self._text)
