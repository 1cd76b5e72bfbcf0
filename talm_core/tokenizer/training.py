"""The job that trains a tokenizer: text is read and counted, then merged."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talm_core import publish
from talm_core.config import DataConfig, TokenizerConfig
from talm_core.data.corpus import (
    Corpus,
    byte_length,
    open_corpus,
    training_parts,
    validation_parts,
)
from talm_core.data.fetching import decoded, fetched
from talm_core.data.sources import SOURCES
from talm_core.data.texts import CORPORA
from talm_core.errors import ConfigError, Problem
from talm_core.events import Command, Event, Finished, Merged, Notice, Progress, Started
from talm_core.settings import build
from talm_core.tokenizer import patterns
from talm_core.tokenizer.hf import huggingface_files
from talm_core.tokenizer.vocabulary import FILE_NAME, Vocabulary, readable
from talm_core.workspace import Workspace

if TYPE_CHECKING:
    from talm_core.tokenizer.counting import Part
    from talm_core.tokenizer.merging import Pieces

_MOST_BYTES = 200_000_000
_TICK_SECONDS = 0.1
_NEWEST = 12
_SAMPLE_CHARACTERS = 500_000
_LONGEST_SHOWN = 60


class _Rate:
    """Whether it is time for the next event, and how fast something goes."""

    def __init__(self) -> None:
        self._began = self._next = time.monotonic()

    def due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _TICK_SECONDS
        return True

    def progress(self, phase: str, done: int, total: int, unit: str) -> Progress:
        seconds = time.monotonic() - self._began
        rate = done / seconds if done and seconds > 0 else None
        eta = max(total - done, 0) / rate if rate and total else None
        return Progress(phase=phase, done=done, total=total, unit=unit, rate=rate, eta=eta)


class _Reading:
    """The text as far as it was read: how much, and its beginning to try the tokenizer on."""

    def __init__(self) -> None:
        self.bytes = 0
        self.counted = 0
        self.beginning: list[str] = []
        self._kept = 0

    def parts(self, parts: Iterable[Part], limit: int | None) -> Iterator[Part]:
        """The parts, up to so many bytes of them."""
        for begins, text in parts:
            part = text if limit is None else _first_bytes(text, limit - self.bytes)
            self._keep(part)
            self.bytes += byte_length(part)
            yield begins, part
            if len(part) < len(text) or self.bytes == limit:
                return

    def _keep(self, text: str) -> None:
        part = text[: _SAMPLE_CHARACTERS - self._kept]
        if part:
            self.beginning.append(part)
            self._kept += len(part)


def train_tokenizer(
    config: TokenizerConfig, workspace: Workspace
) -> Generator[Event, Command | None, None]:
    """The job. `tokencoder.json` is written last: where it is, everything is.

    Raises:
        CorpusError: text that cannot be used.
        ConfigError: a special token turned out to be a token of the vocabulary.
    """
    began = time.monotonic()
    directory = workspace.directory_of(config)
    yield Started(job=config.kind, name=config.artifact)
    try:
        yield from _trained(config, workspace, directory, began)
    finally:
        # What was fetched to learn from.
        publish.sweep(directory)


def _trained(
    config: TokenizerConfig, workspace: Workspace, directory: Path, began: float
) -> Generator[Event, Command | None, None]:
    corpus = yield from _opened(config, workspace)
    if skipped := corpus.skipped:
        noun = "binary file was" if skipped == 1 else "binary files were"
        yield Notice(message=f"{skipped:,} {noun} left out")
    yield from _prepared(config, corpus)
    if config.val_fraction:
        yield from _counted(corpus)
    reading = _Reading()
    pieces = yield from _read(config, corpus, reading)
    tokens = yield from _merged(config, pieces)
    vocabulary = _vocabulary(config, tokens)
    if len(vocabulary.ranks) < config.vocab_size:
        message = (
            f"The text is too short for {config.vocab_size:,} tokens: "
            f"the vocabulary has {len(vocabulary.ranks):,}"
        )
        yield Notice(message=message, level="warning")
    held_out = list(_held_out(corpus, config.val_fraction)) or reading.beginning
    bytes_per_token = _bytes_per_token(vocabulary, held_out)
    yield from _publish(vocabulary, directory)
    yield Finished(
        seconds=time.monotonic() - began,
        summary={
            "vocab_size": len(vocabulary.ranks),
            "n_vocab": vocabulary.n_vocab,
            "merges": len(tokens) - 256,
            "bytes": reading.counted,
            "bytes_per_token": round(bytes_per_token, 3),
            "directory": workspace.relative(directory),
        },
    )


def _opened(
    config: TokenizerConfig, workspace: Workspace
) -> Generator[Event, Command | None, Corpus]:
    """The corpus; what comes from the network is fetched, what is prepared decoded."""
    source = SOURCES.get(config.corpus)
    if not config.text_file and (source is None or source.network):
        directory = workspace.directory_of(config)
        directory.mkdir(parents=True, exist_ok=True)
        publish.sweep(directory)
        limit = config.max_bytes or _MOST_BYTES
        if source is None:
            dataset = workspace.locate("data", str(config.data_dir), key="data_dir")
            return (yield from decoded(dataset, directory, max_bytes=limit))
        data = _source(config)
        return (yield from fetched(data, workspace.root / CORPORA, directory, max_bytes=limit))
    return open_corpus(
        "text" if config.text_file else config.corpus,
        paths=config.text_file,
        sample=config.corpus_sample or "all",
        text_field=config.text_field,
        encoding_errors=config.encoding_errors,
    )


def _source(config: TokenizerConfig) -> DataConfig:
    """The corpus as data preparation names it."""
    values: dict[str, Any] = {"source": config.corpus, "ds_sample": config.corpus_sample}
    if config.corpus == "hub":
        keys = ("dataset", "subset", "split", "revision", "text_field")
        values |= {key: getattr(config, key) for key in keys}
    return build(DataConfig, values)


def _prepared(config: TokenizerConfig, corpus: Corpus) -> Iterator[Event]:
    """Load, and where this was never done compile, the hot loops beside the job, so that it can
    be stopped meanwhile. The thread is not a daemon: machine code is better not cut off."""
    thread = threading.Thread(target=_make_ready, args=(config.pattern,), name="compile")
    thread.start()
    while thread.is_alive():
        yield Progress(
            phase="reading", done=0, total=corpus.total_bytes, unit="bytes", note="preparing"
        )
        thread.join(_TICK_SECONDS)


def _make_ready(pattern: str) -> None:
    from talm_core.tokenizer.compilation import make_ready

    make_ready(patterns.NAMED[pattern])


def _counted(corpus: Corpus) -> Iterator[Event]:
    """Count documents, where only reading tells how many there are, to know which are the last."""
    if corpus.counted:
        return
    done, rate = 0, _Rate()
    for read in corpus.count():
        done += read
        if rate.due():
            yield rate.progress("counting", done, corpus.files_bytes, "bytes")


def _read(
    config: TokenizerConfig, corpus: Corpus, reading: _Reading
) -> Generator[Event, None, Pieces]:
    from talm_core.tokenizer.counting import count_pieces

    rate = _Rate()

    def progress() -> Progress:
        whole = round(corpus.total_bytes * (1 - config.val_fraction))
        if not corpus.counted and corpus.position:
            # What was read so far tells how much text the files hold.
            whole = max(reading.bytes, reading.bytes * corpus.files_bytes // corpus.position)
        total = whole if config.max_bytes is None else min(whole, config.max_bytes)
        return rate.progress("reading", reading.counted, total, "bytes")

    yield progress()
    parts = reading.parts(training_parts(corpus, config.val_fraction), config.max_bytes)
    counting = count_pieces(parts, patterns.NAMED[config.pattern])
    try:
        while True:
            reading.counted += next(counting)
            if rate.due():
                yield progress()
    except StopIteration as done:
        pieces: Pieces = done.value
    finally:
        counting.close()
    yield rate.progress("reading", reading.counted, reading.counted, "bytes")
    return pieces


def _first_bytes(text: str, count: int) -> str:
    """As much of a text as fits into so many bytes, in whole characters."""
    return text[:count].encode()[:count].decode("utf-8", "ignore")


def _merged(config: TokenizerConfig, pieces: Pieces) -> Generator[Event, None, list[bytes]]:
    """Merge; returns the bytes of every id, bytes that came out twice still twice."""
    from talm_core.tokenizer.merging import Merger
    from talm_core.tokenizer.trainer import extend, single_bytes

    tokens = single_bytes()
    first, goal = len(tokens), config.vocab_size - len(tokens)
    told = first
    rate = _Rate()
    merger = Merger(pieces, goal)
    whole = merger.tokens
    yield rate.progress("merging", 0, goal, "merges")
    for merges in merger.run():
        extend(tokens, merges)
        if rate.due():
            yield rate.progress("merging", len(tokens) - first, goal, "merges")
            if told < len(tokens):
                yield _newest(tokens, told, whole / max(1, merger.tokens))
                told = len(tokens)
    yield rate.progress("merging", len(tokens) - first, len(tokens) - first, "merges")
    if told < len(tokens):
        yield _newest(tokens, told, whole / max(1, merger.tokens))
    return tokens


def _newest(tokens: list[bytes], told: int, bytes_per_token: float) -> Merged:
    newest = tokens[told:][-_NEWEST:]
    return Merged(
        vocab_size=len(tokens),
        newest=[readable(token[:_LONGEST_SHOWN]) for token in newest],
        bytes_per_token=bytes_per_token,
    )


def _vocabulary(config: TokenizerConfig, tokens: list[bytes]) -> Vocabulary:
    """Raises:
    ConfigError: a special token is also a token that was learned.
    """
    from talm_core.tokenizer.trainer import from_tokens

    pattern = patterns.NAMED[config.pattern]
    vocabulary = from_tokens(config.name, pattern, tokens, config.special_tokens)
    hint = "choose one that no text has, such as <|name|>"
    problems = [
        Problem("special_tokens", "is also a token that was learned from the text", text, hint)
        for text in config.special_tokens
        if text.encode() in vocabulary.ranks
    ]
    if problems:
        raise ConfigError(*problems)
    return vocabulary


def _held_out(corpus: Corpus, val_fraction: float) -> Iterator[str]:
    """Texts the tokenizer did not see, as much as a sample needs; none when it saw all."""
    left = _SAMPLE_CHARACTERS
    for _, text in validation_parts(corpus, val_fraction):
        yield text[:left]
        left -= len(text)
        if left <= 0:
            break


def _bytes_per_token(vocabulary: Vocabulary, texts: Iterable[str]) -> float:
    from talm_core.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_vocabulary(vocabulary)
    size = tokens = 0
    for text in texts:
        size += byte_length(text)
        tokens += len(tokenizer.ids(text))
    return size / max(tokens, 1)


def _publish(vocabulary: Vocabulary, directory: Path) -> Iterator[Event]:
    """Write the files. How a large vocabulary was merged takes a second to be found out: on a
    thread, so that the job can be stopped meanwhile."""
    with ThreadPoolExecutor(1, thread_name_prefix="publish") as pool:
        made = pool.submit(huggingface_files, vocabulary)
        while not made.done():
            yield Progress(phase="writing", done=0, total=0, unit="tokens")
            wait([made], _TICK_SECONDS)
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in made.result().items():
        publish.write_text(directory / name, text)
    vocabulary.save(directory / FILE_NAME)
