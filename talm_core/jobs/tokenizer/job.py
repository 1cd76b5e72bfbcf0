"""The job that trains a tokenizer: text is read and counted, then merged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talm_core.data.local.corpus import Corpus, divided_parts, open_corpus, reading_of
from talm_core.data.local.parts import byte_length
from talm_core.data.sources import SOURCES
from talm_core.data.special_text import WrittenTokens, told, without_tokens
from talm_core.errors import ConfigError, Problem
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.dataset.texts import CORPORA, tell
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.jobs.tokenizer.sample import Reading, Sample, beginning, corpus_name
from talm_core.runtime.context import JobContext
from talm_core.runtime.events import Event, Finished, Merged, Notice, Progress, Started
from talm_core.runtime.process import UNFINISHED
from talm_core.settings.schema import build
from talm_core.storage import atomic
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer import patterns
from talm_core.tokenizer.hf import huggingface_files
from talm_core.tokenizer.ranks import SINGLE_BYTES, extend, from_tokens, single_bytes
from talm_core.tokenizer.small import SmallMerger, beginning_of, small_pieces
from talm_core.tokenizer.vocabulary import FILE_NAME, Vocabulary, ordinary, readable

if TYPE_CHECKING:
    from talm_core.tokenizer.merging import Merger

_TICK_SECONDS = 0.1
_NEWEST = 12
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


def train_tokenizer(ctx: JobContext, config: TokenizerConfig) -> None:
    """The job. `tokencoder.json` is written last: where it is, everything is.

    Raises:
        CorpusError: text that cannot be used.
        ConfigError: a special token turned out to be a token of the vocabulary.
    """
    began = time.monotonic()
    ctx.emit(Started(job=config.kind, name=config.artifact))
    try:
        summary = _train(ctx, config)
    finally:
        # What was fetched to learn from.
        atomic.sweep(ctx.directory)
    ctx.emit(Finished(seconds=time.monotonic() - began, summary=summary))


def _train(ctx: JobContext, config: TokenizerConfig) -> dict[str, Any]:
    """Learn, and write what was learned; returns what is summed up of it."""
    workspace, report = ctx.workspace, ctx.report
    corpus = _open(ctx, config)
    if not corpus.counted and (config.val_fraction or config.unreadable_files == "leave_out"):
        _measure(corpus, report)
    tell(corpus, report)
    reading = Reading(config.max_bytes)
    tokens = _merge(config, _merger(config, corpus, reading, report), report)
    vocabulary = _vocabulary(config, tokens)
    if len(vocabulary.ranks) < config.vocab_size:
        message = (
            f"The text is too short for {config.vocab_size:,} tokens: "
            f"the vocabulary has {len(vocabulary.ranks):,}"
        )
        report(Notice(message=message, level="warning"))
    sample = _sample(config, workspace, corpus, reading)
    bytes_per_token = _bytes_per_token(vocabulary, sample.texts)
    _publish(vocabulary, sample if config.fetched else None, ctx.directory, report)
    return {
        "vocab_size": len(vocabulary.ranks),
        "n_vocab": vocabulary.n_vocab,
        "merges": len(tokens) - 256,
        "bytes": reading.bytes,
        "bytes_per_token": round(bytes_per_token, 3),
        "directory": workspace.relative(ctx.directory),
    }


def _open(ctx: JobContext, config: TokenizerConfig) -> Corpus:
    """The corpus; what comes from the network is fetched, what is prepared decoded."""
    source = SOURCES.get(config.corpus)
    if config.fetched:
        # Not at the top: local text does without the network, and without shards.
        from talm_core.jobs.dataset.fetching import decoded, fetched

        workspace, directory = ctx.workspace, ctx.directory
        directory.mkdir(parents=True, exist_ok=True)
        atomic.sweep(directory)
        limit = config.most_bytes
        assert limit is not None
        if source is None:
            dataset = workspace.locate("data", str(config.data_dir), key="data_dir")
            return decoded(dataset, directory, ctx.report, max_bytes=limit)
        corpora = workspace.root / CORPORA
        return fetched(_source(config), corpora, directory, ctx.report, max_bytes=limit)
    return open_corpus(
        "text" if config.text_file else config.corpus,
        paths=config.text_file,
        sample=config.corpus_sample or "all",
        **reading_of(config),
    )


def _source(config: TokenizerConfig) -> DataConfig:
    """The corpus as data preparation names it."""
    values: dict[str, Any] = {"source": config.corpus, "ds_sample": config.corpus_sample}
    if config.corpus == "hub":
        keys = ("dataset", "subset", "split", "revision", "text_field", "encoding_errors")
        values |= {key: getattr(config, key) for key in keys}
    return build(DataConfig, values)


def _prepare(config: TokenizerConfig, corpus: Corpus, report: Callable[[Event], None]) -> None:
    """Load, and where this was never done compile, the hot loops beside the job, so that it can
    be stopped meanwhile. The thread cannot be: a process that is stopped does not wait for it."""
    thread = threading.Thread(
        target=_make_ready, args=(config.pattern,), name=UNFINISHED, daemon=True
    )
    thread.start()
    while thread.is_alive():
        report(
            Progress(
                phase="reading", done=0, total=corpus.total_bytes, unit="bytes", note="preparing"
            )
        )
        thread.join(_TICK_SECONDS)


def _make_ready(pattern: str) -> None:
    from talm_core.tokenizer.compilation import make_ready

    make_ready(patterns.NAMED[pattern])


def _measure(corpus: Corpus, report: Callable[[Event], None]) -> None:
    """Find out, where only reading tells, how much text there is, to know which is the last."""
    done, total, rate = 0, corpus.files_bytes, _Rate()
    for read in corpus.count():
        done += read
        if rate.due():
            report(rate.progress("counting", min(done, total), total, "bytes"))


def _merger(
    config: TokenizerConfig, corpus: Corpus, reading: Reading, report: Callable[[Event], None]
) -> Merger | SmallMerger:
    """What merges the text, which is read and counted: in plain Python where there is so little of
    it that this takes less time than to load the compiled loops."""
    pattern, merges = patterns.NAMED[config.pattern], config.vocab_size - SINGLE_BYTES
    rate, done = _Rate(), 0

    def progress() -> Progress:
        whole = round(corpus.total_bytes * (1 - config.val_fraction))
        if not corpus.counted and corpus.position:
            # What was read so far tells how much text the files hold.
            whole = max(reading.bytes, reading.bytes * corpus.files_bytes // corpus.position)
        total = whole if config.max_bytes is None else min(whole, config.max_bytes)
        return rate.progress("reading", done, total, "bytes")

    def counted(size: int) -> None:
        nonlocal done
        done += size
        if rate.due():
            report(progress())

    report(progress())
    parts = reading.learned(divided_parts(corpus, config.val_fraction), lambda: counted(0))
    written = WrittenTokens(config.special_tokens, config.special_text)
    parts = without_tokens(parts, written)
    first = list(beginning_of(parts))
    found = small_pieces(first, parts, pattern, counted)
    if found is not None:
        report(rate.progress("reading", done, done, "bytes"))
        _tell_written(config, written, report)
        return SmallMerger(found, merges)
    _prepare(config, corpus, report)
    # Not at the top: they load numba.
    from talm_core.tokenizer.counting import count_pieces
    from talm_core.tokenizer.merging import Merger

    done = 0
    pieces = count_pieces(chain(first, parts), pattern, counted=counted)
    report(rate.progress("reading", done, done, "bytes"))
    _tell_written(config, written, report)
    return Merger(pieces, merges)


def _tell_written(
    config: TokenizerConfig, written: WrittenTokens, report: Callable[[Event], None]
) -> None:
    """Say which special tokens were written out in the text, and what they were taken for."""
    if special := told(written.counts, config.special_text):
        report(Notice(message=special))


def _merge(
    config: TokenizerConfig, merger: Merger | SmallMerger, report: Callable[[Event], None]
) -> list[bytes]:
    """Merge; returns the bytes of every id, bytes that came out twice still twice."""
    tokens = single_bytes()
    first, goal = len(tokens), config.vocab_size - len(tokens)
    told = first
    rate = _Rate()
    whole = merger.tokens
    report(rate.progress("merging", 0, goal, "merges"))
    for merges in merger.run():
        extend(tokens, merges)
        if rate.due():
            report(rate.progress("merging", len(tokens) - first, goal, "merges"))
            if told < len(tokens):
                report(_newest(tokens, told, whole / max(1, merger.tokens)))
                told = len(tokens)
    report(rate.progress("merging", len(tokens) - first, len(tokens) - first, "merges"))
    if told < len(tokens):
        report(_newest(tokens, told, whole / max(1, merger.tokens)))
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
    pattern = patterns.NAMED[config.pattern]
    vocabulary = from_tokens(config.name, pattern, tokens, config.special_tokens)
    hint = "choose one that no text has, such as <|name|>"
    problems = [
        Problem("special_tokens", "is also a token that was learned from the text", text, hint)
        for text in config.special_tokens
        if ordinary(text, vocabulary.ranks) is not None
    ]
    if problems:
        raise ConfigError(*problems)
    return vocabulary


def _sample(
    config: TokenizerConfig, workspace: Workspace, corpus: Corpus, reading: Reading
) -> Sample:
    """What the tokenizer is measured on: of a dataset its validation part, if there is one."""
    name = corpus_name(config) if config.fetched else corpus.name
    if not config.text_file and config.corpus == "dataset":
        from talm_core.data.reader import Documents

        dataset = workspace.locate("data", str(config.data_dir), key="data_dir")
        if texts := beginning(text for _, text in Documents(dataset).parts("val")):
            return Sample(about=f"held out of {name}", seen=False, texts=texts)
    return reading.sample(name)


def _bytes_per_token(vocabulary: Vocabulary, texts: Iterable[str]) -> float:
    from talm_core.tokenizer.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_vocabulary(vocabulary)
    size = tokens = 0
    for text in texts:
        size += byte_length(text)
        tokens += len(tokenizer.ids(text))
    return size / max(tokens, 1)


def _publish(
    vocabulary: Vocabulary,
    sample: Sample | None,
    directory: Path,
    report: Callable[[Event], None],
) -> None:
    """Write the files. How a large vocabulary was merged takes a second to be found out: on a
    thread, so that the job can be stopped meanwhile."""
    with ThreadPoolExecutor(1, thread_name_prefix="publish") as pool:
        made = pool.submit(huggingface_files, vocabulary)
        while not made.done():
            report(Progress(phase="writing", done=0, total=0, unit="tokens"))
            wait([made], _TICK_SECONDS)
    directory.mkdir(parents=True, exist_ok=True)
    if sample is not None:
        sample.save(directory)
    for name, text in made.result().items():
        atomic.write_text(directory / name, text)
    vocabulary.save(directory / FILE_NAME)
