"""Documents that are fetched while they are read: parquet rows, and files of Software Heritage.

One thread reads, others fetch what it is going to need; what they have ready waits in a queue that
holds a few megabytes. Where a reader is, is a `Located`: file and row.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from talm_core.data.gaps import Gaps
from talm_core.data.hub.blocks import BlockReader, Blocks, ChangedError, Window, covering
from talm_core.data.hub.client import Client
from talm_core.data.hub.files import Hub
from talm_core.data.hub.heritage import file_of
from talm_core.data.hub.network import Network, StoppedError, Workers
from talm_core.data.resume_state import HubFile, Listing, Located
from talm_core.data.sources import plain_name
from talm_core.data.text_column import described, holds_text, text_bytes
from talm_core.errors import CorpusError, Problem, RunError, nearest

HERITAGE = "https://softwareheritage.s3.amazonaws.com/content/"

# Rows read at a time; of those whose text is fetched as many as keep all fetchers busy.
_ROWS = 64
_HERITAGE_ROWS = 512
_QUEUED = 8
_FETCHERS = 4
_HERITAGE_FETCHERS = 32
_BUFFER_BYTES = 1 << 20
_WAIT_SECONDS = 0.05
_END_SECONDS = 5

# Parquet's compressed text, unpacked; used where nothing better is known.
_UNPACKED = 2.2

# From this share on what was read tells more.
_TELLING = 0.002


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Rows that follow each other; `share` is how much of all files comes before them."""

    part: int
    row: int
    texts: Sequence[str | None]
    share: float


class Stream:
    """The documents of a listing's files.

    Raises, while it is read:
        CorpusError: a file without such a column, or with text that is not UTF-8.
        RunError: the network is gone, a file is damaged.
    """

    def __init__(
        self,
        hub: Hub,
        listing: Listing,
        network: Network,
        *,
        column: str,
        corpora: Path,
        heritage: bool = False,
        keep: bool = True,
        encoding_errors: Literal["strict", "replace"] = "strict",
    ) -> None:
        """Read a column of text, or with `heritage` one of blob ids whose text is fetched.
        `corpora` is where downloads are kept; with `keep` false only while they are read."""
        self.listing = listing
        self._gaps = Gaps()
        self._share = 0.0
        self._hub = hub
        self._client = Client(hub.endpoint, network)
        self._network = network
        self._column = column
        self._heritage = heritage
        self._encoding_errors = encoding_errors
        self._keep = keep
        self._folder = corpora / "hub" / plain_name(listing.dataset) / plain_name(listing.revision)
        self._workers = Workers(_FETCHERS, "fetch")
        self._heritage_workers = (
            Workers(_HERITAGE_FETCHERS, "heritage") if heritage else self._workers
        )
        self._opened: dict[int, Blocks] = {}
        self._opening = threading.Lock()
        self._compared: set[int] = set()
        self._comparing = threading.Lock()
        self._ready: queue.Queue[_Chunk | BaseException | None] = queue.Queue(_QUEUED)

    def total_bytes(self, done: int) -> int:
        """A guess at how much text there is, when `done` bytes of it have been read so far."""
        if self._share > _TELLING:
            return round(done / self._share)
        return round(self.listing.bytes * _UNPACKED)

    @property
    def missing_bytes(self) -> int:
        """How much of the files was not downloaded yet, at most."""
        here = sum(path.stat().st_blocks * 512 for path in self._folder.glob("*"))
        return max(0, self.listing.bytes - here)

    @property
    def left_out(self) -> int:
        """How many rows without a text there were so far."""
        return self._gaps.count

    def left_out_before(self, part: int, row: int) -> int:
        """How many of them come before a place. Each time one that is not before the last."""
        return self._gaps.before(part, row)

    def documents(
        self, part: int = 0, row: int = 0, *, left_out: int = 0, begun: bool = False
    ) -> Iterator[Located | None]:
        """Every document from a place on, before which `left_out` rows had no text; None stands
        for a moment of waiting. Where the file there was `begun` before, it must be the same."""
        for number in range(part if not begun else part + 1, len(self.listing.files)):
            # Nothing of these was used: what they are is found out when they are read.
            self.listing.learn(number, "")
        self._gaps = Gaps(left_out)
        reader = threading.Thread(target=self._run, args=(part, row), name="read", daemon=True)
        reader.start()
        try:
            while True:
                try:
                    chunk = self._ready.get(timeout=_WAIT_SECONDS)
                except queue.Empty:
                    yield None
                    continue
                if chunk is None:
                    return
                if isinstance(chunk, BaseException):
                    raise chunk
                self._share = chunk.share
                for number, text in enumerate(chunk.texts, chunk.row):
                    if text is None:
                        self._gaps.add(chunk.part, number)
                    else:
                        yield Located(chunk.part, number, text)
        finally:
            self._network.stop()
            reader.join(_END_SECONDS)
            self._workers.close()
            if self._heritage:
                self._heritage_workers.close()

    # --- the thread that reads ---------------------------------------------------------------

    def _run(self, part: int, row: int) -> None:
        try:
            for number in range(part, len(self.listing.files)):
                for chunk in self._chunks(number, row if number == part else 0):
                    self._put(chunk)
                self._forget(number)
            self._put(None)
        except StoppedError:
            return
        except BaseException as error:  # noqa: BLE001 - raised where documents are asked for
            # Nobody asks any more once enough was read.
            with suppress(StoppedError):
                self._put(error)

    def _put(self, item: _Chunk | BaseException | None) -> None:
        while True:
            self._network.check()
            try:
                self._ready.put(item, timeout=_WAIT_SECONDS)
            except queue.Full:
                continue
            return

    def _chunks(self, part: int, row: int) -> Iterator[_Chunk]:
        file = self.listing.files[part]
        before = sum(other.size for other in self.listing.files[:part])
        try:
            table = pq.ParquetFile(self._source(part), pre_buffer=False, buffer_size=_BUFFER_BYTES)
            index = self._column_index(table, file)
            groups = self._groups(table, row)
            at = sum(table.metadata.row_group(group).num_rows for group in range(groups.start))
            self._plan(part, table, index, groups)
            rows = _HERITAGE_ROWS if self._heritage else _ROWS
            for batch in table.iter_batches(
                rows, row_groups=list(groups), columns=[self._column], use_threads=False
            ):
                self._agree(part)
                texts = self._texts(batch, file, at)
                skip = min(max(0, row - at), len(texts))
                if skip < len(texts):
                    share = before + file.size * at / max(1, table.metadata.num_rows)
                    share /= max(1, self.listing.bytes)
                    yield _Chunk(part, at + skip, self._fetched(texts[skip:]), share)
                at += len(texts)
        except ChangedError:
            if row:
                raise self._another(file) from None
            message = f"{self._of(file)} changed while it was read, although the commit is the same"
            raise RunError(f"{message}: run the same again to read it anew") from None
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's, not the file's
            message = f"{self._of(file)} is damaged"
            self._remove(part)
            raise RunError(f"{message}: run the same again to fetch it anew") from None

    def _of(self, file: HubFile) -> str:
        return f"{file.path} of {self.listing.dataset}"

    def _agree(self, part: int) -> None:
        """Note what tells the content of the file that is read, which may have been read in part
        before."""
        file, opened = self.listing.files[part], self._opened.get(part)
        etag = opened.etag if opened is not None else file.etag
        if not file.etag:
            self.listing.learn(part, etag)
        elif file.etag != etag:
            raise self._another(file)

    def _another(self, file: HubFile) -> RunError:
        message = f"{self._of(file)} is another than it was, although the commit is the same"
        what = "what was made of it does not fit; delete the dataset and prepare it anew"
        return RunError(f"{message}: {what}")

    def _fetcher(self, part: int) -> Callable[[int, int], tuple[bytes, str]]:
        """Fetches parts of a file that is of one piece with the one before it."""
        fetch = self._hub.fetcher(self.listing, self.listing.files[part])

        def checked(start: int, stop: int) -> tuple[bytes, str]:
            with self._comparing:
                before = self.listing.files[part - 1] if part else None
                if before is not None and before.etag and part not in self._compared:
                    now = self._hub.etag(self.listing, before)
                    if now not in ("", before.etag):
                        # The others may be as old.
                        for path in self._folder.iterdir():
                            path.unlink(missing_ok=True)
                        raise self._another(before)
                self._compared.add(part)
            return fetch(start, stop)

        return checked

    def _source(self, part: int) -> Any:
        file = self.listing.files[part]
        cached = self._hub.cached(self.listing, file)
        if cached is not None and file.etag in ("", cached[1]):
            self.listing.learn(part, cached[1])
            return cached[0]
        there = self._blocks(part)
        planned = self._planned = Window(self._workers, there, lambda: self._warm(part + 1))
        return pa.PythonFile(BlockReader(there, planned.reading), mode="r")

    def _plan(self, part: int, table: pq.ParquetFile, column: int, groups: range) -> None:
        """Say which blocks are going to be read."""
        ranges = []
        for group in groups:
            chunk = table.metadata.row_group(group).column(column)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            start = min(start, chunk.data_page_offset)
            ranges.append((start, start + chunk.total_compressed_size))
        if part in self._opened:
            self._planned.plan(covering(ranges))

    def _groups(self, table: pq.ParquetFile, row: int) -> range:
        """The row groups from the one that holds a row on."""
        count, first = table.metadata.num_row_groups, 0
        while first < count and row >= (rows := table.metadata.row_group(first).num_rows):
            row -= rows
            first += 1
        return range(first, count)

    def _column_index(self, table: pq.ParquetFile, file: HubFile) -> int:
        """Where the column is among the file's leaves."""
        schema = table.schema_arrow
        key = "text_field"
        if self._column not in schema.names:
            message = f"{self.listing.dataset} has no such column"
            hint = nearest(self._column, schema.names)
            raise CorpusError(Problem(key, message, self._column, hint))
        kind = schema.field(self._column).type
        if not holds_text(kind):
            message = f"is {described(kind)} in {file.path}, not text"
            texts = [item.name for item in schema if holds_text(item.type)]
            hint = f"of text are: {', '.join(texts)}" if texts else ""
            raise CorpusError(Problem(key, message, self._column, hint))
        paths = [table.schema.column(at).path for at in range(len(table.schema))]
        return paths.index(self._column)

    def _texts(self, batch: pa.RecordBatch, file: HubFile, row: int) -> list[str | None]:
        """The texts of a batch that begins at `row`."""
        found = text_bytes(batch.column(0))
        return [self._decoded(data, file, at) for at, data in enumerate(found, row)]

    def _decoded(self, value: bytes | None, file: HubFile, row: int) -> str | None:
        try:
            return None if value is None else value.decode("utf-8", self._encoding_errors)
        except UnicodeDecodeError as error:
            at, byte = error.start, error.object[error.start]
            host = urlsplit(self._hub.endpoint).netloc
            message = f"row {row + 1:,} is not UTF-8 at {host}: byte {at:,} of it is 0x{byte:02x}"
            hint = "set encoding_errors to replace, and tell its publishers"
            key = f"{self.listing.dataset}/{file.path}"
            raise CorpusError(Problem(key, message, hint=hint)) from None

    # --- files -------------------------------------------------------------------------------

    def _blocks(self, part: int) -> Blocks:
        with self._opening:
            self._network.check()
            found = self._opened.get(part)
            if found is None:
                file = self.listing.files[part]
                path = self._folder / _cache_name(file.path)
                found = self._opened[part] = Blocks(
                    path, file.size, self._fetcher(part), self._network, self._workers
                )
        return found

    def _warm(self, part: int) -> None:
        """Fetch what is read first of a file: its end, where parquet has its index, and its
        beginning."""
        if part < len(self.listing.files) and not self._hub.cached(
            self.listing, self.listing.files[part]
        ):
            ahead = self._blocks(part)
            for index in (ahead.count - 1, 0):
                ahead.need(index)

    def _forget(self, part: int) -> None:
        with self._opening:
            found = self._opened.pop(part, None)
        if found is not None and not self._keep:
            found.remove()

    def discard(self) -> None:
        """Remove what was downloaded and is not to be kept."""
        with self._opening:
            parts = list(self._opened)
        for part in parts:
            self._forget(part)

    def _remove(self, part: int) -> None:
        with self._opening:
            found = self._opened.pop(part, None)
        if found is not None:
            found.remove()

    # --- Software Heritage -------------------------------------------------------------------

    def _fetched(self, texts: list[str | None]) -> Sequence[str | None]:
        if not self._heritage:
            return texts
        find = partial(file_of, base=HERITAGE, client=self._client, network=self._network)
        return list(self._heritage_workers.map(find, texts, check=self._network.check))


def _cache_name(path: str) -> str:
    """A file's name in the folder of its dataset: plain, not too long, and its alone."""
    return f"{hashlib.sha256(path.encode()).hexdigest()[:8]}-{plain_name(path)[-120:]}"
