"""Vocabularies in the files of others: `tokenizer.json` of the Hugging Face world, and tiktoken's.

What tiktoken would encode to other ids than the program the file was written for is refused, with
what the file is and what would do.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from talm_core.errors import ArtifactError, Problem
from talm_core.tokenizer import patterns
from talm_core.tokenizer.byte_level import hidden, merges

HUGGINGFACE = "tokenizer.json"

_TIKTOKEN = {
    **dict.fromkeys(("gpt2", "r50k_base"), (patterns.GPT2, 50_256)),
    "cl100k_base": (patterns.DEFAULT, 100_257),
}
"""The pattern of a file by its name, which holds none, and the id of `<|endoftext|>`."""
_OURS = "train one with talm train-tokenizer, or give a tokencoder.json"


def recognised(path: Path, content: bytes) -> str:
    """What a file that is not tokencoder's is instead; empty where that is not known."""
    head = content[:4096]
    if head[:4] == b"GGUF":
        return "a GGUF file, from which talm reads no tokenizer"
    if path.suffix == ".model" or b"<unk>" in head[:64]:
        return "a model of SentencePiece, which splits text in a way of its own"
    first = head.split(b"\n", 1)[0].split()
    if first[:1] == [b"#version:"] or path.name == "merges.txt":
        return "a list of merges"
    return ""


def is_tiktoken(content: bytes) -> bool:
    """Whether every one of the first lines is a token in base64 and its rank."""
    lines = content[:2048].splitlines()[:8]
    if len(content) > 2048:
        lines = lines[:-1]
    return bool(lines) and all(
        len(words := line.split()) == 2 and words[1].isdigit() and _decoded(words[0])
        for line in lines
    )


def _decoded(word: bytes) -> bytes:
    try:
        return base64.b64decode(word, validate=True)
    except (binascii.Error, ValueError):
        return b""


def from_tiktoken(path: Path, content: bytes) -> dict[str, Any]:
    """What a tokencoder file of the same vocabulary holds.

    Raises:
        ArtifactError: nothing says how its vocabulary splits text.
    """
    known = _TIKTOKEN.get(path.stem)
    if known is None:
        message = "is a tiktoken file: its tokens without the pattern that splits text"
        hint = f"{', '.join(_TIKTOKEN)} are known by their names; else write its pattern and"
        raise ArtifactError(Problem(str(path), message, hint=f"{hint} tokens to a tokencoder.json"))
    vocab: dict[str, Any] = {}
    for number, line in enumerate(content.splitlines(), 1):
        words = line.decode("ascii", "replace").split()
        if not words:
            continue
        if len(words) != 2 or not words[1].isdigit() or len(words[1]) > 9 or words[0] in vocab:
            raise ArtifactError(Problem(str(path), f"is damaged in line {number:,}"))
        vocab[words[0]] = int(words[1])
    pattern, end = known
    special = {"<|endoftext|>": end}
    return {"name": path.stem, "regex_pattern": pattern, "vocab": vocab, "special_tokens": special}


def from_huggingface(path: Path, data: Mapping[str, Any]) -> dict[str, Any]:
    """What a tokencoder file of the same vocabulary holds.

    Raises:
        ArtifactError: it is of another kind, or tiktoken would give other ids.
    """
    model = data["model"]
    if not isinstance(model, dict) or model.get("type") not in ("BPE", None):
        kind = model.get("type") if isinstance(model, dict) else model
        raise _other(path, f"whose model is {kind!r}, not byte-level BPE")
    vocab = model.get("vocab")
    if not isinstance(vocab, dict) or not all(type(rank) is int for rank in vocab.values()):
        raise _other(path, "whose vocabulary is missing or damaged")
    if model.get("byte_fallback") or model.get("unk_token") is not None:
        raise _other(path, "that knows unknown tokens: its BPE is of characters, not of bytes")
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise _other(path, "that marks the parts of words")
    if data.get("normalizer") is not None:
        raise _other(path, "that changes text before it splits it")
    special = _added(path, data.get("added_tokens") or [], vocab)
    ranks = _ranks(path, vocab, special)
    _check_merges(path, model, ranks)
    return {
        "name": path.resolve().parent.name or path.stem,
        "regex_pattern": _pattern(path, data.get("pre_tokenizer")),
        "vocab": {base64.b64encode(token).decode(): rank for token, rank in ranks.items()},
        "special_tokens": special,
    }


def _other(path: Path, message: str) -> ArtifactError:
    text = f"is a Hugging Face tokenizer {message}: talm would give other ids"
    return ArtifactError(Problem(str(path), text, hint=_OURS))


def _added(path: Path, added: object, vocab: Mapping[str, int]) -> dict[str, int]:
    special: dict[str, int] = {}
    for entry in added if isinstance(added, list) else [added]:
        known = entry if isinstance(entry, dict) else {}
        text, identifier = known.get("content"), known.get("id")
        if not isinstance(text, str) or type(identifier) is not int or text in special:
            raise _other(path, "with a special token that is damaged or there twice")
        if not known.get("special"):
            raise _other(path, f"that takes {text!r} for one token wherever a text has it")
        if vocab.get(text, identifier) != identifier:
            raise _other(path, f"in which {text!r} has two ids, {vocab[text]} and {identifier}")
        special[text] = identifier
    return special


def _ranks(path: Path, vocab: Mapping[str, int], special: Mapping[str, int]) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    for text, rank in vocab.items():
        if text in special:
            continue
        try:
            token = hidden(text)
        except KeyError:
            raise _other(path, f"whose token {text!r} is not of bytes") from None
        ranks[token] = rank
    if sorted(ranks.values()) != list(range(len(ranks))):
        among = [text for text, identifier in special.items() if identifier < len(ranks)]
        why = f"whose special token {among[0]!r} is among" if among else "with gaps or doubles in"
        raise _other(path, f"{why} the ids of its tokens")
    return ranks


def _check_merges(path: Path, model: Mapping[str, Any], ranks: dict[bytes, int]) -> None:
    """That merging by rank is merging in the order of the list."""
    listed = model.get("merges")
    found: list[tuple[bytes, bytes]] = []
    for entry in listed if isinstance(listed, list) else []:
        pair = entry.split(" ") if isinstance(entry, str) else entry
        try:
            left, right = pair
            found.append((hidden(left), hidden(right)))
        except (TypeError, ValueError, KeyError):
            raise _other(path, f"whose merge {entry!r} is damaged") from None
    if found != merges(ranks):
        raise _other(path, "whose merges are not in the order of its ids")
    long = sum(len(token) > 1 for token in ranks)
    if len(found) != long and not model.get("ignore_merges"):
        raise _other(path, f"in which no merge makes {long - len(found):,} of its tokens")


def _pattern(path: Path, pre_tokenizer: object) -> str:
    """The pattern by which it splits text."""
    steps = pre_tokenizer if isinstance(pre_tokenizer, dict) else {}
    parts = steps.get("pretokenizers") if steps.get("type") == "Sequence" else [steps]
    kinds = [part.get("type") for part in parts] if isinstance(parts, list) else []
    if not isinstance(parts, list) or kinds not in (["ByteLevel"], ["Split", "ByteLevel"]):
        raise _other(path, "that splits text in several steps, or none that talm knows")
    level = parts[-1]
    if level.get("add_prefix_space"):
        raise _other(path, "that puts a space before each text")
    whole = level.get("use_regex", True)
    if len(parts) == 1 and whole:
        return patterns.GPT2
    split = parts[0]
    expression = split.get("pattern")
    pattern = expression.get("Regex") if isinstance(expression, dict) else None
    plain = split.get("behavior") == "Isolated" and not split.get("invert") and not whole
    if len(parts) == 1 or not plain or not isinstance(pattern, str):
        raise _other(path, "that splits text by no expression")
    if pattern == patterns.LLAMA3:
        # As talm writes its own default.
        return patterns.DEFAULT
    if differing := patterns.dialect(pattern):
        what = " and ".join(differing)
        raise _other(path, f"whose expression has {what}, which mean something else to tiktoken")
    return pattern
