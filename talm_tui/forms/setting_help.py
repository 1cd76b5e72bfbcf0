"""What the focused setting is, costs and may be."""

from __future__ import annotations

import re

from textual.content import Content
from textual.reactive import reactive

from talm_core.settings.schema import Declared
from talm_core.system.foreign_text import plain
from talm_tui.forms.text import show
from talm_tui.widgets.hint import plain_keys
from talm_tui.widgets.sheet import Sheet

_PATHS = (
    "Enter looks for files and directories. While a path is typed, the right arrow takes the grey"
    " completion. Several: separated by spaces; quote what has spaces."
)
_LIST = "Enter opens the list; a path can be typed there, too."
_BRIEF_LINES = 3
_WIDE = 56
"""Cells from which choices are told in lines of their own."""


def facts(item: Declared, default: object) -> str:
    """Range, default and unit in one line: `1 to 128 · default 4 · steps`."""
    shown = show(item, default)
    parts = [
        item.allowed if not item.choices else "",
        f"default {shown}" if shown else "default none" if not item.required else "required",
        item.setting.unit,
    ]
    return " · ".join(part for part in parts if part)


def usage(item: Declared) -> str:
    """How the field is used, where that does not go without saying; empty otherwise."""
    if item.setting.picks != "text":
        return _PATHS if item.setting.picks == "paths" else _LIST
    if item.base_type is tuple:
        return 'Several: separated by spaces; quote what has spaces, such as "def ".'
    if item.choices or item.base_type is bool:
        return "Left and right choose."
    return ""


def more(item: Declared, *, apart: bool) -> str:
    """What there is to say beyond the help. Where that goes through the choices, `a: … b: …`, they
    stand `apart` in lines of their own."""
    text, names = item.setting.more, "|".join(map(re.escape, item.choices or ()))
    return re.sub(rf"(?<=\.) (?=(?:{names}): )", "\n", text) if apart and names else text


def whole(item: Declared) -> str:
    """All there is to say of a setting, for the page of help."""
    default = None if item.required else item.default
    parts = [item.setting.help, item.setting.more, usage(item), facts(item, default)]
    return "\n\n".join([f"## {item.key}", *(part for part in parts if part)])


class SettingHelp(Sheet):
    """Help of one setting, or of the form while no field has the focus. `brief` says it in
    three lines, for narrow screens."""

    brief: reactive[bool] = reactive(False)

    def __init__(self, title: str, about: str) -> None:
        super().__init__(id="help", markup=False)
        self._title = title
        self._about = about
        self._item: Declared | None = None
        self._default: object = None
        self._wide = False

    def on_mount(self) -> None:
        self._show()

    def on_resize(self) -> None:
        # Lines of their own take room, which a smaller screen needs for what the values mean.
        wide = self.content_size.width >= _WIDE
        if wide is not self._wide or self.brief:
            self._wide = wide
            self._show()

    def watch_brief(self) -> None:
        if self.is_mounted:
            self._show()

    def explain(self, item: Declared | None, default: object = None) -> None:
        """Show the help of `item`; None: of the form."""
        self._item, self._default = item, default
        self._show()

    def _show(self) -> None:
        item = self._item
        if item is None:
            self.border_title = Content(plain(self._title))
            self.update(Content(self._about))
            return
        said = facts(item, self._default)
        if self.brief:
            # The range in the title: what is long may be cut in three lines.
            self.border_title = Content(f"{item.key} · {said}")
            text = " ".join(part for part in (item.setting.help, item.setting.more) if part)
            self.update(Content("\n").join(self._fitting(text)))
            return
        self.border_title = Content(item.key)
        parts = [item.setting.help, more(item, apart=self._wide), usage(item)]
        body = "\n\n".join(part for part in parts if part)
        self.update(Content.assemble(body, "\n\n", (said, "$secondary")))

    def _fitting(self, text: str) -> list[Content]:
        """As much of a text as three lines hold, and which key shows the rest."""
        width = self.content_size.width or 78
        lines = Content(text).wrap(width)
        if len(lines) > _BRIEF_LINES:
            more = plain_keys(self.app, " … {app.help} shows all")
            last = lines[_BRIEF_LINES - 1].truncate(max(0, width - len(more)))
            lines[_BRIEF_LINES - 1 :] = [Content.assemble(last, (more, "dim"))]
        return lines
