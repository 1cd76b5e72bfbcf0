"""What can go wrong between us and a server, in words, and whether trying again can mend it."""

from __future__ import annotations

import re
import ssl
import time
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum

import httpx2
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import parse_ratelimit_headers

from talm_core.data.hub import environment
from talm_core.system.foreign_text import line

_BUSY = {408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524}


class Hope(Enum):
    """Whether another try may help: perhaps in minutes, perhaps at once, or only if the server was
    reached before, as when a name cannot be looked up; or not at all."""

    LONG = "long"
    SHORT = "short"
    ONCE_REACHED = "once reached"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong; `advice` is what to do about it, where that is known."""

    what: str
    hope: Hope
    advice: str = ""


class FaultError(Exception):
    """An answer that is not what was asked for."""

    def __init__(self, what: str, hope: Hope = Hope.LONG, advice: str = "") -> None:
        self.fault = Fault(what, hope, advice)
        super().__init__(what)


def web_page(host: str) -> Fault:
    """A page for people came where data were asked for."""
    return Fault(
        f"{host} answers with a web page instead of data",
        Hope.NONE,
        "open it in a browser: the network may want a login, or HF_ENDPOINT names no Hub",
    )


def fault_of(error: Exception) -> Fault | None:
    """What is wrong; None for an error that is not the network's."""
    match error:
        case OfflineModeIsEnabled():
            name = environment.offline() or "HF_HUB_OFFLINE"
            reason = f"the network is needed and {name} forbids it"
            return Fault(reason, Hope.NONE, "unset it")
        case FaultError():
            return error.fault
        case HfHubHTTPError() if error.response is not None:
            return _refused(error.response)
        case httpx2.ProxyError():
            return _by_proxy(error)
        case httpx2.ConnectTimeout() | httpx2.ConnectError():
            return _unreached(error)
        case httpx2.TimeoutException():
            return Fault(f"{_host(error)} does not answer", Hope.LONG)
        case httpx2.UnsupportedProtocol() | httpx2.LocalProtocolError() | httpx2.InvalidURL():
            return Fault(f"a request that cannot be sent: {line(str(error))}", Hope.SHORT)
        case httpx2.TransportError():
            return Fault(f"{_host(error)} broke the connection", Hope.LONG)
    return None


def _refused(response: httpx2.Response) -> Fault | None:
    status, host = response.status_code, response.url.host
    if status == 407:
        return _password_wanted(str(response.url))
    if status == 511:
        return web_page(host)
    if status in _BUSY:
        name = {429: "too many requests", 503: "not available"}.get(status, "an error")
        return Fault(f"{host} answers {status}, {name}", Hope.LONG)
    page = response.headers.get("Content-Type", "").lower().startswith("text/html")
    if page and "X-Error-Code" not in response.headers:
        what = f"{host} answers {status} with a web page"
        return Fault(what, Hope.NONE, "a firewall or a login page may stand between")
    return None


def _by_proxy(error: httpx2.ProxyError) -> Fault:
    url = _url(error)
    if "407" in str(error):
        return _password_wanted(url)
    name, proxy = environment.proxy_of(url)
    why = line(str(error)) or "no reason given"
    return Fault(f"the proxy {proxy} of {name} refuses {_host(error)} ({why})", Hope.SHORT)


def _password_wanted(url: str) -> Fault:
    name, proxy = environment.proxy_of(url)
    what = f"the proxy {proxy} of {name} wants a name and a password"
    return Fault(what, Hope.NONE, f"put them into {name}, as http://NAME:PASSWORD@HOST:PORT")


def _unreached(error: httpx2.ConnectTimeout | httpx2.ConnectError) -> Fault:
    host = _host(error)
    failed = _cause(error, ssl.SSLError)
    name, proxy = environment.proxy_of(_url(error))
    through = f" through the proxy {proxy} of {name}" if name else ""
    if isinstance(failed, ssl.SSLCertVerificationError):
        given = next((n for n in environment.CERTIFICATES if n in dict(environment.snapshot())), "")
        what = f"the certificate of {host} is not trusted ({failed.verify_message})"
        act = "name a file of the certificates that your network uses in SSL_CERT_FILE"
        return Fault(what, Hope.NONE, f"{given} may be wrong, or {act}" if given else act)
    if failed is not None:
        what = f"{host} does not speak TLS{through}"
        return Fault(what, Hope.NONE, "does its address begin with http://, not https://?")
    why = re.sub(r"^\[Errno -?\d+\] ", "", line(str(error))) or "no answer"
    return Fault(f"{host} cannot be reached{through} ({why})", Hope.ONCE_REACHED)


def _cause(error: BaseException, kind: type[ssl.SSLError]) -> ssl.SSLError | None:
    """The first of the errors that led to this one which is of a kind."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, kind):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _url(error: httpx2.TransportError) -> str:
    try:
        return str(error.request.url)
    except RuntimeError:  # an error that belongs to no request
        return ""


def _host(error: httpx2.TransportError) -> str:
    try:
        return error.request.url.host
    except RuntimeError:
        return "the network"


def asked_pause(error: Exception) -> float | None:
    """How many seconds the server wants nothing from us."""
    if not isinstance(error, HfHubHTTPError) or error.response is None:
        return None
    headers = error.response.headers
    retry_after = _retry_after(headers.get("Retry-After", "").strip())
    if retry_after is not None:
        return retry_after
    limit = parse_ratelimit_headers(headers)
    if error.response.status_code == 429 and limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    return None


def _retry_after(text: str) -> float | None:
    """The seconds a `Retry-After` asks for (RFC 9110, 10.2.3): a number, or a date, of which the
    past is now; None for anything else."""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    # A date without a zone is in GMT, as HTTP's are.
    seconds = date.replace(tzinfo=date.tzinfo or UTC).timestamp() - time.time()
    return max(0.0, seconds)
