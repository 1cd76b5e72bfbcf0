"""The place where a training run is set up."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from talm_core.errors import InputError, Problem
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.jobs.pretrain.presets import find_preset, presets
from talm_core.jobs.pretrain.recipes import Preset
from talm_core.runtime.overview import Overview
from talm_core.runtime.runner import Status
from talm_core.settings.schema import JobConfig
from talm_core.storage.workspace import Artifact
from talm_core.system.foreign_text import line, plain
from talm_tui.forms.checker import Findings
from talm_tui.forms.editors import Edited, PickEditor
from talm_tui.forms.meaning import Meaning
from talm_tui.forms.names import free, slug
from talm_tui.forms.screen import FormPlace
from talm_tui.train.looking import look
from talm_tui.train.meaning import RunMeaning, of_training
from talm_tui.train.pick_preset import OF_RUN, PickPresetScreen
from talm_tui.train.save_preset import SavePresetScreen
from talm_tui.train.timeline_panel import TimelinePanel
from talm_tui.widgets.status import figure

FIRST_PRESET = "nano"
"""What the form begins with: its values are the settings' own defaults."""


DEPTHS = (2, 4, 6, 8, 12, 16, 20, 24, 32)
"""Depths that the list of presets offers; any other can be typed."""


class TrainScreen(FormPlace):
    """The form of a training run. Once started, the run is watched in Runs."""

    MODEL = PretrainConfig
    NAME_KEY = "model_name"
    SHOWS_JOBS = False
    ABOUT = (
        "Train a transformer to predict the next token. Load a preset, change what you like, and"
        " check size, memory and time before you start."
    )

    THERE = (
        "Runs so far ({train.preset}: copy the settings of one)",
        "None yet. A first run takes a minute or so with nano.",
    )

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save_preset", "save", id="train.save", tooltip="Keep as preset"),
        Binding("f3", "presets", "preset", id="train.preset", tooltip="Load a preset"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._presets: list[Preset] = []

    def compose_head(self) -> ComposeResult:
        yield Static(f"{self.talm.key('train.preset')} preset", id="preset-label", markup=False)
        yield PickEditor("preset", FIRST_PRESET, self._preset_options)

    def compose_below(self) -> ComposeResult:
        yield TimelinePanel()

    def compose_beside(self) -> ComposeResult:
        yield self.compose_list()

    def show_more(self, meaning: Meaning | None) -> None:
        timeline = meaning.timeline if isinstance(meaning, RunMeaning) else None
        self.query_one(TimelinePanel).show(timeline)

    def propose(self) -> None:
        taken = {overview.name for overview in self.overviews()}
        stem = slug(self.state.preset or FIRST_PRESET)
        self.state.fill("model_name", free(stem, taken))
        self.state.fill("data_dir", next(iter(self._done(DataConfig.kind)), (None, ""))[0])

    def taken(self) -> list[Problem]:
        problems = list(super().taken())
        if not self.snapshot.of(DataConfig.kind) and not self.state.texts["data_dir"]:
            problems.append(
                Problem(
                    "data_dir",
                    "there is no dataset yet",
                    None,
                    f"prepare one in Data ({self.talm.key('app.data')})",
                )
            )
        config = self.state.config
        for overview in self.overviews():
            unfinished = overview.status in (Status.STOPPED, Status.INTERRUPTED, Status.FAILED)
            if config is not None and overview.name == config.artifact and unfinished:
                hint = f"choose another name, or resume it in Runs ({self.talm.key('app.runs')})"
                problems.append(
                    Problem(
                        "model_name",
                        f"{line(overview.name)} exists and is not finished",
                        None,
                        hint,
                    )
                )
        return problems

    def judge(self) -> None:
        # Undoing may have gone back to another preset.
        self.query_one("#edit-preset", PickEditor).show_text(self.state.preset or FIRST_PRESET)
        super().judge()

    def look(self, config: JobConfig) -> Findings:
        assert isinstance(config, PretrainConfig)
        return look(config, self.workspace)

    def meaning(self) -> Meaning | None:
        config = self.state.draft
        assert config is None or isinstance(config, PretrainConfig)
        if config is None:
            return None
        memory = self.snapshot.machine.memory_total
        return of_training(config, self.findings, self.overviews(), memory)

    def started(self, artifact: Artifact) -> None:
        """Watch the run in the place for runs."""
        self.judge()
        self.talm.open_run(artifact)

    # --- presets and earlier runs ------------------------------------------------------------

    def _preset_options(self) -> list[tuple[str, str]]:
        return [(preset.name, preset.description) for preset in self._all_presets()]

    def _all_presets(self) -> list[Preset]:
        if not self._presets:
            self._read_presets()
        depths = (find_preset(self.workspace, f"d{depth}") for depth in DEPTHS)
        return [*self._presets, *depths]

    def _read_presets(self) -> list[Problem]:
        problems: list[Problem] = []
        self._presets = presets(self.workspace, problems=problems)
        return problems

    def _runs(self) -> dict[str, Overview]:
        """Earlier runs whose settings can be read, the newest first."""
        found = self.overviews()
        return {run.name: run for run in found if isinstance(run.config, PretrainConfig)}

    def action_presets(self) -> None:
        """Choose what to begin with; says which files hold no preset that can be used."""
        problems = self._read_presets()
        if problems:
            text = "\n".join(plain(str(problem)) for problem in problems)
            self.notify(text, severity="warning", markup=False, timeout=10)
        self._pick_preset()

    def on_pick_editor_opened(self, event: PickEditor.Opened) -> None:
        event.stop()
        self._pick_preset(event.text)

    def _pick_preset(self, text: str = "") -> None:
        runs = [(name, figure(run)) for name, run in self._runs().items()]
        current = self.state.preset or FIRST_PRESET
        screen = PickPresetScreen(
            self.workspace, self._all_presets(), runs, text=text, current=current
        )

        def take(chosen: str | None) -> None:
            for name in screen.deleted:
                self.state.drop_preset(name)
            if screen.deleted:
                self._read_presets()
                self.judge()
            if chosen is not None and chosen.startswith(OF_RUN):
                self.load_run(chosen.removeprefix(OF_RUN))
            elif chosen is not None and chosen != self.state.preset:
                self.load_preset(chosen)

        self.app.push_screen(screen, take)

    def on_edited(self, event: Edited) -> None:
        event.stop()
        self.load_preset(event.text)

    def load_run(self, name: str) -> None:
        """Take the settings of an earlier run, as one change; the new run has its own name."""
        run = self._runs().get(name)
        if run is None or run.config is None:
            self.notify(f"{line(name)} is not there any more", severity="error", markup=False)
            return
        values = run.config.model_dump()
        del values[self.NAME_KEY]
        self.fill(values)

    def load_preset(self, name: str) -> None:
        """Make a preset's values the form's; what was typed gives way, name and data stay."""
        try:
            preset = find_preset(self.workspace, name)
        except InputError as error:
            self.notify(str(error), severity="error", markup=False)
            self.judge()
            return
        self.state.load_preset(preset.name, preset.values)
        self.judge()

    def action_save_preset(self) -> None:
        """Keep the values that differ from the defaults under a name."""
        config = self.state.config
        if config is None:
            self.notify("Fix the errors first: only settings that can run are saved as a preset.")
            self.action_start()
            return
        values = {
            item.key: getattr(config, item.key)
            for item in self.state.items
            if not item.required and getattr(config, item.key) != item.default
        }
        self.app.push_screen(SavePresetScreen(self.workspace, values), self._saved)

    def _saved(self, preset: Preset | None) -> None:
        if preset is not None:
            self._read_presets()
            self.load_preset(preset.name)
            self.notify(f"Saved as {preset.path}", markup=False)
