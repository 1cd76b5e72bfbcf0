"""A form made from a config model: sections of fields, the advanced ones folded away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from talm_core.settings.schema import Declared
from talm_tui.forms.browser import BrowseScreen
from talm_tui.forms.editors import (
    BrowseWanted,
    ChoiceEditor,
    Edited,
    EditorDone,
    PathEditor,
    PickEditor,
    TextEditor,
)
from talm_tui.forms.field import Editor, Field
from talm_tui.forms.folder import expanded
from talm_tui.forms.picker import PickScreen
from talm_tui.forms.state import FormState
from talm_tui.forms.suggest import PathSuggester
from talm_tui.forms.text import show
from talm_tui.widgets.hint import plain_keys

Options = Callable[[], Sequence[tuple[str, str]]]
"""What can be picked for a field: (value, what is said beside it)."""


class SectionTitle(Widget):
    """The line above a section."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title

    def render(self) -> Content:
        rest = max(0, self.size.width - len(self.title) - 4)
        return Content.assemble(
            ("── ", "$secondary"), (self.title, "$secondary bold"), (" " + "─" * rest, "$secondary")
        )


class Fold(Widget, can_focus=True):
    """The line that folds and unfolds the advanced settings."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space,left,right", "flip", "Show or hide", show=False, id="fold.flip")
    ]

    open: reactive[bool] = reactive(False)
    changed: reactive[int] = reactive(0)

    class Toggled(Message):
        """The fold was opened or closed."""

    def __init__(self, count: int) -> None:
        super().__init__(id="fold")
        self.count = count

    def render(self) -> Content:
        glyph = "▾" if self.open else "▸"
        changed = f", {self.changed} changed" if self.changed else ""
        style = "$accent bold" if self.has_focus else "$secondary bold"
        hint = "fold" if self.open else "show"
        key = plain_keys(self.app, "{form.advanced}")
        return Content.assemble(
            (f"{glyph} advanced ({self.count}{changed})", style), (f"  {key} {hint}", "dim")
        )

    def action_flip(self) -> None:
        """Open or close."""
        self.open = not self.open
        self.post_message(self.Toggled())

    def on_click(self) -> None:
        self.action_flip()


def _show(widget: Widget, shown: bool) -> None:
    # Only what is another than before: each costs a layout.
    if widget.display is not shown:
        widget.display = shown


class Form(VerticalScroll, can_focus=False, inherit_bindings=False):
    """The fields of a `FormState`. Says `Changed` when a value was changed here and `Focused`
    when the cursor came to another field."""

    class Changed(Message):
        """A value was changed by hand."""

        def can_replace(self, message: Message) -> bool:
            """Of several that wait, such as after fast typing, one is enough."""
            return isinstance(message, Form.Changed)

    class Focused(Message):
        """The cursor is at the setting `item`; None: at no field."""

        def __init__(self, item: Declared | None) -> None:
            self.item = item
            super().__init__()

    def __init__(
        self,
        state: FormState,
        options: dict[str, Options] | None = None,
        free: Mapping[str, str] | None = None,
    ) -> None:
        """`options` gives, for the fields that pick from a list, what there is to pick, and `free`
        what can be typed instead where that is no path."""
        super().__init__(id="form")
        self.state = state
        self._options = options or {}
        self._free = free or {}
        self._folder: Path | None = None
        advanced = [item for item in state.items if item.setting.advanced]
        self._fold = Fold(len(advanced))
        self._advanced: list[Widget] = []
        self._fields: dict[str, Field] = {}
        self._shown: dict[str, str] = {}
        self._titles: dict[SectionTitle, list[Field]] = {}

    def compose(self) -> ComposeResult:
        yield from self._sections(advanced=False)
        if self._fold.count:
            yield self._fold

    def on_mount(self) -> None:
        self.sync()

    def _sections(self, *, advanced: bool) -> Iterator[Widget]:
        section = None
        # Sorted by first appearance: a section's fields need not stand together in the model.
        order = list(dict.fromkeys(item.setting.section for item in self.state.items))
        items = [item for item in self.state.items if item.setting.advanced is advanced]
        for item in sorted(items, key=lambda item: order.index(item.setting.section)):
            if item.setting.section != section:
                section = item.setting.section
                title = SectionTitle(section)
                self._titles[title] = []
                yield title
            field = Field(item, self._editor(item))
            self._titles[title].append(field)
            self._fields[item.key] = field
            yield field

    def _editor(self, item: Declared) -> Editor:
        text = self.state.texts[item.key]
        if item.choices and item.key not in self._options:
            return ChoiceEditor(item.key, text, item.choices)
        if item.base_type is bool:
            return ChoiceEditor(item.key, text, ("yes", "no"))
        empty = "none" if item.optional or item.base_type is tuple else ""
        if item.key in self._options:
            return PickEditor(item.key, text, self._options[item.key], placeholder=empty)
        if item.setting.picks == "paths":
            empty += ", enter looks for files" if empty else ""
            return PathEditor(item.key, text, placeholder=empty, suggester=PathSuggester())
        return TextEditor(item.key, text, placeholder=empty)

    # --- showing ---------------------------------------------------------------------------

    def sync(self) -> None:
        """Show what the state says."""
        problems = {problem.key: problem for problem in self.state.problems}
        changed = set(self.state.changed)
        for key, field in self._fields.items():
            field.problem = problems.get(key)
            field.changed = key in changed
            field.default = show(field.item, self.state.defaults.get(key)) or "none"
            # Not what came from the editor itself: it may have gone on since.
            if self._shown.get(key) != self.state.texts[key]:
                self._shown[key] = self.state.texts[key]
                field.editor.show_text(self.state.texts[key])
            # What means nothing beside the other values is out of the way, unless it is why the
            # form cannot start.
            means = field.item.counts(self.state.values) or field.problem or field.changed
            _show(field, bool(means) and self._unfolded(field))
        for title, fields in self._titles.items():
            _show(title, any(field.display for field in fields))
        self._fold.changed = sum(
            item.setting.advanced for item in self.state.items if item.key in changed
        )

    def label(self, key: str, label: str) -> None:
        """Call a field otherwise than by its setting's key."""
        field = self._fields.get(key)
        if field is not None and field.label != label:
            field.label = label
            field.refresh()

    def _unfolded(self, field: Field) -> bool:
        return self._fold.open or not field.item.setting.advanced

    def refresh_options(self) -> None:
        """Draw the picks again after the workspace has changed."""
        for editor in self.query(PickEditor):
            editor.refresh()

    # --- events ----------------------------------------------------------------------------

    def on_edited(self, event: Edited) -> None:
        event.stop()
        self._edited(event.key, event.text)

    def _edited(self, key: str, text: str) -> None:
        self._shown[key] = text
        if self.state.set_text(key, text):
            self.sync()
            self.post_message(self.Changed())

    def on_editor_done(self, event: EditorDone) -> None:
        event.stop()
        self.move(1)

    def on_descendant_focus(self) -> None:
        self._show_focus()

    def on_descendant_blur(self) -> None:
        self._show_focus()

    def _show_focus(self) -> None:
        # Asked rather than taken from the event: the old field's blur may come after the new
        # one's focus.
        focused = self.screen.focused
        parent = focused.parent if focused is not None else None
        field = parent if isinstance(parent, Field) else None
        for other in self._fields.values():
            other.active = other is field
        self.post_message(self.Focused(field.item if field else None))

    def on_fold_toggled(self, event: Fold.Toggled) -> None:
        event.stop()
        self._show_advanced(self._fold.open)

    def _show_advanced(self, shown: bool) -> None:
        if shown and not self._advanced:
            # Made when they are first wanted: half of the fields, half of the time to open.
            self._advanced = list(self._sections(advanced=True))
            self.mount_all(self._advanced)
        self.sync()

    # --- lists and files -------------------------------------------------------------------

    def on_pick_editor_opened(self, event: PickEditor.Opened) -> None:
        event.stop()
        editor = event.editor
        item = self.state.by_key[editor.key]
        free = self._free.get(editor.key, "" if item.choices else "the path of one")

        def take(value: str | None) -> None:
            if value is not None:
                # At once: a field that only now means something may be the next.
                editor.show_text(value)
                self._edited(editor.key, value)
                self.move(1)

        screen = PickScreen(
            item.setting.help,
            editor.options(),
            text=event.text,
            current=editor.value,
            free=free,
        )
        self.app.push_screen(screen, take)

    def on_browse_wanted(self, event: BrowseWanted) -> None:
        event.stop()
        item = self.state.by_key[event.key]
        chosen = self.state.values.get(event.key, ())

        def take(paths: tuple[str, ...] | None) -> None:
            if paths is not None:
                self._folder = expanded(paths[-1]).parent if paths else self._folder
                self.state.set_value(event.key, paths)
                self.sync()
                self.post_message(self.Changed())

        self.app.push_screen(BrowseScreen(item.setting.help, chosen, self._folder), take)

    def find(self) -> None:
        """Find a setting by its name or its help."""
        options = [
            (item.key, f"{item.setting.section.lower()} · {item.setting.help}")
            for item in self.state.items
        ]

        def go(key: str | None) -> None:
            if key is not None:
                self.go_to(key)

        self.app.push_screen(PickScreen("Find a setting", options), go)

    # --- moving ----------------------------------------------------------------------------

    def _stops(self) -> list[Widget]:
        """What the cursor visits, from top to bottom."""
        shown = [field for field in self._fields.values() if field.display]
        stops: list[Widget] = [f.editor for f in shown if not f.item.setting.advanced]
        if self._fold.count:
            stops.append(self._fold)
        return stops + [f.editor for f in shown if f.item.setting.advanced]

    def move(self, step: int) -> None:
        """Go on by some fields, at most to the end; from outside to the first, or the last."""
        stops = self._stops()
        focused = self.screen.focused
        if focused in stops:
            index = max(0, min(len(stops) - 1, stops.index(focused) + step))
        else:
            index = 0 if step > 0 else len(stops) - 1
        stops[index].focus()

    def undo(self) -> str | None:
        """Take the last change back; the field it was in, None where there is none."""
        return self._went(self.state.undo())

    def redo(self) -> str | None:
        """Make the change that was taken back again."""
        return self._went(self.state.redo())

    def _went(self, key: str | None) -> str | None:
        if key is not None:
            self.sync()
            if key in self.state.by_key:
                self.go_to(key)
            self.post_message(self.Changed())
        return key

    def reset(self) -> None:
        """Give the focused field its default back; from outside, every field."""
        parent = self.screen.focused.parent if self.screen.focused else None
        if isinstance(parent, Field):
            self.state.reset(parent.item.key)
        else:
            self.state.reset_all()
        self.sync()
        self.post_message(self.Changed())

    def fold(self) -> None:
        """Show or hide the advanced settings."""
        self._fold.action_flip()

    def go_to(self, key: str) -> None:
        """Bring the cursor to a setting, unfolding it if need be."""
        if self.state.by_key[key].setting.advanced and not self._fold.open:
            self._fold.open = True
            self._show_advanced(True)
        # Somebody who looks for a setting that means nothing now may still want to see it.
        self._fields[key].display = True
        editor = self._fields[key].editor
        # A field that is being mounted can take the focus only after that.
        editor.call_later(editor.focus)
