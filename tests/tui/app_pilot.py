"""The app in a test: started on a workspace, its first look taken, then driven by keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from textual.app import App
from textual.pilot import Pilot

from talm_core.storage.workspace import Workspace
from talm_tui.app import TalmApp

Story = Callable[[TalmApp, Pilot[None]], Awaitable[None]]


async def until(pilot: Pilot[None], question: Callable[[], object], *, seconds: float = 60) -> None:
    """Let the app run until something is so."""
    async with asyncio.timeout(seconds):
        while not question():
            await pilot.pause(0.01)


def play(
    workspace: Workspace,
    story: Story,
    *,
    size: tuple[int, int] = (80, 24),
    app: TalmApp | None = None,
) -> TalmApp:
    """Run a story on the app over a workspace; the app as it was at the end."""
    app = app or TalmApp(workspace)

    async def run() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, lambda: app.snapshot.complete)
            await pilot.pause()
            await story(app, pilot)

    asyncio.run(run())
    return app


def screen_text(app: App[Any]) -> str:
    """What is on the screen, a line a row."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in strips)


def said(app: TalmApp) -> list[str]:
    """The notifications that are shown."""
    return [notification.message for notification in app._notifications]
