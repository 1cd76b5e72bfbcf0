"""What Play keeps: the prompts that were used, and texts somebody saves.

Files are read and written in threads, one after the other: a slow disk holds no key back.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

from textual import work

from talm_core.system.foreign_text import line, plain
from talm_tui.forms.picker import PickScreen
from talm_tui.play.choice import PlayChoice
from talm_tui.play.files import Prompts, save
from talm_tui.play.request import Lane
from talm_tui.play.sample_grid import SampleGrid
from talm_tui.widgets.hint import plain_keys


class PlayKept(PlayChoice):
    """A place with a prompt and with texts, both of which can be kept."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[Lane] = []
        self._prompts: Prompts | None = None
        # Waits in order, so that the prompt used last is the last one written.
        self._files = asyncio.Lock()

    @property
    def grid(self) -> SampleGrid:
        """The texts."""
        return self.query_one(SampleGrid)

    def _kept(self) -> Prompts:
        if self._prompts is None:
            self._prompts = Prompts(self.talm.workspace.root)
        return self._prompts

    @work(group="files", exit_on_error=False)
    async def _keep_prompt(self, prompt: str) -> None:
        async with self._files:
            try:
                await asyncio.to_thread(self._kept().add, prompt)
            except OSError as error:
                said = f"The prompt is not kept: {plain(str(error))}"
                self.notify(said, severity="warning", markup=False)

    def action_prompts(self) -> None:
        """Take a prompt that was used before."""
        self._list_prompts()

    @work(group="files", exit_on_error=False)
    async def _list_prompts(self) -> None:
        async with self._files:
            prompts = await asyncio.to_thread(self._kept().read)
        known = {line(prompt) or repr(prompt): prompt for prompt in reversed(prompts)}
        options = [(shown, "") for shown in reversed(known)]

        def take(shown: str | None) -> None:
            if shown is not None:
                self._set_prompt(known[shown])
                self._prompt_is_own = True
                self._prompt.focus()

        if not options:
            self._tell("No prompt was used yet: {play.generate} keeps the one you see.")
        elif self.app.screen is self:
            self.app.push_screen(PickScreen("Prompts, the last one first", options), take)

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
        # What is copied is the text alone.
        self.app.copy_to_clipboard(self.grid.current.content)
        self._save(self._picker("model").value, "\n".join(texts))

    @work(group="files", exit_on_error=False)
    async def _save(self, model: str, text: str) -> None:
        root, now = self.talm.workspace.root, datetime.now().astimezone()
        async with self._files:
            try:
                path = await asyncio.to_thread(save, root, model, text, now)
            except OSError as error:
                said = f"Copied. Not saved: {plain(str(error))}"
                self.notify(said, severity="warning", markup=False)
            else:
                self.notify(f"Copied, and saved as {path}", markup=False)
