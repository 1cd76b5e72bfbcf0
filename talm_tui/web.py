"""The same app in a browser, by textual-serve: a process of `talm-tui` for each page that is open.

Whoever can reach the address can use talm as the account it runs under: by default that is this
machine alone. A page of somebody else's in the same browser cannot: a request is answered only
under an address of ours, and a connection only from a page that was fetched here.
"""

from __future__ import annotations

import ipaddress
import logging
import shlex
import socket
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler
from textual_serve.server import Server

from talm_tui.web_page import shaped

HOST = "127.0.0.1"
PORT = 8000

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


def warning(host: str, port: int) -> str:
    """What to know before somebody else's machine can reach this one; empty for loopback."""
    if is_loopback(host):
        return ""
    return (
        f"Warning: {address(host, port)} can be reached by other machines. There is no password\n"
        "and no encryption: whoever can connect can start and stop jobs, delete models and read\n"
        "files as you. Use it in a network you trust, or leave --host out and forward the port:\n"
        f"  ssh -L {port}:{HOST}:{port} {socket.gethostname()}\n"
    )


def address(host: str, port: int) -> str:
    """`127.0.0.1:8000`, `[::1]:8000`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class TalmServer(Server):
    """textual-serve, quiet, and for pages of its own only."""

    def __init__(self, command: Sequence[str], host: str, port: int) -> None:
        # Without `exec` a shell would stand between and outlive what it started.
        super().__init__(f"exec {shlex.join(command)}", host, port, title="talm")

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard)
        return app

    async def handle_index(self, request: web.Request) -> web.Response:
        """The page."""
        page: web.Response = await super().handle_index(request)  # type: ignore[assignment]
        page.text = shaped(page.text or "")
        return page

    async def on_startup(self, app: web.Application) -> None:
        """Says nothing: the address has been said."""

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._ours(request):
            raise web.HTTPForbidden(text="talm answers only pages of its own.\n")
        # The page names its connection by the address somebody opened, as through a tunnel.
        self.public_url = f"{request.scheme}://{request.host}"
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = _POLICY
        return response

    def _ours(self, request: web.Request) -> bool:
        """Not by a name that leads here from elsewhere, and not from a page of another site."""
        try:
            name = urlsplit(f"//{request.host}").hostname or ""
        except ValueError:
            return False
        if is_loopback(self.host) and not is_loopback(name):
            return False
        origin = request.headers.get("Origin")
        return origin is None or urlsplit(origin).netloc == request.host


def serve(command: Sequence[str], host: str = HOST, port: int = PORT) -> int:
    """Serve the app that `command` runs until SIGINT or SIGTERM; returns the exit code. Port 0
    takes a free one."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    try:
        listening = _listen(host, port)
    except OSError as error:
        sys.stderr.write(
            f"talm-tui cannot be served at {address(host, port)}: {error}\n"
            "Choose another with --port, or --port 0 for any that is free.\n"
        )
        return 2
    port = listening.getsockname()[1]
    sys.stderr.write(warning(host, port))
    sys.stdout.write(
        f"talm-tui is at http://{address(host, port)}  (ctrl+c ends it; jobs that run go on)\n"
    )
    sys.stdout.flush()
    server = TalmServer(command, host, port)
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
