"""The settings of a dataset's preparation."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from talm_core.data.hub.dataset_id import dataset_problems
from talm_core.data.sources import ALSO, SOURCES, SourceName, plain_name
from talm_core.errors import Problem
from talm_core.settings.schema import JobConfig, Setting


class DataConfig(JobConfig):
    """Turn documents into token shards."""

    kind: ClassVar[str] = "data"
    title: ClassVar[str] = "Prepare a dataset"

    source: Annotated[
        SourceName,
        Setting(
            "Source",
            "Where the documents come from.",
            positional=True,
            also=ALSO,
            more=" ".join(f"{source.name}: {source.help}" for source in SOURCES.values()),
        ),
    ] = "stdlib"
    path: Annotated[
        tuple[str, ...],
        Setting(
            "Source",
            "Text files or directories.",
            bare=True,
            picks="paths",
            more="Each file is one document, of .jsonl, .json, .csv and .parquet each row; .gz and"
            " .zst are unpacked on the way. Directories are read recursively in name order.",
            only_with=("source", ("text",)),
        ),
    ] = ()
    dataset: Annotated[
        str | None,
        Field(min_length=1, max_length=200),
        Setting(
            "Source",
            "Dataset on the Hugging Face Hub, such as roneneldan/TinyStories.",
            more="HF_TOKEN opens gated ones, HF_ENDPOINT names a mirror.",
            only_with=("source", ("hub",)),
        ),
    ] = None
    subset: Annotated[
        str | None,
        Field(min_length=1, max_length=200),
        Setting(
            "Source",
            "Subset of the dataset; none means its default.",
            more="What the Hub also calls a config.",
            only_with=("source", ("hub",)),
        ),
    ] = None
    ds_sample: Annotated[
        str | None,
        Field(min_length=1, max_length=200),
        Setting(
            "Source",
            "Part of the source; for text and hub the name of the dataset.",
            flags=("--name",),
            more="None means the first. "
            + " ".join(
                f"{source.name}: {', '.join(source.sample_names)}."
                for source in SOURCES.values()
                if len(source.samples) > 1
            )
            + " text and hub name a dataset after its first path or its id.",
        ),
    ] = None
    split: Annotated[
        str,
        Field(min_length=1, max_length=200),
        Setting(
            "Source",
            "Split of the dataset.",
            more="Nearly all have train. Validation is cut off here either way, see val_tokens "
            "and val_fraction.",
            advanced=True,
            only_with=("source", ("hub",)),
        ),
    ] = "train"
    revision: Annotated[
        str,
        Field(min_length=1, max_length=200),
        Setting(
            "Source",
            "Branch, tag or commit of the dataset.",
            more="What it stands for is written into the manifest, and a preparation that was"
            " interrupted goes on with that.",
            advanced=True,
            only_with=("source", ("hub",)),
        ),
    ] = "main"
    text_field: Annotated[
        str,
        Field(min_length=1, max_length=200),
        Setting(
            "Source",
            "Field or column that holds the text, in rows of datasets, JSON, CSV and parquet.",
            more="Most datasets call it text.",
            advanced=True,
            only_with=("source", ("text", "hub")),
        ),
    ] = "text"
    encoding_errors: Annotated[
        Literal["strict", "replace"],
        Setting(
            "Source",
            "What to do with bytes that are not UTF-8.",
            more="strict stops, naming the file or row and the byte; replace puts U+FFFD in their"
            " place.",
            advanced=True,
            only_with=("source", ("text", "hub")),
        ),
    ] = "strict"
    unreadable_files: Annotated[
        Literal["stop", "leave_out"],
        Setting(
            "Source",
            "What to do with files that cannot be read as what they are.",
            more="Damaged archives, rows without the field, a line that is no JSON: stop names the"
            " file and the place; leave_out goes on without such files, and names and counts them.",
            advanced=True,
            only_with=("source", ("text",)),
        ),
    ] = "stop"
    special_text: Annotated[
        Literal["text", "tokens"],
        Setting(
            "Source",
            "What to do with special tokens written in the text, such as <|endoftext|>.",
            more="text takes them as ordinary characters, and says how many there are; tokens as"
            " what they mean: <|endoftext|> ends a document.",
            advanced=True,
        ),
    ] = "text"
    keep_downloads: Annotated[
        bool,
        Setting(
            "Source",
            "Keep what was downloaded, for other tokenizers and longer datasets.",
            more="In corpora/ of the workspace. Without it, files are removed as soon as they are"
            " read: then only some gigabytes lie on the disk at a time.",
            advanced=True,
            only_with=("source", tuple(name for name, item in SOURCES.items() if item.network)),
        ),
    ] = True
    tokenizer_path: Annotated[
        str,
        Field(min_length=1),
        Setting(
            "Tokens",
            "Tokenizer: a name in the workspace, a file, or base.",
            flags=("-t",),
            picks="tokenizer",
            more="base ships with talm: 4,096 tokens learned from the standard library.",
        ),
    ] = "base"
    dir_prefix: Annotated[
        str | None,
        Field(min_length=1, max_length=100),
        Setting(
            "Source",
            "Prefix of the dataset's directory name.",
            more="data/<source>/<prefix>_<sample>: keeps two preparations of one source apart.",
        ),
    ] = None
    max_tokens: Annotated[
        int | None,
        Field(ge=2),
        Setting(
            "Tokens",
            "Stop after this many tokens; none means all.",
            more="20 for each parameter of the model make the most of the computing: 25 M for 1.3 "
            "M parameters, 2.5 G for 124 M.",
            unit="tokens",
        ),
    ] = None
    val_tokens: Annotated[
        int | None,
        Field(ge=1),
        Setting(
            "Tokens",
            "Keep this many of the first tokens for validation.",
            unit="tokens",
            more="None means val_fraction; of the Hub, from two shards on, the first shard.",
            advanced=True,
        ),
    ] = None
    shard_size: Annotated[
        int,
        Field(ge=1_000, le=2_000_000_000),
        Setting(
            "Tokens",
            "Tokens in one shard file.",
            more="Two bytes a token up to 65,536 ids, four beyond: 200 or 400 MB a file by "
            "default. It changes nothing in training.",
            unit="tokens",
            advanced=True,
        ),
    ] = 100_000_000
    val_fraction: Annotated[
        float,
        Field(gt=0, le=0.5),
        Setting(
            "Tokens",
            "Share of the text kept for validation.",
            more="From all over it: the end of each long document, and short ones whole, evenly"
            " spread. At most 400 MB. Of the Hub, from two shards on, it is the first shard"
            " instead.",
            advanced=True,
        ),
    ] = 0.1

    @property
    def sample(self) -> str:
        """The sample's name: as given, or the source's own."""
        source = SOURCES[self.source]
        if source.samples:
            sample = source.sample(self.ds_sample)
            return sample.name if sample else str(self.ds_sample)
        if self.ds_sample is not None:
            return self.ds_sample
        if self.source == "hub":
            parts = (self.dataset or "", self.subset or "", self.split.removeprefix("train"))
            return plain_name("--".join(filter(None, parts))) or "hub"
        first = self.path[0].replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] if self.path else ""
        stem = first.split(".", 1)[0] if not first.startswith(".") else first.strip(".")
        return re.sub(r"[^A-Za-z0-9_+-]+", "-", stem).strip("-") or "text"

    @property
    def artifact(self) -> str:
        name = f"{self.dir_prefix}_{self.sample}" if self.dir_prefix else self.sample
        return f"{self.source}/{name}"

    def contradictions(self) -> list[Problem]:
        problems = []
        if self.source == "text" and not self.path:
            problems.append(Problem("path", "source text needs at least one file or directory"))
        if self.source == "hub":
            problems += dataset_problems("source", self.dataset)
        problems += self.misplaced()
        source = SOURCES[self.source]
        if source.samples and source.sample(self.ds_sample) is None:
            hint = source.hint(self.sample)
            message = f"{self.source} has {', '.join(source.sample_names)}"
            problems.append(Problem("ds_sample", message, self.sample, hint))
        if self.val_tokens is not None and self.val_tokens >= (self.max_tokens or math.inf):
            message = f"must be below max_tokens ({self.max_tokens:,})"
            problems.append(Problem("val_tokens", message, self.val_tokens))
        return problems

    def to_extend(self, directory: Path) -> str:
        del directory
        return "more max_tokens make it longer; else "

    def extends(self, done: DataConfig, directory: Path) -> bool:
        """Whether this is the same dataset with more tokens."""
        del directory
        longer = (self.max_tokens or math.inf) > (done.max_tokens or math.inf)
        # Other ways to name the same, and what makes no difference.
        free = ("ds_sample", "max_tokens", "keep_downloads")
        same = {key: getattr(self, key) for key in free}
        return longer and done.sample == self.sample and done.model_copy(update=same) == self
