"""The place where a dataset is prepared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from talm_core.data.sources import SOURCES
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.pretrain.config import PretrainConfig
from talm_core.runtime.runner import Status
from talm_core.settings.schema import JobConfig
from talm_tui.data.document_view import DocumentView, document
from talm_tui.data.looking import look
from talm_tui.data.meaning import of_data, published
from talm_tui.forms.checker import Findings
from talm_tui.forms.form import Form, Options
from talm_tui.forms.job_view import JobView
from talm_tui.forms.meaning import Meaning, unnamed
from talm_tui.forms.names import free, newest, slug, stem
from talm_tui.forms.picker import PickScreen
from talm_tui.forms.screen import FormPlace
from talm_tui.widgets.format import count


class DataScreen(FormPlace):
    """The form of a dataset, and the one that is being prepared."""

    MODEL = DataConfig
    NAME_KEY = "dir_prefix"
    OTHER_NAME = "choose a prefix, or another sample"
    FREE_TEXT: ClassVar[Mapping[str, str]] = {"ds_sample": "a name"}
    ABOUT = (
        "Text is encoded as tokens and written to shard files; a part is held out for"
        " validation. A model works only with the tokenizer its data was encoded with."
    )
    NEXT_STEP = "{data.documents}  documents   {data.use}  train a model on it"

    THERE = (
        "Datasets so far ({data.documents}: read one)",
        "None yet. The default source is Python's standard library: offline, done in seconds.",
    )

    GLIMPSE = (
        document,
        "A document of {name}",
        "{data.documents}  more",
        "Once there is a dataset, one of its documents is shown here.",
    )

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "use", "Train on it", id="data.use", show=False),
        Binding(
            "v",
            "documents",
            "documents",
            id="data.documents",
            tooltip="Show documents of a dataset, decoded from its tokens",
        ),
    ]

    _source = ""

    def compose_place(self) -> ComposeResult:
        yield from super().compose_place()
        yield DocumentView()

    def options(self) -> dict[str, Options]:
        return super().options() | {
            "source": lambda: [(source.name, source.help) for source in SOURCES.values()],
            "ds_sample": self._samples,
        }

    def _samples(self) -> list[tuple[str, str]]:
        source = SOURCES.get(str(self.state.values.get("source")))
        return [(item.name, published(item)) for item in source.samples] if source else []

    def propose(self) -> None:
        # Whoever has just trained a tokenizer means to use it.
        kind = self.state.by_key["tokenizer_path"].setting.picks
        self.state.fill("tokenizer_path", newest(kind, self.snapshot.of(kind)))
        values = self.state.values
        source, sample = str(values.get("source", "")), values.get("ds_sample")
        before, self._source = SOURCES.get(self._source), source
        if before and before.name != source and sample in before.sample_names:
            # It belongs to the source that was chosen before.
            self.state.reset("ds_sample")
            values, sample = self.state.values, None
        paths = values.get("path") or ()
        if source == "text" and "ds_sample" not in self.state.touched:
            sample = stem(paths[0]) if paths else None
            self.state.fill("ds_sample", sample or None)
        elif source == "stdlib" and "ds_sample" not in self.state.touched:
            sample = None
            self.state.fill("ds_sample", None)
        elif "ds_sample" not in self.state.touched:
            # The first is what none means: said here, so that its size can stand beside it.
            sample = next((name for name, _ in self._samples()), None)
            self.state.fill("ds_sample", sample)
        taken = {
            overview.name
            for overview in self.overviews()
            if overview.status is Status.DONE or overview.status.active
        }
        plain = sample or ("all" if source == "stdlib" else "text")
        if f"{source}/{plain}" not in taken:
            self.state.fill("dir_prefix", None)
            return
        # Its tokenizer is what a second preparation of the same text most likely differs in.
        wanted = slug(str(values.get("tokenizer_path", "")).rsplit("/", 1)[-1]) or "again"
        suffix = f"_{plain}"
        used = {
            name.removeprefix(f"{source}/").removesuffix(suffix)
            for name in taken
            if name.startswith(f"{source}/") and name.endswith(suffix)
        }
        self.state.fill("dir_prefix", free(wanted, used))

    def look(self, config: JobConfig) -> Findings:
        assert isinstance(config, DataConfig)
        return look(config, self.workspace)

    @property
    def _named(self) -> bool:
        """Whether the sample is nothing but a name: of one's own files, and of what is on the
        Hub."""
        source = SOURCES.get(str(self.state.values.get("source")))
        return source is not None and not source.samples

    def judge(self) -> None:
        super().judge()
        self.form.label("ds_sample", "name" if self._named else "ds_sample")

    def command(self, config: JobConfig | None = None) -> list[str]:
        words = super().command(config)
        return ["--name" if self._named and word == "--ds-sample" else word for word in words]

    def meaning(self) -> Meaning | None:
        config = self.state.draft
        assert config is None or isinstance(config, DataConfig)
        if config is None:
            return unnamed(self.state.values, "source")
        return of_data(config, self.findings)

    # --- documents read back ---------------------------------------------------------------

    def show_documents(self, dataset: str) -> None:
        """Show documents of a dataset where the form was."""
        self.add_class("-documents")
        view = self.query_one(DocumentView)
        view.show(self.workspace.root, dataset)
        view.focus()

    def hide_documents(self) -> None:
        """Show the form again."""
        self.remove_class("-documents")
        self.query_one(DocumentView).dismiss()

    @on(JobView.Ended)
    def _show_result(self, event: JobView.Ended) -> None:
        # Somebody who fills in the form meanwhile is left alone.
        here = self.app.screen is self and self.focused is None
        if event.status is Status.DONE and here:
            self.show_documents(event.artifact.name)

    def on_form_focused(self, event: Form.Focused) -> None:
        if event.item is not None:
            self.hide_documents()
        super().on_form_focused(event)

    def action_documents(self) -> None:
        """Show documents of the dataset that was made here, or of one that is chosen."""
        view = self.query_one(JobView)
        if view.artifact is not None and view.status is Status.DONE:
            self.show_documents(view.artifact.name)
            return
        done = [
            (item.name, f"{count(item.summary.get('tokens', 0))} tokens")
            for item in self.overviews()
            if item.status is Status.DONE
        ]
        if not done:
            self.notify("There is no dataset yet", markup=False)
            return

        def take(name: str | None) -> None:
            if name is not None:
                self.show_documents(name)

        self.app.push_screen(PickScreen("Documents of which dataset?", done), take)

    @property
    def inside(self) -> bool:
        """Whether documents are shown, or something in the form."""
        return self.has_class("-documents") or super().inside

    def action_leave_field(self) -> None:
        """Back from the documents to the form; else as everywhere."""
        if self.has_class("-documents"):
            self.hide_documents()
            self.set_focus(None)
        else:
            super().action_leave_field()

    def action_use(self) -> None:
        """Go on to training with the dataset that was made here."""
        self.go_on(PretrainConfig.kind, "data_dir")
