"""Every setting of every job, declared once.

A field of a model below carries its name, type, default, range and, in `Setting`, everything a
person needs to choose it: section, unit, one line of help, typical values. The command-line flag,
the form field, the TOML key, the validation message and the reference page derive from it
(`talm_core.settings`). Nothing here reads files or loads anything heavy; what depends on the
workspace is checked in `talm_core.preflight`.
"""

from __future__ import annotations

import math
import re
import tomllib
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from talm_core.data.sources import SOURCES, CorpusName, SourceName, plain_name
from talm_core.errors import ConfigError, Problem, nearest
from talm_core.settings import JobConfig, Setting, build, settings_of

CONFIG_VERSION = 1

Name = Annotated[str, Field(min_length=1, max_length=100)]

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
            " file is a document of its own, of .jsonl and .parquet every row: no token crosses"
            " from one document into the next.",
        ),
    ] = ()
    corpus: Annotated[
        CorpusName,
        Setting(
            "Corpus",
            "Corpus to learn from when no file is given.",
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
            "Field that holds the text, in rows of hub datasets, JSON Lines and parquet files.",
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
            "Share at the end of the corpus that the tokenizer does not see.",
            more="Set it to the dataset's val_fraction to keep validation text unseen.",
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
                problems += _dataset_problems("corpus", self.dataset)
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
            more=" ".join(f"{source.name}: {source.help}" for source in SOURCES.values()),
        ),
    ] = "stdlib"
    path: Annotated[
        tuple[str, ...],
        Setting(
            "Source",
            "Text files or directories.",
            picks="paths",
            more="Each file is one document, of .jsonl and .parquet each row; .gz and .zst are"
            " unpacked on the way. Directories are read recursively in name order.",
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
            "Field or column that holds the text, in rows of datasets, JSON Lines and parquet.",
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
            more="strict stops, naming the file and the byte; replace puts U+FFFD in their place.",
            advanced=True,
            only_with=("source", ("text",)),
        ),
    ] = "strict"
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
            more="None means the first shard, or val_fraction of what is smaller than two shards.",
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
            "Share kept for validation when the corpus is smaller than two shards.",
            more="The last documents (or the end of a single document). From two shards on, the"
            " first shard is for validation instead.",
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
            problems += _dataset_problems("source", self.dataset)
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

    def extends(self, done: DataConfig) -> bool:
        """Whether this is the same dataset with more tokens."""
        longer = (self.max_tokens or math.inf) > (done.max_tokens or math.inf)
        # Other ways to name the same, and what makes no difference.
        free = ("ds_sample", "max_tokens", "keep_downloads")
        same = {key: getattr(self, key) for key in free}
        return longer and done.sample == self.sample and done.model_copy(update=same) == self


def _dataset_problems(key: str, dataset: str | None) -> list[Problem]:
    """What is wrong with the dataset that a setting `key` of the value hub needs."""
    if dataset is None:
        return [Problem("dataset", f"{key} hub needs the id of a dataset")]
    if _DATASET_ID.fullmatch(dataset) is None:
        message = "must be the id of a dataset, such as roneneldan/TinyStories"
        return [Problem("dataset", message, dataset)]
    return []


# An owner and a name, or the name alone of the Hub's first datasets; no dots that lead elsewhere.
_DATASET_ID = re.compile(r"(?:(?!\.)[\w.-]*\w/)?(?!\.)[\w.-]*\w", re.ASCII)


class PretrainConfig(JobConfig):
    """Train a transformer from random weights.

    Defaults are those of the preset `nano`.
    """

    kind: ClassVar[str] = "pretrain"
    title: ClassVar[str] = "Train a model"

    model_name: Annotated[
        Name,
        Setting(
            "Run",
            "Name of the model.",
            more="The run is shown under it, and its checkpoints lie in a directory of that name.",
            flags=("-n",),
        ),
    ]
    data_dir: Annotated[
        str,
        Field(min_length=1),
        Setting(
            "Run",
            "Dataset: a name in the workspace or a directory.",
            more="A model can be used only with the tokenizer its data was prepared with.",
            flags=("-d",),
            picks="dataset",
        ),
    ]
    tokenizer_path: Annotated[
        str | None,
        Setting(
            "Run",
            "Tokenizer; none means the one the dataset was made with.",
            flags=("-t",),
            picks="tokenizer",
            more="It must be the dataset's own: its identity is compared before the run starts.",
            advanced=True,
        ),
    ] = None
    seed: Annotated[
        int,
        Field(ge=0, lt=2**63),
        Setting(
            "Run",
            "Seed of weights, data order and samples.",
            flags=("-s",),
            more="The same seed, settings, machine and device give the same weights, bit for bit.",
        ),
    ] = 1337
    init_from: Annotated[
        str | None,
        Field(min_length=1),
        Setting(
            "Run",
            "Checkpoint whose weights the run begins with; none draws them from the seed.",
            more="A model's name for its newest checkpoint, `nano/checkpoint-000500` for a certain"
            " one, or a directory. Its shape and tokenizer must be the run's own; the optimizer and"
            " the data's order begin anew.",
            advanced=True,
        ),
    ] = None

    n_layer: Annotated[
        int,
        Field(ge=1, le=128),
        Setting(
            "Model",
            "Transformer blocks.",
            more="More is slower and learns more from the same tokens. Usual: 4 on a laptop, 12"
            " for 124 M.",
            shape=True,
        ),
    ] = 4
    n_head: Annotated[
        int,
        Field(ge=1, le=256),
        Setting(
            "Model",
            "Attention heads.",
            more="Each sees n_embd / n_head dimensions; 32 to 128 dimensions a head are usual.",
            shape=True,
        ),
    ] = 4
    n_kv_head: Annotated[
        int | None,
        Field(ge=1, le=256),
        Setting(
            "Model",
            "Key and value heads; none means n_head.",
            more="Fewer than n_head is grouped-query attention: less memory while sampling.",
            advanced=True,
            shape=True,
        ),
    ] = None
    n_embd: Annotated[
        int,
        Field(ge=2, le=32_768),
        Setting(
            "Model",
            "Width: dimensions of a token's vector.",
            more="A multiple of n_head that gives an even number of dimensions a head. Parameters"
            " grow with its square. Usual: 128 on a laptop, 768 for 124 M.",
            shape=True,
        ),
    ] = 128
    n_hidden: Annotated[
        int | None,
        Field(ge=1, le=262_144),
        Setting(
            "Model",
            "Width of the feed-forward layer; none means 8/3 n_embd, rounded up to 64.",
            more="Three matrices of n_embd x n_hidden in each layer: two thirds of what a layer "
            "costs.",
            advanced=True,
            shape=True,
        ),
    ] = None
    context_len: Annotated[
        int,
        Field(ge=2, le=1_048_576),
        Setting(
            "Model",
            "Longest text the model sees at once.",
            unit="tokens",
            more="Cost grows with its square in attention. Usual: 128 or 256 on a laptop, 1,024"
            " for 124 M.",
        ),
    ] = 128
    rope_theta: Annotated[
        float,
        Field(gt=1),
        Setting(
            "Model",
            "Base of the rotary position angles.",
            more="Usual: 10,000; 100,000 or more for contexts of many thousand tokens.",
            advanced=True,
        ),
    ] = 10_000.0
    tie_embeddings: Annotated[
        bool,
        Setting(
            "Model",
            "Share the token embedding with the output layer.",
            more="Saves vocabulary x n_embd parameters, which is most of a small model.",
            advanced=True,
            shape=True,
        ),
    ] = True

    batch_size: Annotated[
        int,
        Field(ge=1, le=65_536),
        Setting(
            "Training",
            "Windows of context_len in one forward and backward pass.",
            more="Larger uses more memory for activations.",
        ),
    ] = 8
    grad_accum_steps: Annotated[
        int,
        Field(ge=1, le=65_536),
        Setting(
            "Training",
            "Passes added up before each optimizer step.",
            more="One step sees batch_size x grad_accum_steps x context_len tokens, unless"
            " total_batch_size says how many.",
            advanced=True,
        ),
    ] = 1
    total_batch_size: Annotated[
        int | None,
        Field(ge=2, le=1_000_000_000),
        Setting(
            "Training",
            "Tokens of one optimizer step; none means batch_size x grad_accum_steps x context_len.",
            unit="tokens",
            more="A multiple of batch_size x context_len. It decides what is learned; batch_size"
            " then only decides how much memory that takes.",
            advanced=True,
        ),
    ] = None
    max_steps: Annotated[
        int,
        Field(ge=1, le=100_000_000),
        Setting(
            "Training",
            "Optimizer steps of the whole run.",
            unit="steps",
            more="The learning rate reaches its end with the last of them.",
        ),
    ] = 700
    minutes: Annotated[
        float | None,
        Field(gt=0),
        Setting(
            "Training",
            "End after this much training time, if max_steps is not reached before.",
            unit="minutes",
            more="The learning rate falls with whichever of steps and time is further, so that it"
            " reaches its end either way. A run with a time limit is not repeatable bit for bit.",
        ),
    ] = None
    optimizer: Annotated[
        Literal["adamw", "muon"],
        Setting(
            "Training",
            "How the layers' matrices are moved.",
            more="muon learns more from each token and takes a tenth or two longer for a step of a"
            " small model. Embeddings and norms are moved by AdamW either way.",
            advanced=True,
            shape=True,
        ),
    ] = "muon"
    learning_rate: Annotated[
        float,
        Field(gt=0, le=10),
        Setting(
            "Training",
            "Highest learning rate.",
            more="Too high diverges, too low wastes tokens. Usual: 1e-2 for tiny models, 6e-4 for"
            " 124 M.",
        ),
    ] = 1e-2
    min_learning_rate: Annotated[
        float,
        Field(ge=0, le=10),
        Setting(
            "Training",
            "Learning rate at the end.",
            more="Usual: a tenth of learning_rate, or less.",
            advanced=True,
        ),
    ] = 1e-4
    warmup_steps: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Training",
            "Steps over which the learning rate rises from zero.",
            more="Usual: some hundred steps of a long run, a twentieth of a short one. Without it "
            "the first steps can diverge.",
            unit="steps",
            advanced=True,
        ),
    ] = 30
    lr_schedule: Annotated[
        Literal["cosine", "wsd"],
        Setting(
            "Training",
            "How the learning rate falls after the warm-up.",
            more="cosine falls all the way. wsd (warm-up, stable, decay) stays at the top and falls"
            " in a straight line over the last decay_ratio of the run.",
            advanced=True,
        ),
    ] = "cosine"
    decay_ratio: Annotated[
        float,
        Field(gt=0, le=1),
        Setting(
            "Training",
            "Share of the run, at its end, over which wsd lets the learning rate fall.",
            advanced=True,
        ),
    ] = 0.2
    weight_decay: Annotated[
        float,
        Field(ge=0, le=10),
        Setting(
            "Training",
            "AdamW's weight decay, on matrices only.",
            more="Usual: 0.1; 0.01 for short runs. More holds against learning by heart.",
            advanced=True,
        ),
    ] = 0.1
    beta1: Annotated[
        float,
        Field(ge=0, lt=1),
        Setting(
            "Training", "AdamW's decay of the gradient average.", more="Usual: 0.9.", advanced=True
        ),
    ] = 0.9
    beta2: Annotated[
        float,
        Field(ge=0, lt=1),
        Setting(
            "Training",
            "AdamW's decay of the squared gradient average.",
            more="Usual: 0.95 for large batches, 0.98 to 0.99 for small ones, whose gradients are "
            "noisy.",
            advanced=True,
        ),
    ] = 0.98
    grad_clip: Annotated[
        float,
        Field(ge=0),
        Setting(
            "Training",
            "Largest gradient norm; 0 turns clipping off.",
            more="Usual: 1. It tames a single bad batch and costs next to nothing.",
            advanced=True,
        ),
    ] = 1.0

    non_finite: Annotated[
        Literal["stop", "rollback"],
        Setting(
            "Training",
            "What to do about a loss or gradient that is not finite.",
            more="That step is never taken. stop ends the run; rollback goes back to the last"
            " checkpoint and on with what comes after the batches that led there.",
            advanced=True,
            resume=True,
        ),
    ] = "stop"
    max_rollbacks: Annotated[
        int,
        Field(ge=1),
        Setting(
            "Training",
            "How often a run may go back before it ends after all.",
            advanced=True,
            resume=True,
        ),
    ] = 3

    eval_every: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Watching",
            "Steps between evaluations; 0 evaluates only at the end.",
            more="Each reads eval_tokens and costs as much as a third of that in training. Usual: "
            "20 to 50 in a run.",
            unit="steps",
            resume=True,
        ),
    ] = 150
    eval_tokens: Annotated[
        int,
        Field(ge=1),
        Setting(
            "Watching",
            "Validation tokens an evaluation reads, always the same ones.",
            more="More is less noisy and takes longer. The tokens are the same each time: a run "
            "compares with itself.",
            unit="tokens",
            advanced=True,
        ),
    ] = 65_536
    sample_every: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Watching",
            "Steps between text samples; 0 samples only at the end.",
            more="Each takes as many passes as sample_tokens says, of one position each.",
            unit="steps",
            resume=True,
        ),
    ] = 150
    sample_prompt: Annotated[
        tuple[str, ...],
        Setting(
            "Watching",
            "Texts that samples continue; none starts from an empty document.",
            more="What the text is like that the model learns from: def for Python, Once upon a "
            "time for stories.",
            resume=True,
        ),
    ] = ("def ",)
    sample_tokens: Annotated[
        int,
        Field(ge=1, le=100_000),
        Setting(
            "Watching",
            "Tokens in a sample.",
            more="A word of English is about 1.3 tokens of a large vocabulary, more of a small "
            "one.",
            unit="tokens",
            advanced=True,
            resume=True,
        ),
    ] = 96
    log_every: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Watching",
            "Steps between metrics; 0 means as often as is useful, at most ten a second.",
            more="A number makes the points of two runs stand at the same steps. Each point reads "
            "the loss from the device.",
            unit="steps",
            advanced=True,
            resume=True,
        ),
    ] = 0
    checkpoint_every: Annotated[
        int,
        Field(ge=0),
        Setting(
            "Saving",
            "Steps between checkpoints; 0 saves by time, when stopped and at the end.",
            unit="steps",
            more="Written beside the training. Unless it is 0, there is one before each evaluation"
            " as well, so that the best model can be kept.",
            resume=True,
        ),
    ] = 250
    checkpoint_minutes: Annotated[
        float | None,
        Field(gt=0),
        Setting(
            "Saving",
            "Longest time between checkpoints; none saves by steps only.",
            unit="minutes",
            more="What a crash can cost at most.",
            advanced=True,
            resume=True,
        ),
    ] = 10.0
    keep_checkpoints: Annotated[
        int,
        Field(ge=2, le=100_000),
        Setting(
            "Saving",
            "Newest checkpoints to keep, besides the best one.",
            more="At least two, so that a damaged one never is the only one.",
            advanced=True,
            resume=True,
        ),
    ] = 3

    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        Setting(
            "Machine",
            "Where to train; auto takes the fastest there is.",
            more="cuda: NVIDIA and AMD cards. mps: Apple's. cpu is always there.",
            advanced=True,
        ),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        Setting(
            "Machine",
            "Number format of the heavy products; weights stay fp32.",
            more="auto takes bf16 where the device computes it faster.",
            advanced=True,
        ),
    ] = "auto"
    compile: Annotated[
        Literal["auto", "on", "off"],
        Setting(
            "Machine",
            "Compile the model first.",
            more="Costs up to a minute once and makes every step faster. auto compiles on CUDA"
            " for runs long enough to gain from it.",
            advanced=True,
        ),
    ] = "auto"
    autotune: Annotated[
        Literal["auto", "on", "off"],
        Setting(
            "Machine",
            "Try what computes fastest before the first step.",
            more="Measures number formats, attention kernels, windows of a pass and the compiler,"
            " as far as they are left to auto, and keeps the fastest; the tokens of a step stay the"
            " same. auto does so for runs of ten minutes and more. What was found is remembered in"
            " autotune.json in the workspace.",
            advanced=True,
        ),
    ] = "auto"
    threads: Annotated[
        int,
        Field(ge=0, le=1024),
        Setting(
            "Machine",
            "CPU threads; 0 means all cores.",
            more="Fewer leave cores to other programs.",
            advanced=True,
        ),
    ] = 0
    nproc: Annotated[
        int,
        Field(ge=1, le=1024),
        Setting(
            "Machine",
            "Processes that train together on this machine, one for each GPU.",
            more="A step's windows are shared among them, so it must divide batch_size x"
            " grad_accum_steps; what is learned stays the same. On more than one machine, start"
            " the run's directory with torchrun instead.",
            advanced=True,
            resume=True,
        ),
    ] = 1
    parallel: Annotated[
        Literal["ddp", "fsdp"],
        Setting(
            "Machine",
            "How several processes share the model.",
            more="ddp: each has all of it, which is faster. fsdp: each has a part of every layer,"
            " for models that do not fit on one GPU.",
            advanced=True,
            resume=True,
        ),
    ] = "ddp"

    @property
    def artifact(self) -> str:
        return self.model_name

    @property
    def kv_heads(self) -> int:
        return self.n_kv_head or self.n_head

    @property
    def hidden(self) -> int:
        """Feed-forward width: as given, or 8/3 n_embd rounded up to a multiple of 64, which
        gives SwiGLU's three matrices the parameters of a two-matrix layer of 4 n_embd
        (Shazeer 2020, https://arxiv.org/abs/2002.05202)."""
        return self.n_hidden or -(-8 * self.n_embd // 3 // 64) * 64

    @property
    def tokens_per_pass(self) -> int:
        return self.batch_size * self.context_len

    @property
    def passes(self) -> int:
        """Forward and backward passes of one optimizer step, on one device."""
        if self.total_batch_size is None:
            return self.grad_accum_steps
        return self.total_batch_size // self.tokens_per_pass

    @property
    def tokens_per_step(self) -> int:
        return self.passes * self.tokens_per_pass

    def contradictions(self) -> list[Problem]:
        problems = []
        step = 2 * self.n_head
        if self.n_embd % step:
            low, high = self.n_embd // step * step, (self.n_embd // step + 1) * step
            near = f"{low} or {high}" if low else str(high)
            message = f"must be a multiple of n_head ({self.n_head}), even for each head"
            problems.append(Problem("n_embd", message, self.n_embd, near))
        if self.n_head % self.kv_heads:
            divisors = [str(d) for d in range(1, self.n_head + 1) if self.n_head % d == 0]
            problems.append(
                Problem(
                    "n_kv_head",
                    f"must divide n_head ({self.n_head})",
                    self.n_kv_head,
                    ", ".join(divisors),
                )
            )
        batch = self._global_batch()
        problems += batch or self._shares()
        if self.min_learning_rate > self.learning_rate:
            problems.append(
                Problem(
                    "min_learning_rate",
                    f"must not be above learning_rate ({self.learning_rate:g})",
                    self.min_learning_rate,
                    f"at most {self.learning_rate:g}, a tenth of it is usual",
                )
            )
        if self.warmup_steps > self.max_steps:
            problems.append(
                Problem(
                    "warmup_steps",
                    f"must not be above max_steps ({self.max_steps:,})",
                    self.warmup_steps,
                    f"at most {self.max_steps:,}, a twentieth of it is usual",
                )
            )
        return problems

    def _shares(self) -> list[Problem]:
        windows = self.passes * self.batch_size
        if windows % self.nproc == 0:
            return []
        message = f"must divide the {windows:,} windows of a step"
        return [Problem("nproc", message, self.nproc, "change batch_size or grad_accum_steps")]

    def _global_batch(self) -> list[Problem]:
        total, one = self.total_batch_size, self.tokens_per_pass
        if total is None:
            return []
        if total % one:
            low, high = total // one * one, (total // one + 1) * one
            return [
                Problem(
                    "total_batch_size",
                    f"must be a multiple of batch_size x context_len ({one:,} tokens)",
                    total,
                    f"{low} or {high}" if low else str(high),
                )
            ]
        if self.grad_accum_steps not in (1, self.passes):
            message = f"total_batch_size makes it {self.passes}"
            hint = "leave one of the two out"
            return [Problem("grad_accum_steps", message, self.grad_accum_steps, hint)]
        return []


class SampleConfig(JobConfig):
    """Continue a text with a trained model."""

    kind: ClassVar[str] = "sample"
    title: ClassVar[str] = "Play"

    model: Annotated[
        str,
        Field(min_length=1),
        Setting(
            "Model",
            "Model: a name in the workspace or a checkpoint directory.",
            positional=True,
            picks="model",
        ),
    ]
    prompt: Annotated[str, Setting("Text", "Text to continue.")] = ""
    max_tokens: Annotated[
        int,
        Field(ge=1, le=1_000_000),
        Setting("Text", "Longest continuation.", unit="tokens"),
    ] = 200
    temperature: Annotated[
        float,
        Field(ge=0, le=100),
        Setting(
            "Sampling",
            "Below 1 is safer, above 1 is wilder; 0 always takes the likeliest token.",
        ),
    ] = 0.8
    top_k: Annotated[
        int,
        Field(ge=0),
        Setting("Sampling", "Choose among this many likeliest tokens; 0 is off.", unit="tokens"),
    ] = 0
    top_p: Annotated[
        float,
        Field(gt=0, le=1),
        Setting(
            "Sampling",
            "Choose among the likeliest tokens that together have this probability; 1 is off.",
        ),
    ] = 0.95
    seed: Annotated[
        int,
        Field(ge=0, lt=2**63),
        Setting("Sampling", "The same seed gives the same text.", flags=("-s",)),
    ] = 1337
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        Setting("Sampling", "Where to compute.", advanced=True),
    ] = "auto"

    @property
    def artifact(self) -> str:
        return self.model


class ExportConfig(JobConfig):
    """Write a model for other programs."""

    kind: ClassVar[str] = "export"
    title: ClassVar[str] = "Export"

    model: Annotated[
        str,
        Field(min_length=1),
        Setting(
            "Model",
            "Model: a name in the workspace or a checkpoint directory.",
            positional=True,
            picks="model",
        ),
    ]
    format: Annotated[
        Literal["gguf", "huggingface"],
        Setting(
            "Output",
            "gguf: one file for llama.cpp and Ollama. huggingface: a directory for transformers.",
            flags=("-f",),
        ),
    ] = "gguf"
    outtype: Annotated[
        Literal["f32", "f16", "q8_0"],
        Setting(
            "Output",
            "How precise the weights in a GGUF file are.",
            more="f16 halves the size, q8_0 takes about a quarter and rounds more.",
            only_with=("format", ("gguf",)),
        ),
    ] = "f16"
    output: Annotated[
        str | None,
        Field(min_length=1),
        Setting(
            "Output",
            "Directory to make; none means one below exports/ in the workspace.",
            flags=("-o",),
        ),
    ] = None

    @property
    def artifact(self) -> str:
        return self.model

    def contradictions(self) -> list[Problem]:
        if self.format == "gguf" or self.outtype == "f16":
            return []
        return [
            Problem("outtype", "only format gguf has it", self.outtype, "use format gguf"),
        ]


class QuickstartConfig(JobConfig):
    """Tokenizer, data, model and a sample, one after the other, offline."""

    kind: ClassVar[str] = "quickstart"
    title: ClassVar[str] = "Quick start"

    name: Annotated[
        Name,
        Setting("Run", "Name of everything that is made.", flags=("-n",)),
    ] = "quickstart"
    preset: Annotated[str, Field(min_length=1), Setting("Run", "Recipe of the model to train.")] = (
        "nano"
    )
    text_file: Annotated[
        tuple[str, ...],
        Setting(
            "Run",
            "Your own text; none means the Python standard library.",
            picks="paths",
        ),
    ] = ()
    text_field: Annotated[
        str,
        Field(min_length=1, max_length=200),
        Setting(
            "Run",
            "Field that holds the text, in rows of JSON Lines and parquet files.",
            advanced=True,
        ),
    ] = "text"
    encoding_errors: Annotated[
        Literal["strict", "replace"],
        Setting(
            "Run",
            "What to do with bytes that are not UTF-8.",
            more="strict stops, naming the file and the byte; replace puts U+FFFD in their place.",
            advanced=True,
        ),
    ] = "strict"
    vocab_size: Annotated[
        int | None,
        Field(ge=256, le=1_000_000),
        Setting(
            "Run",
            "Size of the vocabulary; none means the preset's.",
            unit="tokens",
            more="4,096 for most presets, 1,000 for those of Shakespeare.",
            flags=("-vs",),
        ),
    ] = None
    minutes: Annotated[
        float | None,
        Field(gt=0),
        Setting(
            "Run",
            "Training time at most; none means the preset's.",
            unit="minutes",
            more="1.25 minutes for most presets, no limit for those of Shakespeare.",
        ),
    ] = None
    max_steps: Annotated[
        int | None,
        Field(ge=1),
        Setting("Run", "Optimizer steps at most; none means the preset's.", unit="steps"),
    ] = None
    val_fraction: Annotated[
        float,
        Field(gt=0, le=0.5),
        Setting("Run", "Share of the text kept for validation.", advanced=True),
    ] = 0.1
    prompt: Annotated[
        str | None,
        Setting("Run", "Text the finished model continues; none means the preset's."),
    ] = None
    seed: Annotated[
        int, Field(ge=0, lt=2**63), Setting("Run", "Seed of everything.", flags=("-s",))
    ] = 1337

    @property
    def artifact(self) -> str:
        return self.name


CONFIGS: dict[str, type[JobConfig]] = {
    cls.kind: cls
    for cls in (
        TokenizerConfig,
        DataConfig,
        PretrainConfig,
        SampleConfig,
        ExportConfig,
        QuickstartConfig,
    )
}


def dumps(config: JobConfig) -> str:
    """The config as TOML: its job, the format's version, then every setting that is not none,
    each with its help as a comment."""
    # Not at the top: whoever only reads does without it.
    import tomlkit

    document = tomlkit.document()
    document.add("job", tomlkit.item(config.kind))
    document.add("version", tomlkit.item(CONFIG_VERSION))
    section = None
    for item in settings_of(type(config)):
        value = getattr(config, item.key)
        if value is None:
            continue
        if item.setting.section != section:
            section = item.setting.section
            document.add(tomlkit.nl())
            document.add(tomlkit.comment(section))
        entry = tomlkit.item(list(value) if isinstance(value, tuple) else value)
        document.add(item.key, entry.comment(item.setting.help))
    return tomlkit.dumps(document)


def loads(text: str, *, where: str = "config.toml") -> JobConfig:
    """The config a TOML text holds.

    Raises:
        ConfigError: not TOML, no known job, a version from a newer talm, or wrong settings.
    """
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(Problem(where, f"is not valid TOML: {error}")) from None
    job = values.pop("job", None)
    version = values.pop("version", CONFIG_VERSION)
    if not isinstance(job, str) or job not in CONFIGS:
        raise ConfigError(Problem(f"{where}: job", "unknown", job, nearest(str(job), CONFIGS)))
    if version != CONFIG_VERSION:
        message = f"this talm reads version {CONFIG_VERSION}"
        raise ConfigError(Problem(f"{where}: version", message, version, "update talm"))
    return build(CONFIGS[job], values)
