"""`talm-tui --serve`: the page, the connection, and who is refused."""

from __future__ import annotations

import asyncio
import base64
import json
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
from pathlib import Path

import aiohttp
import pyte
import pytest

from talm_core.storage.workspace import Workspace
from talm_tui import web
from talm_tui.__main__ import main

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)


@contextmanager
def served(workspace: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The server on a free port of this machine, and its address."""
    command = [sys.executable, "-P", "-m", "talm_tui", "--serve", "--port", "0"]
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
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert found, said
        yield process, found[0]
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


def connected(url: str, story: Callable[[Page], Awaitable[None]]) -> None:
    """Talk to the app as the page does."""

    async def run() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{url}/ws?width=100&height=30", origin=url) as connection,
        ):
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
    with served(empty_workspace.root) as (process, url):
        status, page, policy = fetch(url)
        assert status == 200
        assert f'data-session-websocket-url="ws{url.removeprefix("http")}/ws"' in page
        assert policy.startswith("default-src 'self'")
        assert "<title>talm</title>" in page
        assert '<div id="talm-hint" role="status">Keys do not reach talm now' in page
        assert page.count('document.querySelector(".xterm-helper-textarea")') == 1
        assert "googleapis" not in page
        script = re.search(r'src="([^"]+textual\.js)"', page)
        assert script is not None
        status, source, _ = fetch(script[1])
        assert status == 200
        # What the page gives the focus to is what the terminal calls it.
        assert "xterm-helper-textarea" in source

        async def story(page: Page) -> None:
            lines = await page.wait("Press s:")
            assert lines[0].startswith(" talm  1 Home")
            assert "^q quit" in lines[-1]
            await page.press("2")
            await page.wait("Train a tokenizer")
            process.send_signal(signal.SIGINT)

        connected(url, story)
        assert process.wait(20) == 0
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        assert not children.exists() or not children.read_text()


def test_a_page_that_is_closed_ends_its_app(empty_workspace: Workspace) -> None:
    with served(empty_workspace.root) as (process, url):

        async def story(page: Page) -> None:
            await page.wait("Press s:")
            await page.press("\x11")
            with pytest.raises(AssertionError, match="CLOSE"):
                await page.wait("never")

        connected(url, story)
        # Another page is another app, and the server goes on.
        assert process.poll() is None
        assert fetch(url)[0] == 200


def test_other_sites_are_refused(empty_workspace: Workspace) -> None:
    with served(empty_workspace.root) as (_, url):
        assert fetch(url, Host="evil.example")[:2] == (403, "talm answers only pages of its own.\n")
        assert fetch(f"{url}/ws", Origin="http://evil.example")[0] == 403
        assert fetch(f"{url}/ws", Origin="null")[0] == 403
        # By another name of this machine, as through a forwarded port.
        port = url.rsplit(":", 1)[1]
        status, page, _ = fetch(url, Host="localhost:9999")
        assert (status, "ws://localhost:9999/ws" in page) == (200, True)
        assert fetch(url, Host=f"[::1]:{port}")[0] == 200


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
        (["--port", "80"], "--host and --port belong to --serve"),
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
        assert "no password" in said
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

    with served(empty_workspace.root) as (_, url):
        assert asyncio.run(look(url)).startswith(b"\x89PNG")
