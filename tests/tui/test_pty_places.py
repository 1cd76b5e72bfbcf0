"""Every place on a real pseudo-terminal: by mouse, and by keys in terminals of other names."""

from __future__ import annotations

import re

import pytest

from talm_core.storage.workspace import Workspace
from tests.tui.pseudo import PseudoTerminal, arrived, leave, talm_tui
from tests.tui.test_pty_faults import visit

pytestmark = [pytest.mark.pty, pytest.mark.slow]

PATIENCE = 60.0


@pytest.fixture
def models(workspace: Workspace) -> Workspace:
    """A workspace with a model to prompt."""
    (workspace.directory("pretrain", "nano") / "checkpoint-000400").mkdir()
    return workspace


def seen(terminal: PseudoTerminal, text: str) -> None:
    terminal.wait(text, timeout=PATIENCE)


def gone(terminal: PseudoTerminal, text: str) -> None:
    terminal.wait(lambda screen: text not in screen, timeout=PATIENCE)


_JUDGED = "✕ is missing.*\n.*seed.*\n.*─ Model.*\n.*n_layer.*\n.*n_head.*\n.*n_embd +128"


def test_every_place_by_mouse(models: Workspace) -> None:
    with talm_tui(models.root, columns=120, rows=40) as terminal:

        def go(place: str) -> None:
            terminal.click(place)
            arrived(terminal, place[0])

        seen(terminal, "Recent runs")
        terminal.click("^p palette")
        seen(terminal, "Go to Tokenizer")
        terminal.press("escape")
        gone(terminal, "Go to Tokenizer")
        for place, field, value, lines in (
            ("2 Tokenizer", "vocab_size", "4096", "vocab_size +4096"),
            ("3 Data", "dir_prefix", "code-8k", "dir_prefix +code-8k"),
            # As soon as the values are judged, the reason under a field pushes down those below it.
            ("4 Train", "n_embd", "128", _JUDGED),
        ):
            go(place)
            terminal.wait(re.compile(lines).search, timeout=60)
            terminal.click(value, within=field)
            seen(terminal, f"╭─ {field} ")
        go("5 Runs")
        seen(terminal, "412/900 █")
        terminal.click("log", within="chart   sample")
        seen(terminal, "step 400")
        terminal.click("talm-1")
        seen(terminal, "talm-1  ● done  2,000 steps")
        go("6 Play")
        seen(terminal, "model nano")
        terminal.click("▾", within="model nano")
        seen(terminal, "type to filter")
        terminal.press("escape")
        gone(terminal, "type to filter")
        go("1 Home")
        seen(terminal, "Recent runs")
        leave(terminal)


@pytest.mark.parametrize(
    "env",
    [
        {"TERM": "screen-256color", "COLORTERM": ""},
        {"TERM": "xterm", "COLORTERM": "", "NO_COLOR": "1"},
    ],
    ids=["tmux", "xterm"],
)
def test_every_place_by_keys(models: Workspace, env: dict[str, str]) -> None:
    with talm_tui(models.root, env=env) as terminal:
        seen(terminal, "Recent runs")
        terminal.press("ctrl+p")
        seen(terminal, "Go to Tokenizer")
        terminal.press("escape")
        gone(terminal, "Go to Tokenizer")
        for place in "23":
            visit(terminal, place)
            seen(terminal, "▸ advanced")
            terminal.press("f4")
            seen(terminal, "▾ advanced")
        visit(terminal, "4")
        terminal.press("f3")
        seen(terminal, "type to filter")
        terminal.press("escape")
        gone(terminal, "type to filter")
        visit(terminal, "5")
        seen(terminal, "412/900 █")
        terminal.press("v")
        seen(terminal, "sample at step 400")
        terminal.press("down")
        seen(terminal, "try-3  ◐ interrupted")
        visit(terminal, "6")
        terminal.press("f3")
        seen(terminal, "No prompts yet")
        visit(terminal, "1")
        seen(terminal, "Recent runs")
        leave(terminal)
