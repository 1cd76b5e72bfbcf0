"""What the network's libraries read from the environment, looked at before anything is started.

They look only when a connection is made, or when they are imported, and say then what they could
not do, not which variable said so. Loads none of them.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import SplitResult, urlsplit
from urllib.request import proxy_bypass

from talm_core.errors import Problem
from talm_core.storage.workspace import there
from talm_core.system.foreign_text import line

ENDPOINT = "https://huggingface.co"

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Where the certificates lie that servers are known by; the first that is set counts."""

_PROXY_KINDS = ("http", "https", "socks5", "socks5h")
_NUMBERS = {
    "HF_HUB_ETAG_TIMEOUT": int,
    "HF_HUB_DOWNLOAD_TIMEOUT": int,
    "HF_DATASETS_IN_MEMORY_MAX_SIZE": float,
    # The libraries import tqdm, which reads its defaults.
    **dict.fromkeys(("TQDM_NCOLS", "TQDM_NROWS", "TQDM_POSITION", "TQDM_INITIAL"), int),
    **dict.fromkeys(("TQDM_UNIT_DIVISOR",), int),
    **dict.fromkeys(("TQDM_MININTERVAL", "TQDM_MAXINTERVAL", "TQDM_MINITERS"), float),
    **dict.fromkeys(("TQDM_SMOOTHING", "TQDM_DELAY", "TQDM_TOTAL"), float),
}
_SWITCHES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_YES = ("1", "ON", "YES", "TRUE")
_NO = ("0", "OFF", "NO", "FALSE")
_FOLDERS = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE")
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def endpoint() -> str:
    """The address of the Hub, or of the mirror that `HF_ENDPOINT` names."""
    return (_given("HF_ENDPOINT") or ENDPOINT).rstrip("/")


def offline() -> str:
    """The variable that forbids the network; empty: none does."""
    # The second counts where the first is not set.
    name = next((name for name in _SWITCHES if os.environ.get(name)), "")
    return name if os.environ.get(name, "").upper() in _YES else ""


def problems() -> Iterator[Problem]:
    """Each variable that cannot be used, and what is wrong with it."""
    if value := _given("HF_ENDPOINT"):
        example = f"such as {ENDPOINT}"
        if why := _address_fault(value, ("http", "https")):
            yield Problem("HF_ENDPOINT", why, value, example)
        elif urlsplit(value).query or urlsplit(value).fragment:
            yield Problem("HF_ENDPOINT", "must be an address without ? and #", value, example)
    yield from _proxy_problems()
    yield from _certificate_problems()
    for name, kind in _NUMBERS.items():
        if number := os.environ.get(name):
            try:
                kind(number)
            except ValueError:
                what = "a whole number" if kind is int else "a number"
                yield Problem(name, f"must be {what}", number, "or unset it")
    for name in _SWITCHES:
        if (value := os.environ.get(name, "")) and value.upper() not in _YES + _NO:
            yield Problem(name, "must be 1 or 0", value, "1 forbids the network")
    yield from _folder_problems()
    for name in _TOKENS:
        if not is_token(os.environ.get(name, "")):
            message = "has characters that no token has"
            yield Problem(name, message, hint="copy the token anew, or unset it")


def is_token(text: str) -> bool:
    """Whether a token can be sent, or is empty."""
    return re.fullmatch(r"[!-~]*", text.strip()) is not None


def proxy_of(url: str) -> tuple[str, str]:
    """The variable that names the proxy through which an address is asked, and that proxy without
    its password; twice empty where there is none."""
    parts = urlsplit(url)
    found = _proxies()
    for scheme in (parts.scheme, "all"):
        if scheme in found and not proxy_bypass(parts.hostname or ""):
            name, value = found[scheme]
            return name, re.sub(r"//.*@", "//", value)
    return "", ""


def certificates() -> ssl.SSLContext | None:
    """What servers are known by, where a variable says so that the HTTP library does not read."""
    name = next((name for name in CERTIFICATES if _given(name)), "")
    if name in ("", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        return None
    value = _given(name)
    folder = Path(value).is_dir()
    return ssl.create_default_context(
        cafile=None if folder else value, capath=value if folder else None
    )


def snapshot() -> tuple[tuple[str, str], ...]:
    """All that a connection depends on, to tell whether it has changed."""
    return tuple(
        (name, value)
        for name, value in sorted(os.environ.items())
        if name in CERTIFICATES or name.lower().endswith("_proxy")
    )


def _given(name: str) -> str:
    return os.environ.get(name, "").strip()


def _proxies() -> Mapping[str, tuple[str, str]]:
    """The variable and the address of the proxy for each scheme, as Python's library reads them:
    in small letters before others, and none for a CGI script in capitals."""
    found: dict[str, tuple[str, str]] = {}
    names = sorted(os.environ, key=str.islower)
    for name in names:
        scheme = name.lower().removesuffix("_proxy")
        if scheme not in ("http", "https", "all") or scheme == name.lower():
            continue
        if name == "HTTP_PROXY" and "REQUEST_METHOD" in os.environ:
            continue
        if value := os.environ[name].strip():
            found[scheme] = name, value if "://" in value else f"http://{value}"
        elif name.islower():
            found.pop(scheme, None)
    without = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return {} if "*" in [part.strip() for part in without.split(",")] else found


def _proxy_problems() -> Iterator[Problem]:
    example = "such as http://proxy.example:3128"
    for name, value in _proxies().values():
        shown = re.sub(r"//.*@", "//", os.environ[name])
        if why := _address_fault(value, _PROXY_KINDS):
            yield Problem(name, why, shown, f"{example}, or unset it")
        elif value.lower().startswith("socks") and find_spec("socksio") is None:
            message = "a SOCKS proxy needs the package socksio, which is not installed"
            yield Problem(name, message, shown, "pip install socksio, or unset it")


def _address_fault(value: str, schemes: tuple[str, ...]) -> str:
    """What is wrong with an address; empty: nothing."""
    known = " or ".join(f"{scheme}://" for scheme in schemes)
    if "://" not in value:
        return f"must begin with {known}"
    if re.search(r"\s", value) or not value.isprintable():
        return "must be an address without spaces"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        return f"is no address: {line(str(error))}"
    if parts.scheme not in schemes:
        return f"must begin with {known}"
    if not _is_host(parts):
        return "names no host"
    return "names the port 0" if port == 0 else ""


def _is_host(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    if ":" in host or re.fullmatch(r"[\d.]+", host):
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True
    labels = host.removesuffix(".").split(".")
    return all(re.fullmatch(r"[\w-]{1,63}", label) for label in labels)


def _certificate_problems() -> Iterator[Problem]:
    hint = "name a file of certificates, or unset it"
    for name in CERTIFICATES:
        value = _given(name)
        if not value:
            continue
        path = Path(value)
        if name == "SSL_CERT_DIR":
            if not any(there(Path(part).is_dir) for part in value.split(os.pathsep)):
                yield Problem(name, "there is no such directory", value, "or unset it")
        elif name != "SSL_CERT_FILE" and there(path.is_dir):
            continue
        elif not there(path.is_file):
            yield Problem(name, "there is no such file", value, hint)
        elif why := _certificate_fault(path, path.stat().st_mtime_ns):
            yield Problem(name, why, value, hint)
    if keys := os.environ.get("SSLKEYLOGFILE"):
        folder = Path(keys).absolute().parent
        if there(Path(keys).is_dir) or not os.access(folder, os.W_OK | os.X_OK):
            yield Problem("SSLKEYLOGFILE", "cannot be written", keys, "or unset it")


@lru_cache(maxsize=8)
def _certificate_fault(path: Path, changed: int) -> str:
    """Why a file's certificates cannot be read; looked at again when the file has changed."""
    del changed
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return "has no certificates in it"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""


def _folder_problems() -> Iterator[Problem]:
    for name in _FOLDERS:
        if value := _given(name):
            path = Path(os.path.expandvars(value)).expanduser().absolute()
            last = next(part for part in (path, *path.parents) if os.path.lexists(part))
            if not there(last.is_dir):
                yield Problem(name, "is no directory", value, "name another, or unset it")
            elif not os.access(last, os.R_OK | os.X_OK):
                yield Problem(name, "cannot be read", value, "name another, or unset it")
    value = _given("HF_TOKEN_PATH")
    if value and not any(map(_given, _TOKENS)):
        path = Path(os.path.expandvars(value)).expanduser()
        if not there(path.is_file) or not os.access(path, os.R_OK):
            message = "there is no file that can be read"
            yield Problem(
                "HF_TOKEN_PATH", message, value, "name the file of your token, or unset it"
            )
