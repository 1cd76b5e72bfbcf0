"""The app: places, bindings, palette and what connects them to the jobs. Wiring only."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on, work
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget

from talm_core.system.foreign_text import plain
from talm_tui.services import messages
from talm_tui.services.watcher import Snapshot, Watcher
from talm_tui.shell import preferences
from talm_tui.shell.internals import bind, tell_escape_from_alt
from talm_tui.shell.notifications import news
from talm_tui.shell.own_keys import OwnKeys
from talm_tui.shell.palette import OtherPlaces, commands
from talm_tui.shell.places import form_of, places
from talm_tui.shell.theme import DARK, series, styles, themes
from talm_tui.shell.typed import TypedApp

if TYPE_CHECKING:
    from talm_core.runtime.events import Command
    from talm_core.settings.schema import JobConfig
    from talm_core.storage.workspace import Artifact, Workspace


class TalmApp(TypedApp):
    """The terminal UI over one workspace.

    `snapshot` is the newest look at the workspace; places watch it. Jobs are started as processes
    of their own: quitting leaves them running.
    """

    TITLE = "talm"
    COMMANDS = TypedApp.COMMANDS | {OtherPlaces}
    CSS_PATH = styles("app")
    DEFAULT_MODE = "home"
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-narrow"),
        (100, "-wide"),
        (160, "-huge"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-short"),
        (32, "-tall"),
        (48, "-high"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "ctrl+p",
            "command_palette",
            "palette",
            id="app.palette",
            priority=True,
            tooltip="Search all actions",
        ),
        Binding(
            "ctrl+o",
            "jump",
            "jump",
            id="app.jump",
            tooltip="A letter for everything on the screen you can go to",
        ),
        Binding(
            "f1,question_mark",
            "help",
            "help",
            id="app.help",
            tooltip="Help on this screen and its keys",
        ),
        Binding(
            "ctrl+l",
            "redraw",
            "Redraw",
            show=False,
            id="app.redraw",
            tooltip="Redraw the screen",
        ),
        Binding(
            "ctrl+q",
            "quit",
            "quit",
            id="app.quit",
            priority=True,
            tooltip="Leave talm; jobs that run go on",
        ),
    ]

    # Without `repaint`: places redraw what changed, not the whole screen every second.
    snapshot: reactive[Snapshot] = reactive(Snapshot(), init=False, repaint=False)

    def __init__(self, workspace: Workspace | Path | None = None) -> None:
        """`workspace` or its root; none means the usual one. Nothing is read before the first
        frame is on the screen."""
        super().__init__()
        self._workspace = workspace
        self._sized = False
        self._preferences = preferences.Preferences.load()
        self._watcher = Watcher(
            lambda: self.workspace,
            lambda snapshot: self._tell(messages.WorkspaceChanged(snapshot)),
            lambda text: self._tell(messages.Trouble(text)),
            self._load_places,
        )
        for theme in themes():
            self.register_theme(theme)
        chosen = self._preferences.theme
        self.theme = chosen if chosen in self.available_themes else DARK
        for entry in places():
            self.add_mode(entry.mode, entry.open)
        bind(self, [entry.binding for entry in places() if entry.key])
        self._keys = OwnKeys(self, self._say)
        if not self._keys.alt:
            tell_escape_from_alt(self)

    @property
    def workspace(self) -> Workspace:
        """Where the artifacts are. The first use loads the settings of all jobs, which takes as
        long as drawing the first frame: hence not in `__init__`."""
        from talm_core.storage.workspace import Workspace

        if not isinstance(self._workspace, Workspace):
            self._workspace = Workspace(self._workspace)
        return self._workspace

    @property
    def redraw_seconds(self) -> float:
        """How long a monitor waits before it is drawn again."""
        return 1 / self._preferences.redraws

    # --- life --------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self.call_after_refresh(self._begin)
        self.theme_changed_signal.subscribe(self, lambda theme: self._remember(theme.name))
        if self._preferences.theme not in ("", self.theme):
            self._say(f"There is no theme {self._preferences.theme}; the palette has a list")
        if self._preferences.problem:
            self._say(self._preferences.problem)

    def _begin(self) -> None:
        """The first frame is on the screen: look for rubbish again, and at the workspace."""
        gc.enable()
        self._watcher.start()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours of series for themes that have none: Textual's own."""
        return series(dark=self.current_theme.dark)

    def on_unmount(self) -> None:
        self._watcher.stop()

    def _load_places(self) -> None:
        """Import every place, in the watcher's thread and after the first frame: the first visit
        then only has to build it."""
        for entry in places():
            entry.load()
        self._tell(messages.PlacesLoaded())

    def on_places_loaded(self) -> None:
        # Read one by one, each style sheet would have every other place styled anew.
        for entry in places():
            path = entry.load().CSS_PATH
            if isinstance(path, Path) and not self.stylesheet.has_source(str(path)):
                self.stylesheet.read(path)
        self.refresh_css(animate=False)
        self._keys.check()
        # What is loaded now stays: without it a full collection, which holds a key back for
        # a tenth of a second on a busy machine, has little to look through.
        gc.freeze()

    def _tell(self, message: Message) -> None:
        """Post a message from the watcher's thread, unless the app is ending."""
        if self.is_running:
            self.post_message(message)

    def refresh_workspace(self) -> None:
        """Look at the workspace now."""
        self._watcher.look_now()

    def on_workspace_changed(self, message: messages.WorkspaceChanged) -> None:
        before, self.snapshot = self.snapshot, message.snapshot
        for item in news(before, message.snapshot):
            self._say(item.text, severity=item.severity)

    def on_trouble(self, message: messages.Trouble) -> None:
        self._say(message.text)

    def on_said(self, message: messages.Said) -> None:
        self._say(message.text, severity="information")

    def _say(self, text: str, *, severity: str = "error") -> None:
        self.notify(plain(text), severity=severity, markup=False, timeout=8)  # type: ignore[arg-type]

    def _remember(self, theme: str) -> None:
        try:
            preferences.save_theme(theme)
        except OSError as error:
            self._say(f"The theme cannot be remembered: {error}")

    def on_resize(self, event: events.Resize) -> None:
        # A window made small and large again at once is no change to a screen, which hears of the
        # last size only, but the terminal has forgotten what it cut off.
        if self._sized:
            self.refresh()
        self._sized = True
        # The terminal's signal can interrupt its own handler between asking for the size and
        # posting it; then the older size comes last. A terminal that reports its size as input,
        # which is how smooth scrolling is known, sends it in order.
        if not (self.is_headless or self.is_web or self.supports_smooth_scrolling):
            size = Size(*shutil.get_terminal_size(event.size))
            if size != event.size:
                self.post_message(events.Resize(size, size))

    def action_redraw(self) -> None:
        """Draw the whole screen again, after another program has written over it."""
        self.refresh(layout=True)

    # --- keys --------------------------------------------------------------------------------

    def keys(self, action_id: str) -> tuple[str, ...]:
        """The keys of an action, as Textual calls them."""
        return self._keys.of(action_id)

    def key(self, action_id: str) -> str:
        """The first key of an action, as it is shown."""
        return self.get_key_display(Binding(self.keys(action_id)[0], ""))

    def press(self, action_id: str) -> None:
        """Press the key of an action."""
        self.simulate_key(self.keys(action_id)[0])

    def action_read_keymap(self) -> None:
        """Take the keys of `keymap.toml` as it is now."""
        self._keys.read()

    def action_write_keymap(self) -> None:
        """Make a `keymap.toml` to edit."""
        self._keys.write()

    # --- jobs --------------------------------------------------------------------------------

    def start_job(self, config: JobConfig, *, resume: bool = False) -> None:
        """Start a job as a process of its own. The screen that is shown now gets `JobStarted` or
        `JobRefused`; what it does not stop is shown as a notification."""
        self._start_job(config, resume, self.screen)

    @work(thread=True, group="start", exit_on_error=False)
    def _start_job(self, config: JobConfig, resume: bool, asker: Screen[Any]) -> None:
        from talm_core.errors import InputError, TalmError
        from talm_core.runtime import runner

        try:
            directory = runner.start(config, self.workspace, resume=resume)
        except InputError as error:
            asker.post_message(messages.JobRefused(config, error.problems))
        except (TalmError, OSError) as error:
            asker.post_message(messages.JobRefused(config))
            self.post_message(messages.Trouble(f"The job cannot be started: {error}"))
        except Exception:
            # A bug; whoever asked waits for an answer nevertheless.
            asker.post_message(messages.JobRefused(config))
            raise
        else:
            asker.post_message(messages.JobStarted(config, directory))
            self.refresh_workspace()

    @on(messages.JobStarted)
    def _say_started(self, message: messages.JobStarted) -> None:
        self._say(f"{message.config.artifact} is running", severity="information")

    @on(messages.JobRefused)
    def _say_refused(self, message: messages.JobRefused) -> None:
        if message.problems:
            self._say("\n".join(map(str, message.problems)))

    @work(thread=True, group="send", exit_on_error=False)
    def send(self, directory: Path, command: Command) -> None:
        """Say something to the job that works in `directory`, whoever started it."""
        from talm_core.errors import InputError
        from talm_core.runtime import runner

        try:
            runner.send(directory, command)
        except (InputError, OSError) as error:
            self.post_message(messages.Trouble(str(error)))
        self.refresh_workspace()

    def on_worker_state_changed(self, event: Any) -> None:
        if event.worker.error is not None:
            self._say(f"A bug in talm-tui: {event.worker.error!r}")

    # --- places ------------------------------------------------------------------------------

    def action_place(self, mode: str) -> None:
        """Go to a place."""
        if not self.screen.is_modal:
            self.switch_mode(mode)

    def delay_update(self, delay: float = 0.05) -> None:
        """Textual holds the screen back for a moment while places change. A screen that is built
        already needs no such moment, and a key is to be answered at once."""
        super().delay_update(min(delay, 0.01))

    def open_run(self, artifact: Artifact) -> None:
        """Show a run in its monitor."""
        self._open("runs", messages.OpenRun(artifact))

    def open_play(self, name: str, step: int | None = None) -> None:
        """Prompt a model at a step; None: at its newest checkpoint."""
        self._open("play", messages.OpenPlay(name, step))

    def open_form(self, kind: str, **values: object) -> None:
        """Go to the form of a kind of job, with these values filled in."""
        self._open(form_of(kind), messages.OpenForm(values))

    def _open(self, mode: str, message: Any) -> None:
        self.switch_mode(mode)
        self.screen.post_message(message)

    def open_log(self, directory: Path, *others: Path) -> None:
        """Show what the job in `directory` printed; where that is nothing, one of `others`."""
        from talm_tui.shell.log import LogScreen

        self.push_screen(LogScreen(directory, *others))

    def action_help(self) -> None:
        """Show what this place is for and every key that works here."""
        from talm_tui.shell.help import HelpScreen

        self.push_screen(HelpScreen(self.screen))

    def action_jump(self) -> None:
        """Show letters over everything on this screen that can be gone to."""
        from talm_tui.shell.jump import JumpScreen

        place = self.screen

        def jumped(target: Widget | None) -> None:
            if target is None:
                return
            jump = getattr(target, "jump", None)
            if jump is not None:
                jump()
            else:
                place.set_focus(target)

        self.push_screen(JumpScreen(place), jumped)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What the palette offers: the places, what can be done on this screen, then Textual's."""
        yield from commands(self, screen)
        for command in super().get_system_commands(screen):
            # What its panel of keys says, the help says better.
            if command.title != "Keys":
                yield command
        yield SystemCommand(
            "Write keymap.toml",
            "A file of all actions and their keys, to change them",
            self.action_write_keymap,
        )
        yield SystemCommand(
            "Read keymap.toml again", "Take your own keys from the file", self.action_read_keymap
        )
