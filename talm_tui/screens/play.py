"""Play: prompt a model and watch it write."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.message import Message
from textual.widgets import Static, TextArea

from talm_core.config import SampleConfig
from talm_core.errors import Problem
from talm_core.events import Event, Failed, Finished, Generated, Sampled, Stopped
from talm_core.overview import Overview
from talm_tui.forms.editors import Edited, EditorDone, PickEditor, TextEditor
from talm_tui.forms.picker import PickScreen
from talm_tui.messages import OpenPlay
from talm_tui.play_files import Prompts, save
from talm_tui.play_models import NEWEST, Playable, beside_options, playable, step_of, step_options
from talm_tui.play_request import FIELDS, Lane, Request, defaults, read
from talm_tui.play_session import Heard, PlaySession
from talm_tui.screens.place import Place
from talm_tui.theme import line, plain, styles
from talm_tui.widgets.alternatives import Alternatives, readout
from talm_tui.widgets.hint import Hint, plain_keys
from talm_tui.widgets.sample_grid import SampleGrid, SamplePane
from talm_tui.widgets.token_view import Token, TokenView

EMPTY = (
    "There is no model to talk to yet. Press {app.home} and then {home.quickstart} for one in about"
    " a minute,\nor {app.train} to train one of your own."
)


class Models(Message):
    """Which models have a checkpoint."""

    def __init__(self, found: list[Playable]) -> None:
        super().__init__()
        self.found = found


class PlayScreen(Place):
    """A prompt, how to sample, and the texts as they come."""

    HELP = """\
# Play

`{play.generate}` lets the model continue the prompt, `{play.stop}` stops it. `tab` goes from the
prompt to the settings and to the text. In the text `{tokens.previous}` `{tokens.next}` go from
token to token: beside or below stands how likely each was and what else the model thought of.
Orange and underlined is what it hardly expected itself, blue what went without saying.

`samples` writes several texts at once, each with the next seed. `beside` compares with another
checkpoint of the run, or another model: same prompt, same seeds. `{play.prompts}` lists the prompts
you used, `{play.save}` saves what is written to a file, `{play.follow}` writes anew with each
checkpoint of a run that goes on.
"""
    CSS_PATH: ClassVar = [styles("forms"), styles("play")]
    AUTO_FOCUS = "#play-prompt"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "generate", "go", id="play.generate", priority=True, tooltip="Continue"),
        Binding("escape", "escape", "stop", id="play.stop", tooltip="Stop; then leave the field"),
        Binding("ctrl+s", "save", "save", id="play.save", tooltip="Save and copy the text"),
        Binding("f3", "prompts", "prompts", id="play.prompts", tooltip="Take an earlier prompt"),
        Binding(
            "f4", "follow", "follow", id="play.follow", tooltip="Write anew with each checkpoint"
        ),
        Binding("m", "pick('model')", "model", id="play.model", tooltip="Choose a model"),
        Binding(
            "c",
            "pick('checkpoint')",
            "checkpoint",
            id="play.checkpoint",
            tooltip="Choose a checkpoint",
        ),
        Binding(
            "b",
            "pick('beside')",
            "beside",
            id="play.beside",
            tooltip="Compare with another checkpoint or model",
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.session: PlaySession | None = None
        self.following = False
        self.problems: tuple[Problem, ...] = ()
        self.said = ""
        self.written: list[Lane] = []
        self._models: list[Playable] = []
        self._seen: tuple[object, ...] = ()
        self._wanted: str | None = None
        self._numbers = itertools.count(1)
        self._lanes: dict[int, SamplePane] = {}
        self._newest: tuple[str, int] | None = None
        self._again = False
        self._prompts: Prompts | None = None
        self._prompt_is_own = False

    # --- making ------------------------------------------------------------------------------

    def compose_place(self) -> ComposeResult:
        yield Hint(EMPTY, id="play-empty")
        with Vertical(id="play"):
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
            with Horizontal(id="play-body"):
                with Vertical(id="play-left"):
                    prompt = TextArea(
                        "def ",
                        id="play-prompt",
                        soft_wrap=True,
                        tab_behavior="focus",
                        compact=True,
                    )
                    prompt.border_title = "prompt"
                    yield prompt
                    yield Alternatives()
                yield SampleGrid()
            yield Static("", id="play-readout", markup=False)

    def on_mount(self) -> None:
        self._prompts = Prompts(self.talm.workspace.root)
        self._prompt.move_cursor((0, 1000))
        self.grid.panes[0].show_state()
        self._show_readout()
        self.watch(self.app, "snapshot", self._workspace_changed)

    def on_unmount(self) -> None:
        if self.session is not None:
            self.session.close()

    @property
    def _prompt(self) -> TextArea:
        return self.query_one("#play-prompt", TextArea)

    @property
    def grid(self) -> SampleGrid:
        """The texts."""
        return self.query_one(SampleGrid)

    @property
    def generating(self) -> bool:
        """Whether anything is being written."""
        return bool(self._lanes)

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
            self._look_for_models(models, self.talm.snapshot.complete)

    def on_screen_resume(self) -> None:
        self._workspace_changed()

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
        self._propose_prompt()
        self._check()
        self._follow_newest()

    def on_open_play(self, message: OpenPlay) -> None:
        message.stop()
        self._wanted = message.name
        self._picker("model").show_text(message.name)
        self._model_changed()
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
            if value is not None:
                editor.choose(value)

        self.app.push_screen(screen, take)

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

    async def on_editor_done(self, event: EditorDone) -> None:
        event.stop()
        await self.action_generate()

    # --- generating --------------------------------------------------------------------------

    async def action_generate(self) -> None:
        """Let the model continue the prompt; what it was writing is ended."""
        request = self.request()
        if request is None:
            self._check()
            first = next((p.key for p in self.problems if p.key in FIELDS), None)
            if first is not None:
                self.query_one(f"#edit-{first}", TextEditor).focus()
            return
        self._keep_prompt()
        await self.grid.have(len(request.lanes), request.columns)
        panes = self.grid.panes
        self._lanes = {next(self._numbers): pane for pane in panes}
        self.written = list(request.lanes)
        for pane, lane in zip(panes, request.lanes, strict=True):
            pane.start(lane.config.prompt, lane.label)
        model = self.model
        self._newest = (model.name, model.steps[0]) if model is not None else None
        self._again, self.said = False, ""
        self._ask(dict(zip(self._lanes, (lane.config for lane in request.lanes), strict=True)))
        self._show_note()
        self.refresh_bindings()

    def _ask(self, lanes: Mapping[int, SampleConfig]) -> None:
        if self.session is None:
            self.session = PlaySession(self.talm.workspace.root, self._hear)
        try:
            self.session.ask(lanes)
        except OSError as error:
            self._end_all("not started", f"✕ cannot be started: {error}")

    def _hear(self, message: Heard) -> None:
        """In the session's thread."""
        if self.is_running:
            self.post_message(message)

    @on(Heard)
    async def _take(self, message: Heard) -> None:
        message.stop()
        tokens: dict[SamplePane, list[Token]] = defaultdict(list)
        over: list[tuple[int, Event]] = []
        for record in message.records:
            # What is still said about a text before these finds no lane.
            pane = self._lanes.get(record.lane)
            event = record.event
            if pane is None:
                continue
            if isinstance(event, Generated):
                tokens[pane].append(_token(event))
            elif isinstance(event, Sampled):
                pane.rate = event.tokens_per_second
                self._name_step(pane, event.step)
            elif isinstance(event, Finished | Stopped | Failed):
                over.append((record.lane, event))
        for pane, new in tokens.items():
            pane.add(new)
            pane.show_state()
        for lane, event in over:
            self._end(lane, event)
        if message.died is not None:
            again = plain_keys(self.app, "{play.generate}  starts another")
            self._end_all("died", f"✕ the model's process died: {message.died}   {again}")
        if over and not self.generating and self._again:
            await self.action_generate()

    def _name_step(self, pane: SamplePane, step: int) -> None:
        """The newest checkpoint may have been another by the time it was read."""
        index = self.grid.panes.index(pane)
        lane = self.written[index]
        if lane.newest:
            pane.label = lane.at_step(step)

    def _end(self, lane: int, event: Event) -> None:
        pane = self._lanes.pop(lane)
        if isinstance(event, Failed):
            pane.finish("✕ failed")
            self.said = f"✕ {plain(event.message)}"
        else:
            pane.finish("" if isinstance(event, Finished) else "stopped")
        self._show_note()
        self.refresh_bindings()

    def _end_all(self, why: str, said: str) -> None:
        for pane in self._lanes.values():
            pane.finish(why)
        self._lanes = {}
        self.said = plain(said)
        self._show_note()
        self.refresh_bindings()

    @on(TokenView.Moved)
    def _show_readout(self) -> None:
        token = self.grid.current.current
        self.query_one("#play-readout", Static).update(readout(token))
        self.query_one(Alternatives).show(token)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        if isinstance(event.widget, SamplePane):
            self._show_readout()

    def action_escape(self) -> None:
        """Stop the generation; without one, leave the field."""
        if self.generating and self.session is not None:
            self.session.stop()
            self._again = False
            self._end_all("stopped", "stopped")
        else:
            self.set_focus(None)

    def on_key(self, event: events.Key) -> None:
        # From nowhere the arrows lead into the text.
        if self.focused is None and event.key in ("left", "right", "up", "down"):
            self.grid.panes[0].focus()

    # --- following a run ---------------------------------------------------------------------

    def action_follow(self) -> None:
        """Write anew whenever the run that is chosen has a newer checkpoint, or no longer."""
        self.following = not self.following
        said = plain_keys(self.app, "{play.follow}  follows the run") if self.following else ""
        self._prompt.border_subtitle = said
        said = "the text is written anew with each checkpoint" if self.following else "no longer"
        self.notify(f"Following: {said}", markup=False)
        if self.following:
            self._picker("checkpoint").show_text(NEWEST)

    def _follow_newest(self) -> None:
        model = self.model
        if not self.following or model is None or self._newest is None:
            return
        if step_of(self._picker("checkpoint").value) is not None:
            return
        name, step = self._newest
        if name == model.name and model.steps[0] > step:
            self._again = True
            if not self.generating:
                self.call_next(self.action_generate)

    # --- prompts and texts -------------------------------------------------------------------

    def _keep_prompt(self) -> None:
        assert self._prompts is not None
        try:
            self._prompts.add(self._prompt.text)
        except OSError as error:
            self.notify(
                f"The prompt is not kept: {plain(str(error))}", severity="warning", markup=False
            )

    def action_prompts(self) -> None:
        """Take a prompt that was used before."""
        assert self._prompts is not None
        known = {line(prompt) or repr(prompt): prompt for prompt in reversed(self._prompts.known)}
        options = [(shown, "") for shown in reversed(known)]

        def take(shown: str | None) -> None:
            if shown is not None:
                self._set_prompt(known[shown])
                self._prompt_is_own = True
                self._prompt.focus()

        if options:
            self.app.push_screen(PickScreen("Prompts, the last one first", options), take)
        else:
            self._tell("No prompt was used yet: {play.generate} keeps the one you see.")

    def _tell(self, text: str) -> None:
        self.notify(plain_keys(self.app, text), markup=False)

    def action_save(self) -> None:
        """Write the texts to a file in the workspace, and copy them."""
        panes = [pane for pane in self.grid.panes if pane.tokens]
        if not panes:
            self._tell("Nothing is written yet: {play.generate} begins.")
            return
        texts = [
            f"# {pane.label}; {lane.settings}\n{pane.content}\n"
            for pane, lane in zip(self.grid.panes, self.written, strict=True)
            if pane.tokens
        ]
        text = "\n".join(texts)
        # What is copied is the text alone.
        self.app.copy_to_clipboard(self.grid.current.content)
        root, model = self.talm.workspace.root, self._picker("model").value
        try:
            path = save(root, model, text, datetime.now().astimezone())
        except OSError as error:
            said = f"Copied. Not saved: {plain(str(error))}"
            self.notify(said, severity="warning", markup=False)
        else:
            self.notify(f"Copied, and saved as {path}", markup=False)


def _token(event: Generated) -> Token:
    """The event's values; alternatives from outside are taken only where they are pairs."""
    pairs = [
        (str(item[0]), float(item[1]))
        for item in event.alternatives
        if isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[1], int | float)
    ]
    return Token(event.text, event.probability, pairs)
