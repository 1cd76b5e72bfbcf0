"""How well the newest tokenizer fits, and its longest tokens, for the place's own page."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

from rich.cells import cell_len

from talm_core.system.foreign_text import plain
from talm_tui.forms.glimpse import Cancelled, Seen
from talm_tui.services.asking import ask
from talm_tui.widgets.cells import left


def learned(workspace: Path, tokenizer: str, cancelled: Cancelled) -> Seen | None:
    """What a tokenizer has learned, as `talm show` tells it: how well it fits, and beside that its
    longest tokens."""
    said = ask(workspace, "show", f"tokenizers/{tokenizer}", cancelled=cancelled)
    if said is None:
        return None
    # How it was made, which comes first and last, stands in the list of tokenizers.
    _, head, text = plain(said.text).rpartition("\nVocabulary\n")
    text = text.partition("\nSettings\n")[0]
    fits, longest, tokens = f"{head.lstrip()}{text}".rstrip("\n").partition("\nLongest tokens\n")
    return Seen(text=_beside(fits, f"{longest.lstrip()}{tokens}"), problem=said.problem)


def _beside(one: str, other: str) -> str:
    """Two texts beside each other."""
    lines = one.splitlines()
    width = max(map(cell_len, lines), default=0) + 3
    pairs = zip_longest(lines, other.splitlines(), fillvalue="")
    return "\n".join(f"{left(first, width)}{second}".rstrip() for first, second in pairs)
