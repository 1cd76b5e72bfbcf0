"""Where `talm sample` takes its prompt from: words, a pipe, a file, a terminal."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from talm_core.runtime import runner
from tests.core.tiny_runs import tiny_config, tiny_workspace
from tests.end_to_end.talm import Talm
from tests.tui.pseudo import PseudoTerminal

SHORT = ("sample", "tiny", "--max-tokens", "4")


@pytest.fixture(scope="module")
def talm(tmp_path_factory: pytest.TempPathFactory) -> Talm:
    workspace = tiny_workspace(tmp_path_factory.mktemp("home"))
    runner.run(tiny_config(max_steps=2, warmup_steps=1, eval_every=0, sample_every=0), workspace)
    return Talm(workspace.root)


def prompt_of(talm: Talm, *words: str, given: str | None = None) -> str:
    ended = talm(*words, "--json", given=given)
    assert ended.code == 0, ended.err
    return str(ended.events_of("Sampled")[0]["prompt"])


def test_a_prompt_comes_by_word_or_pipe(talm: Talm) -> None:
    for prompt, words, given in (
        ("the sum", (*SHORT, "the sum"), None),
        ("the sum", SHORT, "the sum\n"),
        ("a\nb\n", (*SHORT, "--prompt", "-"), "a\nb\n\n"),
        # Whoever says a prompt is not asked for one, nor is anybody without a pipe.
        ("", (*SHORT, "--prompt", ""), "the sum\n"),
        ("", SHORT, None),
    ):
        assert prompt_of(talm, *words, given=given) == prompt


def test_bytes_that_are_no_text_are_named(talm: Talm) -> None:
    ended = subprocess.run(
        talm.command(*SHORT),
        env=talm.environment,
        input=b"th\xe9",
        capture_output=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert b"standard input is not UTF-8: byte 0xe9 at position 2 (convert it" in ended.stderr


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(talm: Talm) -> None:
    began = time.monotonic()
    with subprocess.Popen(
        talm.command(*SHORT),
        env=talm.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"nothing came through standard input" in process.stderr.readline()
        process.stdout.read()
    assert process.returncode == 0
    assert time.monotonic() - began < 60


def test_a_terminal_asks_for_one_text_after_the_other(talm: Talm, tmp_path: Path) -> None:
    command = talm.command(*SHORT)
    with PseudoTerminal(command, env={"TALM_HOME": str(talm.root)}, cwd=tmp_path) as terminal:
        terminal.wait("ctrl-d ends", timeout=60)
        # What is typed before it asks is echoed by the terminal and shown once more by the prompt.
        terminal.wait(lambda text: text.count("\n> ") == 1, timeout=60)
        terminal.press("the sum", "enter")
        terminal.wait(lambda text: text.count("\n> ") == 2, timeout=60)
        # What was typed, and what is continued below it.
        assert terminal.text.count("the sum") == 2
        # In the moment before readline waits, Python sees an interrupt only with the next key.
        for _ in range(12):
            terminal.press("\x03")
            with suppress(AssertionError):
                terminal.wait(lambda text: text.count("\n> ") >= 3, timeout=5)
                break
        assert terminal.text.count("\n> ") >= 3
        terminal.press("\x04")
        assert terminal.wait_end(timeout=60) == 0
