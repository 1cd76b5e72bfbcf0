"""Home: the pipeline, what runs, what to do next."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from talm_core.system.foreign_text import line
from talm_tui.home.job_progress import ActiveJobs, StageProgress, StageView
from talm_tui.home.next_step import WELCOME, next_step
from talm_tui.home.run_detail import RunDetail
from talm_tui.home.run_table import RunTable
from talm_tui.home.step import Step
from talm_tui.shell.notifications import quickstart_of
from talm_tui.shell.screen import Place
from talm_tui.shell.theme import styles
from talm_tui.widgets.hint import with_keys

if TYPE_CHECKING:
    from pathlib import Path

    from talm_core.runtime.overview import Overview
    from talm_tui.services.messages import JobRefused, JobStarted
    from talm_tui.services.watcher import Snapshot


_AGO_SECONDS = 30


class HomeScreen(Place):
    """The pipeline as three steps, what to do next, and the recent runs.

    Up and down choose a run; the keys in the last line are about that run. Jobs are processes of
    their own: they go on when this program is left.
    """

    CSS_PATH = styles("home")
    HELP = """\
# Home

Text becomes tokens, tokens become a model: the three boxes show what there is of each, with the
key that makes one more. `{home.quickstart}` does all three at once with your Python's own
library, offline.

Below are the recent runs. Choose one with `{home.up}` and `{home.down}`: `{home.open}` shows it
live, `{home.resume}` goes on with one that was stopped or interrupted, `{home.stop}` stops one,
`{home.log}` shows what it printed.

Jobs are processes of their own. Quit whenever you like, they go on; come back, they are here.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "t",
            "app.place('tokenizer')",
            "tokenizer",
            show=False,
            id="home.tokenizer",
            tooltip="Train a tokenizer",
        ),
        Binding(
            "d",
            "app.place('data')",
            "data",
            show=False,
            id="home.data",
            tooltip="Prepare a dataset",
        ),
        Binding(
            "m", "app.place('train')", "model", show=False, id="home.train", tooltip="Train a model"
        ),
        Binding(
            "s",
            "quickstart",
            "quick start",
            id="home.quickstart",
            tooltip="Tokenizer, data and model in about a minute",
        ),
        Binding("enter", "open", "open", id="home.open", tooltip="Show the chosen run live"),
        Binding("r", "resume", "resume", id="home.resume", tooltip="Go on with the chosen run"),
        Binding("k", "stop", "stop", id="home.stop", tooltip="Save and end the chosen run"),
        Binding("l", "log", "log", id="home.log", tooltip="What the chosen run printed"),
        Binding("up", "move(-1)", "Run above", show=False, id="home.up"),
        Binding("down", "move(1)", "Run below", show=False, id="home.down"),
        Binding("pageup", "move(-10)", "Ten runs up", show=False, id="home.page_up"),
        Binding("pagedown", "move(10)", "Ten runs down", show=False, id="home.page_down"),
        Binding("home", "move(-1000000)", "First run", show=False, id="home.first"),
        Binding("end", "move(1000000)", "Last run", show=False, id="home.last"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._expected: str | None = None
        self._asked: Path | None = None
        self._told: str | None = None
        self._next_lines = (0, 0)
        self._looked = False
        self._missed = False

    def compose_place(self) -> ComposeResult:
        with Horizontal(id="pipeline"):
            yield Step(
                "Tokenizer",
                "Cuts text into tokens. One is built in; train your own on your text.",
                "home.tokenizer",
                "train one",
                built_in="base|4,096 tokens",
            )
            yield Static("→", classes="arrow")
            yield Step(
                "Data",
                "Your text as tokens, a part kept back for validation.",
                "home.data",
                "prepare one",
            )
            yield Static("→", classes="arrow")
            yield Step(
                "Model", "A transformer that learns from the data.", "home.train", "train one"
            )
        yield StageProgress()
        yield ActiveJobs()
        yield Static("", id="next", markup=False)
        yield RunTable()
        yield RunDetail()

    def on_mount(self) -> None:
        self.watch(self.app, "snapshot", self._workspace_changed)
        # When something was is another thing to say as time goes by.
        self.set_interval(_AGO_SECONDS, self.query_one(RunTable).refresh)

    def on_resize(self, event: events.Resize) -> None:
        # What a run is doing matters more than the pipeline once there is no room for both.
        self.set_class(event.size.height < 14, "-flat")
        self.set_class(event.size.width < 60, "-slim")

    # --- showing -----------------------------------------------------------------------------

    def on_screen_resume(self) -> None:
        if self._missed:
            self._show(self.talm.snapshot)

    def _workspace_changed(self, snapshot: Snapshot) -> None:
        # Behind a dialog it is seen, while another place is shown it is not.
        if self in self.app.screen_stack:
            self._show(snapshot)
        else:
            self._missed = True

    def _show(self, snapshot: Snapshot) -> None:
        complete, self._missed = snapshot.complete, False
        self.query_one("#step-tokenizer", Step).show(snapshot.tokenizers, complete=complete)
        self.query_one("#step-data", Step).show(snapshot.data, complete=complete)
        self.query_one("#step-model", Step).show(snapshot.models, complete=complete)
        table = self.query_one(RunTable)
        # The first looks find one run after the other.
        table.show(_rows(snapshot), stay=self._looked)
        self._looked = snapshot.complete
        table.display = bool(_rows(snapshot))
        self._show_detail()
        self._show_next(self._next(snapshot))
        self._show_quickstart(snapshot)
        self.refresh_bindings()

    def _show_next(self, content: Content) -> None:
        """A new layout sends the whole screen again: only where the number of lines changes."""
        widget = self.query_one("#next", Static)
        width = max(1, widget.content_size.width)
        lines = len(content.wrap(width))
        widget.update(content, layout=(lines, width) != self._next_lines)
        self._next_lines = (lines, width)

    def _next(self, snapshot: Snapshot) -> Content:
        if snapshot.empty and snapshot.complete:
            return with_keys(self.app, WELCOME).stylize_before("bold")
        text = next_step(snapshot, self.talm.key)
        if not text:
            return Content("")
        return Content.assemble(("Next: ", "bold"), text)

    def _show_quickstart(self, snapshot: Snapshot) -> None:
        whole = _current(snapshot)
        stages = self._stages(whole, snapshot) if whole is not None else []
        self.query_one(StageProgress).show(whole, stages)
        shown = {stage.overview.artifact for stage in stages if stage.overview is not None}
        shown |= {whole.artifact} if whole is not None else set()
        others = [job for job in snapshot.active if job.artifact not in shown]
        self.query_one(ActiveJobs).show(others)
        model = stages[-1].overview if stages else None
        if whole is None or model is None or not model.status.active:
            return
        if self._expected == whole.name and self._told != whole.name:
            self._told = whole.name
            table = self.query_one(RunTable)
            table.select(model.artifact.directory)
            text = f"{line(model.name)} is training: {self.talm.key('home.open')} shows it live"
            self.notify(text, markup=False, timeout=6)

    def _stages(self, whole: Overview, snapshot: Snapshot) -> list[StageView]:
        from talm_core.errors import InputError
        from talm_core.jobs.quickstart.config import QuickstartConfig
        from talm_core.jobs.quickstart.job import stages

        parts: list[StageView] = []
        if not isinstance(whole.config, QuickstartConfig):
            return parts
        known = {item.artifact.directory: item for item in _all(snapshot)}
        # A preset that was renamed since leaves nothing to say about the stages.
        with contextlib.suppress(InputError):
            for config in stages(whole.config, self.talm.workspace):
                directory = self.talm.workspace.directory_of(config)
                parts.append(StageView(config.kind, known.get(directory)))
        return parts

    # --- actions -----------------------------------------------------------------------------

    @property
    def _selected(self) -> Overview | None:
        return self.query_one(RunTable).row

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        if action in ("open", "resume", "stop", "log"):
            if not self.is_mounted:
                return False
            run = self._target()
            if run is None:
                return False
            if action == "resume":
                return run.status.value in ("stopped", "interrupted")
            if action == "stop":
                return run.status.active
            if action == "open":
                return self._selected is not None
        return True

    def _target(self) -> Overview | None:
        """What the keys act on: the chosen run, or the quick start it belongs to."""
        run = self._selected
        snapshot = self.talm.snapshot
        if run is None:
            return _current(snapshot)
        if run.artifact.kind == "pretrain":
            for whole in snapshot.quickstarts:
                if whole.name == run.name and whole.status.value != "done":
                    return whole
        return run

    def action_move(self, by: int) -> None:
        """Choose another run."""
        self.query_one(RunTable).move(by)

    def _show_detail(self) -> None:
        run = self._selected
        if run is not None and run.artifact.kind != "pretrain":
            # A quick start that is no run yet: its stages are told above.
            run = None
        detail = self.query_one(RunDetail)
        detail.set_class(run is not None, "-chosen")
        detail.show(run)

    def on_table_moved(self) -> None:
        self._show_detail()
        self.refresh_bindings()

    def on_table_opened(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        """Show the chosen run live."""
        run = self._selected
        if run is None:
            return
        if run.artifact.kind == "pretrain":
            self.talm.open_run(run.name)
        else:
            self.action_log()

    def action_quickstart(self) -> None:
        """Start a quick start and show its stages."""
        from talm_core.jobs.quickstart.config import QuickstartConfig
        from talm_core.jobs.quickstart.job import free_name

        active = [item for item in self.talm.snapshot.quickstarts if item.status.active]
        if active or self._asked is not None:
            self.notify("A quick start is running already.", markup=False)
            return
        config = QuickstartConfig(name=free_name(self.talm.workspace))
        self._expected = config.name
        self._asked = self.talm.workspace.directory_of(config)
        self.talm.start_job(config)

    def on_job_started(self, message: JobStarted) -> None:
        message.stop()
        self._asked = None

    def on_job_refused(self, _: JobRefused) -> None:
        self._asked = None

    def action_resume(self) -> None:
        """Go on with the chosen run."""
        run = self._target()
        if run is None or run.config is None:
            return
        self.talm.start_job(run.config, resume=True)

    def action_stop(self) -> None:
        """Stop the chosen run, if that is meant."""
        from talm_core.runtime.events import Stop
        from talm_tui.shell.dialogs import ConfirmScreen

        run = self._target()
        if run is None or not run.status.active:
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.talm.send(run.artifact.directory, Stop())

        question = f"Stop {line(run.name)}?"
        detail = (
            f"What it has learned is saved; {self.talm.key('home.resume')} goes on with it later."
        )
        if run.artifact.kind in ("tokenizer", "data"):
            detail = "It begins anew the next time."
        self.app.push_screen(ConfirmScreen(question, detail, yes="stop", no="let it run"), answered)

    def action_log(self) -> None:
        """Show what the chosen run printed."""
        run, target = self._selected, self._target()
        if target is not None:
            others = [run.artifact.directory] if run is not None else []
            self.talm.open_log(target.artifact.directory, *others)


def _all(snapshot: Snapshot) -> tuple[Overview, ...]:
    return snapshot.tokenizers + snapshot.data + snapshot.models + snapshot.quickstarts


def _rows(snapshot: Snapshot) -> list[Overview]:
    """Runs, and quick starts that ended before there was a run; what runs comes first."""
    models = {model.name for model in snapshot.models}
    early = [
        item
        for item in snapshot.quickstarts
        if item.name not in models and item.status.value != "done"
    ]
    rows = [*snapshot.models, *early]
    return sorted(rows, key=lambda item: (not item.status.active, -item.updated, item.name))


def _current(snapshot: Snapshot) -> Overview | None:
    """The quick start to show: one that runs, or one that ended badly with nothing said since."""
    for whole in snapshot.quickstarts:
        if whole.status.active:
            return whole
    if not snapshot.quickstarts:
        return None
    newest = snapshot.quickstarts[0]
    others = [item for item in _all(snapshot) if item.name != newest.name]
    later = any(
        item.updated > newest.updated or item.status.active
        for item in others
        if quickstart_of(item) != newest.name
    )
    return None if newest.status.value == "done" or later else newest
