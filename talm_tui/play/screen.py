"""Play: prompt a model and watch it write."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from talm_core.jobs.sample.config import SampleConfig
from talm_core.runtime.events import Event, Failed, Finished, Generated, Sampled, Stopped
from talm_core.system.foreign_text import plain
from talm_tui.forms.editors import EditorDone, TextEditor
from talm_tui.play.alternatives import Alternatives, readout
from talm_tui.play.choice import ModelChoice
from talm_tui.play.kept import Kept
from talm_tui.play.models import NEWEST, step_of
from talm_tui.play.prompt import PromptArea
from talm_tui.play.request import FIELDS, Lane
from talm_tui.play.sample_grid import SampleGrid, SamplePane
from talm_tui.play.token_view import Token, TokenView
from talm_tui.services.clients import Heard, PlaySession
from talm_tui.services.messages import OpenPlay
from talm_tui.shell.screen import Place
from talm_tui.shell.theme import styles
from talm_tui.widgets.hint import Hint, plain_keys

EMPTY = (
    "There is no model yet. Press {app.home} and then {home.quickstart} for one in about"
    " a minute,\nor {app.train} to train one of your own."
)


COMING = (
    "A model is being trained. It can be prompted here as soon as it has saved a checkpoint;\n"
    "{app.runs} shows how far it is, and {runs.checkpoint} there saves one now."
)


class PlayScreen(Place):
    """A prompt, how to sample, and the texts as they come."""

    HELP = """\
# Play

`{play.generate}` lets the model continue the prompt, `{play.stop}` stops it. `tab` goes from the
prompt to the settings and to the text. In the text `{tokens.previous}` `{tokens.next}` go from
token to token: its probability and the alternatives are shown beside or below.
Orange and underlined tokens were very unlikely, blue ones nearly certain.

`samples` writes several texts at once, each with the next seed. `beside` compares with another
checkpoint of the run, or another model: same prompt, same seeds. `{play.prompts}` lists the prompts
you used, `{play.save}` saves what is written to a file, `{play.follow}` generates again at each
new checkpoint of a run that is training.
"""
    CSS_PATH: ClassVar = [styles("forms"), styles("play")]
    AUTO_FOCUS = "#play-prompt"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "generate", "go", id="play.generate", priority=True, tooltip="Continue"),
        Binding("escape", "escape", "stop", id="play.stop", tooltip="Stop; then leave the field"),
        Binding("ctrl+s", "save", "save", id="play.save", tooltip="Save and copy the text"),
        Binding("f3", "prompts", "prompts", id="play.prompts", tooltip="Use an earlier prompt"),
        Binding(
            "f4",
            "follow",
            "follow",
            id="play.follow",
            tooltip="Generate again at each new checkpoint",
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
        self.written: list[Lane] = []
        self.prompt = PromptArea()
        self.choice = ModelChoice(lambda: self.prompt.text, self._chosen, self._found)
        self.kept = Kept(self, self.prompt.take)
        self.have(self.kept)
        self._numbers = itertools.count(1)
        self._lanes: dict[int, SamplePane] = {}
        self._newest: tuple[str, int] | None = None
        self._again = False

    # --- making ------------------------------------------------------------------------------

    def compose_place(self) -> ComposeResult:
        yield Hint(EMPTY, id="play-empty")
        with Vertical(id="play"):
            yield self.choice
            with Horizontal(id="play-body"):
                with Vertical(id="play-left"):
                    yield self.prompt
                    yield Alternatives()
                yield SampleGrid()
            yield Static("", id="play-readout", markup=False)

    def on_mount(self) -> None:
        self.grid.panes[0].show_state()
        self._show_readout()
        self.watch(self.app, "snapshot", self.choice.workspace_changed)

    def on_unmount(self) -> None:
        if self.session is not None:
            self.session.close()

    def on_screen_resume(self) -> None:
        # A checkpoint that was copied here is in no journal: nothing else tells of it.
        self.choice.look()
        # The prompt has the focus on the first visit. Back from a list, somebody who was in no
        # field still is in none, and the next key is no letter of the prompt.
        self.call_after_refresh(setattr, self, "AUTO_FOCUS", "")

    def on_open_play(self, message: OpenPlay) -> None:
        message.stop()
        self.choice.choose(message.name, message.step)
        self.prompt.focus()

    def action_pick(self, key: str) -> None:
        """Choose a model, a checkpoint, or what to compare with, from a list."""
        self.choice.picker(key).action_open()

    def _chosen(self) -> None:
        if self.choice.model is not None:
            self.prompt.propose(self.choice.model.prompt)

    @property
    def grid(self) -> SampleGrid:
        """The texts."""
        return self.query_one(SampleGrid)

    @property
    def generating(self) -> bool:
        """Whether anything is being written."""
        return bool(self._lanes)

    # --- generating --------------------------------------------------------------------------

    async def on_editor_done(self, event: EditorDone) -> None:
        event.stop()
        await self.action_generate()

    async def action_generate(self) -> None:
        """Let the model continue the prompt; what it was writing is ended."""
        request = self.choice.request()
        if request is None:
            self.choice.check()
            first = next((p.key for p in self.choice.problems if p.key in FIELDS), None)
            if first is not None:
                self.query_one(f"#edit-{first}", TextEditor).focus()
            return
        self.kept.keep_prompt(self.prompt.text)
        await self.grid.have(len(request.lanes), request.columns)
        panes = self.grid.panes
        self._lanes = {next(self._numbers): pane for pane in panes}
        self.written = list(request.lanes)
        self.kept.settings = [lane.settings for lane in request.lanes]
        for pane, lane in zip(panes, request.lanes, strict=True):
            pane.start(lane.config.prompt, lane.label)
        model = self.choice.model
        self._newest = (model.name, model.steps[0]) if model is not None else None
        self._again, self.choice.said = False, ""
        self._ask(dict(zip(self._lanes, (lane.config for lane in request.lanes), strict=True)))
        self.choice.show_note()
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
            self.choice.said = f"✕ {plain(event.message)}"
        else:
            pane.finish("" if isinstance(event, Finished) else "stopped")
        self.choice.show_note()
        self.refresh_bindings()

    def _end_all(self, why: str, said: str) -> None:
        for pane in self._lanes.values():
            pane.finish(why)
        self._lanes = {}
        self.choice.said = plain(said)
        self.choice.show_note()
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
        self.prompt.border_subtitle = said
        said = "text is generated again at each new checkpoint" if self.following else "no longer"
        self.notify(f"Following: {said}", markup=False)
        if self.following:
            self.choice.picker("checkpoint").show_text(NEWEST)

    def _found(self) -> None:
        """Write anew when the run that is followed has a newer checkpoint."""
        model, models = self.choice.model, self.choice.models
        self.query_one("#play").display = bool(models)
        self.query_one("#play-empty").display = not models
        if not models:
            snapshot = self.talm.snapshot
            coming = any(item.status.active for item in (*snapshot.models, *snapshot.wholes))
            self.query_one("#play-empty", Hint).show(COMING if coming else EMPTY)
        if not self.following or model is None or self._newest is None:
            return
        if step_of(self.choice.picker("checkpoint").value) is not None:
            return
        name, step = self._newest
        if name == model.name and model.steps[0] > step:
            self._again = True
            if not self.generating:
                self.call_next(self.action_generate)


def _token(event: Generated) -> Token:
    """The event's values; alternatives from outside are taken only where they are pairs."""
    pairs = [
        (str(item[0]), float(item[1]))
        for item in event.alternatives
        if isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[1], int | float)
    ]
    return Token(event.text, event.probability, pairs)
