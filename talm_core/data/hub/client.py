"""Requests to the Hub and to where it sends us.

The token goes to the Hub alone, whatever a redirect or a link names. Redirects end, and no answer
takes more memory than what was asked for: a server is not trusted, be it broken, hostile, or the
login page of a hotel.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from talm_core.data.hub import environment
from talm_core.data.hub.faults import Fault, FaultError, Hope, web_page
from talm_core.data.hub.network import Network
from talm_core.system.foreign_text import line

ANSWER_BYTES = 8 << 20
"""The longest answer to a question; a page of the Hub's listings has a twentieth of it."""

_REDIRECTS = 10
_CONNECT_SECONDS = 10
_CHUNK_BYTES = 1 << 16
_PORTS = {"http": 80, "https": 443}
_TOLD = ("X-Error-Code", "X-Error-Message", "Retry-After", "RateLimit", "RateLimit-Policy")
_EXPIRED = (401, 403, 404, 410, 416)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of a file are, what tells its content, and its size where that is said."""

    url: str
    etag: str
    size: int | None


class Client:
    """Asks the Hub at `endpoint`, and others without its token. Every method raises what
    `Network.attempt` understands."""

    def __init__(self, endpoint: str, network: Network) -> None:
        self.endpoint = endpoint
        self._network = network

    def ask(self, url: str) -> tuple[Any, str | None]:
        """The JSON that is there, and the address of the next page where it has one."""
        with self._opened("GET", url) as response:
            data = self._read(response, ANSWER_BYTES, exact=False)
            host = response.url.host
            following = response.links.get("next", {}).get("url")
        if data.lstrip()[:1] == b"<":
            raise _error(web_page(host))
        try:
            value = json.loads(data)
        except json.JSONDecodeError:
            raise FaultError(f"{host} sends what is no JSON", Hope.SHORT, _CHECK) from None
        except (ValueError, RecursionError):
            raise FaultError(f"{host} sends JSON that makes no sense", Hope.NONE, _CHECK) from None
        if not following:
            return value, None
        return value, _joined(url, following)

    def find(self, url: str) -> Place:
        """Where a file of the Hub lies, which may be elsewhere."""
        with self._opened("HEAD", url, follow=_same_origin) as response:
            headers = response.headers
            target = headers.get("Location")
            size = headers.get("X-Linked-Size") or (
                None if target else headers.get("Content-Length")
            )
            # The etag of an answer that only leads elsewhere is not the file's.
            etag = headers.get("X-Linked-Etag") or ("" if target else headers.get("ETag")) or ""
            where = _joined(str(response.url), target) if target else str(response.url)
        return Place(where, _plain_etag(etag), _number(size))

    def part(self, url: str, start: int, stop: int, size: int) -> tuple[bytes, str]:
        """The bytes from `start` to before `stop` of a file of `size` bytes, and its etag.

        Raises:
            ExpiredError: the address is elsewhere and not valid any more.
        """
        try:
            with self._opened("GET", url, {"Range": f"bytes={start}-{stop - 1}"}) as response:
                _check_range(response, start, stop, size)
                etag = _plain_etag(response.headers.get("ETag", ""))
                return self._read(response, stop - start), etag
        except HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status in _EXPIRED and not self.is_own(str(error.response.url)):
                raise ExpiredError("an address that is no longer valid", Hope.SHORT) from None
            raise

    def whole(self, url: str, most: int) -> bytes:
        """All of a file elsewhere, which has `most` bytes or fewer."""
        with self._opened("GET", url) as response:
            return self._read(response, most, exact=False)

    def is_own(self, url: str) -> bool:
        """Whether an address is the Hub's, which may be told the token."""
        mine, other = urlsplit(self.endpoint), urlsplit(url)
        if _origin(mine) == _origin(other):
            return True
        # The same host, better protected.
        upgraded = _origin(mine)[:1] == ("http",) and _origin(other)[:1] == ("https",)
        return upgraded and mine.hostname == other.hostname and {mine.port, other.port} == {None}

    # --- requests ------------------------------------------------------------------------------

    @contextmanager
    def _opened(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        follow: Callable[[str, str], bool] | None = None,
    ) -> Iterator[httpx2.Response]:
        """An answer whose body was not read yet, after redirects that are to be followed."""
        seen: list[str] = []
        silence = self._network.patience.silence
        timeout = httpx2.Timeout(silence, connect=min(silence, _CONNECT_SECONDS))
        while True:
            if url in seen or len(seen) > _REDIRECTS:
                what = (
                    f"{urlsplit(seen[0]).hostname} sends from one address to the next without end"
                )
                raise FaultError(what, Hope.NONE, f"the last is {line(url)[:200]}: {_CHECK}")
            seen.append(url)
            if constants.is_offline_mode():
                raise OfflineModeIsEnabled
            session = _session(environment.snapshot())
            request = session.build_request(
                method, url, headers=self._headers(url, headers), timeout=timeout
            )
            response = session.send(request, stream=True)
            try:
                target = _target(response)
                if target is None or not (follow is None or follow(url, target)):
                    _check(response)
                    yield response
                    return
                url = target
            finally:
                response.close()

    def _headers(self, url: str, headers: Mapping[str, str] | None) -> dict[str, str]:
        # What comes is counted as it comes; a compressed body may unpack to anything.
        plain = {"Accept-Encoding": "identity"} | dict(headers or {})
        return build_hf_headers(headers=plain, token=None if self.is_own(url) else False)

    def _read(self, response: httpx2.Response, size: int, *, exact: bool = True) -> bytes:
        """The body, of `size` bytes or at most so many."""
        data = bytearray()
        for part in response.iter_raw(_CHUNK_BYTES):
            self._network.check()
            data += part
            if len(data) > size:
                what = f"{response.url.host} sends more than the {size:,} bytes that were expected"
                raise FaultError(what, Hope.SHORT)
        if exact and len(data) != size:
            raise FaultError(f"what came is damaged: {len(data):,} bytes instead of {size:,}")
        return bytes(data)


class ExpiredError(FaultError):
    """An address that was given for a while."""


_CHECK = "check HF_ENDPOINT and the network"


@lru_cache(maxsize=1)
def _session(given: tuple[tuple[str, str], ...]) -> httpx2.Client:
    """Connections under what the environment says of proxies and certificates."""
    del given
    certificates = environment.certificates()
    return httpx2.Client(verify=True if certificates is None else certificates, timeout=None)


def _check(response: httpx2.Response) -> None:
    """Refuse an answer that is none."""
    headers, host = response.headers, response.url.host
    if response.status_code >= 400:
        # Without the body, which may have any length.
        kept = {name: headers[name] for name in (*_TOLD, "Content-Type") if name in headers}
        bare = httpx2.Response(response.status_code, headers=kept, request=response.request)
        hf_raise_for_status(bare)
    if response.status_code >= 300 and "Location" not in headers:
        raise FaultError(f"{host} answers {response.status_code}", Hope.SHORT)
    kind = headers.get("Content-Type", "").lower()
    if response.status_code < 300 and kind.startswith("text/html"):
        raise _error(web_page(host))
    if headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise FaultError(f"{host} sends compressed what was asked for as it is", Hope.SHORT)


def _check_range(response: httpx2.Response, start: int, stop: int, size: int) -> None:
    host = response.url.host
    if response.status_code == 200:
        if start or stop != size:
            what = f"{host} gives whole files only"
            raise FaultError(what, Hope.NONE, "use another HF_ENDPOINT")
        return
    said = response.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes (\d{1,20})-(\d{1,20})/(\d{1,20}|\*)", said)
    if response.status_code != 206 or found is None:
        what = f"{host} does not say which part of a file it sends"
        raise FaultError(f"{what} ({line(said)[:80]})" if said else what, Hope.SHORT)
    if found[3] not in ("*", str(size)):
        raise FaultError(f"has {int(found[3]):,} bytes, not {size:,}")
    if (int(found[1]), int(found[2])) != (start, stop - 1):
        what = f"{host} sends bytes {found[1]}-{found[2]} where {start}-{stop - 1} were asked for"
        raise FaultError(what, Hope.SHORT)


def _target(response: httpx2.Response) -> str | None:
    """Where an answer sends us; None: it does not."""
    location = response.headers.get("Location")
    if location is None or response.status_code not in (301, 302, 303, 307, 308):
        return None
    return _joined(str(response.url), location)


def _joined(here: str, target: str) -> str:
    """The address that an answer names, which may be a part of one."""
    try:
        found = urljoin(here, target)
    except ValueError:
        found = ""
    if not _is_web(found):
        host = urlsplit(here).hostname
        what = f"{host} sends to {line(target)[:200]}, which is no address of the web"
        raise FaultError(what, Hope.NONE, _CHECK)
    return found


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        good = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
        httpx2.URL(url)
    except (ValueError, httpx2.InvalidURL):
        return False
    return good and url.isprintable()


def _same_origin(here: str, there: str) -> bool:
    return _origin(urlsplit(here)) == _origin(urlsplit(there))


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


def _plain_etag(etag: str) -> str:
    return line(etag.removeprefix("W/").strip('"'))[:200]


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text) else None


def _error(fault: Fault) -> FaultError:
    return FaultError(fault.what, fault.hope, fault.advice)
