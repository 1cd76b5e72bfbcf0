"""Vocabularies and their files."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from talm_core.errors import ArtifactError
from talm_core.jobs.tokenizer.config import SPECIAL_TOKENS
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer import patterns
from talm_core.tokenizer.ranks import single_bytes
from talm_core.tokenizer.vocabulary import BASE, Vocabulary, find_vocabulary, readable


def small(name: str = "small", **changes: Any) -> Vocabulary:
    tokens = [*single_bytes(), b"ab", b"abc"]
    values: dict[str, Any] = {
        "pattern": patterns.DEFAULT,
        "ranks": {token: rank for rank, token in enumerate(tokens)},
        "special_tokens": {"<|endoftext|>": 258, "<|user|>": 260},
    }
    return Vocabulary(name=name, **values | changes)


def test_numbers() -> None:
    vocabulary = small()
    assert vocabulary.n_vocab == 261
    assert vocabulary.end_of_text == 258
    lengths = vocabulary.token_bytes()
    assert lengths[:256] == [1] * 256
    assert lengths[256:] == [2, 3, 0, 0, 0]
    assert small(special_tokens={}).n_vocab == 258


def test_no_end_of_text() -> None:
    with pytest.raises(ArtifactError, match="small: has no special token"):
        assert small(special_tokens={"<|user|>": 258}).end_of_text


def test_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    small().save(path)
    assert Vocabulary.load(path) == small()
    data = json.loads(path.read_text())
    assert list(data) == ["version", "name", "regex_pattern", "vocab", "special_tokens"]
    assert data["vocab"]["YWJj"] == 257
    first = path.read_bytes()
    Vocabulary.load(path).save(path)
    assert path.read_bytes() == first


def test_a_file_of_tokencoder(tmp_path: Path) -> None:
    """It has no version, no special tokens where none were given, and ranks in any order."""
    tokens = list(enumerate([*single_bytes(), b"ab"]))[::-1]
    vocab = {base64.b64encode(token).decode(): rank for rank, token in tokens}
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps({"name": "theirs", "regex_pattern": "a|b", "vocab": vocab}))
    vocabulary = Vocabulary.load(path)
    assert vocabulary.name == "theirs"
    assert vocabulary.pattern == "a|b"
    assert vocabulary.ranks[b"ab"] == 256
    assert vocabulary.special_tokens == {}


def test_identity_is_of_what_decides_about_ids(tmp_path: Path) -> None:
    identity = small().identity
    assert re.fullmatch("sha256:[0-9a-f]{64}", identity)
    backwards = dict(reversed(small().ranks.items()))
    assert small("other", ranks=backwards).identity == identity
    other_ranks = small().ranks | {b"ab": 257, b"abc": 256}
    others = [
        small(pattern=patterns.GPT2),
        small(ranks=other_ranks),
        small(special_tokens={"<|endoftext|>": 258}),
        small(special_tokens={"<|endoftext|>": 258, "<|user|>": 259}),
        small(special_tokens={"<|endoftext|>": 260, "<|user|>": 258}),
    ]
    assert len({identity, *(other.identity for other in others)}) == 6


def _without_byte(data: dict[str, Any]) -> None:
    del data["vocab"]["/w=="]


def _hole(data: dict[str, Any]) -> None:
    data["vocab"]["YWJj"] = 300


def _twice(data: dict[str, Any]) -> None:
    data["vocab"]["YWJj"] = 256


def _no_number(data: dict[str, Any]) -> None:
    data["vocab"]["YWJj"] = True


def _bad_base64(data: dict[str, Any]) -> None:
    data["vocab"]["a§b="] = data["vocab"].pop("YWJj")


def _same_bytes(data: dict[str, Any]) -> None:
    # "YR==" and "YQ==" are both the byte "a" to a lenient reader.
    data["vocab"]["YR=="] = 258


def _no_vocab(data: dict[str, Any]) -> None:
    data["vocab"] = []


def _no_pattern(data: dict[str, Any]) -> None:
    del data["regex_pattern"]


def _special_collides(data: dict[str, Any]) -> None:
    data["special_tokens"]["<|user|>"] = 5


def _special_twice(data: dict[str, Any]) -> None:
    data["special_tokens"]["<|user|>"] = 258


def _special_no_number(data: dict[str, Any]) -> None:
    data["special_tokens"]["<|user|>"] = "260"


def _special_no_object(data: dict[str, Any]) -> None:
    data["special_tokens"] = ["<|user|>"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_without_byte, "ranks are not 0 to 256, each once"),
        (_hole, "ranks are not 0 to 257, each once"),
        (_twice, "ranks are not 0 to 257, each once"),
        (_no_number, "rank is not a whole number"),
        (_bad_base64, "not valid base64"),
        (_same_bytes, "there twice"),
        (_no_vocab, "vocab is missing or of the wrong kind"),
        (_no_pattern, "regex_pattern is missing"),
        (_special_collides, "has no id of its own"),
        (_special_twice, "shares its id"),
        (_special_no_number, "has no id of its own"),
        (_special_no_object, "special_tokens is of the wrong kind"),
    ],
)
def test_damage_is_refused(
    tmp_path: Path, damage: Callable[[dict[str, Any]], None], said: str
) -> None:
    path = tmp_path / "small.json"
    small().save(path)
    data = json.loads(path.read_text())
    damage(data)
    path.write_text(json.dumps(data))
    with pytest.raises(ArtifactError, match=said) as raised:
        Vocabulary.load(path)
    assert raised.value.problems[0].key == str(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"vocab": {"YQ==": 1, "YQ==": 2}}'],
)
def test_what_is_no_tokenizer_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="is no tokenizer file"):
        Vocabulary.load(path)


def test_truncated_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    small().save(path)
    whole = path.read_bytes().rstrip()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(ArtifactError):
            Vocabulary.load(path)


def test_missing_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    tokens = [*single_bytes()[:-2], b"ab"]
    small(ranks={token: rank for rank, token in enumerate(tokens)}).save(path)
    with pytest.raises(ArtifactError, match="2 of the 256 single bytes are missing"):
        Vocabulary.load(path)


def test_an_unknown_version(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    small().save(path)
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(ArtifactError, match=r"reads version 1 of tokenizer files.*update talm"):
        Vocabulary.load(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="there is no such tokenizer file"):
        Vocabulary.load(tmp_path / "none.json")
    with pytest.raises(ArtifactError, match="cannot be read"):
        Vocabulary.load(tmp_path)


def test_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path / "home")
    made = workspace.directory("tokenizer", "mine")
    made.mkdir(parents=True)
    small("mine").save(made / "tokencoder.json")
    elsewhere = tmp_path / "else"
    elsewhere.mkdir()
    small().save(elsewhere / "small.json")
    monkeypatch.chdir(elsewhere)

    def found(text: str) -> Path:
        return find_vocabulary(workspace, text, key="tokenizer_path")

    assert found("base") == BASE
    assert found("mine") == made / "tokencoder.json"
    assert found("small.json") == Path("small.json")
    assert found("small") == Path("small.json")
    assert found(str(elsewhere / "small")) == elsewhere / "small.json"
    assert found(str(made)) == made / "tokencoder.json"
    with pytest.raises(ArtifactError, match=r"tokenizer_path = 'min'.*did you mean 'mine'"):
        found("min")


def test_an_unfinished_tokenizer_is_not_found(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    made = workspace.directory("tokenizer", "mine")
    made.mkdir(parents=True)
    (made / "config.toml").touch()
    with pytest.raises(ArtifactError, match="is not finished"):
        find_vocabulary(workspace, "mine", key="tokenizer_path")


def test_base_ships() -> None:
    base = Vocabulary.load(BASE)
    assert base.name == "base"
    assert base.pattern == patterns.DEFAULT
    assert len(base.ranks) == 4096
    assert list(base.special_tokens) == list(SPECIAL_TOKENS)
    assert list(base.special_tokens.values()) == [4096, 4097, 4098, 4099]
    assert {b" self", b" return", b"import", b"    "} <= set(base.ranks)
    assert BASE.stat().st_size < 120_000


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (b" the", "␣the"),
        ("é中".encode(), "é中"),
        (b"\n\t", r"\n\t"),
        (b"\x1b[31m\x00", r"\x1b[31m\x00"),
        ("中".encode()[:2], r"\xe4\xb8"),
        ("\u202e\u200d".encode(), r"\u202e\u200d"),
    ],
)
def test_tokens_for_people(token: bytes, shown: str) -> None:
    assert readable(token) == shown


def test_nothing_heavy_is_loaded() -> None:
    """Screens read vocabularies."""
    code = (
        "import sys, talm_core.tokenizer.vocabulary as v; v.Vocabulary.load(v.BASE);"
        "print([m for m in ('torch', 'tiktoken', 'numba', 'numpy', 'regex') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
