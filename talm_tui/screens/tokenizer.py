"""The place where a tokenizer is trained."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from talm_core.config import TokenizerConfig
from talm_core.overview import Overview
from talm_core.preflight import RESERVED
from talm_tui.forms.meaning import Meaning, of_tokenizer
from talm_tui.forms.names import free, short_count, stem
from talm_tui.forms.place import FormPlace


class TokenizerScreen(FormPlace):
    """The form of a tokenizer, and the one that is being trained."""

    MODEL = TokenizerConfig
    NAME_KEY = "name"
    ABOUT = (
        "A tokenizer learns which pieces of text are frequent and gives each a number. A model"
        " learns from these numbers. The one called base is ready to use: train your own when"
        " your text is not Python."
    )
    NEXT_STEP = "{tokenizer.use}  prepare data with it"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "use", "Prepare data with it", id="tokenizer.use", show=False)
    ]

    def overviews(self) -> tuple[Overview, ...]:
        return self.snapshot.tokenizers

    def propose(self) -> None:
        values = self.state.values
        files, size = values.get("text_file"), values.get("vocab_size")
        source = (stem(files[0]) if files else "") or str(values.get("corpus", ""))
        if isinstance(size, int):
            source = f"{source}-{short_count(size)}"
        taken = {overview.name for overview in self.overviews()} | {RESERVED}
        self.state.fill("name", free(source, taken))

    def meaning(self) -> Meaning:
        config = self.state.draft
        assert config is None or isinstance(config, TokenizerConfig)
        return self.meant if config is None else of_tokenizer(config, self.findings)

    def action_use(self) -> None:
        """Go on to data with the tokenizer that was made here."""
        self.go_on("data", "tokenizer_path")
