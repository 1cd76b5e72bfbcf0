"""Which model Play is to prompt, at which checkpoint, beside which other, and how."""

from __future__ import annotations

from collections.abc import Callable

from textual import work
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.message import Message
from textual.widgets import Static

from talm_core.errors import Problem
from talm_core.runtime.overview import Overview
from talm_core.system.foreign_text import line
from talm_tui.forms.editors import Edited, PickEditor, TextEditor
from talm_tui.forms.field import reason
from talm_tui.forms.picker import PickScreen
from talm_tui.host import host
from talm_tui.play.models import (
    NEWEST,
    Playable,
    beside_options,
    playable,
    step_of,
    step_options,
    step_value,
)
from talm_tui.play.request import FIELDS, Request, defaults, read

_NOTHING = "nothing"
"""What stands in the list for no comparison."""


class ModelChoice(Vertical):
    """Fields for a model and for how to sample, and the line that says what is wrong with them."""

    DEFAULT_CSS = "ModelChoice { height: auto; }"

    class Found(Message):
        """Which models have a checkpoint."""

        def __init__(self, found: list[Playable]) -> None:
            super().__init__()
            self.found = found

    def __init__(
        self, prompt: Callable[[], str], chosen: Callable[[], object], found: Callable[[], object]
    ) -> None:
        """`prompt` is what the model is to continue; `chosen` is called when another model may be
        chosen, `found` when models may have come, gone, or got a checkpoint."""
        super().__init__(id="play-choice")
        self.problems: tuple[Problem, ...] = ()
        self.said = ""
        self.models: list[Playable] = []
        self._prompt = prompt
        self._chosen = chosen
        self._found = found
        self._seen: tuple[object, ...] = ()
        self._wanted: str | None = None
        self._list: tuple[PickScreen, PickEditor] | None = None

    def compose(self) -> ComposeResult:
        with Container(id="play-settings"):
            with Horizontal(id="play-model"):
                for key, label, value, options in (
                    ("model", "model", "", self._model_options),
                    ("checkpoint", "at", NEWEST, self._step_options),
                    ("beside", "beside", "", self._beside_options),
                ):
                    yield Static(label, classes="play-label", markup=False)
                    empty = "none" if key == "model" else "nothing"
                    yield PickEditor(key, value, options, placeholder=empty)
            with Horizontal(id="play-fields"):
                for key, label in FIELDS.items():
                    yield Static(label, classes="play-label", markup=False)
                    yield TextEditor(key, defaults()[key])
        yield Static("", id="play-problem", markup=False)

    # --- which model -------------------------------------------------------------------------

    def workspace_changed(self) -> None:
        """Look for models again, if any has said something."""
        models = host(self).snapshot.models
        found = tuple(
            # A run that goes on may have saved something since; nobody looks while hidden.
            (item.artifact.directory, item.name, item.status, item.val_loss)
            + ((item.updated,) if item.status.active and self.screen.is_current else ())
            for item in models
        )
        if found != self._seen or not models:
            self._seen = found
            self.look()

    def look(self) -> None:
        """Look for models and checkpoints."""
        snapshot = host(self).snapshot
        self._look_for_models(snapshot.models, snapshot.complete)

    @work(thread=True, exclusive=True, group="models", exit_on_error=False)
    def _look_for_models(self, models: tuple[Overview, ...], complete: bool) -> None:
        found = playable(models)
        if found or complete:
            self.post_message(self.Found(found))

    def on_model_choice_found(self, message: Found) -> None:
        message.stop()
        self.models = message.found
        names = [model.name for model in self.models]
        picker = self.picker("model")
        wanted = self._wanted if self._wanted in names else picker.value
        if wanted not in names and "/" not in wanted:
            wanted = names[0] if names else ""
        picker.show_text(wanted)
        for editor in self.query(PickEditor):
            editor.refresh()
        if self._list is not None:
            screen, editor = self._list
            screen.offer(_listed(editor))
        self._chosen()
        self.check()
        self._found()

    def choose(self, name: str, step: int | None) -> None:
        """Take this model, at a step; None: at its newest checkpoint."""
        self._wanted = name
        self.picker("model").show_text(name)
        self._model_changed()
        self.picker("checkpoint").show_text(step_value(step))

    def picker(self, key: str) -> PickEditor:
        """The field of the model, its checkpoint, or what stands beside it."""
        return self.query_one(f"#edit-{key}", PickEditor)

    @property
    def model(self) -> Playable | None:
        """The model that is chosen; None for one of elsewhere, or none."""
        name = self.picker("model").value
        return next((model for model in self.models if model.name == name), None)

    def _model_options(self) -> list[tuple[str, str]]:
        return [(model.name, model.note) for model in self.models]

    def _step_options(self) -> list[tuple[str, str]]:
        return step_options(self.model)

    def _beside_options(self) -> list[tuple[str, str]]:
        return beside_options(self.model, step_of(self.picker("checkpoint").value), self.models)

    def _model_changed(self) -> None:
        """Steps are those of one run: with another model they say nothing."""
        self.picker("checkpoint").show_text(NEWEST)
        self._drop_beside()
        self._chosen()
        self.check()

    def _drop_beside(self) -> None:
        """Compare with nothing where what was chosen cannot be compared with, such as itself."""
        beside = self.picker("beside")
        if beside.value not in dict(self._beside_options()):
            beside.show_text("")

    def on_pick_editor_opened(self, message: PickEditor.Opened) -> None:
        message.stop()
        editor = message.editor
        screen = PickScreen(
            {"model": "model", "checkpoint": "checkpoint", "beside": "compare with"}[editor.key],
            _listed(editor),
            text=message.text,
            current=editor.value or _NOTHING,
            free="the path of one" if editor.key == "model" else "",
        )

        def take(value: str | None) -> None:
            self._list = None
            if value is not None:
                if editor.key == "model":
                    # What was found meanwhile must not bring the earlier one back.
                    self._wanted = value
                editor.choose("" if value == _NOTHING else value)

        self._list = (screen, editor)
        self.app.push_screen(screen, take)
        self.look()

    # --- the settings ------------------------------------------------------------------------

    def values(self) -> dict[str, str]:
        """What the fields hold."""
        values = {key: self.query_one(f"#edit-{key}", TextEditor).value for key in FIELDS}
        return values | {"prompt": self._prompt()}

    def _asked(self) -> dict[str, str]:
        """What `SampleConfig.model` is to be, by what is said about it: one, or two."""
        name, model = self.picker("model").value, self.model
        if model is None:
            return {name: name}
        step = step_of(self.picker("checkpoint").value)
        asked = {f"{name} step {model.steps[0] if step is None else step:,}": model.at(step)}
        beside = self.picker("beside").value
        other = step_of(beside)
        if other is not None:
            asked[f"{name} step {other:,}"] = model.at(other)
        for one in self.models:
            if one.name == beside:
                asked[f"{beside} step {one.steps[0]:,}"] = one.at(None)
        return asked

    def request(self) -> Request | None:
        """What is asked for, None while something is wrong with it."""
        request, self.problems = read(self.values(), self._asked())
        return request

    def check(self) -> None:
        """Mark the fields that are wrong, and say why."""
        self.request()
        wrong = {problem.key for problem in self.problems}
        for key in FIELDS:
            self.query_one(f"#edit-{key}", TextEditor).set_class(key in wrong, "-invalid")
        self.show_note()

    def show_note(self) -> None:
        """Show what is wrong, else what was `said` of the last request."""
        note = self.query_one("#play-problem", Static)
        text = "   ".join(
            f"✕ {FIELDS.get(problem.key, problem.key)}: {reason(problem)}"
            for problem in self.problems
        )
        note.update(line(text or self.said))
        note.display = bool(text or self.said)

    def on_edited(self, event: Edited) -> None:
        event.stop()
        if event.key == "model":
            self._wanted = event.text
            self._model_changed()
        elif event.key == "checkpoint":
            self._drop_beside()
        self.check()


def _listed(editor: PickEditor) -> list[tuple[str, str]]:
    """What a list offers, each with a name that can be seen."""
    return [(value or _NOTHING, note) for value, note in editor.options()]
