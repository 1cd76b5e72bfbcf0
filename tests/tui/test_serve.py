"""`talm-tui --serve`: the page, the connection, and who is refused."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pyte
import pytest

from talm_core.storage.workspace import Workspace
from talm_tui import web
from talm_tui.__main__ import main

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)


@dataclass(frozen=True)
class Served:
    """The server, its address, and the token that opens it."""

    process: subprocess.Popen[str]
    url: str
    token: str

    @property
    def opened(self) -> str:
        """The address that is printed."""
        return f"{self.url}/?token={self.token}"


@contextmanager
def served(workspace: Path, *more: str) -> Iterator[Served]:
    """The server on a free port of this machine."""
    command = [sys.executable, "-P", "-m", "talm_tui", "--serve", "--port", "0", *more]
    process = subprocess.Popen(
        [*command, "--workspace", str(workspace)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://(\S+):(\d+)/\?token=([\w-]{32})$", said.strip())
        assert found, said
        yield Served(process, f"http://127.0.0.1:{found[2]}", found[3])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


class Page:
    """What a browser's terminal shows of a connection."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self._connection = connection
        self.screen = pyte.Screen(100, 30)
        self._stream = pyte.ByteStream(self.screen)

    async def wait(self, text: str) -> list[str]:
        """Read until `text` stands on the screen; the screen's lines."""
        async with asyncio.timeout(30):
            while text not in "\n".join(self.screen.display):
                message = await self._connection.receive()
                assert message.type is aiohttp.WSMsgType.BINARY, message
                self._stream.feed(message.data)
        return list(self.screen.display)

    async def press(self, keys: str) -> None:
        await self._connection.send_str(json.dumps(["stdin", keys]))


def connected(server: Served, story: Callable[[Page], Awaitable[None]]) -> None:
    """Talk to the app as the page does: with the cookie that its address left."""

    async def run() -> None:
        jar = aiohttp.CookieJar(unsafe=True)  # cookies of numbers, too
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            async with session.get(server.opened) as answer:
                assert answer.status == 200
            where = f"{server.url}/ws?width=100&height=30"
            async with session.ws_connect(where, origin=server.url) as connection:
                await story(Page(connection))

    asyncio.run(run())


def fetch(url: str, **headers: str) -> tuple[int, str, str]:
    """Status, body and policy."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, answer.read().decode(), answer.headers["Content-Security-Policy"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), ""


def test_the_page_shows_the_app_and_its_keys_work(empty_workspace: Workspace) -> None:
    with served(empty_workspace.root) as server:
        status, page, policy = fetch(server.opened)
        assert status == 200
        assert f'data-session-websocket-url="ws{server.url.removeprefix("http")}/ws"' in page
        assert policy.startswith("default-src 'self'")
        assert "<title>talm</title>" in page
        assert '<div id="talm-hint" role="status">Keys do not reach talm now' in page
        assert page.count('document.querySelector(".xterm-helper-textarea")') == 1
        assert "googleapis" not in page
        script = re.search(r'src="([^"]+textual\.js)"', page)
        assert script is not None
        status, source, _ = fetch(f"{script[1]}?token={server.token}")
        assert status == 200
        # What the page gives the focus to is what the terminal calls it.
        assert "xterm-helper-textarea" in source

        async def story(page: Page) -> None:
            lines = await page.wait("Press s:")
            assert lines[0].startswith(" talm  1 Home")
            assert "^q quit" in lines[-1]
            await page.press("2")
            await page.wait("Train a tokenizer")
            server.process.send_signal(signal.SIGINT)

        connected(server, story)
        assert server.process.wait(20) == 0
        assert children(server.process.pid) == []


def children(pid: int) -> list[int]:
    """The processes that a process has started and that live."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def ended(pids: list[int], seconds: float = 15) -> bool:
    """Whether processes are gone by then."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(Path(f"/proc/{pid}/cmdline").exists() and
                   Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids):  # fmt: skip
            return True
        time.sleep(0.05)
    return False


def test_a_page_that_is_closed_ends_its_app(empty_workspace: Workspace) -> None:
    with served(empty_workspace.root) as server:

        async def story(page: Page) -> None:
            await page.wait("Press s:")
            await page.press("\x11")
            with pytest.raises(AssertionError, match="CLOSE"):
                await page.wait("never")

        connected(server, story)
        # Another page is another app, and the server goes on.
        assert server.process.poll() is None
        assert fetch(server.opened)[0] == 200


# --- who is let in ---------------------------------------------------------------------------


def test_without_the_token_nothing_is_answered(empty_workspace: Workspace) -> None:
    with served(empty_workspace.root) as server:
        told = "The token is missing or another: open the address that talm-tui printed.\n"
        for path in ("/", "/ws", "/static/js/textual.js", "/download/x", "/nowhere"):
            for query in ("", "?token=", f"?token={server.token[:-1]}", f"?token={server.token}x",
                          "?token=%ff%00"):  # fmt: skip
                assert fetch(f"{server.url}{path}{query}")[:2] == (403, told), (path, query)
        assert fetch(server.url, Cookie="talm-0=x; =; a")[0] == 403
        assert fetch(server.url, Authorization="token")[0] == 403
        assert children(server.process.pid) == []
        # Who has it is let in, and known again by the cookie.
        assert fetch(server.url, Authorization=f"token {server.token}")[0] == 200
        with urllib.request.urlopen(server.opened) as answer:
            cookie = answer.headers["Set-Cookie"]
            assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert cookie.endswith("; HttpOnly; Path=/; SameSite=Strict")
        assert server.token not in cookie
        kept = cookie.partition(";")[0]
        assert fetch(server.url, Cookie=kept)[0] == 200
        assert fetch(f"{server.url}/static/js/textual.js", Cookie=f"other=1; {kept}")[0] == 200
        assert fetch(server.url, Cookie=kept[:-1])[0] == 403


def asked(server: Served, *lines: str) -> str:
    """The first line of the answer to a request of these lines, word for word."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection.makefile("rb").readline().decode().strip()


ORIGINS = [
    ("http://evil.example", 403),
    ("null", 403),
    ("", 403),
    ("http://[", 403),
    ("http://[::1", 403),
    ("://", 403),
    ("https://{host}", 403),
    ("http://{host}.evil.example", 403),
    ("http://evil.example/{host}", 403),
    ("http://{host}@evil.example", 403),
    ("http://user@{host}", 403),
    ("http://127.0.0.1:1", 403),
    ("http://{host}", 200),
    ("HTTP://{host}", 200),
]
HOSTS = [
    ("evil.example", 403),
    ("evil.example:80", 403),
    ("127.0.0.1.evil.example", 403),
    ("[::1", 403),
    ("x@127.0.0.1", 403),
    ("127.0.0.1:port", 403),
    ("127.0.0.1/x", 403),
    ("", 403),
    ("localhost:9999", 200),
    ("[::1]:80", 200),
]


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_other_sites_are_refused_at_every_address(empty_workspace: Workspace, address: str) -> None:
    with served(empty_workspace.root, "--host", address) as server:
        own = server.url.removeprefix("http://")
        line = f"GET /?token={server.token} HTTP/1.1"
        for origin, status in ORIGINS:
            said = f"Origin: {origin.format(host=own)}"
            assert asked(server, line, f"Host: {own}", said).split()[1] == str(status), origin
        for host, status in HOSTS:
            assert asked(server, line, f"Host: {host}").split()[1] == str(status), host
        # A foreign name with a page of its own, as when a name is made to lead here.
        both = ("Host: evil.example", "Origin: http://evil.example")
        assert asked(server, line, *both).split()[1] == "403"
        assert asked(server, line.replace("1.1", "1.0")).split()[1] in ("400", "403")
        twice = (f"Host: {own}", f"Origin: http://{own}", "Origin: http://evil.example")
        assert asked(server, line, *twice).split()[1] in ("400", "403")
        ws = f"GET /ws?token={server.token} HTTP/1.1"
        assert asked(server, ws, f"Host: {own}", "Origin: http://[").split()[1] == "403"
        # A number cannot be made to lead elsewhere: only where others may come is it let in.
        elsewhere = asked(server, line, "Host: 203.0.113.5:8000").split()[1]
        assert elsewhere == ("403" if address == "127.0.0.1" else "200")
        name = asked(server, line, f"Host: {socket.gethostname()}:8000").split()[1]
        assert name == ("403" if address == "127.0.0.1" else "200")


# --- what is started and ends ----------------------------------------------------------------


def many(server: Served, count: int, story: Callable[..., Awaitable[None]]) -> None:
    """Open some pages and hand their connections over."""

    async def run() -> None:
        async with aiohttp.ClientSession() as session:
            where = f"{server.url}/ws?token={server.token}&width=100&height=30"
            opened = [await session.ws_connect(where) for _ in range(count)]
            await story(session, where, opened)

    asyncio.run(run())


def test_pages_are_limited_in_number(empty_workspace: Workspace) -> None:
    with served(empty_workspace.root, "--pages", "2") as server:

        async def story(session: aiohttp.ClientSession, where: str, opened: list[Any]) -> None:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(where)
            assert refused.value.status == 503
            async with session.get(server.opened) as answer:
                said = "2 pages of talm are open already: close one, then load this one anew.\n"
                assert (answer.status, await answer.text()) == (503, said)
            assert len(children(server.process.pid)) == 2
            await opened[0].close()
            await Page(opened[1]).wait("Press s:")
            await Page(await session.ws_connect(where)).wait("Press s:")

        many(server, 2, story)


def test_a_page_that_goes_away_ends_its_process(empty_workspace: Workspace) -> None:
    with served(empty_workspace.root) as server:
        pids: list[int] = []

        async def story(session: aiohttp.ClientSession, where: str, opened: list[Any]) -> None:
            await Page(opened[0]).wait("Press s:")
            pids.extend(children(server.process.pid))
            # One that does not even listen any more.
            os.kill(pids[1], signal.SIGSTOP)

        many(server, 2, story)
        assert len(pids) == 2
        assert ended(pids)
        assert server.process.poll() is None


def test_a_page_that_makes_no_sense_is_closed(empty_workspace: Workspace) -> None:
    with served(empty_workspace.root) as server:
        bad = ["", "[" * 5000, "null", '["stdin", 7]', '["resize", {}]', '["what"]']

        async def story(session: aiohttp.ClientSession, where: str, opened: list[Any]) -> None:
            for text in bad:
                connection = await session.ws_connect(where)
                await connection.send_str(text)
                async with asyncio.timeout(20):
                    while (message := await connection.receive()).type is aiohttp.WSMsgType.BINARY:
                        pass
                assert (message.type, connection.close_code) == (aiohttp.WSMsgType.CLOSE, 1003), (
                    text
                )
            # A size beyond reason is one within.
            page = Page(opened[0])
            await opened[0].send_str('["resize", {"width": 1e9, "height": "many"}]')
            await opened[0].send_str('["resize", {"width": 100, "height": 30}]')
            await page.wait("Press s:")

        many(server, 1, story)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 0
        assert server.process.stderr is not None
        assert "Traceback" not in server.process.stderr.read()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="asks /proc")
def test_pages_end_with_a_server_that_is_killed(empty_workspace: Workspace) -> None:
    with served(empty_workspace.root) as server:
        pids: list[int] = []

        async def story(session: aiohttp.ClientSession, where: str, opened: list[Any]) -> None:
            await Page(opened[0]).wait("Press s:")
            pids.extend(children(server.process.pid))
            server.process.kill()

        many(server, 2, story)
        assert len(pids) == 2
        assert ended(pids)


def test_a_taken_port_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server((web.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--serve", "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert f"talm-tui cannot be served at 127.0.0.1:{port}" in said
    assert "--port 0" in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--port", "80"], "--host, --port and --pages belong to --serve"),
        (["--pages", "3"], "--host, --port and --pages belong to --serve"),
        (["--serve", "--pages", "0"], "'0' is no number of pages: 1 to 100"),
        (["--serve", "--port", "70000"], "'70000' is no port: a whole number, 0 to 65535"),
        (["--serve", "--port", "-1"], "'-1' is no port"),
    ],
)
def test_mistakes_are_told(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("10.0.0.7", False), ("node-7", False),
    ],
)  # fmt: skip
def test_an_address_that_others_can_reach_is_warned_of(host: str, loopback: bool) -> None:
    said = web.warning(host, 8000)
    assert (said == "") is loopback
    assert web.is_loopback(host) is loopback
    if not loopback:
        assert "can be reached by other machines" in said
        assert "no\nencryption" in said
        assert "ssh -L 8000:127.0.0.1:8000" in said


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_in_chromium(empty_workspace: Workspace, tmp_path: Path) -> None:
    """The page runs its script under our policy, connects, and draws what the app sends."""

    async def look(url: str) -> bytes:
        profile = f"--user-data-dir={tmp_path / 'browser'}"
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        browser = subprocess.Popen(
            [CHROMIUM, *flags, profile, url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert browser.stderr is not None
            lines = (re.search(r"ws://127\.0\.0\.1:(\d+)/", line) for line in browser.stderr)
            port = next(found[1] for found in lines if found)
            async with aiohttp.ClientSession() as session:
                return await picture(session, f"http://127.0.0.1:{port}/json")
        finally:
            browser.kill()
            browser.communicate()

    async def picture(session: aiohttp.ClientSession, targets: str) -> bytes:
        pages: list[dict[str, str]] = []
        while not pages:
            async with session.get(targets) as answer:
                pages = [item for item in await answer.json() if item["type"] == "page"]
        async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as talk:

            async def ask(method: str, **params: str) -> dict[str, dict[str, object]]:
                await talk.send_json({"id": 1, "method": method, "params": params})
                while (answer := await talk.receive_json()).get("id") != 1:
                    pass
                return dict(answer["result"])

            until = time.monotonic() + 60
            while time.monotonic() < until:
                said = await ask("Runtime.evaluate", expression="document.body.className")
                if "-first-byte" in str(said):
                    break
            else:
                raise AssertionError(said)
            return base64.b64decode(str((await ask("Page.captureScreenshot"))["data"]))

    with served(empty_workspace.root) as server:
        assert asyncio.run(look(server.opened)).startswith(b"\x89PNG")
