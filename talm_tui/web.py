"""The same app in a browser, by textual-serve: a process of `talm-tui` for each page that is open.

Whoever has the address that is printed can use talm as the account it runs under: there is a token
in it, which the browser keeps as a cookie. A page of somebody else's in the same browser cannot: a
request is answered only under a name of this machine, and only to pages that were fetched here.
Pages are limited in number, and their processes end with them, or with the server, however it ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import logging
import os
import secrets
import shlex
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from aiohttp import WSMessage, WSMsgType, web
from aiohttp.typedefs import Handler
from textual_serve.app_service import AppService
from textual_serve.server import Server

from talm_tui import parent
from talm_tui.web_page import shaped

HOST = "127.0.0.1"
PORT = 8000

PAGES = 10
"""How many pages may be open at a time: each is a process of some fifty megabytes."""

_POLITE_SECONDS = 2.0
_MESSAGE_BYTES = 1 << 20
_CELLS = range(1, 1001)
_SHUTDOWN_SECONDS = 0.5
_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' ws: wss:;"
    " frame-ancestors 'none'"
)
"""Nothing is fetched from anywhere else: the page looks the same without a network."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_any(host: str) -> bool:
    """Whether it stands for all addresses of this machine, and is none that a browser can open."""
    try:
        return not host or ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False


def warning(host: str, port: int) -> str:
    """What to know before somebody else's machine can reach this one; empty for loopback."""
    if is_loopback(host):
        return ""
    return (
        f"Warning: {address(host, port)} can be reached by other machines, and there is no\n"
        "encryption: whoever reads along learns the token, and can then start and stop jobs,\n"
        "delete models and read files as you. Use it in a network you trust, or leave --host\n"
        "out and forward the port:\n"
        f"  ssh -L {port}:{HOST}:{port} {socket.gethostname()}\n"
    )


def address(host: str, port: int) -> str:
    """`127.0.0.1:8000`, `[::1]:8000`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Page(AppService):
    """The process of one page that is open."""

    def __init__(self, command: Sequence[str], server: int, **values: Any) -> None:
        """`server` is a descriptor that ends when this process does."""
        super().__init__(shlex.join(command), **values)
        self._words = command
        self._parent = server

    async def _open_app_process(
        self, width: int = 80, height: int = 24
    ) -> asyncio.subprocess.Process:
        environment = self._build_environment(width=width, height=height)
        pipe = asyncio.subprocess.PIPE
        self._process = process = await asyncio.create_subprocess_exec(
            *self._words,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=environment | {parent.DESCRIPTOR: str(self._parent)},
            pass_fds=(self._parent,),
        )
        self._stdin = process.stdin
        return process

    async def end(self) -> None:
        """Let the process end, and see to it that it does."""
        process = self._process
        if process is None:
            return
        with suppress(TimeoutError, OSError):
            await asyncio.wait_for(self.stop(), _POLITE_SECONDS)
            await asyncio.wait_for(process.wait(), _POLITE_SECONDS)
        for act in (process.terminate, process.kill):
            if process.returncode is None:
                with suppress(TimeoutError, ProcessLookupError):
                    act()
                    await asyncio.wait_for(process.wait(), _POLITE_SECONDS)


class TalmServer(Server):
    """textual-serve, quiet, for whoever has the token, and for pages of its own only."""

    def __init__(self, command: Sequence[str], host: str, port: int, most: int = PAGES) -> None:
        """Serve at most `most` pages at a time, each with an app that `command` runs."""
        super().__init__(shlex.join(command), host, port, title="talm")
        self._most = most
        self.token = secrets.token_urlsafe(24)
        self._words = command
        # What the browser keeps is not the token, and is called otherwise for each server:
        # cookies do not tell one port from another.
        self._cookie = f"talm-{hashlib.sha256(self.token.encode()).hexdigest()[:12]}"
        self._session = secrets.token_urlsafe(24)
        self._pages: set[web.WebSocketResponse] = set()
        # Nobody writes to it: it ends when this process does, also when it is killed.
        self._parent, self._held = os.pipe()

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard)
        return app

    async def on_startup(self, app: web.Application) -> None:
        """Says nothing: the address has been said."""

    async def on_shutdown(self, app: web.Application) -> None:
        """Pages learn that it is over."""
        del app
        await asyncio.gather(*(page.close(code=1001) for page in list(self._pages)))

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._ours(request):
            raise web.HTTPForbidden(text="talm answers only pages of its own.\n")
        if not self._known(request):
            raise web.HTTPForbidden(
                text="The token is missing or another: open the address that talm-tui printed.\n"
            )
        # The page names its connection by the address somebody opened, as through a tunnel.
        self.public_url = f"{request.scheme}://{request.host}"
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = _POLICY
            response.headers["Referrer-Policy"] = "no-referrer"
            if "token" in request.query:
                response.set_cookie(self._cookie, self._session, httponly=True, samesite="Strict")
        return response

    def _ours(self, request: web.Request) -> bool:
        """Not by a name that leads here from elsewhere, and not from a page of another site."""
        hosts = request.headers.getall("Host", [])
        origins = request.headers.getall("Origin", [])
        if len(hosts) != 1 or len(origins) > 1 or not self._is_name(hosts[0]):
            return False
        # Without encryption here, a page that has it is another.
        return not origins or origins[0].lower() == f"{request.scheme}://{hosts[0].lower()}"

    def _is_name(self, host: str) -> bool:
        """Whether a browser that was sent to that host can only mean this machine. A name may be
        made to lead here by whoever owns it; a number cannot."""
        try:
            parts = urlsplit(f"//{host}")
            name, _ = parts.hostname or "", parts.port
        except ValueError:
            return False
        if parts.netloc != host or "@" in host:
            return False
        if is_loopback(self.host):
            return is_loopback(name)
        with suppress(ValueError):
            ipaddress.ip_address(name)
            return True
        own = socket.gethostname().lower()
        return name in {
            "localhost",
            own,
            f"{own}.local",
            socket.getfqdn().lower(),
            self.host.lower(),
        }

    def _known(self, request: web.Request) -> bool:
        """Whether it is somebody who has the token."""
        bearer = request.headers.get("Authorization", "").rpartition(" ")[2]
        given = ((request.query.get("token", ""), self.token), (bearer, self.token),
                 (request.cookies.get(self._cookie, ""), self._session))  # fmt: skip
        return any(
            hmac.compare_digest(found.encode("utf-8", "replace"), right.encode())
            for found, right in given
        )

    async def handle_index(self, request: web.Request) -> web.Response:
        """The page, unless there are too many."""
        self._count()
        page: web.Response = await super().handle_index(request)  # type: ignore[assignment]
        page.text = shaped(page.text or "")
        return page

    def _count(self) -> None:
        if len(self._pages) >= self._most:
            count = f"{self._most} pages" if self._most > 1 else "A page"
            what = f"{count} of talm {'are' if self._most > 1 else 'is'} open already"
            text = f"{what}: close one, then load this one anew.\n"
            raise web.HTTPServiceUnavailable(text=text)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Run the app of a page as long as it is open."""
        self._count()
        connection = web.WebSocketResponse(heartbeat=15, max_msg_size=_MESSAGE_BYTES)
        self._pages.add(connection)
        page = Page(
            self._words,
            self._parent,
            write_bytes=connection.send_bytes,
            write_str=connection.send_str,
            close=connection.close,
            download_manager=self.download_manager,
        )
        try:
            await connection.prepare(request)
            query = request.query
            await page.start(_cells(query.get("width"), 80), _cells(query.get("height"), 24))
            async for message in connection:
                if not await _handle(message, page, connection):
                    await connection.close(code=1003)
        finally:
            self._pages.discard(connection)
            await page.end()
        return connection


async def _handle(message: WSMessage, page: Page, connection: web.WebSocketResponse) -> bool:
    """Do what a page says; False: it makes no sense."""
    if message.type is not WSMsgType.TEXT:
        return False
    try:
        kind, *rest = json.loads(message.data)
        match kind, rest:
            case "stdin", [str(text)]:
                await page.send_bytes(text.encode("utf-8", "ignore"))
            case "resize", [{"width": width, "height": height}]:
                await page.set_terminal_size(_cells(width, 80), _cells(height, 24))
            case "ping", [data]:
                await connection.send_json(["pong", data])
            case "blur", _:
                await page.blur()
            case "focus", _:
                await page.focus()
            case _:
                return False
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def _cells(value: object, usual: int) -> int:
    """A width or height of a terminal, within reason."""
    try:
        return min(max(int(str(value)), _CELLS.start), _CELLS.stop - 1)
    except ValueError:
        return usual


def serve(command: Sequence[str], host: str = HOST, port: int = PORT, most: int = PAGES) -> int:
    """Serve the app that `command` runs, in at most `most` pages, until SIGINT or SIGTERM; returns
    the exit code. Port 0 takes a free one."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    try:
        listening = _listen(host, port)
    except (OSError, UnicodeError) as error:
        sys.stderr.write(
            f"talm-tui cannot be served at {address(host, port)}: {error}\n"
            "Choose another with --port, or --port 0 for any that is free.\n"
        )
        return 2
    port = listening.getsockname()[1]
    sys.stderr.write(warning(host, port))
    server = TalmServer(command, host, port, most)
    shown = socket.gethostname() if is_any(host) else host
    sys.stdout.write(
        f"talm-tui is at http://{address(shown, port)}/?token={server.token}\n"
        "The token lets you in: keep it to yourself. ctrl+c ends it; jobs that run go on.\n"
    )
    sys.stdout.flush()
    web.run_app(
        server._make_app(),  # noqa: SLF001
        sock=listening,
        print=None,
        access_log=None,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens: whoever reads the address may connect at once."""
    family, kind, _, _, place = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(128)
    except OSError:
        listening.close()
        raise
    return listening
