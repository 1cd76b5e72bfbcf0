"""tokencoder's two classes and the job."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import regex

from talm_core.data.local.document_file import PART_BYTES, DocumentFile
from talm_core.errors import ArtifactError, ConfigError, CorpusError, RunError
from talm_core.jobs.tokenizer import job
from talm_core.jobs.tokenizer.base import make
from talm_core.jobs.tokenizer.config import SPECIAL_TOKENS, TokenizerConfig
from talm_core.jobs.tokenizer.job import train_tokenizer
from talm_core.jobs.tokenizer.report import report
from talm_core.runtime import runner
from talm_core.runtime.events import Event, Finished, Merged, Notice, Progress, Started
from talm_core.settings.schema import build
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer import patterns
from talm_core.tokenizer.bpe_trainer import TokenizerTrainer, learn
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import Vocabulary
from tests.core.driving import events_of, run_events, stepped
from tests.core.test_preparation import sides

FILES = {"tokencoder.json", "tokenizer.json", "tokenizer_config.json"}


def prose(words: int, seed: int = 0) -> str:
    source = random.Random(seed)
    known = ["".join(source.choices("etaoinshrdlu", k=source.randint(1, 8))) for _ in range(800)]
    return " ".join(source.choices(known, k=words)) + "\n"


class TestTrainer:
    def test_a_text(self, tmp_path: Path) -> None:
        trainer = TokenizerTrainer("t", ["<|z|>", "<|a|>", "<|z|>"])
        path = trainer.train(vocab_size=259, text="low lower lowest", save_dir=tmp_path)
        assert path == str(tmp_path / "t.json")
        vocabulary = Vocabulary.load(path)
        assert [*vocabulary.ranks][256:] == [b"lo", b"low", b" low"]
        assert vocabulary.special_tokens == {"<|z|>": 259, "<|a|>": 260}
        assert vocabulary.name == "t"

    def test_files_in_their_order(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "1.txt").write_text("xy\r\nxy", newline="")
        (tmp_path / "2.txt").write_text("ab\nab")
        monkeypatch.chdir(tmp_path)
        files: list[Path | str] = [Path("2.txt"), "1.txt"]
        TokenizerTrainer("t").train(vocab_size=258, files=files)
        assert [*Vocabulary.load("t.json").ranks][256:] == [b"ab", b"xy"]

    def test_chunks_are_pieces_of_their_own(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("abcabc")
        (tmp_path / "b").write_text("abcabc")
        files = [tmp_path / "a", tmp_path / "b"]
        for index, size in enumerate((2, [2, 2], [2, None], None)):
            trainer = TokenizerTrainer(f"t{index}")
            path = trainer.train(
                vocab_size=257, files=files, save_dir=tmp_path, file_read_chunksize=size
            )
            assert [*Vocabulary.load(path).ranks][256:] == [b"ab"]
        with pytest.warns(UserWarning, match="too short for 300 tokens: it gives 259"):
            path = TokenizerTrainer("u").train(
                vocab_size=300, files=files, save_dir=tmp_path, file_read_chunksize=2
            )
        assert [*Vocabulary.load(path).ranks][256:] == [b"ab", b"ca", b"bc"]

    def test_a_pattern_of_ones_own(self, tmp_path: Path) -> None:
        trainer = TokenizerTrainer("t", regex_pattern_string=r"\d+|\D+")
        path = trainer.train(vocab_size=258, text="a b a b 12", save_dir=tmp_path)
        vocabulary = Vocabulary.load(path)
        assert [*vocabulary.ranks][256:] == [b"a ", b"a b"]
        assert vocabulary.pattern == r"\d+|\D+"
        assert vocabulary.special_tokens == {}

    def test_refusals(self, tmp_path: Path) -> None:
        trainer = TokenizerTrainer("t")
        with pytest.raises(ValueError, match="either files or a text"):
            trainer.train(vocab_size=300, save_dir=tmp_path)
        with pytest.raises(ValueError, match="at least 256, not 255"):
            trainer.train(vocab_size=255, text="abc", save_dir=tmp_path)
        with pytest.raises(UnicodeEncodeError):
            trainer.train(vocab_size=256, text="\ud800", save_dir=tmp_path)
        with pytest.raises(regex.error):
            TokenizerTrainer("t", regex_pattern_string="(").train(
                vocab_size=256, text="abc", save_dir=tmp_path
            )
        for special in ("lo", "Ġlow"):
            with pytest.raises(
                ValueError, match=f"'{special}' is a token of the vocabulary as well"
            ):
                TokenizerTrainer("t", [special]).train(
                    vocab_size=259, text="low lower lowest", save_dir=tmp_path
                )
        assert list(tmp_path.iterdir()) == []
        trainer.train(vocab_size=256, text="abc", save_dir=tmp_path)
        with pytest.raises(FileExistsError, match=r"t\.json"):
            trainer.train(vocab_size=256, text="abc", save_dir=tmp_path)

    def test_a_short_text_warns(self, tmp_path: Path) -> None:
        with pytest.warns(UserWarning, match="too short for 400 tokens: it gives 258"):
            path = TokenizerTrainer("t").train(vocab_size=400, text="abc", save_dir=tmp_path)
        assert Vocabulary.load(path).n_vocab == 258


class TestTokenizer:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        trainer = TokenizerTrainer("t", ["<|endoftext|>"])
        return Path(trainer.train(vocab_size=300, text=prose(500), save_dir=tmp_path))

    def test_from_file(self, path: Path) -> None:
        text = prose(200, seed=9) + "é中😀\0\x1b"
        for given in (path, str(path), path.with_suffix(""), str(path.with_suffix(""))):
            tokenizer = Tokenizer.from_file(given)
            assert isinstance(tokenizer, Tokenizer)
            assert tokenizer.name == "t"
            assert tokenizer.n_vocab == 301
            assert tokenizer.decode(tokenizer.encode(text)) == text
        assert len(tokenizer.encode(text)) < len(text)

    def test_special_tokens(self, path: Path) -> None:
        tokenizer = Tokenizer.from_file(path, special_tokens={"<|more|>": 400}, name="other")
        assert tokenizer.name == "other"
        text = "a<|endoftext|><|more|>"
        assert tokenizer.encode(text, allowed_special="all") == [97, 300, 400]
        with pytest.raises(ValueError, match="disallowed"):
            tokenizer.encode(text)

    def test_missing_and_damaged(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"none\.json"):
            Tokenizer.from_file(tmp_path / "none")
        (tmp_path / "bad.json").write_text("{}")
        with pytest.raises(ArtifactError):
            Tokenizer.from_file(tmp_path / "bad")

    def test_a_bad_regular_expression(self, path: Path) -> None:
        data = json.loads(path.read_text())
        path.write_text(json.dumps(data | {"regex_pattern": "("}))
        with pytest.raises(ArtifactError, match="regular expression is refused"):
            Tokenizer.from_file(path)

    @pytest.mark.parametrize("pattern", ["", "x*", "a?", r"(?=a)"])
    def test_a_regular_expression_that_matches_nothing(self, path: Path, pattern: str) -> None:
        data = json.loads(path.read_text())
        path.write_text(json.dumps(data | {"regex_pattern": pattern}))
        with pytest.raises(ArtifactError, match="matches where there is no text"):
            Tokenizer.from_file(path)

    def test_a_regular_expression_that_gives_up_is_told(self, path: Path) -> None:
        data = json.loads(path.read_text())
        path.write_text(json.dumps(data | {"regex_pattern": r"(?:a|aa)+(?!a)(?<=b)b|[^a]+"}))
        tokenizer = Tokenizer.from_file(path)
        assert tokenizer.decode(tokenizer.ids("xyz").tolist()) == "xyz"
        with pytest.raises(RunError, match="cannot split a text"):
            tokenizer.ids("a" * 3_000)


def config(path: Path, **values: Any) -> TokenizerConfig:
    return TokenizerConfig(**{"name": "t", "text_file": (str(path),), "vocab_size": 600} | values)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for index in range(10):
        (folder / f"{index}.txt").write_text(prose(600, seed=index))
    return folder


def texts(folder: Path) -> list[str]:
    return [file.read_text() for file in sorted(folder.iterdir())]


class TestJob:
    def test_what_it_says_and_makes(self, workspace: Workspace, corpus: Path) -> None:
        events = events_of(train_tokenizer, config(corpus), workspace)
        size = sum(len(text) for text in texts(corpus))
        assert events[0] == Started(job="tokenizer", name="t")
        progress = [event for event in events if isinstance(event, Progress)]
        reading = [event for event in progress if event.phase == "reading"]
        merging = [event for event in progress if event.phase == "merging"]
        assert [event for event in progress if event.phase != "writing"] == reading + merging
        assert (reading[-1].done, reading[-1].total, reading[-1].unit) == (size, size, "bytes")
        assert (merging[-1].done, merging[-1].total, merging[-1].unit) == (344, 344, "merges")
        merged = [event for event in events if isinstance(event, Merged)]
        assert merged[-1].vocab_size == 600
        made = workspace.directory("tokenizer", "t")
        assert {file.name for file in made.iterdir()} == FILES
        vocabulary = Vocabulary.load(made / "tokencoder.json")
        assert [*vocabulary.ranks] == learn(texts(corpus), patterns.DEFAULT, 600)
        newest = [token.decode().replace(" ", "␣") for token in [*vocabulary.ranks][-12:]]
        assert merged[-1].newest == newest
        assert list(vocabulary.special_tokens) == list(SPECIAL_TOKENS)
        finished = events[-1]
        assert isinstance(finished, Finished)
        tokenizer = Tokenizer.from_vocabulary(vocabulary)
        tokens = sum(len(tokenizer.encode(text)) for text in texts(corpus))
        # tiktoken also joins pairs whose bytes another pair gave: not quite what merging counted.
        assert merged[-1].bytes_per_token == pytest.approx(size / tokens, rel=0.005)
        assert finished.summary == {
            "vocab_size": 600,
            "n_vocab": 604,
            "merges": 344,
            "bytes": size,
            # The sample is cut into parts.
            "bytes_per_token": pytest.approx(size / tokens, rel=0.005),
            "directory": "tokenizers/t",
        }

    def test_the_same_text_gives_the_same_files(self, workspace: Workspace, corpus: Path) -> None:
        contents = []
        for name in ("a", "b"):
            events_of(train_tokenizer, config(corpus, name=name), workspace)
            made = workspace.directory("tokenizer", name)
            contents.append({file.name: file.read_text() for file in made.iterdir()})
        contents[1]["tokencoder.json"] = contents[1]["tokencoder.json"].replace(
            '"name": "b"', '"name": "a"'
        )
        assert contents[0] == contents[1]

    def test_what_is_held_out_is_not_read(self, workspace: Workspace, corpus: Path) -> None:
        events = events_of(train_tokenizer, config(corpus, val_fraction=0.2), workspace)
        seen, held_out = sides(texts(corpus), 0.2)
        assert isinstance(events[-1], Finished)
        assert events[-1].summary["bytes"] == sum(len(text) for text in seen)
        vocabulary = Vocabulary.load(workspace.directory("tokenizer", "t") / "tokencoder.json")
        assert [*vocabulary.ranks] == learn(seen, patterns.DEFAULT, 600)
        tokenizer = Tokenizer.from_vocabulary(vocabulary)
        rest = "".join(held_out)
        expected = len(rest) / len(tokenizer.encode(rest))
        assert events[-1].summary["bytes_per_token"] == pytest.approx(expected, rel=0.005)

    def test_the_end_of_a_single_document_is_held_out(
        self, workspace: Workspace, corpus: Path
    ) -> None:
        events = events_of(train_tokenizer, config(corpus / "0.txt", val_fraction=0.5), workspace)
        text = texts(corpus)[0]
        assert isinstance(events[-1], Finished)
        assert events[-1].summary["bytes"] == len(text) - round(len(text) / 2)

    @pytest.mark.parametrize("compressed", [False, True])
    def test_little_is_read_between_two_events(
        self,
        workspace: Workspace,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        compressed: bool,
    ) -> None:
        """So that a stop, which is heard between two events, is heard soon however long a line."""
        monkeypatch.setattr(job, "_TICK_SECONDS", 0.0)
        line = "".join(random.Random(8).choices("abcdefgh", k=500_000)).encode() * 40
        path = tmp_path / ("line.txt.gz" if compressed else "line.txt")
        path.write_bytes(gzip.compress(line, 1) if compressed else line)
        read = 0
        parts = DocumentFile.parts

        def watched(file: DocumentFile, skip: int = 0) -> Iterator[str]:
            nonlocal read
            for part in parts(file, skip):
                read += len(part)
                yield part

        monkeypatch.setattr(DocumentFile, "parts", watched)
        most = before = 0
        for _ in stepped(
            train_tokenizer, config(path, vocab_size=257, val_fraction=0.4), workspace
        ):
            most, before = max(most, read - before), read
        # Once more where only unpacking tells how much there is, and where the last 40 % begin.
        assert read == len(line) * (2 if compressed else 1)
        assert most <= 2 * PART_BYTES

    def test_what_comes_behind_the_limit_is_what_it_is_measured_on(
        self, workspace: Workspace, corpus: Path
    ) -> None:
        learned, behind = texts(corpus)[0], "".join(texts(corpus)[1:])
        limited = config(corpus, max_bytes=len(learned), vocab_size=400)
        last = events_of(train_tokenizer, limited, workspace)[-1]
        assert isinstance(last, Finished)
        made = workspace.directory("tokenizer", "t") / "tokencoder.json"
        tokenizer = Tokenizer.from_vocabulary(Vocabulary.load(made))
        expected = len(behind) / len(tokenizer.encode(behind))
        assert last.summary["bytes_per_token"] == pytest.approx(expected, rel=0.005)
        found = report(made, limited)
        assert (found.seen, found.text_bytes) == (False, len(behind))

    @pytest.mark.parametrize("limit", [1, 100, 5_000])
    def test_at_most_so_many_bytes(self, workspace: Workspace, tmp_path: Path, limit: int) -> None:
        folder = tmp_path / "accents"
        folder.mkdir()
        for index in range(4):
            (folder / f"{index}").write_text("é中 " * 300, encoding="utf-8")
        events = events_of(
            train_tokenizer, config(folder, max_bytes=limit, vocab_size=260), workspace
        )
        assert isinstance(events[-1], Finished)
        assert limit - 3 < events[-1].summary["bytes"] <= limit

    def test_a_short_text_is_told(self, workspace: Workspace, tmp_path: Path) -> None:
        (tmp_path / "t.txt").write_text("abc")
        events = events_of(train_tokenizer, config(tmp_path / "t.txt"), workspace)
        (notice,) = [event for event in events if isinstance(event, Notice)]
        assert notice.message == "The text is too short for 600 tokens: the vocabulary has 258"
        assert notice.level == "warning"
        assert isinstance(events[-1], Finished)
        assert events[-1].summary["n_vocab"] == 262

    def test_binary_files_are_left_out(self, workspace: Workspace, corpus: Path) -> None:
        (corpus / "x.bin").write_bytes(b"\0\1\2" * 9)
        events = events_of(train_tokenizer, config(corpus), workspace)
        assert Notice(message="1 binary file was left out: x.bin") in events

    def test_another_pattern(self, workspace: Workspace, corpus: Path) -> None:
        events_of(train_tokenizer, config(corpus, pattern="gpt2"), workspace)
        vocabulary = Vocabulary.load(workspace.directory("tokenizer", "t") / "tokencoder.json")
        assert vocabulary.pattern == patterns.GPT2
        assert [*vocabulary.ranks] == learn(texts(corpus), patterns.GPT2, 600)

    def test_closed_at_any_event_it_leaves_nothing(
        self, workspace: Workspace, corpus: Path
    ) -> None:
        events: list[Event] = []
        while not isinstance(events[-1] if events else None, Finished):
            name = f"t{len(events)}"
            events = _closed_after(len(events) + 1, corpus, workspace, name)
            made = workspace.directory("tokenizer", name)
            left = {file.name for file in made.iterdir()} if made.exists() else set()
            assert left == (FILES if isinstance(events[-1], Finished) else set())
        assert len(events) > 5

    def test_nul_bytes_are_text(self, workspace: Workspace, tmp_path: Path) -> None:
        path = tmp_path / "t.txt"
        path.write_text("text " * 3_000 + "\0\0\0\0" * 3_000)
        events_of(train_tokenizer, config(path, vocab_size=262), workspace)
        vocabulary = Vocabulary.load(workspace.directory("tokenizer", "t") / "tokencoder.json")
        assert b"\0\0" in vocabulary.ranks

    def test_driven(self, workspace: Workspace, corpus: Path) -> None:
        made = workspace.directory("tokenizer", "t")
        events = run_events(config(corpus), workspace)
        assert isinstance(events[-1], Finished)
        assert runner.status(made) is runner.Status.DONE
        assert {file.name for file in made.iterdir()} >= FILES | {"config.toml", "events.jsonl"}

    def test_special_tokens_that_were_learned_are_refused(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        (tmp_path / "t.txt").write_text("hello hello hello")
        wrong = config(tmp_path / "t.txt", special_tokens=("<|endoftext|>", "hello", "<|x|>"))
        with pytest.raises(ConfigError, match="'hello': is also a token that was learned"):
            run_events(wrong, workspace)
        assert not workspace.directory("tokenizer", "t").exists()

    @pytest.mark.parametrize("token", ["a", "\n", "\udcff", "", "<|endoftext|>"])
    def test_special_tokens_no_vocabulary_can_have(self, token: str, corpus: Path) -> None:
        with pytest.raises(ConfigError, match="special_tokens"):
            build(
                TokenizerConfig, {"name": "t", "special_tokens": ["<|endoftext|>", token, "<|y|>"]}
            )

    def test_what_is_not_utf8_leaves_nothing(self, workspace: Workspace, corpus: Path) -> None:
        (corpus / "9.txt").write_bytes(b"fine " * 4_000 + b"\xff")
        with pytest.raises(CorpusError, match=r"9\.txt.*byte 20,000 is 0xff"):
            run_events(config(corpus), workspace)
        assert not workspace.directory("tokenizer", "t").exists()


def _closed_after(number: int, corpus: Path, workspace: Workspace, name: str) -> list[Event]:
    job = stepped(train_tokenizer, config(corpus, name=name), workspace)
    events = [event for _, event in zip(range(number), job, strict=False)]
    job.close()
    return events


def test_base_is_made_from_the_standard_library(tmp_path: Path) -> None:
    make(tmp_path / "base.json")
    vocabulary = Vocabulary.load(tmp_path / "base.json")
    assert vocabulary.n_vocab == 4100
    assert {b" self", b" return", b"    "} <= set(vocabulary.ranks)
