"""Tokenizers in files of others: read to the ids that others give, or refused by what they are."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from talm_core.errors import ArtifactError
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer import patterns
from talm_core.tokenizer.bpe_trainer import learn
from talm_core.tokenizer.byte_level import byte_characters
from talm_core.tokenizer.hf import write_huggingface
from talm_core.tokenizer.ranks import from_tokens
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import MOST_IDS, Vocabulary, find_vocabulary

TEXT = "the cat sat on the mat, don't they? 12345 the  cats\n\n\tДа é中 the the mat sat"
END = "<|endoftext|>"


def trained(pattern: str = patterns.DEFAULT, size: int = 290) -> Vocabulary:
    return from_tokens("t", pattern, learn([TEXT * 3], pattern, size), (END, "<|user|>"))


SIZE = len(trained().ranks)


def as_huggingface(directory: Path, pattern: str = patterns.DEFAULT) -> dict[str, Any]:
    directory.mkdir(exist_ok=True)
    write_huggingface(trained(pattern), directory)
    data: dict[str, Any] = json.loads((directory / "tokenizer.json").read_text())
    return data


def written(directory: Path, data: dict[str, Any]) -> Path:
    path = directory / "tokenizer.json"
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize("pattern", [patterns.DEFAULT, patterns.GPT2, r"\d+|[^\d\s]+|\s+"])
def test_what_stands_beside_a_tokenizer_of_talm_is_that_tokenizer(
    tmp_path: Path, pattern: str
) -> None:
    data = as_huggingface(tmp_path / "mine", pattern)
    path = written(tmp_path / "mine", data)
    assert Vocabulary.load(path).identity == trained(pattern).identity
    assert Vocabulary.load(path).name == "mine"
    assert find_vocabulary(Workspace(tmp_path), str(path.parent), key="t") == path


def gpt2_like(directory: Path) -> Path:
    """As `tokenizers` trains and writes one: bytes in the order of their characters, the special
    token in the vocabulary itself, and no pattern but that of its own."""
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=sorted(byte_characters().values()),
        show_progress=False,
    )
    theirs.train_from_iterator([TEXT * 5], trainer)
    theirs.add_special_tokens([END])
    path = directory / "tokenizer.json"
    theirs.save(str(path))
    data = json.loads(path.read_text())
    data["model"]["vocab"][END] = data["added_tokens"][0]["id"]
    return written(directory, data)


def test_one_of_tokenizers_own_gives_its_ids(tmp_path: Path) -> None:
    path = gpt2_like(tmp_path)
    vocabulary = Vocabulary.load(path)
    theirs = tokenizers.Tokenizer.from_file(str(path))
    assert vocabulary.pattern == patterns.GPT2
    assert vocabulary.special_tokens == {END: theirs.token_to_id(END)}
    ours = Tokenizer.from_vocabulary(vocabulary)
    for text in (TEXT, TEXT[7:], "unheard of: żółw\r\n 100  "):
        assert ours.ids(text).tolist() == theirs.encode(text).ids
    assert vocabulary.ranks[b"!"] == 0


def _set(*keys: str, to: object) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = to

    return change


def _swapped(data: dict[str, Any]) -> None:
    merges = data["model"]["merges"]
    merges[3], merges[4] = merges[4], merges[3]


def _two_ids(data: dict[str, Any]) -> None:
    data["model"]["vocab"][END] = 5


def _in_the_middle(data: dict[str, Any]) -> None:
    vocab = data["model"]["vocab"]
    data["model"]["vocab"] = {text: rank + 1 for text, rank in vocab.items()}
    data["added_tokens"][0]["id"] = 0


def _not_special(data: dict[str, Any]) -> None:
    data["added_tokens"][1]["special"] = False


def _prefix_space(data: dict[str, Any]) -> None:
    data["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = True


def _own(pattern: str) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        data["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = pattern

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set("model", "type", to="Unigram"), "whose model is 'Unigram', not byte-level BPE"),
        (_set("model", to=7), "whose model is 7"),
        (_set("model", "vocab", to=["a"]), "vocabulary is missing or damaged"),
        (_set("model", "byte_fallback", to=True), "of characters, not of bytes"),
        (_set("model", "end_of_word_suffix", to="</w>"), "marks the parts of words"),
        (_set("model", "vocab", "中", to=290), "'中' is not of bytes"),
        (_set("model", "vocab", "a", to=290), "gaps or doubles in the ids"),
        (_set("model", "merges", to=[["a"]]), r"merge \['a'\] is damaged"),
        (_set("model", "merges", to=[]), "merges are not in the order of its ids"),
        (_set("normalizer", to={"type": "NFC"}), "changes text before it splits it"),
        (_set("pre_tokenizer", to={"type": "Metaspace"}), "splits text in several steps"),
        (_set("pre_tokenizer", to=None), "splits text in several steps"),
        (_set("added_tokens", to=[{"id": "5"}]), "special token that is damaged"),
        (_swapped, "merges are not in the order of its ids"),
        (_two_ids, f"has two ids, 5 and {SIZE}"),
        (_in_the_middle, "special token '<.*>' is among the ids of its tokens"),
        (_not_special, "takes '<.user.>' for one token wherever a text has it"),
        (_prefix_space, "puts a space before each text"),
        (_own(r"\w+|\W"), r"has \\w, \\W, \\b or \\B, which mean something else"),
        (_own(r"[[:alpha:]]+|."), r"classes such as \[:alpha:\]"),
    ],
)
def test_what_would_get_other_ids_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    data = as_huggingface(tmp_path)
    change(data)
    with pytest.raises(ArtifactError, match=said) as raised:
        Vocabulary.load(written(tmp_path, data))
    assert "is a Hugging Face tokenizer" in str(raised.value)
    assert "update talm" not in str(raised.value)
    assert raised.value.problems[0].hint


def test_a_tokenizer_without_merges_for_its_tokens_needs_ignore_merges(tmp_path: Path) -> None:
    """tiktoken finds whole pieces whatever merges there are."""
    data = as_huggingface(tmp_path)
    data["model"]["vocab"]["QZX"] = SIZE
    for entry in data["added_tokens"]:
        entry["id"] += 1
    assert Vocabulary.load(written(tmp_path, data)).ranks[b"QZX"] == SIZE
    data["model"]["ignore_merges"] = False
    with pytest.raises(ArtifactError, match="no merge makes 1 of its tokens"):
        Vocabulary.load(written(tmp_path, data))


def tiktoken_lines() -> bytes:
    ranks = trained(patterns.GPT2).ranks.items()
    return b"".join(b"%b %d\n" % (base64.b64encode(token), rank) for token, rank in ranks)


def test_a_tiktoken_file_is_known_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "gpt2.tiktoken"
    path.write_bytes(tiktoken_lines())
    vocabulary = Vocabulary.load(path)
    assert vocabulary.ranks == trained(patterns.GPT2).ranks
    assert (vocabulary.pattern, vocabulary.special_tokens) == (patterns.GPT2, {END: 50_256})
    path.rename(tmp_path / "mine.bpe")
    with pytest.raises(ArtifactError, match="is a tiktoken file: its tokens without the pattern"):
        Vocabulary.load(tmp_path / "mine.bpe")
    (tmp_path / "gpt2.tiktoken").write_bytes(tiktoken_lines() + b"YQ== x\n")
    with pytest.raises(ArtifactError, match="is damaged in line"):
        Vocabulary.load(tmp_path / "gpt2.tiktoken")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.gguf", b"GGUF\x03\0\0\0", "it is a GGUF file"),
        ("tokenizer.model", b"\n\x0e\n\x05<unk>", "it is a model of SentencePiece"),
        ("merges.txt", b"#version: 0.2\na b\n", "it is a list of merges"),
        ("vocab.json", b'{"a": 0, "b": 1}', "a vocab.json, tokens without the merges"),
    ],
)
def test_other_files_are_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=said):
        Vocabulary.load(tmp_path / name)


@pytest.mark.parametrize(
    ("special", "said"),
    [
        ({"the": 290}, r"'the' with id 290 is ordinary token \d+ as well"),
        # The characters that stand for the bytes of " the".
        ({"Ġthe": 290}, r"'Ġthe' with id 290 is ordinary token \d+ as well"),
        ({"a": 290}, "'a' with id 290 is ordinary token 97 as well"),
        ({"<|x|>": SIZE - 1}, "has no id of its own"),
        ({"<|x|>": MOST_IDS}, "has no id of its own"),
        ({"<|x|>": 290, "<|y|>": 290}, "shares its id"),
        ({"\ud800": 290}, "is not valid Unicode"),
    ],
)
def test_a_vocabulary_that_contradicts_itself_is_refused(
    tmp_path: Path, special: dict[str, int], said: str
) -> None:
    vocabulary = trained()
    assert {b"the", b" the"} <= vocabulary.ranks.keys()
    vocabulary.save(tmp_path / "x.json")
    data = json.loads((tmp_path / "x.json").read_text()) | {"special_tokens": special}
    (tmp_path / "x.json").write_text(json.dumps(data))
    with pytest.raises(ArtifactError, match=said):
        Vocabulary.load(tmp_path / "x.json")


def test_a_mark_in_front_of_the_file_is_none_of_it(tmp_path: Path) -> None:
    trained().save(tmp_path / "x.json")
    text = (tmp_path / "x.json").read_text()
    (tmp_path / "x.json").write_text(text, encoding="utf-8-sig")
    assert Vocabulary.load(tmp_path / "x.json") == trained()
