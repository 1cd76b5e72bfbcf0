"""The text of a file that Software Heritage keeps, by the number of its content."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from urllib.parse import urlsplit

from huggingface_hub.errors import HfHubHTTPError

from talm_core.data.hub.client import Client
from talm_core.data.hub.faults import FaultError
from talm_core.data.hub.network import Network
from talm_core.errors import RunError

MOST_BYTES = 32 << 20
"""No file of source code is longer; what unpacks to more is left out."""


def file_of(blob_id: str | None, *, base: str, client: Client, network: Network) -> str | None:
    """A file's text, below the address `base`; None where it is not there, or is no text.

    Raises:
        GoneError: the network is gone.
        RunError: what is there cannot be asked for.
    """
    if blob_id is None or re.fullmatch(r"[0-9a-f]{40}", blob_id) is None:
        return None
    try:
        return network.attempt(lambda: _fetched(f"{base}{blob_id}", client))
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        # S3 says 403 of what it does not have to those who may not list.
        if status in (403, 404):
            return None
        host = urlsplit(base).hostname
        raise RunError(f"{host} answers {status} for {blob_id}: try again later") from None


def _fetched(url: str, client: Client) -> str | None:
    data = client.whole(url, MOST_BYTES)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            text = file.read(MOST_BYTES + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FaultError(f"what came is damaged: {url}: {error}") from None
    return text.decode("utf-8", "ignore") if len(text) <= MOST_BYTES else None
