"""The settings of a tokenizer's training."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from talm_core.data.hub.dataset_id import dataset_problems
from talm_core.data.sources import ALSO, SOURCES, CorpusName
from talm_core.errors import Problem
from talm_core.settings.name import Name
from talm_core.settings.schema import JobConfig, Setting

SPECIAL_TOKENS = ("<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>")
"""End of text first, then the roles of a conversation. Ids follow the vocabulary in this order."""

_WITH_SAMPLES = tuple(
    name for name in get_args(CorpusName) if name in SOURCES and SOURCES[name].samples
)

MOST_READ = 200_000_000
"""How many bytes of a corpus are read where nothing says how many: to learn from one that must be
fetched, and to find the end of one to measure a tokenizer on."""


class TokenizerConfig(JobConfig):
    """Train a byte-level BPE tokenizer."""

    kind: ClassVar[str] = "tokenizer"
    title: ClassVar[str] = "Train a tokenizer"

    name: Annotated[
        Name,
        Setting(
            "Tokenizer",
            "Name of the tokenizer.",
            more="Datasets and models name it by this. It is a directory in the workspace.",
            flags=("-n",),
        ),
    ]
    vocab_size: Annotated[
        int,
        Field(ge=256, le=1_000_000),
        Setting(
            "Tokenizer",
            "Size of the vocabulary without special tokens.",
            unit="tokens",
            more="256 single bytes, then one token a merge. Larger means fewer tokens per text but"
            " a larger embedding. Usual: 1,000 to 8,000 for small models, 32,768 or 50,257 for"
            " large ones.",
            flags=("-vs",),
        ),
    ] = 4096
    text_file: Annotated[
        tuple[str, ...],
        Setting(
            "Corpus",
            "Text files or directories to learn from; none means the corpus below.",
            picks="paths",
            more="Directories are read recursively; .gz and .zst are unpacked on the way. Every"
            " file is a document of its own, of .jsonl, .json, .csv and .parquet every row: no"
            " token crosses from one document into the next.",
        ),
    ] = ()
    corpus: Annotated[
        CorpusName,
        Setting(
            "Corpus",
            "Corpus to learn from when no file is given.",
            also=ALSO,
            more="stdlib: the Python standard library's sources and documentation topics on this"
            " machine, about 9 MB. dataset: one of this workspace, read back from its shards"
            " without its validation part. The others come from the network, hub any dataset"
            " there. Of large ones the first max_bytes, 200 MB if that is none.",
        ),
    ] = "stdlib"
    data_dir: Annotated[
        str | None,
        Field(min_length=1),
        Setting(
            "Corpus",
            "Dataset: a name in the workspace or a directory.",
            more="Its training part is decoded document by document with its own tokenizer.",
            flags=("-d",),
            picks="dataset",
            only_with=("corpus", ("dataset",)),
        ),
    ] = None
    dataset: Annotated[
        str | None,
        Field(min_length=1, max_length=200),
        Setting(
            "Corpus",
            "Dataset on the Hugging Face Hub, such as roneneldan/TinyStories.",
            more="HF_TOKEN opens gated ones, HF_ENDPOINT names a mirror.",
            only_with=("corpus", ("hub",)),
        ),
    ] = None
    subset: Annotated[
        str | None,
        Field(min_length=1, max_length=200),
        Setting(
            "Corpus",
            "Subset of the dataset; none means its default.",
            more="What the Hub also calls a config.",
            only_with=("corpus", ("hub",)),
        ),
    ] = None
    split: Annotated[
        str,
        Field(min_length=1, max_length=200),
        Setting(
            "Corpus",
            "Split of the dataset.",
            more="Nearly all have train.",
            advanced=True,
            only_with=("corpus", ("hub",)),
        ),
    ] = "train"
    revision: Annotated[
        str,
        Field(min_length=1, max_length=200),
        Setting(
            "Corpus",
            "Branch, tag or commit of the dataset.",
            advanced=True,
            only_with=("corpus", ("hub",)),
        ),
    ] = "main"
    corpus_sample: Annotated[
        str | None,
        Field(min_length=1, max_length=200),
        Setting(
            "Corpus",
            "Part of the corpus; none means its first.",
            more="As ds_sample in data preparation: "
            + " ".join(
                f"{name}: {', '.join(SOURCES[name].sample_names)}."
                for name in _WITH_SAMPLES
                if len(SOURCES[name].samples) > 1
            ),
            advanced=True,
            only_with=("corpus", _WITH_SAMPLES),
        ),
    ] = None
    text_field: Annotated[
        str,
        Field(min_length=1, max_length=200),
        Setting(
            "Corpus",
            "Field that holds the text, in rows of hub datasets, JSON, CSV and parquet.",
            more="Most datasets call it text.",
            advanced=True,
        ),
    ] = "text"
    encoding_errors: Annotated[
        Literal["strict", "replace"],
        Setting(
            "Corpus",
            "What to do with bytes that are not UTF-8.",
            more="strict stops, naming the file and the byte; replace puts U+FFFD in their place.",
            advanced=True,
        ),
    ] = "strict"
    unreadable_files: Annotated[
        Literal["stop", "leave_out"],
        Setting(
            "Corpus",
            "What to do with files that cannot be read as what they are.",
            more="Damaged archives, rows without the field, a line that is no JSON: stop names the"
            " file and the place; leave_out goes on without such files, and names and counts them.",
            advanced=True,
        ),
    ] = "stop"
    special_text: Annotated[
        Literal["text", "tokens"],
        Setting(
            "Corpus",
            "What to do with special tokens written in the text, such as <|endoftext|>.",
            more="text takes them as ordinary characters, and says how many there are; tokens as"
            " what they mean: <|endoftext|> ends a document.",
            advanced=True,
        ),
    ] = "text"
    max_bytes: Annotated[
        int | None,
        Field(ge=1),
        Setting(
            "Corpus",
            "Read at most this much text; none means all of it on this machine.",
            more="Less is read and counted faster; what stands behind it is not learned from.",
            unit="bytes",
            advanced=True,
        ),
    ] = None
    val_fraction: Annotated[
        float,
        Field(ge=0, le=0.5),
        Setting(
            "Corpus",
            "Share of the text that the tokenizer does not see.",
            more="The same as data preparation keeps for validation. Set it to the dataset's"
            " val_fraction to keep validation text unseen.",
            advanced=True,
        ),
    ] = 0.0
    pattern: Annotated[
        Literal["default", "gpt2"],
        Setting(
            "Splitting",
            "Regular expression that splits text before merging.",
            more="default is GPT-4's with digits in groups of up to three, which llama.cpp and"
            " Ollama split the same way; gpt2 is GPT-2's.",
            advanced=True,
        ),
    ] = "default"
    special_tokens: Annotated[
        tuple[str, ...],
        Setting(
            "Splitting",
            "Special tokens; their ids follow the vocabulary in this order.",
            more="The first must be the end-of-text token: data preparation puts it before each"
            " document.",
            advanced=True,
        ),
    ] = SPECIAL_TOKENS

    @property
    def artifact(self) -> str:
        return self.name

    @property
    def fetched(self) -> bool:
        """Whether the text is fetched, or decoded from a dataset, to learn from it and removed
        afterwards; else it lies on this machine in files."""
        source = SOURCES.get(self.corpus)
        return not self.text_file and (source is None or source.network)

    @property
    def most_bytes(self) -> int | None:
        """How much text is learned from at most; None means all of it."""
        return self.max_bytes or (MOST_READ if self.fetched else None)

    def contradictions(self) -> list[Problem]:
        problems = self.misplaced()
        if not self.text_file:
            if self.corpus == "hub":
                problems += dataset_problems("corpus", self.dataset)
            if self.corpus == "dataset" and self.data_dir is None:
                problems.append(Problem("data_dir", "corpus dataset needs the name of one"))
        source = SOURCES.get(self.corpus)
        if source and source.samples and source.sample(self.corpus_sample) is None:
            message = f"{self.corpus} has {', '.join(source.sample_names)}"
            hint = source.hint(str(self.corpus_sample))
            problems.append(Problem("corpus_sample", message, self.corpus_sample, hint))
        seen: set[str] = set()
        for token in self.special_tokens:
            if not token:
                problems.append(Problem("special_tokens", "a special token cannot be empty"))
            elif not _is_unicode(token):
                problems.append(Problem("special_tokens", "is not valid Unicode", token))
            elif len(token.encode()) == 1:
                message = "a single character is a token of every vocabulary"
                problems.append(Problem("special_tokens", message, token, f"say <|{token}|>"))
            elif token in seen:
                problems.append(Problem("special_tokens", "each may be given once", token))
            seen.add(token)
        if not self.special_tokens or self.special_tokens[0] != SPECIAL_TOKENS[0]:
            problems.append(
                Problem(
                    "special_tokens",
                    f"the first must be {SPECIAL_TOKENS[0]}",
                    list(self.special_tokens),
                )
            )
        return problems


def _is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8; what a terminal passed on may not."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
