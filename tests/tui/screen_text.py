"""What is on a screen as a text file: where it stands is checked at every size, how it looks in one
picture."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from rich.cells import cell_len
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from textual.app import App
from textual.pilot import Pilot

Steps = Callable[[Pilot[Any]], Awaitable[None]]


class TextScreen(SingleFileSnapshotExtension):
    """A file a screen, a line a row."""

    _file_extension = "txt"
    _write_mode = WriteMode.TEXT


class Compare(Protocol):
    """Whether a screen is as it was; `picture` compares its colours, too."""

    def __call__(
        self, app: App[Any], *, terminal_size: tuple[int, int], run_before: Steps, picture: bool
    ) -> bool: ...


def text_of_screen(app: App[Any], size: tuple[int, int], before: Steps) -> str:
    """Run the app, and read its screen after some steps."""

    async def run() -> list[str]:
        async with app.run_test(size=size) as pilot:
            await before(pilot)
            await pilot.pause()
            return [strip.text for strip in app.screen._compositor.render_strips()]

    lines = asyncio.run(run())
    assert [cell_len(line) for line in lines] == [size[0]] * size[1]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def comparing(snapshot: SnapshotAssertion, snap_compare: Callable[..., bool]) -> Compare:
    """Compares with the files in `__snapshots__`."""

    def compare(
        app: App[Any], *, terminal_size: tuple[int, int], run_before: Steps, picture: bool
    ) -> bool:
        if picture:
            return snap_compare(app, terminal_size=terminal_size, run_before=run_before)
        text = text_of_screen(app, terminal_size, run_before)
        assert text == snapshot.use_extension(TextScreen)
        return True

    return compare
