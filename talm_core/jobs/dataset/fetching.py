"""The beginning of a source on the network or of a prepared dataset, as a file on this machine.

A tokenizer learns from a part of a corpus and reads it in its own way, several times. What it
needs of a dataset is fetched first, into a file of JSON Lines that is removed with the rest of what
was temporary; the blocks it came from stay in `corpora/` for the preparation that follows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from talm_core.data.disk_space import Expected, Room
from talm_core.data.local.corpus import Corpus, open_corpus
from talm_core.data.local.parts import byte_length
from talm_core.data.reader import Documents
from talm_core.data.sources import SOURCES, FileSource
from talm_core.errors import CorpusError, Problem, RunError
from talm_core.jobs.dataset import texts
from talm_core.jobs.dataset.config import DataConfig
from talm_core.runtime.events import Event, Progress
from talm_core.storage.atomic import PREFIX
from talm_core.tokenizer.patterns import CUT

if TYPE_CHECKING:
    from talm_core.data.hub.network import Network, Patience
    from talm_core.data.hub.parquet import Stream

_YIELD_SECONDS = 0.1
_LONG_LINE = 1 << 22


def fetched(
    config: DataConfig,
    corpora: Path,
    directory: Path,
    report: Callable[[Event], None],
    *,
    max_bytes: int,
    patience: Patience | None = None,
) -> Corpus:
    """The documents of a source on the network, at least `max_bytes` of text if it has so much.
    `corpora` keeps downloads; a temporary file is left in `directory`.

    Raises:
        CorpusError: the dataset is not there, not for us, or empty.
        WorkspaceError: the disk has too little room.
        RunError: the network is gone.
    """
    from talm_core.data.hub.network import Network, awaited

    source = SOURCES[config.source]
    network = Network(patience)

    def waiting() -> Progress:
        return Progress(phase="connecting", done=0)

    try:
        if isinstance(source, FileSource):
            return awaited(
                network, lambda: texts.fetched_corpus(source, corpora, network), waiting, report
            )
        Room(directory, 1).check(Expected(max_bytes, max_bytes))
        stream = awaited(
            network, lambda: texts.hub_stream(config, corpora, network, None), waiting, report
        )
        path = directory / f"{PREFIX}corpus.jsonl"
        with path.open("w", encoding="utf-8", newline="\n") as file:
            _write(stream, network, file, max_bytes, report)
        return open_corpus("text", paths=[str(path)])
    finally:
        network.stop()


def decoded(
    dataset: Path, directory: Path, report: Callable[[Event], None], *, max_bytes: int
) -> Corpus:
    """The documents of a prepared dataset's training part, at least `max_bytes` of text if it has
    so much, read back from its shards. A temporary file is left in `directory`.

    Raises:
        ArtifactError: the dataset is damaged.
        WorkspaceError: the disk has too little room.
    """
    documents = Documents(dataset)
    total = min(max_bytes, documents.manifest.train_bytes)
    Room(directory, 1).check(Expected(total, 0))
    path = directory / f"{PREFIX}corpus.jsonl"
    began = said = time.monotonic()
    done = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for begins, text in _in_lines(documents.parts("train")):
            if begins:
                file.write('"}\n{"text": "' if done else '{"text": "')
            file.write(json.dumps(text, ensure_ascii=False)[1:-1])
            done += byte_length(text)
            now = time.monotonic()
            if now - said >= _YIELD_SECONDS:
                said = now
                rate = done / (now - began)
                eta = max(0, total - done) / rate
                report(
                    Progress(
                        phase="decoding", done=done, total=total, unit="bytes", rate=rate, eta=eta
                    )
                )
            if done >= max_bytes:
                break
        if not done:
            raise CorpusError(Problem("data_dir", "has no text in its training part"))
        file.write('"}\n')
    return open_corpus("text", paths=[str(path)])


def _in_lines(parts: Iterable[tuple[bool, str]]) -> Iterator[tuple[bool, str]]:
    """Parts of documents, of which a long one begins anew where every pattern ends a piece, so that
    no line holds too much. Counting its pieces that makes no difference."""
    length = 0
    for begins, text in parts:
        length = 0 if begins else length
        found = CUT.search(text) if length > _LONG_LINE else None
        if found is not None:
            yield False, text[: found.start()]
            begins, text, length = True, text[found.start() :], 0
        yield begins, text
        length += len(text)


def _write(
    stream: Stream,
    network: Network,
    file: TextIO,
    max_bytes: int,
    report: Callable[[Event], None],
) -> None:
    from talm_core.data.hub.network import GoneError

    began = said = time.monotonic()
    done = 0
    try:
        for document in stream.documents():
            if document is not None and document.text:
                file.write(json.dumps({"text": document.text}, ensure_ascii=False) + "\n")
                done += byte_length(document.text)
            network.report(report)
            now = time.monotonic()
            if now - said >= _YIELD_SECONDS:
                said = now
                rate = done / (now - began)
                total = min(max_bytes, stream.total_bytes(done))
                eta = max(0, total - done) / rate if rate else None
                report(
                    Progress(
                        phase="fetching", done=done, total=total, unit="bytes", rate=rate, eta=eta
                    )
                )
            if done >= max_bytes:
                return
    except GoneError as error:
        if not done:
            raise
        here = f"what is on this machine is {done:,} bytes of text"
        raise RunError(f"{error}; {here}, which max_bytes = {done} asks for") from None
    if not done:
        raise CorpusError(Problem("corpus", "has no text in it"))
