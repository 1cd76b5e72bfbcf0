"""The text a tokenizer is measured on: what it has not seen, else the beginning of what it has.

Files on this machine are read again for it. Of a corpus that was fetched, or decoded from a
dataset's shards, and removed afterwards, as much as is needed is kept beside the tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from talm_core.data.local.corpus import divided_parts, open_corpus, reading_of
from talm_core.data.local.parts import byte_length
from talm_core.errors import ArtifactError, InputError, Problem
from talm_core.jobs.tokenizer.config import MOST_READ, TokenizerConfig
from talm_core.storage import artifact_files, atomic
from talm_core.storage.artifact_files import LARGE_BYTES
from talm_core.tokenizer import scripts

SAMPLE_FILE = "sample.json"
SAMPLE_CHARACTERS = 500_000

_VERSION = 1


class Sample(BaseModel):
    """Texts, what they are, and whether the tokenizer had learned from them. `missing` says why
    they are not from its corpus, where they could have been."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    version: int = _VERSION
    about: str
    seen: bool
    texts: tuple[str, ...]
    missing: str = ""

    def save(self, directory: Path) -> None:
        """Keep it beside the tokenizer."""
        atomic.write_text(directory / SAMPLE_FILE, self.model_dump_json(exclude={"missing"}))


def corpus_name(config: TokenizerConfig) -> str:
    """What a tokenizer learns from, as people call it."""
    if config.text_file:
        return config.text_file[0]
    named = {"hub": config.dataset, "dataset": config.data_dir}
    part = config.subset if config.corpus == "hub" else config.corpus_sample
    return "/".join(filter(None, (named.get(config.corpus, config.corpus), part)))


def sample(directory: Path, config: TokenizerConfig | None) -> Sample:
    """What to measure the tokenizer in a directory on. `config` is what it was trained by, if that
    is known. Where nothing of its corpus is there any more, these are the samples in many scripts.
    """
    if config is None:
        return _scripts("")
    try:
        return _kept(directory) if config.fetched else _read(config)
    except InputError as error:
        # Files that were moved or changed since are no reason not to show the rest.
        return _scripts("; ".join(map(str, error.problems)))


def _kept(directory: Path) -> Sample:
    """Raises:
    ArtifactError: nothing was kept, or it is damaged.
    """
    path = directory / SAMPLE_FILE
    try:
        found = Sample.model_validate_json(artifact_files.read_bytes(path, most=LARGE_BYTES))
    except OSError:
        hint = "its corpus is not on this machine; train it again to have it measured on that"
        raise ArtifactError(Problem(str(path), "is not there", hint=hint)) from None
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]["msg"]
        raise ArtifactError(Problem(str(path), f"is damaged: {detail}")) from None
    if found.version != _VERSION:
        message = f"has version {found.version}, which this talm does not know"
        raise ArtifactError(Problem(str(path), message))
    return found


def _read(config: TokenizerConfig) -> Sample:
    """Raises:
    CorpusError: the corpus cannot be read any more.
    """
    corpus = open_corpus(
        "text" if config.text_file else config.corpus,
        paths=config.text_file,
        sample=config.corpus_sample or "all",
        **reading_of(config),
    )
    reading = Reading(config.max_bytes)
    # What was not learned from comes behind all that was.
    learned = min(corpus.files_bytes, config.max_bytes or corpus.files_bytes)
    unseen = (config.val_fraction or config.max_bytes) and learned <= MOST_READ
    for _ in reading.learned(divided_parts(corpus, config.val_fraction)):
        if reading.has_unseen or (not unseen and reading.has_beginning):
            break
    return reading.sample(corpus.name)


def beginning(texts: Iterable[str]) -> tuple[str, ...]:
    """As much of some texts as a sample has."""
    kept = _Kept()
    for text in texts:
        kept.add(text)
        if kept.full:
            break
    return tuple(kept.texts)


class Reading:
    """Text as it is read: what is learned from, at most `limit` bytes of it, how much that was,
    and a sample of what comes next."""

    def __init__(self, limit: int | None) -> None:
        self.bytes = 0
        self._limit = limit
        self._seen, self._unseen = _Kept(), _Kept()

    def learned(
        self,
        parts: Iterable[tuple[bool, str, bool]],
        moment: Callable[[], object] = lambda: None,
    ) -> Iterator[tuple[bool, str]]:
        """Of parts as of `divided_parts` those to learn from; `moment` is called for any other."""
        full = False
        for begins, text, held_out in parts:
            learned = ""
            if not held_out and not full:
                left = None if self._limit is None else self._limit - self.bytes
                learned = text if left is None else _first_bytes(text, left)
                self._seen.add(learned)
                self.bytes += byte_length(learned)
                yield begins, learned
                full = self.bytes == self._limit or len(learned) < len(text)
            else:
                moment()
            self._unseen.add(text[len(learned) :])
            if full and self.has_unseen:
                return

    @property
    def has_beginning(self) -> bool:
        """Whether there is enough to measure on of what was learned from."""
        return self._seen.full

    @property
    def has_unseen(self) -> bool:
        """The same of what was not learned from."""
        return self._unseen.full

    def sample(self, name: str) -> Sample:
        """What is unseen of a corpus of that name, else the beginning of what was learned from."""
        if self._unseen.texts:
            return Sample(about=f"held out of {name}", seen=False, texts=tuple(self._unseen.texts))
        return Sample(about=f"the beginning of {name}", seen=True, texts=tuple(self._seen.texts))


class _Kept:
    """The beginning of the texts that were added."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._left = SAMPLE_CHARACTERS

    def add(self, text: str) -> None:
        if part := text[: self._left]:
            self.texts.append(part)
            self._left -= len(part)

    @property
    def full(self) -> bool:
        return not self._left


def _first_bytes(text: str, count: int) -> str:
    """As much of a text as fits into so many bytes, in whole characters."""
    return text[:count].encode()[:count].decode("utf-8", "ignore")


def _scripts(missing: str) -> Sample:
    texts = tuple(sample.text for sample in scripts.SAMPLES)
    return Sample(about="samples in many scripts", seen=False, texts=texts, missing=missing)
