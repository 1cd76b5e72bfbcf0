"""A place that is a form: fields, their help, what they amount to, the command, and the job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Static

from talm_core.errors import Problem
from talm_core.jobs.registry import artifact_kinds
from talm_core.runtime.overview import Overview
from talm_core.runtime.preflight import settle
from talm_core.runtime.runner import Status
from talm_core.settings.command_line import shell
from talm_core.settings.schema import JobConfig
from talm_core.storage.workspace import Artifact, Workspace
from talm_core.system.foreign_text import line, plain
from talm_tui.forms.artifact_keys import ArtifactKeys
from talm_tui.forms.artifact_list import ArtifactList
from talm_tui.forms.checker import Checker, Findings, look
from talm_tui.forms.command import CommandPreview, keep, words_of
from talm_tui.forms.editing import FormKeys
from talm_tui.forms.field import FLAT, NARROW, counts, unplaced
from talm_tui.forms.form import Form, Options
from talm_tui.forms.glimpse import Glimpse, Look
from talm_tui.forms.job_view import JobKeys, JobView
from talm_tui.forms.meaning import Meaning
from talm_tui.forms.meaning_panel import MeaningPanel
from talm_tui.forms.names import artifact_options
from talm_tui.forms.setting_help import SettingHelp
from talm_tui.forms.state import FormState
from talm_tui.services.messages import JobRefused, JobStarted, OpenForm
from talm_tui.services.watcher import Snapshot
from talm_tui.shell.screen import Place
from talm_tui.shell.theme import styles
from talm_tui.widgets.hint import plain_keys
from talm_tui.widgets.sheet import Sheet

KEYS = """
`{form.next}` `{form.previous}` `tab` go from field to field, `enter` to the next, \
`{place.leave}` leaves it. `{choice.previous}` `{choice.next}` choose, `{list.open}` opens a list \
or the files; numbers may be written `10k`, `2M`, `1e-3`. `*` marks a changed value, `✕` an \
error. `{form.undo}` undoes the last change, `{form.reset}` resets a field to its default, or all \
of them when none has the focus.
"""


class FormPlace(Place):
    """What the tokenizer, data and train places have in common."""

    CSS_PATH = styles("forms")

    MODEL: ClassVar[type[JobConfig]]
    NAME_KEY: ClassVar[str]
    OTHER_NAME: ClassVar[str] = "choose another name"
    ABOUT: ClassVar[str]
    NEXT_STEP: ClassVar[str] = ""
    THERE: ClassVar[tuple[str, str]]
    """Over the list of what there is already, and instead of it while there is nothing; keys in
    braces."""
    GLIMPSE: ClassVar[tuple[Look, str, str, str]]
    """How to look into an artifact, and the texts of a `Glimpse`; keys in braces."""
    SHOWS_JOBS: ClassVar[bool] = True
    FREE_TEXT: ClassVar[Mapping[str, str]] = {}
    """What can be typed for a field instead of picking from its list, where that is no path."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "start", "start", id="form.start", tooltip="Start this job"),
        *FormKeys.BINDINGS,
        Binding("f2", "command", "command", id="form.command", tooltip="Copy and save the command"),
        *JobKeys.BINDINGS,
        *ArtifactKeys.BINDINGS,
    ]

    class Checked(Message):
        """A look at the workspace came back, or failed by a bug."""

        def __init__(self, findings: Findings | Exception) -> None:
            self.findings = findings
            super().__init__()

    def __init_subclass__(cls, *, declares: bool = True, **options: Any) -> None:
        """One that does not declare a form is what several others have in common."""
        if declares:
            cls.HELP = f"## {cls.MODEL.title}\n{cls.ABOUT}\n{KEYS}"
        super().__init_subclass__(**options)

    def __init__(self) -> None:
        super().__init__()
        self.state = FormState(self.MODEL)
        self._form: Form | None = None
        made = ArtifactKeys(self, self.MODEL.kind)
        self.have(FormKeys(self, lambda: self.form), JobKeys(self), made)
        self.findings: Findings | None = None
        self._checker: Checker | None = None
        self._seen: tuple[tuple[Artifact, Status], ...] = ()

    def options(self) -> dict[str, Options]:
        """What can be picked, by field: of what a setting names, what is done."""
        nouns = {artifact.noun: kind for kind, artifact in artifact_kinds().items()}
        return {
            item.key: partial(self._done, nouns[item.setting.picks])
            for item in self.state.items
            if item.setting.picks in nouns
        }

    def _done(self, kind: str) -> list[tuple[str, str]]:
        return artifact_options(kind, self.snapshot.of(kind))

    def propose(self) -> None:
        """Fill fields nobody has typed into, such as a free name."""

    def meaning(self) -> Meaning | None:
        """What the values amount to; None while they are none that could be reckoned with."""
        return Meaning()

    def look(self, config: JobConfig) -> Findings:
        """Check a config against the workspace and gather what its consequences depend on; in a
        thread."""
        return look(config, self.workspace)

    def overviews(self) -> tuple[Overview, ...]:
        """The artifacts of this place's kind."""
        return self.snapshot.of(self.MODEL.kind)

    def newest(self) -> str:
        """The artifact to look into where there is room: the newest that is done, else none."""
        return next((item.name for item in self.overviews() if item.status is Status.DONE), "")

    @property
    def form(self) -> Form:
        """The form's fields."""
        assert self._form is not None, "the place is not composed yet"
        return self._form

    @property
    def snapshot(self) -> Snapshot:
        """What there is in the workspace, as last seen."""
        return self.talm.snapshot

    @property
    def meant(self) -> Meaning:
        """The consequences shown last: they stay, marked, while a value cannot be."""
        return self.query_one(MeaningPanel).meaning

    def go_on(self, kind: str, key: str) -> None:
        """Open the next form with what was made here."""
        view = self.query_one(JobView)
        if view.artifact is not None and view.status is Status.DONE:
            self.talm.open_form(kind, **{key: view.artifact.name})

    # --- building --------------------------------------------------------------------------

    def compose_place(self) -> ComposeResult:
        self.propose()
        self._form = Form(self.state, self.options(), self.FREE_TEXT)
        with Horizontal(id="form-head"):
            yield Static(self.MODEL.title, id="form-title", markup=False)
            yield from self.compose_head()
            yield Sheet("", id="form-changed", markup=False)
        yield JobView(plain_keys(self.app, self.NEXT_STEP))
        with Horizontal(id="form-body"):
            with Vertical(id="form-main"):
                yield self._form
                yield from self.compose_below()
            with Vertical(id="form-side"):
                yield SettingHelp(self.MODEL.title, self.ABOUT)
                yield MeaningPanel()
                yield from self.compose_beside()
        yield Sheet("", id="form-note", markup=False)
        yield CommandPreview()

    def compose_head(self) -> ComposeResult:
        """What stands between title and count of changes."""
        return iter(())

    def compose_below(self) -> ComposeResult:
        """What fills the room below the fields where there is some: what there is already; where
        there is much, that stands beside, and here a look into the newest."""
        yield self.compose_list()
        texts = (plain_keys(self.app, text) for text in self.GLIMPSE[1:])
        yield Glimpse(self.GLIMPSE[0], self.workspace.root, *texts)

    def compose_beside(self) -> ComposeResult:
        """The same below the consequences."""
        yield self.compose_list()

    def compose_list(self) -> ArtifactList:
        """What there is already of what this form makes."""
        return ArtifactList(self.MODEL.kind, *(plain_keys(self.app, text) for text in self.THERE))

    @property
    def workspace(self) -> Workspace:
        """Where the form's job is going to work."""
        return self.talm.workspace

    def on_mount(self) -> None:
        self._checker = Checker(
            lambda config: self.look(config),
            lambda findings: self.post_message(self.Checked(findings)),
        )
        self.watch(self.app, "snapshot", self._workspace_changed, init=False)
        self._show_there()
        self.judge()
        self._follow_active()

    def on_unmount(self) -> None:
        if self._checker is not None:
            self._checker.close()

    def on_resize(self, event: events.Resize) -> None:
        narrow = event.size.width < NARROW
        self.query_one(SettingHelp).brief = narrow
        self.query_one(MeaningPanel).brief = narrow
        self.set_class(event.size.height < FLAT, "-flat")

    # --- judging ---------------------------------------------------------------------------

    def judge(self) -> None:
        """Show everything that follows from the present values."""
        self.propose()
        config = self.state.config
        self.state.tell("place", self.taken())
        if self.findings is not None and self.findings.of == config:
            self.state.tell("workspace", self.findings.problems)
        elif config is not None and self._checker is not None:
            self._checker.ask(config)
        self.form.sync()
        meaning = self.meaning()
        self.query_one(MeaningPanel).show(meaning)
        self.show_more(meaning)
        self.query_one(CommandPreview).show(self.command())
        self._show_counts()

    def _show_there(self) -> None:
        for listed in self.query(ArtifactList):
            listed.show(self.overviews())
        for glimpse in self.query(Glimpse):
            glimpse.show(self.newest())

    def show_more(self, meaning: Meaning | None) -> None:
        """Show what else there is to say about the values; None: nothing can be."""

    def _show_counts(self) -> None:
        self.query_one("#form-changed", Static).update(counts(self.state))
        note = self.query_one("#form-note", Static)
        text = unplaced(self.state)
        note.display = bool(text.plain)
        note.update(text)

    def command(self, config: JobConfig | None = None) -> list[str]:
        """The words of the command that asks for `config`; none means what the form says now,
        right or wrong."""
        return words_of(
            self.MODEL,
            self.state.values if config is None else config.model_dump(),
            self.state.defaults if self.state.preset else None,
            preset=self.state.preset,
            workspace=self.workspace,
        )

    def taken(self) -> Iterable[Problem]:
        """The problem that what this form would make exists already."""
        config = self.state.config
        if config is None:
            return
        for overview in self.overviews():
            if overview.name != config.artifact:
                continue
            name = line(overview.name)
            if overview.status.active:
                yield Problem(self.NAME_KEY, f"{name} is being made", None, self.OTHER_NAME)
            elif overview.status is Status.DONE:
                yield Problem(self.NAME_KEY, f"{name} exists already", None, self.OTHER_NAME)

    def on_form_place_checked(self, event: Checked) -> None:
        event.stop()
        if isinstance(event.findings, Exception):
            text = f"{type(event.findings).__name__}: {event.findings}"
            self.notify(text, severity="error", markup=False)
        elif event.findings.of == self.state.config:
            self.findings = event.findings
            self.judge()

    def _workspace_changed(self) -> None:
        self._show_there()
        seen = tuple((overview.artifact, overview.status) for overview in self.snapshot.all)
        # How far a running job is matters to its own view only.
        if seen != self._seen:
            self._seen = seen
            self.findings = None
            self.judge()
            self.form.refresh_options()
            self._follow_active()

    # --- events of the form ----------------------------------------------------------------

    def on_form_focused(self, event: Form.Focused) -> None:
        event.stop()
        item = event.item
        self.query_one(SettingHelp).explain(item, item and self.state.defaults.get(item.key))

    def on_form_changed(self, event: Form.Changed) -> None:
        event.stop()
        self.judge()

    # --- actions ---------------------------------------------------------------------------

    def fill(self, values: Mapping[str, Any]) -> None:
        """Take values from another place."""
        self.state.take({key: values[key] for key in values if key in self.state.by_key})
        if self.is_mounted:
            self.judge()

    def on_open_form(self, event: OpenForm) -> None:
        event.stop()
        self.fill(event.values)

    def action_start(self) -> None:
        """Start the job, or go to the first field that is wrong."""
        self.state.tell("start", [])
        problems = self.state.problems
        config = self.state.config
        if problems or config is None:
            self._refuse(problems)
            return
        self.talm.start_job(config)

    def _refuse(self, problems: Iterable[Problem]) -> None:
        """Show what is wrong, and go to the first field that is."""
        self.judge()
        wrong = next((p.key for p in problems if p.key in self.state.by_key), None)
        if wrong is not None:
            self.form.go_to(wrong)
        self.app.bell()

    def on_job_started(self, event: JobStarted) -> None:
        event.stop()
        self.forget(self.NAME_KEY)
        self.set_focus(None)
        self.started(Artifact(event.config.kind, event.config.artifact, event.directory))

    def forget(self, *keys: str) -> None:
        """Let the form propose values for these fields again."""
        for key in keys:
            self.state.reset(key)

    def started(self, artifact: Artifact) -> None:
        """Show the job that was started here."""
        self.query_one(JobView).follow(artifact)

    def on_job_refused(self, event: JobRefused) -> None:
        event.stop()
        self.state.tell("start", event.problems)
        self._refuse(event.problems)

    def _follow_active(self) -> None:
        """Show a job of this kind that works already, from whatever terminal."""
        view = self.query_one(JobView)
        if not self.SHOWS_JOBS or (view.artifact is not None and not view.over):
            return
        for overview in self.overviews():
            if overview.status.active and overview.artifact != view.artifact:
                view.follow(overview.artifact)
                return

    @property
    def inside(self) -> bool:
        """Whether a field has the focus, or a job that is over is shown."""
        return self.focused is not None or self.query_one(JobView).over

    def action_leave_field(self) -> None:
        """Leave the field; with none focused, hide a job that is over."""
        if self.focused is None and self.query_one(JobView).over:
            self.query_one(JobView).dismiss()
        super().action_leave_field()

    def action_command(self) -> None:
        """Copy the command and keep it in a file: not every terminal lets an app copy."""
        config = self.state.config
        command = shell(self.command(settle(config, self.workspace) if config else None))
        self.app.copy_to_clipboard(command)
        try:
            path = keep(
                command, self.workspace, self.MODEL.kind, config.artifact if config else None
            )
        except (OSError, ValueError) as error:
            text = f"Copied. Not saved: {plain(str(error))}"
            self.notify(text, severity="warning", markup=False)
        else:
            self.notify(f"Copied, and saved as {path}", markup=False)
