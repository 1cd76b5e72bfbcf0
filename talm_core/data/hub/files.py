"""Datasets on the Hugging Face Hub: which files a sample consists of, and their bytes.

A dataset is pinned to a commit before anything is read. Only the folder that a sample lies in is
listed: FineWeb as a whole has tens of thousands of files. Which files belong to a subset and a
split says the dataset's card, as `datasets` reads it; a dataset without parquet files is read from
the copy the Hub makes of it (`refs/convert/parquet`).

`HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE` and `HF_HOME` mean what they mean everywhere; a file
that lies complete in the Hub's own cache is read there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from huggingface_hub import get_token, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from talm_core.data.hub import environment
from talm_core.data.hub.card import (
    Lister,
    chosen,
    first_taken,
    folder_of,
    is_parquet,
    matching,
    read_card,
)
from talm_core.data.hub.client import Client, Place
from talm_core.data.hub.dataset_id import is_dataset
from talm_core.data.hub.faults import FaultError, Hope
from talm_core.data.hub.network import Network
from talm_core.data.resume_state import MOST_BYTES, HubFile, Listing, is_path
from talm_core.errors import CorpusError, Problem, nearest
from talm_core.system.foreign_text import line

# A list of a dataset's files is given up beyond these; the Hub's pages have a thousand entries.
_MOST_PAGES = 5_000
_MOST_ENTRIES = 500_000

T = TypeVar("T")

CONVERTED = "refs/convert/parquet"


class Hub:
    """The Hub, or the mirror that `HF_ENDPOINT` names."""

    def __init__(self, network: Network, *, key: str = "dataset") -> None:
        """`key` is the setting that named the dataset."""
        self._key = key
        self.endpoint = environment.endpoint()
        self._network = network
        self._client = Client(self.endpoint, network)
        self._places: dict[str, Place] = {}
        self._served: dict[str, str] = {}

    def sample(self, dataset: str, files: str) -> Listing:
        """The files of a dataset that a pattern such as `sample/10BT/*.parquet` names.

        Raises:
            CorpusError: the dataset is not there or not for us, or has no such files.
            RunError: the network is gone.
        """
        sha, _ = self._info(dataset, "main")
        found = matching(self._lister(dataset, sha)(folder_of(files)), files)
        if not found:
            message = f"has no files {files} at {self.endpoint}"
            raise CorpusError(Problem("source", message, dataset, "its publishers may have moved"))
        return Listing(dataset=dataset, revision=sha, files=found)

    def split(self, dataset: str, *, subset: str | None, split: str, revision: str) -> Listing:
        """The parquet files of a split.

        Raises:
            CorpusError: there is no such dataset, revision, subset or split, or it is not for us.
            RunError: the network is gone.
        """
        sha, data = self._info(dataset, revision)
        card = read_card(data, dataset)
        name, said = card.chosen(dataset, subset)
        found = card.subsets[name].files(split, self._lister(dataset, sha))
        if not found or not is_parquet(found):
            return self._converted(dataset, None if subset is None and said else name, split)
        if said:
            self._network.tell(said, level="info")
        return Listing(dataset=dataset, revision=sha, files=found)

    def _converted(self, dataset: str, subset: str | None, split: str) -> Listing:
        """The Hub's own copy of a dataset that is in another format; of the first subset where
        None is said to be the default."""
        hint = "download its files and use source text"
        try:
            sha, _ = self._info(dataset, CONVERTED)
        except CorpusError:
            message = "has no parquet files, and the Hub has made none of it"
            raise CorpusError(Problem("dataset", message, dataset, hint)) from None
        every = matching(self._lister(dataset, sha)(""), "*/*/*.parquet")
        subsets: dict[str, dict[str, list[HubFile]]] = {}
        for file in every:
            name, part, _ = file.path.split("/")
            subsets.setdefault(name, {}).setdefault(part.removeprefix("partial-"), []).append(file)
        if not subsets:
            message = "has no parquet files, and the Hub has made none of it"
            raise CorpusError(Problem("dataset", message, dataset, hint))
        if subset is None and len(subsets) > 1 and "default" not in subsets:
            self._network.tell(first_taken(dataset, subsets), level="info")
        name = subset or ("default" if "default" in subsets else next(iter(subsets)))
        splits = subsets[chosen("subset", name, subsets)]
        found = splits[chosen("split", split, splits)]
        return Listing(dataset=dataset, revision=sha, files=found)

    # --- what the Hub is asked ---------------------------------------------------------------

    def _info(self, dataset: str, revision: str) -> tuple[str, Any]:
        """The commit that a revision is, and what its card says."""
        where = f"{self.endpoint}/api/datasets/{dataset}/revision/{quote(revision, safe='')}"
        try:
            said, _ = self._network.attempt(
                lambda: self._client.ask(f"{where}?expand=sha&expand=cardData")
            )
        except HfHubHTTPError as error:
            raise self._explained(error, dataset, revision) from None
        sha = said.get("sha") if isinstance(said, dict) else None
        if not isinstance(sha, str) or re.fullmatch(r"[0-9a-f]{40}", sha) is None:
            message = "the Hub does not say which commit it is"
            raise CorpusError(Problem(self._key, message, dataset, "try again later"))
        return sha, said.get("cardData")

    def _lister(self, dataset: str, sha: str) -> Lister:
        """All files of a folder, asked for once."""
        return lru_cache(maxsize=None)(lambda folder: list(self._tree(dataset, sha, folder)))

    def _tree(self, dataset: str, sha: str, folder: str) -> Iterator[HubFile]:
        """All files in a folder and below.

        Raises:
            CorpusError: the list makes no sense, or has no end.
        """
        path = f"{sha}/{quote(folder)}" if folder else sha
        url: str | None = f"{self.endpoint}/api/datasets/{dataset}/tree/{path}?recursive=true"
        asked: set[str] = set()
        known: set[str] = set()
        entries = 0
        while url is not None:
            if url in asked or len(asked) == _MOST_PAGES or entries > _MOST_ENTRIES:
                raise self._odd(dataset, f"has no end after {entries:,} entries")
            asked.add(url)
            page, url = self._page(url, dataset)
            if not isinstance(page, list):
                raise self._odd(dataset, "is no list")
            entries += len(page)
            for item in page:
                file = self._file(item, dataset)
                if file is not None:
                    if file.path in known:
                        raise self._odd(dataset, f"has {file.path} twice")
                    known.add(file.path)
                    yield file

    def _file(self, item: Any, dataset: str) -> HubFile | None:
        """An entry of a list; None for one that is no file."""
        if not isinstance(item, dict):
            raise self._odd(dataset, f"has an entry {_short(item)}")
        if item.get("type") != "file":
            return None
        path, large = item.get("path"), item.get("lfs")
        size = large.get("size", item.get("size")) if isinstance(large, dict) else item.get("size")
        if not isinstance(path, str) or not is_path(path):
            raise self._odd(dataset, f"names a file {_short(path)}")
        if type(size) is not int or not 0 <= size <= MOST_BYTES:
            raise self._odd(dataset, f"says that {_short(path)} has {_short(size)} bytes")
        return HubFile(path=path, size=size)

    def _odd(self, dataset: str, why: str) -> CorpusError:
        host = urlsplit(self.endpoint).netloc
        message = f"the list of its files that {host} gives {why}"
        return CorpusError(Problem(self._key, message, dataset, "nothing was fetched"))

    def _page(self, url: str, dataset: str) -> tuple[Any, str | None]:
        try:
            return self._network.attempt(lambda: self._client.ask(url))
        except EntryNotFoundError:
            return [], None
        except HfHubHTTPError as error:
            if not self._client.is_own(url):
                # A list that goes on elsewhere goes on without the token.
                host = urlsplit(url).netloc
                what = f"the list of its files goes on at {host}, which answers"
                status = error.response.status_code if error.response is not None else 0
                message = f"{what} {status} and is not told HF_TOKEN"
                raise CorpusError(Problem(self._key, message, dataset)) from None
            raise self._explained(error, dataset, "") from None

    def _explained(self, error: HfHubHTTPError, dataset: str, revision: str) -> CorpusError:
        """An answer that no other try will change, with what to do about it."""
        status = error.response.status_code if error.response is not None else 0
        page = f"{self.endpoint}/datasets/{dataset}"
        token = get_token() is not None
        if isinstance(error, GatedRepoError) or status == 403:
            act = f"ask for access at {page}"
            hint = act if token else f"{act}, then set HF_TOKEN to a token of yours"
            return CorpusError(Problem(self._key, "is gated", dataset, hint))
        if status == 401 and token:
            hint = "make a new one, or unset HF_TOKEN"
            return CorpusError(Problem(self._key, "the Hub does not take HF_TOKEN", dataset, hint))
        if isinstance(error, RevisionNotFoundError):
            return CorpusError(Problem("revision", f"{dataset} has no such revision", revision))
        if isinstance(error, RepositoryNotFoundError) or status == 404:
            message = f"there is no such dataset at {self.endpoint}"
            hint = self._similar(dataset)
            if not token:
                hint += "; if it is private, set HF_TOKEN"
            return CorpusError(Problem(self._key, message, dataset, hint))
        return CorpusError(Problem(self._key, f"the Hub answers {status}", dataset))

    def _similar(self, dataset: str) -> str:
        """The nearest of the datasets that a search for the name finds."""
        name = quote(dataset.rsplit("/", 1)[-1], safe="")
        where = f"{self.endpoint}/api/datasets?search={name}&limit=20"
        try:
            found, _ = self._network.attempt(lambda: self._client.ask(where))
        except HfHubHTTPError:
            found = []
        items = found if isinstance(found, list) else []
        ids = [item["id"] for item in items if isinstance(item, dict) and "id" in item]
        known = [each for each in ids if isinstance(each, str) and is_dataset(each)]
        return nearest(dataset, known) if known else "look for it on the Hub"

    # --- bytes -------------------------------------------------------------------------------

    def cached(self, listing: Listing, file: HubFile) -> tuple[Path, str] | None:
        """The file in the Hub's own cache, where it may lie from other programs, and its etag."""
        path = try_to_load_from_cache(
            listing.dataset, file.path, revision=listing.revision, repo_type="dataset"
        )
        if (
            isinstance(path, str)
            and Path(path).is_file()
            and Path(path).stat().st_size == file.size
        ):
            # Blobs are called by their etags there.
            return Path(path), Path(path).resolve().name
        return None

    def fetcher(self, listing: Listing, file: HubFile) -> Callable[[int, int], tuple[bytes, str]]:
        """A function that fetches the bytes from `start` to before `stop` of a file, and the etag
        that tells its content."""
        url = self._url(listing, file)

        def fetch(start: int, stop: int) -> tuple[bytes, str]:
            return self._tried(listing, lambda: self._range(url, file, start, stop))

        return fetch

    def etag(self, listing: Listing, file: HubFile) -> str:
        """What tells the content of a file now; empty where the Hub does not say."""
        url = self._url(listing, file)
        return self._tried(listing, lambda: self._client.find(url).etag)

    def _url(self, listing: Listing, file: HubFile) -> str:
        return hf_hub_url(
            listing.dataset,
            file.path,
            repo_type="dataset",
            revision=listing.revision,
            endpoint=self.endpoint,
        )

    def _tried(self, listing: Listing, action: Callable[[], T]) -> T:
        try:
            return self._network.attempt(action)
        except HfHubHTTPError as error:
            raise self._explained(error, listing.dataset, listing.revision) from None

    def _range(self, url: str, file: HubFile, start: int, stop: int) -> tuple[bytes, str]:
        place = self._places.get(url)
        if place is None:
            place = self._client.find(url)
            if place.size is not None and place.size != file.size:
                raise FaultError(f"{file.path} has {place.size:,} bytes, not {file.size:,}")
            self._places[url] = place
        try:
            data, etag = self._client.part(place.url, start, stop, file.size)
        except FaultError as error:
            # It may lie elsewhere by now.
            self._places.pop(url, None)
            fault = error.fault
            raise FaultError(f"{file.path}: {fault.what}", fault.hope, fault.advice) from None
        if self._client.is_own(place.url) or not place.etag:
            return data, etag or place.etag
        # Elsewhere etags are others. As long as they stay, the Hub need not be asked again.
        if self._served.setdefault(place.url, etag) != etag:
            self._places.pop(url, None)
            self._served[place.url] = etag
            raise FaultError(f"{file.path} was replaced while it was read", Hope.SHORT)
        return data, place.etag


def _short(value: Any) -> str:
    """Something odd as it is, but not all of it."""
    return line(repr(value))[:80]
