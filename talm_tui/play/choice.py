"""Which model Play is to prompt, at which checkpoint, beside which other, and how."""

from __future__ import annotations

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.message import Message
from textual.widgets import Static, TextArea

from talm_core.errors import Problem
from talm_core.runtime.overview import Overview
from talm_core.system.foreign_text import line, plain
from talm_tui.forms.editors import Edited, PickEditor, TextEditor
from talm_tui.forms.picker import PickScreen
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
from talm_tui.services.messages import OpenPlay
from talm_tui.shell.screen import Place


class Models(Message):
    """Which models have a checkpoint."""

    def __init__(self, found: list[Playable]) -> None:
        super().__init__()
        self.found = found


class PlayChoice(Place):
    """A place with a prompt and with fields for a model and for how to sample. A subclass yields
    `compose_choice` and the prompt, and binds keys to the actions, in the order of the key
    line."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: tuple[Problem, ...] = ()
        self.said = ""
        self._models: list[Playable] = []
        self._seen: tuple[object, ...] = ()
        self._wanted: str | None = None
        self._prompt_is_own = False
        self._list: tuple[PickScreen, PickEditor] | None = None

    def compose_choice(self) -> ComposeResult:
        """The fields, and the line that says what is wrong with them."""
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

    @property
    def _prompt(self) -> TextArea:
        return self.query_one("#play-prompt", TextArea)

    def models_found(self) -> None:
        """Called when models may have come, gone, or got a checkpoint."""

    # --- which model -------------------------------------------------------------------------

    def _workspace_changed(self) -> None:
        models = self.talm.snapshot.models
        found = tuple(
            # A run that goes on may have saved something since; nobody looks while hidden.
            (item.artifact.directory, item.name, item.status, item.val_loss)
            + ((item.updated,) if item.status.active and self.is_current else ())
            for item in models
        )
        if found != self._seen or not models:
            self._seen = found
            self._look()

    def _look(self) -> None:
        self._look_for_models(self.talm.snapshot.models, self.talm.snapshot.complete)

    def on_screen_resume(self) -> None:
        # A checkpoint that was copied here is in no journal: nothing else tells of it.
        self._look()
        # The prompt has the focus on the first visit. Back from a list, somebody who was in no
        # field still is in none, and the next key is no letter of the prompt.
        self.call_after_refresh(setattr, self, "AUTO_FOCUS", "")

    @work(thread=True, exclusive=True, group="models", exit_on_error=False)
    def _look_for_models(self, models: tuple[Overview, ...], complete: bool) -> None:
        found = playable(models)
        if found or complete:
            self.post_message(Models(found))

    def on_models(self, message: Models) -> None:
        message.stop()
        self._models = message.found
        names = [model.name for model in self._models]
        picker = self._picker("model")
        wanted = self._wanted if self._wanted in names else picker.value
        if wanted not in names and "/" not in wanted:
            wanted = names[0] if names else ""
        picker.show_text(wanted)
        for editor in self.query(PickEditor):
            editor.refresh()
        self.query_one("#play").display = bool(names)
        self.query_one("#play-empty").display = not names
        if self._list is not None:
            screen, editor = self._list
            screen.offer(editor.options())
        self._propose_prompt()
        self._check()
        self.models_found()

    def on_open_play(self, message: OpenPlay) -> None:
        message.stop()
        self._wanted = message.name
        self._picker("model").show_text(message.name)
        self._model_changed()
        self._picker("checkpoint").show_text(step_value(message.step))
        self._prompt.focus()

    def _picker(self, key: str) -> PickEditor:
        return self.query_one(f"#edit-{key}", PickEditor)

    @property
    def model(self) -> Playable | None:
        """The model that is chosen; None for one of elsewhere, or none."""
        name = self._picker("model").value
        return next((model for model in self._models if model.name == name), None)

    def _model_options(self) -> list[tuple[str, str]]:
        return [(model.name, model.note) for model in self._models]

    def _step_options(self) -> list[tuple[str, str]]:
        return step_options(self.model)

    def _beside_options(self) -> list[tuple[str, str]]:
        return beside_options(self.model, self._models)

    def _model_changed(self) -> None:
        """Steps are those of one run: with another model they say nothing."""
        self._picker("checkpoint").show_text(NEWEST)
        beside = self._picker("beside")
        if beside.value not in dict(self._beside_options()):
            beside.show_text("")
        self._propose_prompt()
        self._check()

    def _propose_prompt(self) -> None:
        """A prompt the model was trained to continue, until somebody writes one."""
        model = self.model
        if model is None or model.prompt is None or self._prompt_is_own:
            return
        if self._prompt.text != model.prompt:
            self._set_prompt(model.prompt)

    def _set_prompt(self, text: str) -> None:
        with self.prevent(TextArea.Changed):
            self._prompt.load_text(plain(text))
        self._prompt.move_cursor(self._prompt.document.end)

    @on(TextArea.Changed, "#play-prompt")
    def _prompt_written(self) -> None:
        self._prompt_is_own = True

    def on_pick_editor_opened(self, message: PickEditor.Opened) -> None:
        message.stop()
        editor = message.editor
        screen = PickScreen(
            {"model": "model", "checkpoint": "checkpoint", "beside": "compare with"}[editor.key],
            editor.options(),
            text=message.text,
            current=editor.value,
            free="the path of one" if editor.key == "model" else "",
        )

        def take(value: str | None) -> None:
            self._list = None
            if value is not None:
                if editor.key == "model":
                    # What was found meanwhile must not bring the earlier one back.
                    self._wanted = value
                editor.choose(value)

        self._list = (screen, editor)
        self.app.push_screen(screen, take)
        self._look()

    def action_pick(self, key: str) -> None:
        """Choose a model, a checkpoint, or what to compare with, from a list."""
        self._picker(key).action_open()

    # --- the settings ------------------------------------------------------------------------

    def values(self) -> dict[str, str]:
        """What the fields hold."""
        values = {key: self.query_one(f"#edit-{key}", TextEditor).value for key in FIELDS}
        return values | {"prompt": self._prompt.text}

    def _models_asked(self) -> dict[str, str]:
        """What `SampleConfig.model` is to be, by what is said about it: one, or two."""
        name, model = self._picker("model").value, self.model
        if model is None:
            return {name: name}
        step = step_of(self._picker("checkpoint").value)
        asked = {f"{name} step {model.steps[0] if step is None else step:,}": model.at(step)}
        beside = self._picker("beside").value
        other = step_of(beside)
        if other is not None:
            asked[f"{name} step {other:,}"] = model.at(other)
        for one in self._models:
            if one.name == beside:
                asked[f"{beside} step {one.steps[0]:,}"] = one.at(None)
        return asked

    def request(self) -> Request | None:
        """What is asked for, None while something is wrong with it."""
        request, self.problems = read(self.values(), self._models_asked())
        return request

    def _check(self) -> None:
        self.request()
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
            self._model_changed()
        self._check()
