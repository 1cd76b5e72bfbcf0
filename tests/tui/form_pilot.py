"""What tests of the forms' places share: an app on one of them, and waiting for what comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Static

from talm_core.data.manifest import Manifest, Shard, TokenizerInfo
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.vocabulary import BASE, Vocabulary
from talm_tui.app import TalmApp
from talm_tui.forms.editors import TextEditor
from talm_tui.forms.field import Field
from talm_tui.forms.screen import FormPlace

Steps = Callable[[Pilot[None], FormPlace], Awaitable[None]]


def add_manifest(workspace: Workspace) -> None:
    """Make the canned dataset one that a run could learn from."""
    base = Vocabulary.load(BASE)
    shard: dict[str, Any] = {"documents": 300, "sha256": "0" * 64}
    Manifest(
        source="stdlib",
        sample="all",
        tokenizer=TokenizerInfo(name="base", identity=base.identity, n_vocab=base.n_vocab),
        dtype="uint16",
        shards=[
            Shard(file="val_000001.npy", split="val", tokens=334_000, bytes=1_069_000, **shard),
            Shard(
                file="train_000001.npy", split="train", tokens=3_015_000, bytes=9_648_000, **shard
            ),
        ],
    ).save(workspace.directory("data", "stdlib/all"))


def app_at(workspace: Workspace, mode: str) -> TalmApp:
    """An app that begins at one of the places."""

    class At(TalmApp):
        DEFAULT_MODE = mode

    return At(workspace)


def run_at(
    workspace: Workspace, mode: str, steps: Steps, size: tuple[int, int] = (120, 40)
) -> None:
    """Run `steps` at a place, once its first look at the workspace has come back."""

    async def run() -> None:
        app = app_at(workspace, mode)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.snapshot.complete)
            place = app.screen
            assert isinstance(place, FormPlace)
            await until(pilot, lambda: place.form.is_mounted)
            await steps(pilot, place)

    asyncio.run(run())


async def until(pilot: Pilot[None], condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is so."""
    for _ in range(round(seconds * 50)):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError("it did not come")


async def settled(pilot: Pilot[None], place: FormPlace) -> None:
    """Wait until the look at what the form says now has come back."""
    await until(
        pilot,
        lambda: place.findings is not None and place.findings.of == place.state.config,
    )


async def type_into(pilot: Pilot[None], place: FormPlace, key: str, text: str) -> None:
    """Go to a field and put a text there as somebody would who pastes it."""
    place.form.go_to(key)
    await until(pilot, lambda: getattr(place.focused, "key", None) == key)
    editor = place.focused
    assert isinstance(editor, TextEditor)
    # A field that gets the focus selects its text, a moment later.
    await until(pilot, lambda: editor.has_focus)
    await pilot.pause()
    editor.value = text
    editor.action_end()
    await until(pilot, lambda: place.state.texts[key] == text)


def field(place: FormPlace, key: str) -> Field:
    """The field of a setting."""
    return place.query_one(f"#field-{key}", Field)


def text_of(place: FormPlace, selector: str) -> str:
    """What a line of text shows."""
    return str(place.query_one(selector, Static).visual)
