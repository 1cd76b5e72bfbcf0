"""The place where a tokenizer is trained."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.registry import artifact_of
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.runtime.runner import Status
from talm_core.settings.schema import JobConfig
from talm_tui.forms.checker import Findings
from talm_tui.forms.job_view import JobView
from talm_tui.forms.meaning import Meaning, unnamed
from talm_tui.forms.names import free, short_count, stem
from talm_tui.forms.screen import FormPlace
from talm_tui.tokenizer.fit import learned
from talm_tui.tokenizer.looking import look
from talm_tui.tokenizer.meaning import of_tokenizer

_SHIPPED = artifact_of(TokenizerConfig.kind).reserved


class TokenizerScreen(FormPlace):
    """The form of a tokenizer, and the one that is being trained."""

    MODEL = TokenizerConfig
    NAME_KEY = "name"
    ABOUT = (
        "Byte-level BPE: turns text into token ids, which are what a model sees. base ships with"
        " talm and was trained on Python code: train your own for other text."
    )
    NEXT_STEP = "{tokenizer.playground}  try it   {tokenizer.use}  prepare data with it"

    THERE = (
        "Tokenizers so far ({tokenizer.playground}: try one)",
        "None of your own yet; base, which ships with talm, has 4,096 tokens.",
    )

    GLIMPSE = (
        learned,
        "The vocabulary of {name}",
        "{tokenizer.playground}  try it",
        "",
    )

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "use", "Prepare data with it", id="tokenizer.use", show=False),
        Binding(
            "p",
            "playground",
            "playground",
            id="tokenizer.playground",
            tooltip="See how a tokenizer splits what you type",
        ),
    ]

    def newest(self) -> str:
        return super().newest() or _SHIPPED[0]

    def propose(self) -> None:
        values = self.state.values
        files, size = values.get("text_file"), values.get("vocab_size")
        source = (stem(files[0]) if files else "") or str(values.get("corpus", ""))
        if isinstance(size, int):
            source = f"{source}-{short_count(size)}"
        # One that came to nothing is learned anew under its name.
        taken = {*_SHIPPED} | {
            overview.name
            for overview in self.overviews()
            if overview.status is Status.DONE or overview.status.active
        }
        self.state.fill("name", free(source, taken))

    def look(self, config: JobConfig) -> Findings:
        assert isinstance(config, TokenizerConfig)
        return look(config, self.workspace)

    def meaning(self) -> Meaning | None:
        config = self.state.draft
        assert config is None or isinstance(config, TokenizerConfig)
        if config is None:
            return unnamed(self.state.values, "corpus")
        return of_tokenizer(config, self.findings)

    def action_playground(self) -> None:
        """Try the tokenizer that was made here, or the newest there is."""
        from talm_tui.tokenizer.playground import PlaygroundScreen

        view = self.query_one(JobView)
        done = [item.name for item in self.overviews() if item.status is Status.DONE]
        name = done[0] if done else _SHIPPED[0]
        if view.artifact is not None and view.status is Status.DONE:
            name = view.artifact.name
        self.app.push_screen(PlaygroundScreen(name))

    def action_use(self) -> None:
        """Go on to data with the tokenizer that was made here."""
        self.go_on(DataConfig.kind, "tokenizer_path")
