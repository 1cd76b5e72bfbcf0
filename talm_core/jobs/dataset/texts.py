"""The documents of a source, wherever they are: opened for a job, read from any place on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from talm_core.data.hub.listings import Listings
from talm_core.data.local.corpus import Corpus, open_corpus, reading_of
from talm_core.data.resume_state import Cursor, Listing, Located
from talm_core.data.sources import SOURCES, FileSource, HeritageSample, HubSource, Sample
from talm_core.errors import RunError
from talm_core.jobs.dataset.config import DataConfig
from talm_core.runtime.events import Event, Notice, Progress
from talm_core.storage.atomic import new_file
from talm_core.tokenizer.vocabulary import Vocabulary

# What reaches for the network is loaded where it is used: half a second that local text saves.
if TYPE_CHECKING:
    from talm_core.data.hub.network import GoneError, Network, Patience
    from talm_core.data.hub.parquet import Stream

CORPORA = "corpora"
"""The directory of the workspace in which downloads are kept."""


class Texts:
    """The documents of a job's source.

    `corpus` are those of files, `stream` those of a Hub dataset: one of them is there after
    `open`, that of a source on this machine before. `gone` is why documents ended before the
    source did.
    """

    def __init__(self, config: DataConfig, corpora: Path, patience: Patience | None = None) -> None:
        """`corpora` keeps downloads; `patience` says how long a network that fails is borne with.

        Raises:
            CorpusError: as `open_corpus`.
        """
        self.corpus = local_corpus(config)
        self.stream: Stream | None = None
        self.gone: GoneError | None = None
        self._config = config
        self._corpora = corpora
        self._patience = patience
        self._network: Network | None = None

    def open(
        self,
        listing: Listing | None,
        report: Callable[[Event], None],
        *,
        connecting: Callable[[], Event],
        due: Callable[[], bool],
    ) -> None:
        """Open the source, a Hub dataset as of the `listing` it was begun with, and count what
        only reading tells. Meanwhile `connecting` is reported, or how far that is when it is
        `due`.

        Raises:
            CorpusError: text that cannot be used; a Hub dataset that is not there.
            GoneError: the network is gone.
        """
        config, corpora, source = self._config, self._corpora, SOURCES[self._config.source]
        if source.network:
            from talm_core.data.hub.network import Network, awaited

            network = self._network = Network(self._patience)
            if isinstance(source, FileSource):
                self.corpus = awaited(
                    network, lambda: fetched_corpus(source, corpora, network), connecting, report
                )
            else:
                self.stream = awaited(
                    network,
                    lambda: hub_stream(config, corpora, network, listing),
                    connecting,
                    report,
                )
        if self.corpus is not None:
            _count(self.corpus, due, report)

    @property
    def identity(self) -> str:
        """What tells whether the text is the same, before it is opened. A Hub dataset is pinned
        besides to what it was when it was begun."""
        config, source = self._config, SOURCES[self._config.source]
        if self.corpus is not None:
            return self.corpus.listing
        if isinstance(source, FileSource):
            return source.sha256
        parts = (config.dataset, config.subset, config.split, config.revision, config.text_field)
        named = parts if config.source == "hub" else (config.sample,)
        return " ".join(map(str, filter(None, named)))

    def documents(self, cursor: Cursor) -> Iterator[Located | None]:
        """The documents from a place on; None stands for a moment of waiting. They end where the
        network is needed and `gone`, so that what comes before can be written first."""
        if self.stream is None:
            assert self.corpus is not None
            yield from located(self.corpus, cursor)
            return
        from talm_core.data.hub.network import GoneError

        try:
            place = cursor.part, cursor.row
            begun = cursor.row > 0 or cursor.tokens > 0
            yield from self.stream.documents(*place, left_out=cursor.left_out, begun=begun)
        except GoneError as error:
            self.gone = error

    def likely_bytes(self, done: int) -> int:
        """How much text there is, for all that is known after `done` bytes of it."""
        if self.stream is not None:
            return self.stream.total_bytes(done)
        return self.corpus.total_bytes if self.corpus is not None else 0

    @property
    def left_out(self) -> int:
        """How many rows without a text there were so far."""
        if self.stream is not None:
            return self.stream.left_out
        return self.corpus.gaps.count if self.corpus is not None else 0

    def left_out_before(self, cursor: Cursor) -> int:
        """How many of them come before a place. Each time one that is not before the last."""
        if self.stream is not None:
            return self.stream.left_out_before(cursor.part, cursor.row)
        return self.corpus.gaps.before(0, cursor.row) if self.corpus is not None else 0

    @property
    def retries(self) -> int:
        """How often the network was tried anew."""
        return self._network.retries if self._network else 0

    def report(self, report: Callable[[Event], None]) -> None:
        """Say what there is to tell of the network since the last time."""
        if self._network is not None:
            self._network.report(report)

    def close(self) -> None:
        """Let everything that waits or fetches end."""
        if self._network is not None:
            self._network.stop()

    def discard(self) -> None:
        """Remove what was downloaded and is not to be kept."""
        if self.stream is not None:
            self.stream.discard()


def made_of(config: DataConfig, texts: Texts, vocabulary: Vocabulary) -> dict[str, str]:
    """What must be the same for the shards of another run to be this run's."""
    return {
        "source": f"{config.source}/{config.sample}",
        "text": texts.identity,
        "shard_size": str(config.shard_size),
        "val_tokens": str(config.val_tokens),
        "val_fraction": str(config.val_fraction),
        "tokenizer_path": vocabulary.identity,
    } | ({} if config.special_text == "text" else {"special_text": config.special_text})


def _count(corpus: Corpus, due: Callable[[], bool], report: Callable[[Event], None]) -> None:
    if not corpus.counted:
        done = 0
        for read in corpus.count():
            done += read
            if due():
                total = corpus.files_bytes
                report(Progress(phase="counting", done=done, total=total, unit="bytes"))
    tell(corpus, report)


def tell(corpus: Corpus, report: Callable[[Event], None]) -> None:
    """Say what there is to say of files that were left out, or are not what they seem."""
    for note in corpus.notes:
        report(Notice(message=note))
    if corpus.unreadable:
        report(Notice(message=corpus.unreadable, level="warning"))


def local_corpus(config: DataConfig) -> Corpus | None:
    """The corpus of a source on this machine; None for those on the network.

    Raises:
        CorpusError: as `open_corpus`.
    """
    if SOURCES[config.source].network:
        return None
    return open_corpus(
        config.source,
        paths=config.path,
        sample=config.sample,
        **reading_of(config),
    )


def located(corpus: Corpus, cursor: Cursor) -> Iterator[Located | None]:
    """A corpus' documents from a place on."""
    for part in corpus.parts(start=cursor.row, left_out=cursor.left_out):
        yield Located(0, part.number, part.text, part.begins)


def fetched_corpus(source: FileSource, corpora: Path, network: Network) -> Corpus:
    """The corpus of a single file on the network, fetched if it is not here yet.

    Raises:
        RunError: the network is gone, or the file is another than it was.
    """
    path = corpora / f"{source.name}.txt"
    if not path.is_file() or _sha256(path.read_bytes()) != source.sha256:
        corpora.mkdir(parents=True, exist_ok=True)
        data = network.attempt(lambda: _whole(source, network))
        with new_file(path) as temporary:
            temporary.write_bytes(data)
    return open_corpus("text", paths=[str(path)])


def _whole(source: FileSource, network: Network) -> bytes:
    from huggingface_hub.errors import HfHubHTTPError

    from talm_core.data.hub import environment
    from talm_core.data.hub.client import Client
    from talm_core.data.hub.faults import FaultError, Hope, fault_of

    client = Client(environment.endpoint(), network)
    # Longer it cannot be the file that is meant.
    most = source.samples[0].download_bytes or 0
    try:
        data = client.whole(source.url, most)
    except HfHubHTTPError as error:
        if error.response is None or fault_of(error) is not None:
            raise
        raise RunError(
            f"{source.url} answers {error.response.status_code}: try again later"
        ) from None
    found = _sha256(data)
    if found != source.sha256:
        message = f"{source.url} has the checksum {found[:12]}…, not {source.sha256[:12]}…"
        raise FaultError(message, Hope.SHORT)
    return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def hub_stream(
    config: DataConfig, corpora: Path, network: Network, listing: Listing | None
) -> Stream:
    """The documents of a Hub dataset: of the `listing` it was begun with, else as it is now, or,
    where the Hub cannot be asked, as it last was; that is told.

    Raises:
        CorpusError: it is not there, not for us, or has no such part.
        GoneError: the network is gone, and nothing is known of the dataset.
    """
    from talm_core.data.hub.files import Hub
    from talm_core.data.hub.parquet import Stream

    source = SOURCES[config.source]
    assert isinstance(source, HubSource)
    sample = source.sample(config.ds_sample) if source.samples else None
    column = config.text_field if sample is None else source.column
    heritage = isinstance(sample, HeritageSample)
    if isinstance(sample, HeritageSample):
        column = sample.column
    return Stream(
        Hub(network, key=_dataset_key(source)),
        listing or _listing(config, source, sample, corpora, network),
        network,
        column=column,
        corpora=corpora,
        heritage=heritage,
        keep=config.keep_downloads,
        encoding_errors=config.encoding_errors,
    )


def _dataset_key(source: HubSource) -> str:
    """The setting that named the dataset."""
    return "source" if source.dataset else "dataset"


def _listing(
    config: DataConfig, source: HubSource, sample: Sample | None, corpora: Path, network: Network
) -> Listing:
    """Ask the Hub which files a sample or split has; its last answer where it is out of reach."""
    from talm_core.data.hub.files import Hub
    from talm_core.data.hub.network import GoneError

    dataset = source.dataset or config.dataset
    assert dataset is not None
    asked: dict[str, str | None]
    if sample is not None:
        asked = {"files": sample.files}
    else:
        asked = {"subset": config.subset, "split": config.split, "revision": config.revision}
    answers = Listings(corpora, dataset)
    known = answers.find(asked)
    hub = Hub(network if known is None else network.briefly(), key=_dataset_key(source))
    try:
        if sample is not None:
            found = hub.sample(dataset, sample.files)
        else:
            found = hub.split(
                dataset, subset=config.subset, split=config.split, revision=config.revision
            )
    except GoneError as error:
        if known is None:
            raise
        network.tell(
            f"{error.reason}: {dataset} is taken as it was known, at {known.revision[:12]}"
        )
        return known
    if config.keep_downloads:
        answers.keep(asked, found)
    return found
