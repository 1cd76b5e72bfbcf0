"""Regular expressions that leave out text, told before a model is trained without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import regex

from talm_core.data import tokenizer_coverage
from talm_core.data.manifest import Manifest
from talm_core.jobs.dataset.config import DataConfig
from talm_core.runtime.events import Notice
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.patterns import DEFAULT, dialect
from tests.core.driving import prepared
from tests.core.test_preparation import SMALL

TEXTS = [f"{number} the  thing, näher…\n" for number in range(40)]


@pytest.mark.parametrize("pattern", [r"\w+", r"\S+", r"(?s).", DEFAULT])
@pytest.mark.parametrize("looked_at", [400, 10**6])
def test_text_that_becomes_no_token_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, looked_at: int
) -> None:
    monkeypatch.setattr(tokenizer_coverage, "LOOKED_AT", looked_at)
    workspace = Workspace(tmp_path / "home")
    folder = workspace.directory("tokenizer", "other")
    folder.mkdir(parents=True)
    replace(SMALL, pattern=pattern).save(folder / "tokencoder.json")
    for number, text in enumerate(TEXTS):
        (tmp_path / f"{number:02}.txt").write_text(text)
    paths = tuple(str(path) for path in sorted(tmp_path.glob("*.txt")))
    config = DataConfig(source="text", path=paths, tokenizer_path="other")
    events = prepared(config, workspace, threads=2)
    manifest = Manifest.load(workspace.directory_of(config))
    kept = "".join(regex.findall(pattern, "".join(TEXTS)))
    assert manifest.text_bytes == len(kept.encode())
    # The last tenth is for validation and comes first.
    seen = "".join(TEXTS[-4:] + TEXTS[:-4])[:looked_at]
    lost = len(regex.sub(pattern, "", seen).encode())
    told = [event.message for event in events if isinstance(event, Notice)]
    elsewhere = [message for message in told if "where tokenizer.json is read" in message]
    assert len(elsewhere) == bool(dialect(pattern))
    told = [message for message in told if "leaves out" in message]
    if not lost:
        assert told == []
        return
    size = len(seen.encode())
    (message,) = told
    assert f"leaves out {lost / size:.1%} of the text: {lost:,} of the first {size:,} b" in message
