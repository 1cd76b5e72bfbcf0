"""Text that costs no layout while it keeps its height."""

from __future__ import annotations

import asyncio

from textual.app import App, ComposeResult

from talm_tui.widgets.sheet import Sheet


def test_only_another_height_lays_out_anew() -> None:
    laid: list[str] = []

    class Watched(Sheet):
        def refresh(self, *regions: object, layout: bool = False, **others: object) -> Watched:
            if layout and self.is_mounted:
                laid.append(str(self.visual))
            return super().refresh(*regions, layout=layout, **others)  # type: ignore[arg-type]

    class Pages(App[None]):
        def compose(self) -> ComposeResult:
            yield Watched("one line")

    async def story() -> None:
        app = Pages()
        async with app.run_test(size=(20, 10)) as pilot:
            sheet = app.query_one(Watched)
            await pilot.pause()
            laid.clear()
            sheet.update("another line")
            await pilot.pause()
            assert laid == []
            assert str(sheet.visual) == "another line"
            for text, height in (("two\nlines", 2), ("word " * 12, 3), ("one", 1)):
                sheet.update(text)
                await pilot.pause()
                assert sheet.size.height == height
            assert set(laid) == {"two\nlines", "word " * 12, "one"}
            sheet.display = False
            await pilot.pause()
            laid.clear()
            sheet.update("two\nlines")
            assert laid == []
            sheet.display = True
            await pilot.pause()
            assert sheet.size.height == 2

    asyncio.run(story())
