"""Where documents can come from: one table that the command line, the form, the job and the
documentation read.

Everything here is declared and nothing is loaded. How much there is, is what its publishers say:
tokens by the tokenizer they counted with, bytes as they are downloaded or, where known, as text.
What they do not say is None, never a guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from talm_core.errors import nearest

SourceName = Literal[
    "stdlib",
    "text",
    "tiny-shakespeare",
    "tinystories",
    "fineweb",
    "fineweb-edu",
    "smol",
    "hub",
]

CorpusName = Literal[
    "stdlib",
    "tiny-shakespeare",
    "tinystories",
    "fineweb",
    "fineweb-edu",
    "smol",
    "hub",
    "dataset",
]
"""Those that a tokenizer can learn from by name, and `dataset` for one that is prepared already;
whatever else there is it reads as files."""


ALSO = (
    ("shakespeare", "tiny-shakespeare"),
    ("tinyshakespeare", "tiny-shakespeare"),
    ("tiny-stories", "tinystories"),
)
"""Other names of sources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A part of a source that can be prepared by itself.

    `tokens` is how many it has by its publishers' count, `download_bytes` the size of the files
    that are fetched, `text_bytes` that of the text in them; None: not published. `counted` says
    who counted. `files` is where they lie in a Hub dataset.
    """

    name: str
    help: str = ""
    tokens: int | None = None
    download_bytes: int | None = None
    text_bytes: int | None = None
    counted: str = ""
    files: str = ""

    @property
    def likely_text_bytes(self) -> int | None:
        """The text's size, or what the number of tokens lets expect of it."""
        if self.text_bytes is None and self.tokens is not None:
            return round(self.tokens * _BYTES_PER_TOKEN)
        return self.text_bytes


# English web pages by GPT-2's tokenizer.
_BYTES_PER_TOKEN = 4.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where documents come from. The first sample is the default; without any, the user names
    what there is. `aliases` are other names of samples."""

    name: SourceName
    help: str
    samples: tuple[Sample, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    network: bool = False

    @property
    def sample_names(self) -> tuple[str, ...]:
        return tuple(sample.name for sample in self.samples)

    def sample(self, name: str | None) -> Sample | None:
        """The sample of this name or alias, the default for None; None: there is no such."""
        wanted = dict(self.aliases).get(name, name) if name else None
        return next((item for item in self.samples if wanted in (None, item.name)), None)

    def hint(self, name: str) -> str:
        """What may have been meant by the name of a sample that there is not."""
        return nearest(name, (*self.sample_names, *(alias for alias, _ in self.aliases)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSource(Source):
    """Text that is on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource(Source):
    """One text file somewhere on the network, known by its checksum."""

    url: str
    sha256: str
    network: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSource(Source):
    """Parquet files of a dataset on the Hugging Face Hub. Without `dataset` the user names it."""

    dataset: str = ""
    column: str = "text"
    network: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HeritageSample(Sample):
    """A sample whose rows hold no text but the number of a file, which Software Heritage keeps."""

    column: str = "blob_id"


def _web_samples(*sizes: tuple[int, int | None]) -> tuple[Sample, ...]:
    return tuple(
        Sample(
            name=f"sample-{billions}BT",
            help=f"About {billions} billion tokens, drawn at random.",
            tokens=billions * 10**9,
            download_bytes=size,
            counted="GPT-2's tokenizer",
            files=f"sample/{billions}BT/*.parquet",
        )
        for billions, size in sizes
    )


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        LocalSource(
            name="stdlib",
            help="The Python standard library on this machine: sources and documentation topics.",
            samples=(
                Sample(name="all", help="Both, about 9 MB."),
                Sample(name="code", help="The modules' sources."),
                Sample(name="docs", help="The topics of help(), about 0.6 MB."),
            ),
        ),
        LocalSource(name="text", help="Your own files and directories."),
        FileSource(
            name="tiny-shakespeare",
            help="A megabyte of Shakespeare's plays: the smallest usual dataset.",
            url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            samples=(Sample(name="all", download_bytes=1_115_394, text_bytes=1_115_394),),
        ),
        HubSource(
            name="tinystories",
            help="Two million short stories in a small child's words, written by a language model.",
            dataset="roneneldan/TinyStories",
            samples=(
                Sample(
                    name="all",
                    download_bytes=1_000_000_000,
                    text_bytes=1_900_000_000,
                    files="data/train-*.parquet",
                ),
            ),
        ),
        HubSource(
            name="fineweb",
            help="English web pages, cleaned.",
            dataset="HuggingFaceFW/fineweb",
            samples=_web_samples((10, 30_700_000_000), (100, None), (350, None)),
        ),
        HubSource(
            name="fineweb-edu",
            help="Web pages that a classifier found educational.",
            dataset="HuggingFaceFW/fineweb-edu",
            samples=_web_samples((10, None), (100, None), (350, None)),
        ),
        HubSource(
            name="smol",
            help="The corpus SmolLM was trained on: textbooks, web pages and Python.",
            dataset="HuggingFaceTB/smollm-corpus",
            samples=(
                Sample(
                    name="cosmopedia-v2",
                    help="Textbooks and stories written by a language model.",
                    tokens=28_000_000_000,
                    download_bytes=122_000_000_000,
                    counted="its publishers",
                    files="cosmopedia-v2/*.parquet",
                ),
                Sample(
                    name="fineweb-edu-dedup",
                    help="Educational web pages without duplicates.",
                    tokens=220_000_000_000,
                    download_bytes=550_000_000_000,
                    counted="its publishers",
                    files="fineweb-edu-dedup/*.parquet",
                ),
                HeritageSample(
                    name="python-edu",
                    help="Educational Python files, each fetched from Software Heritage.",
                    tokens=4_000_000_000,
                    counted="its publishers",
                    files="python-edu/*.parquet",
                ),
            ),
            aliases=(("fineweb-edu", "fineweb-edu-dedup"),),
        ),
        HubSource(name="hub", help="Any dataset on the Hugging Face Hub that has a text column."),
    )
}
assert tuple(SOURCES) == get_args(SourceName)


def plain_name(text: str) -> str:
    """A text as the name of a directory: a dataset's `owner/name` becomes `owner--name`, whatever
    else has no place in a name a hyphen. May be empty."""
    text = text.replace("/", "--")
    return re.sub(r"[^A-Za-z0-9_+.-]+", "-", text).strip("-.")
