"""A tile's number and picture."""

from __future__ import annotations

import asyncio
from array import array

from textual.app import App, ComposeResult

from talm_tui.charts import plot
from talm_tui.runs.tile import Tile


class TileApp(App[None]):
    """One tile."""

    def compose(self) -> ComposeResult:
        yield Tile("lr")


def test_the_number_is_always_new_and_the_picture_when_asked_for() -> None:
    values = array("d", [1.0, 2.0, 3.0])

    async def run() -> None:
        app = TileApp()
        async with app.run_test(size=(20, 4)) as pilot:
            tile = app.query_one(Tile)

            def picture() -> list[str]:
                return [tile.render_line(y).text for y in range(2)]

            def whole() -> list[str]:
                return plot.spark(values, 18, 2, xs=array("d", range(len(values))))

            for later in (True, False):
                # The first picture of a series cannot wait.
                tile.show(values, sign=later, number_only=True)
                assert (tile.value, picture()) == (f"{values[-1]:g}", whole())
            before = picture()
            values.extend([9.0, -5.0])
            tile.show(values, sign=False, number_only=True)
            assert (tile.value, picture()) == ("-5", before)
            await pilot.pause()
            assert "-5" in app.screen._compositor.render_strips()[3].text
            # Nothing was added since, but the picture does not have it yet.
            tile.show(values, sign=False)
            assert picture() == whole() != before

    asyncio.run(run())
