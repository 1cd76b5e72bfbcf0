"""Home: the pipeline, what runs, what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from talm_core.jobs.registry import spec_of, specs
from talm_core.jobs.spec import load
from talm_core.system.foreign_text import line
from talm_tui.home.job_progress import ActiveJobs, StageProgress, StageView
from talm_tui.home.next_step import RESUMABLE, WELCOME, next_step, resumable, steps
from talm_tui.home.run_detail import RunDetail
from talm_tui.home.run_table import RunTable
from talm_tui.home.step import Step
from talm_tui.shell.screen import Place
from talm_tui.shell.theme import styles
from talm_tui.widgets.hint import with_keys
from talm_tui.widgets.table import AGO_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from talm_core.runtime.overview import Overview
    from talm_core.settings.schema import JobConfig
    from talm_tui.services.messages import JobRefused, JobStarted
    from talm_tui.services.watcher import Snapshot


_OF_A_RUN = ("open", "resume", "stop", "log")


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
live, `{home.resume}` resumes one that was stopped or interrupted, `{home.stop}` stops one,
`{home.log}` shows its log.

Jobs are processes of their own: they keep running when you quit, and are here when you come back.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(
                spec.place.key,
                f"app.place('{spec.place.name}')",
                spec.artifact.noun,
                show=False,
                id=f"home.{spec.place.name}",
                tooltip=f"{spec.place.verb.capitalize()} a {spec.artifact.noun}",
            )
            for spec in steps()
            if spec.place and spec.artifact
        ),
        Binding(
            "s",
            "at_once",
            "quick start",
            id="home.quickstart",
            tooltip="Tokenizer, data and model in about a minute",
        ),
        Binding("enter", "open", "open", id="home.open", tooltip="Show the chosen run live"),
        Binding("r", "resume", "resume", id="home.resume", tooltip="Resume the chosen run"),
        Binding("K", "stop", "stop", id="home.stop", tooltip="Save and end the chosen run"),
        Binding("l", "log", "log", id="home.log", tooltip="The log of the chosen run"),
        Binding("up,k", "move(-1)", "Run above", show=False, id="home.up"),
        Binding("down,j", "move(1)", "Run below", show=False, id="home.down"),
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
            for number, spec in enumerate(steps()):
                if number:
                    yield Static("→", classes="arrow")
                yield Step(spec)
        yield StageProgress()
        yield ActiveJobs()
        yield Static("", id="next", markup=False)
        yield RunTable()
        yield RunDetail()

    def on_mount(self) -> None:
        self.watch(self.app, "snapshot", self._workspace_changed)
        # When something was is another thing to say as time goes by.
        self.set_interval(AGO_SECONDS, self.query_one(RunDetail).refresh)

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
        for step in self.query(Step):
            step.show(snapshot.of(step.kind), complete=complete)
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
        parts = snapshot.stages.get(whole.artifact, ()) if whole is not None else ()
        stages = [StageView(part.kind, snapshot.find(part)) for part in parts]
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

    # --- actions -----------------------------------------------------------------------------

    @property
    def _selected(self) -> Overview | None:
        return self.query_one(RunTable).row

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        if action in _OF_A_RUN:
            run = self._target() if self.is_mounted else None
            if run is None:
                return False
            if action == "resume":
                return self._to_resume() is not None
            if action == "stop":
                return run.status.active
            if action == "open":
                return self._selected is not None
        return True

    def _target(self) -> Overview | None:
        """What the keys act on: the chosen run, or the quick start it belongs to."""
        run = self._selected
        return _current(self.talm.snapshot) if run is None else self._whole(run)

    def _whole(self, run: Overview) -> Overview:
        """The quick start that a run belongs to, as long as that is not done."""
        whole = self.talm.snapshot.whole_of(run.artifact)
        return run if whole is None or whole.status.value == "done" else whole

    def _to_resume(self) -> Overview | None:
        """What goes on by its key: the chosen run, else the one that the line above names."""
        run = self._target()
        if run is not None and run.status.value in RESUMABLE:
            return run
        # While something runs, that line speaks of it.
        left = None if self.talm.snapshot.active else resumable(self.talm.snapshot.runs)
        return None if left is None else self._whole(left)

    def why_not(self, action: str) -> str:
        """Why the chosen run cannot be opened, resumed or stopped."""
        run = self._target()
        if action not in _OF_A_RUN:
            return super().why_not(action)
        if run is None:
            return f"There is no run yet: {self.talm.key('home.quickstart')} starts one"
        status = "is running" if run.status.active else f"is {run.status.value}"
        return f"{line(run.name)} {status}: there is nothing to {action}"

    def action_back(self) -> None:
        """Say how to leave."""
        said = f"{self.talm.key('app.quit')} leaves talm; jobs that run go on"
        self.notify(said, markup=False, timeout=4)

    def action_move(self, by: int) -> None:
        """Choose another run."""
        self.query_one(RunTable).move(by)

    def _show_detail(self) -> None:
        run = self._selected
        if run is not None and not spec_of(run.artifact.kind).is_run:
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
        if spec_of(run.artifact.kind).is_run:
            self.talm.open_run(run.artifact)
        else:
            self.action_log()

    def action_at_once(self) -> None:
        """Start a quick start and show its stages."""
        active = [item for item in self.talm.snapshot.wholes if item.status.active]
        if active or self._asked is not None:
            self.notify("A quick start is running already.", markup=False)
            return
        spec = next(spec for spec in specs() if spec.at_once)
        config: JobConfig = load(spec.at_once)(self.talm.workspace)
        self._expected = config.artifact
        self._asked = self.talm.workspace.directory_of(config)
        self.talm.start_job(config)

    def on_job_started(self, message: JobStarted) -> None:
        message.stop()
        self._asked = None

    def on_job_refused(self, _: JobRefused) -> None:
        self._asked = None

    def action_resume(self) -> None:
        """Resume the chosen run, else the one that the line above names."""
        run = self._to_resume()
        if run is None or run.config is None:
            return
        self.talm.start_job(run.config, resume=spec_of(run.artifact.kind).resumable)

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
        detail = f"It saves a checkpoint first; {self.talm.key('home.resume')} resumes it later."
        if not spec_of(run.artifact.kind).resumable:
            detail = "It starts from the beginning next time."
        self.app.push_screen(
            ConfirmScreen(question, detail, yes="stop", no="keep running"), answered
        )

    def action_log(self) -> None:
        """Show what the chosen run printed."""
        run, target = self._selected, self._target()
        if target is not None:
            others = [run.artifact.directory] if run is not None else []
            self.talm.open_log(target.artifact.directory, *others)


def _rows(snapshot: Snapshot) -> list[Overview]:
    """Runs, and quick starts that ended before there was a run; what runs comes first."""
    wholes = map(snapshot.whole_of, (run.artifact for run in snapshot.runs))
    begun = {whole.artifact for whole in wholes if whole is not None}
    early = [
        item
        for item in snapshot.wholes
        if item.artifact not in begun and item.status.value != "done"
    ]
    rows = [*snapshot.runs, *early]
    return sorted(rows, key=lambda item: (not item.status.active, -item.updated, item.name))


def _current(snapshot: Snapshot) -> Overview | None:
    """The quick start to show: one that runs, or one that ended badly with nothing said since."""
    for whole in snapshot.wholes:
        if whole.status.active:
            return whole
    if not snapshot.wholes:
        return None
    newest = snapshot.wholes[0]
    own = {newest.artifact, *snapshot.stages.get(newest.artifact, ())}
    later = any(
        item.updated > newest.updated or item.status.active
        for item in snapshot.all
        if item.artifact not in own
    )
    return None if newest.status.value == "done" or later else newest
