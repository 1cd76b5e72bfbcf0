"""Special tokens that are written out in a text: counted, or taken for what they mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talm_core.data import progress
from talm_core.data.special_text import WrittenTokens, told, without_tokens
from talm_core.jobs.dataset.config import DataConfig
from talm_core.jobs.dataset.job import prepare_data
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.jobs.tokenizer.job import train_tokenizer
from talm_core.runtime.events import Finished, Notice
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer.vocabulary import BASE, Vocabulary
from tests.core.driving import events_of, stepped

END, USER = "<|endoftext|>", "<|user|>"
TOKENS = (END, USER, "<|assistant|>", "<|system|>")
BASE_VOCABULARY = Vocabulary.load(BASE)


def taken(text: str, size: int, mode: Any = "tokens") -> tuple[list[str], WrittenTokens]:
    """A document in parts of a size, as what it becomes: texts, and tokens by themselves."""
    written = WrittenTokens(TOKENS, mode)
    found: list[str] = []
    parts = [text[at : at + size] for at in range(0, len(text), size)] or [""]
    pieces = [p for n, part in enumerate(parts) for p in written.feed(part, begins=not n)]
    for _, token, piece in [*pieces, *written.finish()]:
        found += [token] if token else []
        if found and found[-1] not in TOKENS and piece:
            found[-1] += piece
        elif piece:
            found.append(piece)
    return found, written


@pytest.mark.parametrize("size", [1, 2, 5, 14, 1_000])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"one\n{END}\ntwo{END}three", ["one\n", END, "two", END, "three"]),
        (f"{END}one{END}{END}\n \n{END}two{END}\n", ["one", END, "two"]),
        (f"{USER}Hi<|assistant|>Ho{END}", [USER, "Hi", "<|assistant|>", "Ho"]),
        (f"a{END}\n{USER}b", ["a", END, USER, "b"]),
        ("<|endof <|user| <|<|user", ["<|endof <|user| <|<|user"]),
        (f"<|endof{END}text|>", ["<|endof", END, "text|>"]),
        ("", []),
    ],
)
def test_tokens_are_found_wherever_the_text_is_parted(
    text: str, expected: list[str], size: int
) -> None:
    found, written = taken(text, size)
    assert found == expected
    plain, counting = taken(text, size, "text")
    assert "".join(plain) == text
    for token in TOKENS:
        assert written.counts[token] == counting.counts[token] == text.count(token)


@given(st.lists(st.sampled_from([*TOKENS, "a", "\n", "<|", "|>", "end"])), st.integers(1, 30))
@settings(deadline=None)
def test_nothing_but_tokens_and_blanks_is_lost(words: list[str], size: int) -> None:
    text = "".join(words)
    found, written = taken(text, size)
    assert found == taken(text, 10**6)[0]
    kept = "".join(piece for piece in found if piece not in TOKENS)
    for token in TOKENS:
        text = text.replace(token, "")
    assert sum(written.counts.values()) == sum(words.count(token) for token in TOKENS)
    assert kept.replace("\n", "") == text.replace("\n", "")


def test_what_was_found_is_told() -> None:
    counts = taken(f"a{END}b{USER}{END}", 99)[1].counts
    assert told(counts, "text") == (
        "special tokens written in the text were taken as ordinary text: <|endoftext|> (2),"
        " <|user|> (1); special_text = tokens makes tokens of them"
    )
    assert told(counts, "tokens") == (
        "special tokens written in the text were taken as tokens: <|endoftext|> (2), <|user|> (1)"
    )
    assert not told(taken("a", 99)[1].counts, "text")


def test_a_tokenizer_learns_what_is_between_them() -> None:
    parts = [(True, f"ab{END}c"), (False, f"d{USER}e"), (True, "f<|u"), (False, "x")]
    found = list(without_tokens(parts, WrittenTokens(TOKENS, "tokens")))
    documents: list[str] = []
    for begins, text in found:
        documents += [""] if begins else []
        documents[-1] += text
    assert [document for document in documents if document] == ["ab", "cd", "e", "f<|ux"]
    assert list(without_tokens(parts, WrittenTokens(TOKENS, "text"))) == parts


# --- in the jobs -----------------------------------------------------------------------------


def prepared(workspace: Workspace, path: Path, **values: Any) -> tuple[list[int], list[str]]:
    """The tokens for training, and what was said."""
    config = DataConfig(source="text", path=(str(path),), **values)
    events = events_of(prepare_data, config, workspace)
    directory = workspace.directory_of(config)
    shards = [np.load(file) for file in sorted(directory.glob("train_*.npy"))]
    notices = [event.message for event in events if isinstance(event, Notice)]
    return np.concatenate(shards).tolist(), [note for note in notices if "special" in note]


def test_a_dataset_says_how_many_there_are_and_takes_them_as_is_wished(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    path = tmp_path / "stories.txt"
    # Validation begins in the last words, not within a token.
    words = "and so on " * 90
    path.write_text(f"once upon a time{END}\n" * 900 + f"{USER}hello\n" * 20 + words)
    end, user = BASE_VOCABULARY.end_of_text, BASE_VOCABULARY.special_tokens[USER]
    tokens, said = prepared(workspace, path, ds_sample="as_text", val_fraction=0.01)
    assert (tokens.count(end), tokens.count(user)) == (1, 0)
    assert said == [
        (
            "special tokens written in the text were taken as ordinary text: <|endoftext|> (900),"
            " <|user|> (20); special_text = tokens makes tokens of them"
        )
    ]
    tokens, said = prepared(
        workspace, path, ds_sample="as_tokens", val_fraction=0.01, special_text="tokens"
    )
    assert tokens.count(end) in (900, 901)
    assert said == [
        (
            "special tokens written in the text were taken as tokens: <|endoftext|> (900),"
            " <|user|> (20)"
        )
    ]


def test_a_run_that_was_stopped_goes_on_within_a_document_of_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "YIELD_SECONDS", 0.0)
    monkeypatch.setattr("talm_core.data.encoding.BATCH_CHARACTERS", 700)
    monkeypatch.setattr("talm_core.data.local.document_file.PART_BYTES", 900)
    workspace = Workspace(tmp_path / "w")
    path = tmp_path / "d"
    path.mkdir()
    for name in "abc":
        stories = (f"{name} story number {number}{END}\n" for number in range(300))
        (path / f"{name}.txt").write_text("".join(stories))
    (path / "d.jsonl").write_text(json.dumps({"text": f"x{END}y"}) + "\n")
    how: dict[str, Any] = {"shard_size": 1000, "special_text": "tokens"}
    expected, _ = prepared(workspace, path, ds_sample="whole", **how)
    config = DataConfig(source="text", path=(str(path),), ds_sample="stopped", **how)
    directory = workspace.directory_of(config)
    runs = 0
    while not (directory / "manifest.json").exists():
        assert runs < 40
        had = len(list(directory.glob("[!.]*.npy")))
        job = stepped(prepare_data, config, workspace)
        for event in job:
            if len(list(directory.glob("[!.]*.npy"))) > had or isinstance(event, Finished):
                break
        job.close()
        runs += 1
    assert runs > 3
    made = [np.load(file) for file in sorted(directory.glob("train_*.npy"))]
    assert np.concatenate(made).tolist() == expected


def test_a_tokenizer_says_how_many_there_are(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    path = tmp_path / "stories.txt"
    path.write_text(f"once upon a time{END}\n" * 500)
    said: dict[str, list[str]] = {}
    for mode in ("text", "tokens"):
        config = TokenizerConfig.model_validate(
            {"name": mode, "vocab_size": 280, "text_file": (str(path),), "special_text": mode}
        )
        events = events_of(train_tokenizer, config, workspace)
        said[mode] = [event.message for event in events if isinstance(event, Notice)]
    assert any("ordinary text: <|endoftext|> (500)" in note for note in said["text"])
    assert any("taken as tokens: <|endoftext|> (500)" in note for note in said["tokens"])
    vocabularies = {
        mode: Vocabulary.load(workspace.directory("tokenizer", mode) / "tokencoder.json")
        for mode in said
    }
    assert b"endoftext" in vocabularies["text"].ranks
    assert not any(b"endo" in token for token in vocabularies["tokens"].ranks)
