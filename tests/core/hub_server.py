"""A Hub on this machine: the routes that reading a dataset takes, and every way to fail.

It holds repositories of files and serves them as the Hub does: `/api/datasets/…` for what there
is, `/datasets/…/resolve/…` for the bytes, in parts. `faults` are taken one for each request that
fits, so that a test says exactly what goes wrong, and when it stops.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

SHA = hashlib.sha1(b"first").hexdigest()
CONVERTED_SHA = hashlib.sha1(b"converted").hexdigest()


def parquet(
    texts: Sequence[str | None], *, column: str = "text", group: int = 40, **more: Any
) -> bytes:
    """A parquet file with a column of texts, and other columns before and after it."""
    rows = len(texts)
    table = pa.table(
        {
            "id": [f"<urn:{row}>" for row in range(rows)],
            column: pa.array(texts, pa.string()),
            "score": [row / 7 for row in range(rows)],
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=group, **more)
    return file.getvalue()


@dataclass
class Repo:
    """A dataset: its files by path, its card, and what becomes of those who ask."""

    files: dict[str, bytes] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    converted: dict[str, bytes] | None = None
    gated: bool = False
    sha: str = SHA

    def at(self, revision: str) -> dict[str, bytes] | None:
        if revision in (self.sha, "main"):
            return self.files
        if revision in (CONVERTED_SHA, "refs/convert/parquet"):
            return self.converted
        return None


@dataclass
class Fault:
    """What goes wrong with the next `times` requests whose path fits `path`: a status, with
    headers, or `reset`, `stall`, `short` (less than was announced), `cut` (a file that has
    become shorter), `endless` (a body that goes on for ever), `page` (a web page), `elsewhere`
    (another part of a file than was asked for), `nowhere` (a part that does not say which)."""

    kind: str | int
    path: str = ""
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


class HubServer(ThreadingHTTPServer):
    """The server; `url` is its endpoint. `asked` are the requests that came, `tokens` what they
    said who asks, `parts` those for a part of a file, with its first byte. `answers` are what
    requests are told whose path fits: a value, or its text, and headers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.plain: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.asked: list[str] = []
        self.tokens: list[str | None] = []
        self.answers: dict[str, Callable[[dict[str, list[str]]], tuple[Any, dict[str, str]]]] = {}
        self.etags = True
        self.parts: list[tuple[str, int]] = []
        self.bytes_sent = 0
        self.released = threading.Event()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add_blob(self, text: str) -> str:
        """A file at Software Heritage; returns its id."""
        found = hashlib.sha1(text.encode()).hexdigest()
        self.blobs[found] = gzip.compress(text.encode())
        return found

    def fault(self, path: str) -> Fault | None:
        """What is to go wrong with a request, counted down."""
        with self._lock:
            self.asked.append(path)
            for fault in self.faults:
                if fault.times and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that break are what this is for."""


@contextmanager
def serving() -> Iterator[HubServer]:
    """A server that runs as long as the block."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else a body waits up to 40 ms for the other side to confirm its headers.
    disable_nagle_algorithm = True
    server: HubServer

    def log_message(self, *args: Any) -> None:
        """Nothing is printed."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        if self.server.released.is_set():
            # Connections that were kept open end with the server.
            self.close_connection = True
            return
        url = urlsplit(self.path)
        path = unquote(url.path)
        self.server.tokens.append(self.headers.get("Authorization"))
        fault = self.server.fault(path)
        if fault is not None and self._fail(fault):
            return
        for pattern, answer in self.server.answers.items():
            if re.search(pattern, path):
                value, headers = answer(parse_qs(url.query))
                data = value if isinstance(value, bytes) else json.dumps(value).encode()
                self._send(200, data, {"Content-Type": "application/json"} | headers)
                return
        kind = fault.kind if fault else None
        if path.startswith("/content/"):
            self._whole(self.server.blobs.get(path.removeprefix("/content/")), kind)
        elif path.startswith("/plain/"):
            self._whole(self.server.plain.get(path.removeprefix("/plain/")), kind)
        elif path == "/api/datasets":
            search = parse_qs(url.query).get("search", [""])[0].lower()
            self._json([{"id": name} for name in self.server.repos if search in name.lower()])
        elif found := re.fullmatch(r"/api/datasets/(.+?)/revision/(.+)", path):
            self._info(found[1], found[2])
        elif found := re.fullmatch(r"/api/datasets/(.+?)/tree/([0-9a-f]{40})/?(.*)", path):
            self._tree(found[1], found[2], found[3], parse_qs(url.query))
        elif found := re.fullmatch(r"/datasets/(.+?)/resolve/([^/]+)/(.+)", path):
            self._file(found[1], found[2], found[3], kind)
        else:
            self._error(404, "RepoNotFound")

    # --- faults ------------------------------------------------------------------------------

    def _fail(self, fault: Fault) -> bool:
        """Whether that was all the answer there is."""
        if isinstance(fault.kind, int):
            self._send(fault.kind, b"busy", fault.headers)
            return True
        if fault.kind == "reset":
            # With this option closing sends a reset.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
            return True
        if fault.kind == "page":
            page = b"<!DOCTYPE html><title>Welcome to our hotel</title>"
            self._send(200, page, {"Content-Type": "text/html; charset=utf-8"})
            return True
        if fault.kind == "endless":
            self._endless()
            return True
        if fault.kind == "stall":
            self.server.released.wait()
            self.close_connection = True
            return True
        return False

    def _endless(self) -> None:
        """A body without an end, until nobody listens any more."""
        self.close_connection = True
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        self.send_response(206 if found else 200)
        if found:
            self.send_header("Content-Range", f"bytes {found[1]}-{found[2]}/*")
        self.send_header("Connection", "close")
        self.end_headers()
        while self.command == "GET" and not self.server.released.is_set():
            self.wfile.write(b" " * (1 << 16))
            self.server.bytes_sent += 1 << 16

    def _allowed(self, repo: Repo) -> bool:
        """Whether a gated dataset is open to whoever asks."""
        if repo.gated and self.headers.get("Authorization") != "Bearer hf_good":
            self._error(403 if self.headers.get("Authorization") else 401, "GatedRepo")
            return False
        return True

    # --- answers -----------------------------------------------------------------------------

    def _info(self, name: str, revision: str) -> None:
        repo = self.server.repos.get(name)
        if repo is None:
            self._error(404, "RepoNotFound")
        elif repo.at(revision) is None:
            self._error(404, "RevisionNotFound")
        elif self._allowed(repo):
            sha = CONVERTED_SHA if "convert" in revision else repo.sha
            names = [{"rfilename": path} for path in repo.at(revision) or {}]
            self._json({"id": name, "sha": sha, "cardData": repo.card, "siblings": names})

    def _tree(self, name: str, sha: str, folder: str, query: dict[str, list[str]]) -> None:
        repo = self.server.repos[name]
        files = repo.at(sha) or {}
        inside = sorted(path for path in files if not folder or path.startswith(f"{folder}/"))
        if folder and not inside:
            self._error(404, "EntryNotFound")
            return
        entries = [(path, "file", len(files[path])) for path in inside]
        recursive = query.get("recursive", ["false"])[0].lower()
        if recursive != "true":
            # What lies directly in the folder, folders too.
            depth = folder.count("/") + 1 if folder else 0
            parts = [path.split("/") for path in inside]
            entries = [entry for entry in entries if entry[0].count("/") == depth]
            deeper = {"/".join(part[: depth + 1]) for part in parts if len(part) > depth + 1}
            entries += [(path, "directory", 0) for path in sorted(deeper)]
        # In pages of two, each with a link to the next.
        start = int(query.get("cursor", ["0"])[0])
        items = [
            {"type": kind, "oid": hashlib.sha1(path.encode()).hexdigest(), "path": path}
            | {"size": size}
            for path, kind, size in entries[start : start + 2]
        ]
        headers = {}
        if start + 2 < len(entries):
            base = f"{self.server.url}/api/datasets/{name}/tree/{sha}/{folder}".rstrip("/")
            headers["Link"] = f'<{base}?recursive={recursive}&cursor={start + 2}>; rel="next"'
        self._json(items, headers)

    def _file(self, name: str, revision: str, path: str, kind: Any) -> None:
        repo = self.server.repos.get(name)
        data = (repo.at(revision) or {}).get(path) if repo else None
        if path == "README.md" and repo is not None and data is None and repo.card:
            data = f"---\n{json.dumps(repo.card)}\n---\n".encode()
        if repo is None or data is None:
            self._error(404, "EntryNotFound" if repo else "RepoNotFound")
            return
        if not self._allowed(repo):
            return
        etag = hashlib.sha256(data).hexdigest()
        if kind == "cut":
            data = data[: len(data) // 2]
        headers = {"X-Repo-Commit": repo.sha, "Accept-Ranges": "bytes"}
        if self.server.etags:
            headers["ETag"] = f'"{etag}"'
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if found is None:
            self._send(200, data, headers, short=kind == "short")
            return
        start, stop = int(found[1]), min(int(found[2] or len(data)) + 1, len(data))
        self.server.parts.append((path, start))
        if start >= len(data):
            self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        if kind == "elsewhere" and start:
            start, stop = start - 1, stop - 1
        if kind != "nowhere":
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        self._send(206, data[start:stop], headers, short=kind == "short")

    def _whole(self, data: bytes | None, kind: Any) -> None:
        if data is None:
            self._send(404, b"", {})
        else:
            self._send(200, data, {}, short=kind == "short")

    def _json(self, value: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self._send(200, data, {"Content-Type": "application/json"} | (headers or {}))

    def _error(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(
        self,
        status: int,
        data: bytes,
        headers: dict[str, str],
        *,
        short: bool = False,
    ) -> None:
        body = self.command != "HEAD"
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            part = data[: len(data) // 2] if short else data
            self.wfile.write(part)
            self.server.bytes_sent += len(part)
        if short:
            self.close_connection = True
