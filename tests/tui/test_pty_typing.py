"""Typing faster than the screen can follow, on a machine that has other things to do: no key is
lost, comes twice or goes to another field."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from talm_core.storage.workspace import Workspace
from tests.tui.form_pilot import add_manifest
from tests.tui.pseudo import PseudoTerminal, arrived, leave, talm_tui

pytestmark = pytest.mark.pty


@pytest.fixture(autouse=True)
def busy_machine() -> Iterator[None]:
    """As many processes that only compute as there are cores, and one more."""
    burning = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range((os.cpu_count() or 1) + 1)
    ]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def shows(terminal: PseudoTerminal, key: str, value: str) -> None:
    """Wait until the field of a setting shows exactly this."""

    def seen(text: str) -> bool:
        words = [line.split() for line in text.splitlines()]
        return any(line[:2] == [key, value] for line in words if line)

    terminal.wait(seen, timeout=20)


def test_a_name_is_typed_at_once(workspace: Workspace) -> None:
    with talm_tui(workspace.root) as terminal:
        terminal.wait("Recent runs", timeout=20)
        # Everything in one go, from the place on.
        terminal.press("2", "down", *"abcdefghijkl", "X", "down", *"1234", "up", "down", *"77")
        arrived(terminal, "2")
        shows(terminal, "vocab_size", "77")
        shows(terminal, "name", "abcdefghijklX")
        # In the middle of a text, a letter stays where the cursor is.
        terminal.press("up", "end", "left", "left", *"0123456789" * 2, "home", *"ab")
        shows(terminal, "name", f"ababcdefghijk{'0123456789' * 2}lX")
        leave(terminal)


def test_a_list_is_opened_filtered_and_left_at_once(workspace: Workspace) -> None:
    add_manifest(workspace)
    with talm_tui(workspace.root) as terminal:
        terminal.wait("Recent runs", timeout=20)
        terminal.press("4", "down", "down", "enter")
        terminal.wait("type to filter", timeout=20)
        terminal.press("a")
        terminal.wait("│ a ", timeout=20)
        # One list: left once, the form is there again.
        terminal.press("escape")
        terminal.wait(lambda text: "minutes" in text and "│" not in text, timeout=20)
        # A letter opens the list and is the first of the filter; what is chosen is in its field,
        # and the next key belongs to the next one.
        terminal.press(*"book", "escape", *"stdlib", "enter", *"99", "f4")
        shows(terminal, "seed", "99")
        shows(terminal, "data_dir", "stdlib/all")
        terminal.press("3", "5", "escape", "3")
        arrived(terminal, "3")
        leave(terminal)


def test_the_tokenizer_of_a_dataset_is_chosen_at_once(workspace: Workspace) -> None:
    with talm_tui(workspace.root) as terminal:
        terminal.wait("Recent runs", timeout=20)
        terminal.press("3", "/", *"tokenizer_path", "enter", *"base", "enter")
        arrived(terminal, "3")
        shows(terminal, "tokenizer_path", "base")
        terminal.press("escape", "/", *"tokenizer_path", "enter", *"code", "enter")
        shows(terminal, "tokenizer_path", "code-8k")
        leave(terminal)


def test_a_path_is_typed_at_once(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "all the letters"
    folder.mkdir()
    (folder / "a text.txt").write_text("some text\n")
    (folder / "another.txt").write_text("some text\n")
    with talm_tui(workspace.root, env={"HOME": str(tmp_path)}) as terminal:
        terminal.wait("Recent runs", timeout=20)
        terminal.press("2", "down", "down", "down", "enter", *f"{folder}/a text.txt", "enter")
        terminal.wait(f'text_file          "~/{folder.name}/a text.txt"', timeout=20)
        # The same in the field itself.
        typed = f'"~/{folder.name}/another.txt"'
        terminal.press("down", "up", *typed, "right", "left", "home", "end", *" x")
        terminal.wait(f"text_file          {typed} x ", timeout=20)
        leave(terminal)


def test_the_palette_takes_what_was_typed_before_it_had_found_it(workspace: Workspace) -> None:
    with talm_tui(workspace.root) as terminal:
        terminal.wait("Recent runs", timeout=20)
        terminal.press("ctrl+p", *"go to train", "enter")
        arrived(terminal, "4")
        leave(terminal)
