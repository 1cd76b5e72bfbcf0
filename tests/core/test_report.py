"""What `talm show` says of a tokenizer, against plain counting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import regex

from talm_core.cli.main import main
from talm_core.jobs.tokenizer.config import TokenizerConfig
from talm_core.jobs.tokenizer.report import Report, report
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer import patterns
from talm_core.tokenizer.scripts import SAMPLES
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import BASE, Vocabulary
from tests.core.driving import run_events

WORDS = "the boat and the net, the fisherman's song; 1234 waves é\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.txt").write_text(WORDS * 20 + f"document {number}\n" * 3)
    return folder


def trained(workspace: Workspace, corpus: Path, **values: object) -> tuple[Path, TokenizerConfig]:
    values = {"name": "t", "text_file": (str(corpus),), "vocab_size": 290} | values
    config = TokenizerConfig.model_validate(values)
    run_events(config, workspace)
    return workspace.directory_of(config) / "tokencoder.json", config


def of(workspace: Workspace, corpus: Path, **values: object) -> tuple[Report, Vocabulary]:
    path, config = trained(workspace, corpus, **values)
    return report(path, config), Vocabulary.load(path)


def test_it_is_measured_on_what_was_held_out(workspace: Workspace, corpus: Path) -> None:
    found, vocabulary = of(workspace, corpus, val_fraction=0.2)
    texts = [(corpus / f"{number}.txt").read_text() for number in (8, 9)]
    tokenizer = Tokenizer.from_vocabulary(vocabulary)
    ids = [token for text in texts for token in tokenizer.encode(text)]
    size = sum(len(text.encode()) for text in texts)
    assert (found.text, found.seen, found.text_bytes) == (f"held out of {corpus}", False, size)
    assert (found.vocab_size, found.n_vocab, found.pattern) == (290, 294, "default")
    singles = sum(len(tokenizer.decode_single_token_bytes(token)) == 1 for token in ids)
    assert found.single_bytes == pytest.approx(singles / len(ids))
    assert found.used == pytest.approx(len(set(ids)) / 290)
    base = Tokenizer.from_vocabulary(Vocabulary.load(BASE))
    pieces = {
        pattern: sum(len(regex.findall(pattern, text)) for text in texts)
        for pattern in (patterns.DEFAULT, patterns.GPT2)
    }
    expected = {
        "t": len(ids),
        "base, 4,096 tokens of the standard library": sum(len(base.encode(t)) for t in texts),
        "single bytes": size,
        "pieces of its own pattern": pieces[patterns.DEFAULT],
        "pieces of GPT-2's pattern": pieces[patterns.GPT2],
    }
    assert {fit.name: fit.tokens for fit in found.fits} == expected
    for fit in found.fits:
        assert fit.bytes_per_token == pytest.approx(size / fit.tokens, abs=1e-4)


def test_what_was_learned_from_is_called_so(workspace: Workspace, corpus: Path) -> None:
    found, _ = of(workspace, corpus, pattern="gpt2")
    assert (found.text, found.seen) == (f"the beginning of {corpus}", True)
    assert found.pattern == "gpt2"
    assert [fit.name for fit in found.fits][2:] == ["single bytes", "pieces of GPT-2's pattern"]


def test_a_corpus_that_is_gone_is_stood_in_for(workspace: Workspace, corpus: Path) -> None:
    path, config = trained(workspace, corpus)
    for file in corpus.iterdir():
        file.unlink()
    for found in (report(path, config), report(path)):
        assert (found.text, found.seen) == ("samples in many scripts", False)
        assert found.text_bytes == sum(len(sample.text.encode()) for sample in SAMPLES)


def test_longest_tokens(workspace: Workspace, corpus: Path) -> None:
    found, vocabulary = of(workspace, corpus)
    tokens = sorted(vocabulary.ranks, key=lambda token: (-len(token), vocabulary.ranks[token]))
    shown = [token.decode("utf-8", "backslashreplace").replace(" ", "␣") for token in tokens[:12]]
    assert [token.text for token in found.longest] == shown
    assert [token.bytes for token in found.longest] == [len(token) for token in tokens[:12]]
    assert all(any(map(str.isalpha, token.text)) for token in found.longest_words)


def test_scripts(workspace: Workspace, corpus: Path) -> None:
    found, vocabulary = of(workspace, corpus)
    tokenizer = Tokenizer.from_vocabulary(vocabulary)
    for fit, sample in zip(found.scripts, SAMPLES, strict=True):
        tokens = len(tokenizer.encode(sample.text))
        assert (fit.script, fit.language, fit.tokens) == (sample.script, sample.language, tokens)
        assert fit.tokens_per_character == pytest.approx(tokens / len(sample.text), abs=1e-4)
        if sample.words:
            assert fit.tokens_per_word == pytest.approx(tokens / len(sample.text.split()), abs=1e-4)
        else:
            assert fit.tokens_per_word is None


def test_the_command_shows_it(
    workspace: Workspace, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, config = trained(workspace, corpus, val_fraction=0.2)
    words = ["--workspace", str(workspace.root)]
    assert main(["show", "t", *words]) == 0
    page = capsys.readouterr().out
    assert "which it has not seen" in page
    assert "Cyrillic      Russian" in page
    assert "Longest with a letter" in page
    assert main(["show", "t", "--json", *words]) == 0
    data = json.loads(capsys.readouterr().out)
    found = report(path, config)
    assert data["tokenizer"]["fits"][0]["tokens"] == found.fits[0].tokens
    assert len(data["tokenizer"]["scripts"]) == len(SAMPLES)


def test_base_is_shown_though_it_is_no_artifact(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", "base", "--json", "--workspace", str(workspace.root)]) == 0
    data = json.loads(capsys.readouterr().out)["tokenizer"]
    assert (data["vocab_size"], data["seen"]) == (4096, True)
    assert main(["show", "base", "--workspace", str(workspace.root)]) == 0
    assert "the beginning of stdlib/all" in capsys.readouterr().out


def test_a_damaged_file_is_told(
    workspace: Workspace, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = trained(workspace, corpus)
    path.write_bytes(path.read_bytes()[:500])
    assert main(["show", "t", "--workspace", str(workspace.root)]) == 2
    assert "is no tokenizer file" in capsys.readouterr().err
