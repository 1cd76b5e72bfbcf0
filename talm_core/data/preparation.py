"""The job that turns documents into token shards.

Documents are read, encoded on all cores and written at the same time, in an order that depends on
nothing but their names; the result is the same byte for byte on any machine with the same text,
tokenizer and settings. Which part is for validation depends on how much there is:

- from two shards on, the first shard is `val_000001`, the others are `train_000001` and on;
- less than that, and the last documents are for validation (`corpus.training_documents` gives the
  others), so that a tokenizer can be trained without having seen them.

`manifest.json` is written last: a directory with one is complete.
"""

from __future__ import annotations

import errno
import itertools
import shutil
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from talm_core.config import DataConfig
from talm_core.data.corpus import (
    Document,
    open_corpus,
    validation_count,
    validation_cut,
)
from talm_core.data.encoding import Encoded, Encoder
from talm_core.data.manifest import Manifest, Shard, Split, TokenizerInfo
from talm_core.data.shards import ShardWriter, Tokens, dtype_for, open_shard
from talm_core.data.unfinished import Place, Unfinished
from talm_core.errors import CorpusError, InputError, Problem, RunError, WorkspaceError
from talm_core.events import Command, Event, Finished, Notice, Progress, Started
from talm_core.hardware import cores
from talm_core.publish import sweep
from talm_core.tokenizer.vocabulary import FILE_NAME, Vocabulary, find_vocabulary
from talm_core.workspace import Workspace

_YIELD_SECONDS = 0.1
_COPY_TOKENS = 1 << 20

# Bytes of text a token stands for when a tokenizer fits badly; three to five are usual.
_FEWEST_BYTES_PER_TOKEN = 2

_VAL: tuple[Split, int] = ("val", 1)

Events = Generator[Event, Command | None, None]
Written = Generator[Event, Command | None, list[Shard]]


def prepare_data(config: DataConfig, workspace: Workspace) -> Events:
    """The job. What a stopped one has finished of a large corpus is gone on with.

    Raises:
        CorpusError: text that is not UTF-8, or too little of it.
        ArtifactError: the tokenizer is missing or damaged.
        WorkspaceError: the disk has too little room for what is expected.
        RunError: the disk became full.
    """
    yield from Preparation(config, workspace).events()


class Preparation:
    """One run of the job."""

    def __init__(
        self, config: DataConfig, workspace: Workspace, *, threads: int | None = None
    ) -> None:
        """`threads` is how many encode at the same time; None means one for each core."""
        self._config = config
        self._directory = workspace.directory_of(config)
        self._relative = workspace.relative(self._directory)
        self._threads = threads or cores()
        self._corpus = open_corpus(
            config.source,
            paths=config.path,
            sample=config.sample,
            text_field=config.text_field,
            encoding_errors=config.encoding_errors,
        )
        self._vocabulary = Vocabulary.load(
            find_vocabulary(workspace, config.tokenizer_path, key="tokenizer_path")
        )
        self._end_of_text = self._vocabulary.end_of_text
        self._dtype = dtype_for(self._vocabulary.n_vocab)
        self._size = config.shard_size
        self._layout: dict[str, Any] = {
            "shard_size": self._size,
            "token_bytes": np.array(self._vocabulary.token_bytes(), np.int64),
            "end_of_text": self._end_of_text,
            "dtype": self._dtype,
        }
        self._writers: list[ShardWriter] = []
        self._began = self._last_yield = 0.0
        self._tokens_before = self._bytes_before = 0
        self._before: list[Shard] = []

    def events(self) -> Events:
        """Do it, from the last complete shard on."""
        self._began = self._last_yield = time.monotonic()
        self._directory.mkdir(parents=True, exist_ok=True)
        sweep(self._directory)
        self._unfinished = Unfinished.load(
            self._directory, fingerprint=self._fingerprint(), dtype=self._dtype
        )
        done = self._before = list(self._unfinished.shards)
        self._bytes_before = sum(shard.bytes for shard in done)
        self._tokens_before = sum(shard.tokens for shard in done)
        config = self._config
        yield Started(job=config.kind, name=config.artifact, resumed_from=len(done) or None)
        if skipped := self._corpus.skipped:
            noun = "binary file was" if skipped == 1 else "binary files were"
            yield Notice(message=f"{skipped:,} {noun} left out")
        yield from self._counted()
        self._check_space()
        yield self._progress()
        manifest = yield from self._shards()
        yield self._progress(complete=True)
        tokens = manifest.train_tokens + manifest.val_tokens
        text_bytes = manifest.train_bytes + manifest.val_bytes
        yield Finished(
            seconds=time.monotonic() - self._began,
            summary={
                "tokens": tokens,
                "train_tokens": manifest.train_tokens,
                "val_tokens": manifest.val_tokens,
                "documents": manifest.documents,
                "bytes": text_bytes,
                "bytes_per_token": round(text_bytes / tokens, 4),
                "shards": len(manifest.shards),
                "directory": self._relative,
            },
        )

    def _fingerprint(self) -> str:
        """What must be the same for the shards of another run to be this run's."""
        config = self._config
        parts = (config.source, self._corpus.listing, self._vocabulary.identity)
        return "|".join(map(str, (*parts, config.max_tokens, self._size, config.val_fraction)))

    def _counted(self) -> Events:
        """Count what is to be read, where only reading tells, and reckon limits from it."""
        corpus = self._corpus
        if not corpus.counted:
            done = 0
            for read in corpus.count():
                done += read
                if self._is_time():
                    yield Progress(
                        phase="counting", done=done, total=corpus.files_bytes, unit="bytes"
                    )
        # A token is at least a byte, and each document has one in front, the two parts of a
        # single one both.
        self._most_tokens = corpus.total_bytes + len(corpus) + 1
        self._limit = min(self._config.max_tokens or self._most_tokens, self._most_tokens)

    def _shards(self) -> Generator[Event, Command | None, Manifest]:
        """Write everything. What nothing can go on with is removed when it fails."""
        complete = False
        try:
            with _disk_errors(self._directory):
                self._encoder = Encoder(self._vocabulary)
                if self._limit < 2 * self._size:
                    shards = yield from self._divided()
                else:
                    shards = yield from self._streamed()
                manifest = self._publish(shards)
            complete = True
        except InputError:
            self._unfinished.shards.clear()
            raise
        finally:
            # Stopped, or the disk is full: complete shards that are remembered stay.
            if not complete and not self._unfinished.shards:
                self._unfinished.clear()
        self._unfinished.forget()
        return manifest

    def _publish(self, shards: list[Shard]) -> Manifest:
        vocabulary = self._vocabulary
        manifest = Manifest(
            source=self._config.source,
            sample=self._config.sample,
            tokenizer=TokenizerInfo(
                name=vocabulary.name, identity=vocabulary.identity, n_vocab=vocabulary.n_vocab
            ),
            dtype=self._dtype,
            shards=shards,
        )
        vocabulary.save(self._directory / FILE_NAME)
        manifest.save(self._directory)
        return manifest

    # --- a small corpus ----------------------------------------------------------------------

    def _divided(self) -> Written:
        """The last documents, or the end of a single one, are for validation."""
        val_limit = self._limit
        if self._limit < self._most_tokens:
            share = round(self._limit * self._config.val_fraction)
            val_limit = min(max(1, share), self._limit - 1)
        train, val = self._halves()
        with self._writer(_names("val")) as val_writer:
            yield from self._write(val, val_writer, limit=val_limit)
        with self._writer(_names("train")) as train_writer:
            yield from self._write(train, train_writer, limit=self._limit - val_writer.tokens)
        return val_writer.shards + train_writer.shards

    def _halves(self) -> tuple[Iterator[Document], Iterator[Document]]:
        """The documents for training and those for validation."""
        corpus, fraction = self._corpus, self._config.val_fraction
        if len(corpus) > 1:
            cut = len(corpus) - validation_count(len(corpus), fraction)
            return corpus.documents(0, cut), corpus.documents(cut)
        (document,) = corpus.documents()
        if len(document.text) < 2:
            message = "is too short to keep a part for validation"
            raise CorpusError(Problem(corpus.name, message))
        at = validation_cut(document.text, fraction)
        train, val = document.text[:at], document.text[at:]
        return iter([Document(document.name, train)]), iter([Document(document.name, val)])

    def _write(self, documents: Iterable[Document], writer: ShardWriter, *, limit: int) -> Events:
        with closing(self._encoded(documents)) as stream:
            for encoded in stream:
                if encoded is not None:
                    writer.write(encoded.tokens[: limit - writer.tokens])
                    if writer.tokens == limit:
                        return
                if self._is_time():
                    yield self._progress()

    # --- a large one -------------------------------------------------------------------------

    def _streamed(self) -> Written:
        """One shard after the other, the first for validation. Each is remembered, so that a run
        that was interrupted goes on after it."""
        done, corpus = self._unfinished, self._corpus
        before = list(done.shards)
        names = itertools.chain([_VAL], _names("train"))
        place = Place(
            document=done.document,
            start=self._tokens_before - done.tokens,
            val_document=len(corpus) - validation_count(len(corpus), self._config.val_fraction),
            train_end=done.train_end,
        )
        documents = corpus.documents(done.document)
        with (
            self._writer(itertools.islice(names, len(before), None)) as writer,
            closing(self._encoded(documents, first=done.document)) as stream,
        ):
            for encoded in stream:
                if encoded is not None:
                    self._append(encoded, writer, place)
                    if self._tokens == self._limit:
                        break
                if self._is_time():
                    yield self._progress()
        if self._tokens >= 2 * self._size:
            return before + writer.shards
        # Less than the number of bytes let expect.
        return (yield from self._divided_after_all(before + writer.shards, place.train_end))

    def _append(self, encoded: Encoded, writer: ShardWriter, place: Place) -> None:
        """Write a batch, and remember each shard that it completes."""
        done, tokens = self._unfinished, encoded.tokens
        # What an earlier run has written of the first document is passed over.
        at = max(0, self._tokens - place.end)
        place.enter(encoded, self._end_of_text)
        while at < len(tokens) and self._tokens < self._limit:
            part = tokens[at : at + min(writer.room, self._limit - self._tokens)]
            shards = len(writer.shards)
            writer.write(part)
            at += len(part)
            if len(writer.shards) > shards:
                done.shards.append(writer.shards[-1])
                done.document, done.tokens = place.of(self._tokens)
                done.train_end = place.train_end
                done.save()

    def _divided_after_all(self, shards: list[Shard], train_end: int | None) -> Written:
        """Turn the shards of a large corpus into those of a small one."""
        self._unfinished.shards.clear()
        self._unfinished.forget()
        if len(self._corpus) == 1:
            # Its text is divided, not its tokens, which may be others then.
            self._unfinished.clear()
            self._writers.clear()
            self._tokens_before = self._bytes_before = 0
            self._before.clear()
            self._limit = self._most_tokens
            return (yield from self._divided())
        assert train_end is not None, "every document has been encoded"
        # Files that are replaced stay readable while they are mapped.
        streams = [open_shard(self._directory, shard, dtype=self._dtype) for shard in shards]
        halves = []
        parts: tuple[tuple[Split, int, int], ...] = (
            ("val", train_end, self._tokens),
            ("train", 0, train_end),
        )
        for split, start, stop in parts:
            writer = ShardWriter(self._directory, _names(split), **self._layout)
            with writer:
                for part in _between(streams, start, stop):
                    writer.write(part)
                    if self._is_time():
                        yield self._progress()
            halves += writer.shards
        return halves

    # --- small things ------------------------------------------------------------------------

    def _writer(self, names: Iterator[tuple[Split, int]]) -> ShardWriter:
        """A writer whose tokens count as progress."""
        writer = ShardWriter(self._directory, names, **self._layout)
        self._writers.append(writer)
        return writer

    def _encoded(
        self, documents: Iterable[Document], *, first: int = 0
    ) -> Generator[Encoded | None, None, None]:
        batches = self._encoder.batches(documents, first=first)
        return self._encoder.run(batches, threads=self._threads)

    @property
    def _tokens(self) -> int:
        return self._tokens_before + sum(writer.tokens for writer in self._writers)

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now - self._last_yield < _YIELD_SECONDS:
            return False
        self._last_yield = now
        return True

    def _progress(self, *, complete: bool = False) -> Progress:
        tokens, total = self._tokens, self._corpus.total_bytes
        done = self._bytes_before + sum(writer.text_bytes for writer in self._writers)
        if complete:
            total = done
        elif tokens and self._limit < self._most_tokens:
            total = min(total, done * self._limit // tokens)
        seconds = time.monotonic() - self._began
        new = done - self._bytes_before
        rate = new / seconds if new and seconds > _YIELD_SECONDS else None
        return Progress(
            phase="tokenizing",
            done=done,
            total=total,
            unit="bytes",
            rate=rate,
            eta=max(0, total - done) / rate if rate else None,
            counts=self._counts(seconds),
        )

    def _counts(self, seconds: float) -> dict[str, int]:
        """What there is so far, with what earlier runs have left."""
        before, writers = self._before, self._writers
        tokens = self._tokens
        new = tokens - self._tokens_before
        return {
            "tokens": tokens,
            "tokens_per_second": round(new / seconds) if seconds > _YIELD_SECONDS else 0,
            "documents": sum(shard.documents for shard in before)
            + sum(writer.documents for writer in writers),
            "bytes_in": self._bytes_before + sum(writer.text_bytes for writer in writers),
            "bytes_out": tokens * np.dtype(self._dtype).itemsize,
            "shards": len(before) + sum(len(writer.shards) for writer in writers),
            "retries": 0,
        }

    def _check_space(self) -> None:
        """Refuse to begin what the disk will not hold."""
        likely = self._corpus.total_bytes // _FEWEST_BYTES_PER_TOKEN + len(self._corpus) + 1
        tokens = min(self._limit, likely)
        if self._limit >= 2 * self._size and likely < 8 * self._size:
            # It may have to be written twice.
            tokens += min(tokens, 2 * self._size)
        needed = (tokens - self._tokens_before) * np.dtype(self._dtype).itemsize
        free = shutil.disk_usage(self._directory).free
        if needed > free:
            message = f"has {free / 1e6:,.0f} MB free, the dataset may need {needed / 1e6:,.0f} MB"
            hint = "make room, choose another workspace, or set max_tokens"
            raise WorkspaceError(Problem("workspace", message, str(self._directory), hint))


def _names(split: Split) -> Iterator[tuple[Split, int]]:
    return ((split, number) for number in itertools.count(1))


def _between(shards: list[Tokens], start: int, stop: int) -> Iterator[Tokens]:
    """The tokens from `start` to before `stop` of shards that follow each other, in pieces."""
    base = 0
    for shard in shards:
        low, high = max(0, start - base), min(len(shard), stop - base)
        for at in range(low, high, _COPY_TOKENS):
            yield shard[at : min(high, at + _COPY_TOKENS)]
        base += len(shard)


@contextmanager
def _disk_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        message = f"the disk is full: make room for {directory} and run the same again"
        raise RunError(message) from error
