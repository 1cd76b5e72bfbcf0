"""What Play keeps: the prompts that were used, and texts somebody saves.

Files are read and written in threads, one after the other: a slow disk holds no key back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from talm_core.system.foreign_text import line, plain
from talm_tui.forms.editors import PickEditor
from talm_tui.forms.picker import PickScreen
from talm_tui.play.files import Prompts, save
from talm_tui.play.sample_grid import SampleGrid
from talm_tui.shell.screen import Part, Place
from talm_tui.widgets.hint import plain_keys


class Kept(Part):
    """The keys for what is kept."""

    def __init__(self, place: Place, take: Callable[[str], object]) -> None:
        """`take` gets a prompt that was used before."""
        super().__init__(place)
        self.settings: Sequence[str] = ()
        """How the texts were sampled, pane by pane."""
        self._take = take
        self._prompts: Prompts | None = None
        # Waits in order, so that the prompt used last is the last one written.
        self._files = asyncio.Lock()

    def _kept(self) -> Prompts:
        if self._prompts is None:
            self._prompts = Prompts(self.talm.workspace.root)
        return self._prompts

    def keep_prompt(self, prompt: str) -> None:
        """Remember a prompt."""
        self.place.run_worker(self._keep_prompt(prompt), group="files", exit_on_error=False)

    async def _keep_prompt(self, prompt: str) -> None:
        async with self._files:
            try:
                await asyncio.to_thread(self._kept().add, prompt)
            except OSError as error:
                said = f"The prompt is not kept: {plain(str(error))}"
                self.place.notify(said, severity="warning", markup=False)

    def action_prompts(self) -> None:
        """Take a prompt that was used before."""
        self.place.run_worker(self._list_prompts(), group="files", exit_on_error=False)

    async def _list_prompts(self) -> None:
        async with self._files:
            prompts = await asyncio.to_thread(self._kept().read)
        known = {line(prompt) or repr(prompt): prompt for prompt in reversed(prompts)}
        options = [(shown, "") for shown in reversed(known)]

        def take(shown: str | None) -> None:
            if shown is not None:
                self._take(known[shown])

        if not options:
            self._tell("No prompts yet: {play.generate} uses the one you see, and keeps it.")
        elif self.place.app.screen is self.place:
            screen = PickScreen("Earlier prompts, newest first", options)
            self.place.app.push_screen(screen, take)

    def _tell(self, text: str) -> None:
        self.place.notify(plain_keys(self.place.app, text), markup=False)

    def action_save(self) -> None:
        """Write the texts to a file in the workspace, and copy them."""
        grid = self.place.query_one(SampleGrid)
        texts = [
            f"# {pane.label}; {settings}\n{pane.content}\n"
            for pane, settings in zip(grid.panes, self.settings, strict=False)
            if pane.tokens
        ]
        if not texts:
            self._tell("Nothing is generated yet: {play.generate} starts.")
            return
        # What is copied is the text alone.
        self.place.app.copy_to_clipboard(grid.current.content)
        model = self.place.query_one("#edit-model", PickEditor).value
        saving = self._save(self.talm.workspace.root, model, "\n".join(texts))
        self.place.run_worker(saving, group="files", exit_on_error=False)

    async def _save(self, root: Path, model: str, text: str) -> None:
        now = datetime.now().astimezone()
        async with self._files:
            try:
                path = await asyncio.to_thread(save, root, model, text, now)
            except OSError as error:
                said = f"Copied. Not saved: {plain(str(error))}"
                self.place.notify(said, severity="warning", markup=False)
            else:
                self.place.notify(f"Copied, and saved as {path}", markup=False)
