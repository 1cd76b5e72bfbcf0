"""The job that turns documents into token shards.

Documents are read (or fetched), encoded on all cores and written at the same time, in the order
of the source; the result is the same byte for byte on any machine with the same text, tokenizer
and settings, however often it was interrupted. Which part is for validation:

- the first `val_tokens`, where that is set;
- of files on this machine near `val_fraction` of the text, from all over it (`data.division`). It
  is written first, and a tokenizer can be trained on the rest without having seen it;
- of the Hub the first shard, from two shards on; of less, near `val_fraction` of the tokens.

A dataset that was begun before there was `data.division` goes on as it was begun.

`manifest.json` is written last: a directory with one is complete. A dataset that is made longer
keeps what it has, and its manifest, which grows with each shard.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from talm_core.data import split as data_split
from talm_core.data.disk_space import Room, disk_errors
from talm_core.data.encoding import Encoded
from talm_core.data.manifest import FILE_NAME as MANIFEST
from talm_core.data.manifest import Manifest, Shard, Split, TokenizerInfo
from talm_core.data.progress import Tally
from talm_core.data.resume_state import Cursor, Located, Place, Position
from talm_core.data.shards import ShardWriter, dtype_for, open_shard
from talm_core.data.split import PARTS
from talm_core.errors import ArtifactError, ConfigError, CorpusError, InputError, Problem
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.dataset.extent import Extent
from talm_core.jobs.dataset.remarks import remarks
from talm_core.jobs.dataset.texts import CORPORA, Texts, made_of
from talm_core.jobs.dataset.token_reader import TokenReader
from talm_core.runtime.context import JobContext
from talm_core.runtime.events import Finished, Started
from talm_core.storage.atomic import sweep
from talm_core.storage.workspace import Workspace
from talm_core.system.hardware import cores
from talm_core.tokenizer.vocabulary import FILE_NAME, Vocabulary, find_vocabulary

if TYPE_CHECKING:
    from talm_core.data.hub.network import Patience


def prepare_data(ctx: JobContext, config: DataConfig) -> None:
    """The job. What a stopped one has finished of a large corpus is gone on with, and a finished
    dataset that is to have more tokens is appended to.

    Raises:
        CorpusError: text that is not UTF-8, or too little of it; a Hub dataset that is not there.
        ArtifactError: the tokenizer is missing or damaged, or what is there was made of something
            else.
        WorkspaceError: the disk has too little room for what is expected.
        RunError: the disk became full, or the network is gone.
    """
    Preparation(config, ctx.workspace).run(ctx)


class Preparation:
    """One run of the job."""

    def __init__(
        self,
        config: DataConfig,
        workspace: Workspace,
        *,
        threads: int | None = None,
        patience: Patience | None = None,
    ) -> None:
        """`threads` is how many encode at the same time; None means one for each core.
        `patience` says how long a network that fails is borne with."""
        self._config = config
        self._directory = workspace.directory_of(config)
        self._relative = workspace.relative(self._directory)
        self._threads = threads or cores()
        self._texts = Texts(config, workspace.root / CORPORA, patience)
        self._vocabulary = Vocabulary.load(
            find_vocabulary(workspace, config.tokenizer_path, key="tokenizer_path")
        )
        self._made_of = made_of(config, self._texts, self._vocabulary)
        self._end_of_text = self._vocabulary.end_of_text
        self._dtype = dtype_for(self._vocabulary.n_vocab)
        self._size = config.shard_size
        self._layout: dict[str, Any] = {
            "shard_size": self._size,
            "token_bytes": np.array(self._vocabulary.token_bytes(), np.int64),
            "end_of_text": self._end_of_text,
            "dtype": self._dtype,
        }
        self._left_out = 0

    def run(self, ctx: JobContext) -> None:
        """Do it, from the last complete shard on."""
        config, directory = self._config, self._directory
        self._report = ctx.report
        directory.mkdir(parents=True, exist_ok=True)
        sweep(directory)
        self._position = Position.load(directory, made_of=self._made_of, dtype=self._dtype)
        token_bytes = np.dtype(self._dtype).itemsize
        self._tally = Tally(self._position.kept, token_bytes)
        self._room = Room(directory, token_bytes)
        resumed = len(self._tally.before) or None
        ctx.emit(Started(job=config.kind, name=config.artifact, resumed_from=resumed))
        try:
            with disk_errors(directory):
                self._open()
                self._room.check(self._extent.expected())
                ctx.report(self._extent.progress())
                manifest = self._write_all()
        finally:
            self._texts.close()
        self._texts.discard()
        ctx.report(self._extent.progress(complete=True))
        self._reader.report(ctx.report, complete=True)
        for notice in remarks(manifest, config):
            ctx.report(notice)
        ctx.emit(self._finished(manifest))

    def _open(self) -> None:
        """Open the source, and reckon from it how much there is to write."""
        texts, tally, position = self._texts, self._tally, self._position
        connecting, due = tally.connecting, tally.due
        if texts.corpus is not None:
            texts.corpus.missing_are_empty = position.division == 1
        texts.open(position.listing, self._report, connecting=connecting, due=due)
        if texts.stream is not None:
            position.listing = texts.stream.listing
        self._extent = Extent(self._config, texts, position, tally)

    # --- writing -----------------------------------------------------------------------------

    def _write_all(self) -> Manifest:
        """Write everything. What nothing can go on with is removed when it fails."""
        position = self._position
        if not self._tally.before:
            if self._texts.stream is not None and (self._directory / MANIFEST).exists():
                message = "has lost position.json and cannot be made longer"
                problem = Problem(str(self._directory), message, hint="choose a dir_prefix")
                raise ArtifactError(problem)
            position.clear()
        position.sweep()
        complete = False
        try:
            self._reader = TokenReader(
                self._vocabulary, self._config.special_text, threads=self._threads
            )
            self._remembers = self._extent.large
            shards = self._write_streamed() if self._extent.streamed else self._write_divided()
            manifest = self._publish(shards)
            complete = True
        except InputError:
            if self._texts.corpus is not None and not (self._directory / MANIFEST).exists():
                # The text has to be changed, and then these are shards of something else.
                position.clear()
            raise
        finally:
            # Stopped, or the disk is full: complete shards that are remembered stay.
            if not complete and not position.kept:
                position.clear()
        return manifest

    def _publish(self, shards: list[Shard]) -> Manifest:
        vocabulary, listing = self._vocabulary, self._position.listing
        manifest = Manifest(
            source=self._config.source,
            sample=self._config.sample,
            dataset=listing.dataset if listing else None,
            revision=listing.revision if listing else None,
            left_out=self._left_out,
            division=self._position.division,
            tokenizer=TokenizerInfo(
                name=vocabulary.name, identity=vocabulary.identity, n_vocab=vocabulary.n_vocab
            ),
            dtype=self._dtype,
            shards=shards,
        )
        vocabulary.save(self._directory / FILE_NAME)
        manifest.save(self._directory)
        return manifest

    def _write_divided(self) -> list[Shard]:
        """What of a corpus is for validation, then the rest."""
        corpus, position = self._texts.corpus, self._position
        assert corpus is not None
        shards, tail = list(position.shards), position.tail
        cursor, there = position.end, sum(shard.tokens for shard in position.kept)
        self._extends, self._val_goal = (self._directory / MANIFEST).exists(), 0
        self._tally.before = list(shards)
        for part in range(cursor.part, len(PARTS)):
            split = PARTS[part]
            place = Place(cursor, there)
            rule = corpus.rule(self._config.val_fraction, version=position.division)
            documents = data_split.located(
                corpus, rule, split, cursor.row, left_out=cursor.left_out
            )
            number = 1 + sum(shard.split == split for shard in shards)
            with self._writer(data_split.names(split, number)) as writer:
                self._write_again(tail, writer)
                self._write(documents, writer, place, self._extent.goal(split))
            shards += writer.shards
            end = self._cursor(place)
            if self._tokens < self._extent.limit:
                self._left_out = self._texts.left_out
            if self._remembers and split == "train":
                self._remember_end(shards, end)
            cursor, there, tail = Cursor(part=part + 1), self._tokens, None
            if self._remembers and split == "val":
                position.shards[:], position.cursor = shards, cursor
                position.save()
        if {shard.split for shard in shards} != set(PARTS):
            message = "is too short to keep a part for validation"
            raise CorpusError(Problem(corpus.name, message))
        if not self._remembers:
            position.forget()
        return shards

    def _write(
        self,
        documents: Iterable[Located | None],
        writer: ShardWriter,
        place: Place,
        limit: int,
    ) -> None:
        """Write documents from a place on until the dataset has `limit` tokens."""
        with closing(self._reader.encoded(documents)) as stream:
            for encoded in stream:
                if encoded is not None:
                    self._append(encoded, writer, place, limit)
                    if self._tokens == limit:
                        break
                self._tell()

    def _write_again(self, tail: Shard | None, writer: ShardWriter) -> None:
        """Begin a shard with what its shorter self has."""
        if tail is not None:
            old = open_shard(self._directory, tail, dtype=self._dtype)
            for tokens in data_split.between([old], 0, len(old)):
                writer.write(tokens)

    def _write_streamed(self) -> list[Shard]:
        """One shard after the other. Each is remembered, so that a run that was interrupted goes
        on after it."""
        position = self._position
        before, tail = list(position.shards), position.tail
        cursor = position.end
        self._extends = (self._directory / MANIFEST).exists()
        self._val_goal = 0 if position.divided else self._config.val_tokens or self._size
        names = data_split.planned(before, self._val_goal, self._size)
        # The tail is written anew at the beginning of its longer self.
        self._tally.before = before
        place = Place(cursor, sum(shard.tokens for shard in position.kept))
        documents = self._texts.documents(cursor)
        with self._writer(names) as writer:
            self._write_again(tail, writer)
            self._write(documents, writer, place, self._extent.limit)
            end = self._cursor(place)
            if self._tokens < self._extent.limit:
                if self._texts.gone is not None:
                    raise self._extent.ended_early(self._texts.gone)
                self._left_out = self._texts.left_out
        self._check_halves()
        shards = before + writer.shards
        settled = self._config.val_tokens is not None or position.divided
        if not settled and self._tokens < 2 * self._size:
            return self._divide_after_all(shards, end)
        self._remember_end(shards, end)
        return shards

    def _append(self, encoded: Encoded, writer: ShardWriter, place: Place, limit: int) -> None:
        """Write a batch up to the limit, and remember each shard that it completes."""
        tokens = encoded.tokens
        # What an earlier run has written of the first document is passed over.
        at = max(0, self._tokens - place.end)
        place.enter(tokens, encoded.places, self._end_of_text)
        while at < len(tokens) and self._tokens < limit:
            room = min(writer.room, limit - self._tokens)
            if self._tokens < self._val_goal:
                room = min(room, self._val_goal - self._tokens)
            shards = len(writer.shards)
            part = tokens[at : at + room]
            writer.write(part)
            at += len(part)
            if self._tokens == self._val_goal:
                writer.close()
            if len(writer.shards) > shards and self._remembers:
                self._remember(writer.shards[-1], self._cursor(place))

    def _cursor(self, place: Place) -> Cursor:
        """Where what was written so far ends."""
        cursor = place.of(self._tokens)
        self._left_out = self._texts.left_out_before(cursor)
        return cursor.model_copy(update={"left_out": self._left_out})

    def _remember(self, shard: Shard, cursor: Cursor) -> None:
        position = self._position
        position.shards.append(shard)
        position.cursor, position.tail = cursor, None
        position.save()
        if self._extends:
            # So that the dataset stays one while it grows.
            self._publish(list(position.shards))

    def _remember_end(self, shards: list[Shard], end: Cursor) -> None:
        """Remember where a finished dataset ends, to be gone on with when it is to be longer."""
        position = self._position
        if len(shards) > len(position.shards):
            position.tail, position.tail_cursor = shards[-1], end
        position.save()

    def _check_halves(self) -> None:
        """There must be something to train on and something to test with."""
        if self._tokens < 2:
            message = "has no text" if not self._tokens else "has too little text for two parts"
            raise CorpusError(Problem(self._config.artifact, message))
        if self._config.val_tokens is not None and self._tokens <= self._val_goal:
            message = f"the text has only {self._tokens:,} tokens, which leaves none to train on"
            self._position.clear()
            raise ConfigError(Problem("val_tokens", message, self._config.val_tokens))

    def _divide_after_all(self, shards: list[Shard], end: Cursor) -> list[Shard]:
        """Turn the shards of what was thought large into those of a small corpus."""
        position, fraction = self._position, self._config.val_fraction
        position.shards.clear()
        position.tail = None
        position.forget()
        corpus, tally = self._texts.corpus, self._tally
        if corpus is not None and len(corpus) == 1:
            # Its text is divided, not its tokens, which may be others then.
            position.clear()
            tally.writers.clear()
            tally.before.clear()
            self._extent.take_all()
            self._remembers = False
            return self._write_divided()
        # Files that are replaced stay readable while they are mapped.
        streams = [open_shard(self._directory, shard, dtype=self._dtype) for shard in shards]
        end_of_text, version = self._end_of_text, position.division
        stretches = data_split.held_out(streams, end_of_text, fraction, version=version)
        parts = data_split.divided(streams, stretches, end_of_text)
        halves: list[Shard] = []
        for split, tokens in zip(PARTS, parts, strict=True):
            with ShardWriter(self._directory, data_split.names(split), **self._layout) as writer:
                for some in tokens:
                    writer.write(some)
                    self._tell()
            halves += writer.shards
        if self._texts.stream is not None:
            position.shards[:], position.cursor, position.divided = halves, end, True
            position.save()
        return halves

    # --- small things ------------------------------------------------------------------------

    def _writer(self, names: Iterator[tuple[Split, int]]) -> ShardWriter:
        """A writer whose tokens count as progress."""
        writer = ShardWriter(self._directory, names, **self._layout)
        self._tally.writers.append(writer)
        return writer

    @property
    def _tokens(self) -> int:
        return self._tally.tokens

    def _tell(self) -> None:
        """Say what is to be said now, if it is time."""
        self._texts.report(self._report)
        self._reader.report(self._report)
        if self._tally.due():
            self._room.look()
            self._report(self._extent.progress())

    def _finished(self, manifest: Manifest) -> Finished:
        summary: dict[str, Any] = manifest.summary() | {"directory": self._relative}
        return Finished(seconds=self._tally.seconds, summary=summary)
