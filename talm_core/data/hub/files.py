"""Datasets on the Hugging Face Hub: which files a sample consists of, and their bytes.

A dataset is pinned to a commit before anything is read. Only the folder that a sample lies in is
listed: FineWeb as a whole has tens of thousands of files. Which files belong to a subset and a
split says the dataset's card, as `datasets` reads it; a dataset without parquet files is read from
the copy the Hub makes of it (`refs/convert/parquet`).

`HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE` and `HF_HOME` mean what they mean everywhere; a file
that lies complete in the Hub's own cache is read there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
from huggingface_hub import HfApi, constants, get_token, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import get_hf_file_metadata, hf_hub_url
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from talm_core.data.hub.card import (
    Lister,
    chosen,
    first_taken,
    folder_of,
    is_parquet,
    matching,
    read_card,
)
from talm_core.data.hub.network import FaultError, Network
from talm_core.data.resume_state import HubFile, Listing
from talm_core.errors import CorpusError, Problem, RunError, nearest

CONVERTED = "refs/convert/parquet"


class Hub:
    """The Hub, or the mirror that `HF_ENDPOINT` names."""

    def __init__(self, network: Network, *, key: str = "dataset") -> None:
        """`key` is the setting that named the dataset."""
        self._key = key
        self.endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
        self._network = network
        self._api = HfApi(endpoint=self.endpoint)
        self._locations: dict[str, str] = {}

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
        """The commit that a revision is, and the dataset's card."""
        try:
            info = self._network.attempt(
                lambda: self._api.dataset_info(
                    dataset,
                    revision=revision,
                    expand=["sha", "cardData"],
                    timeout=self._network.patience.silence,
                )
            )
        except HfHubHTTPError as error:
            raise self._explained(error, dataset, revision) from None
        if info.sha is None:
            message = "the Hub does not say which commit it is"
            raise CorpusError(Problem(self._key, message, dataset, "try again later"))
        return info.sha, vars(info.card_data) if info.card_data else {}

    def _lister(self, dataset: str, sha: str) -> Lister:
        """All files of a folder, asked for once."""
        return lru_cache(maxsize=None)(lambda folder: list(self._tree(dataset, sha, folder)))

    def _tree(self, dataset: str, sha: str, folder: str) -> Iterator[HubFile]:
        path = f"{sha}/{quote(folder)}" if folder else sha
        url: str | None = f"{self.endpoint}/api/datasets/{dataset}/tree/{path}?recursive=true"
        while url is not None:
            page, url = self._page(url, dataset)
            for item in page:
                if item.get("type") == "file":
                    size = item.get("lfs", {}).get("size", item["size"])
                    yield HubFile(path=str(item["path"]), size=int(size))

    def _page(self, url: str, dataset: str) -> tuple[list[dict[str, Any]], str | None]:
        def ask() -> tuple[list[dict[str, Any]], str | None]:
            response = get_session().get(
                url, headers=build_hf_headers(), timeout=self._network.patience.silence
            )
            hf_raise_for_status(response)
            return response.json(), response.links.get("next", {}).get("url")

        try:
            return self._network.attempt(ask)
        except EntryNotFoundError:
            return [], None
        except HfHubHTTPError as error:
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
        name = dataset.rsplit("/", 1)[-1]
        try:
            found = self._network.attempt(
                lambda: [item.id for item in self._api.list_datasets(search=name, limit=20)]
            )
        except HfHubHTTPError:
            found = []
        return nearest(dataset, found) if found else "look for it on the Hub"

    # --- bytes -------------------------------------------------------------------------------

    def cached(self, listing: Listing, file: HubFile) -> Path | None:
        """The file in the Hub's own cache, where it may lie from other programs."""
        path = try_to_load_from_cache(
            listing.dataset, file.path, revision=listing.revision, repo_type="dataset"
        )
        if isinstance(path, str) and Path(path).stat().st_size == file.size:
            return Path(path)
        return None

    def fetcher(self, listing: Listing, file: HubFile) -> Callable[[int, int], bytes]:
        """A function that fetches the bytes from `start` to before `stop` of a file."""
        url = hf_hub_url(
            listing.dataset,
            file.path,
            repo_type="dataset",
            revision=listing.revision,
            endpoint=self.endpoint,
        )

        def fetch(start: int, stop: int) -> bytes:
            try:
                return self._network.attempt(lambda: self._range(url, file, start, stop))
            except HfHubHTTPError as error:
                raise self._explained(error, listing.dataset, listing.revision) from None

        return fetch

    def _range(self, url: str, file: HubFile, start: int, stop: int) -> bytes:
        silence = self._network.patience.silence
        location = self._locations.get(url)
        if location is None:
            found = get_hf_file_metadata(url, timeout=silence, endpoint=self.endpoint)
            if found.size is not None and found.size != file.size:
                message = f"{file.path} has {found.size:,} bytes, not {file.size:,}"
                raise FaultError(message)
            location = self._locations[url] = found.location
        headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        own = urlsplit(location).netloc == urlsplit(self.endpoint).netloc
        # Where the Hub sends us to elsewhere, the address is the permission.
        headers = build_hf_headers(headers=headers, token=None if own else False)
        with get_session().stream("GET", location, headers=headers, timeout=silence) as response:
            if response.status_code in (401, 403, 404, 410, 416) and not own:
                del self._locations[url]
                raise FaultError(f"{file.path}: an address that is no longer valid")
            hf_raise_for_status(response)
            _check_range(response, file, start, stop)
            return self._body(response, stop - start)

    def _body(self, response: httpx2.Response, size: int) -> bytes:
        data = bytearray()
        for part in response.iter_bytes(1 << 16):
            self._network.check()
            data += part
        if len(data) != size:
            raise FaultError(f"{len(data):,} bytes came instead of {size:,}")
        return bytes(data)


def _check_range(response: httpx2.Response, file: HubFile, start: int, stop: int) -> None:
    whole = start == 0 and stop == file.size
    if response.status_code == 200 and not whole:
        host = response.url.host
        raise RunError(f"{host} gives whole files only: use another HF_ENDPOINT")
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    if response.status_code == 206 and total.isdigit() and int(total) != file.size:
        raise FaultError(f"{file.path} has {int(total):,} bytes, not {file.size:,}")
