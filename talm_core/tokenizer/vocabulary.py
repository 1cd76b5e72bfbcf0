"""A trained vocabulary and its file, in tokencoder's JSON format. Files of others are read, too.

    {"version": 1, "name": ..., "regex_pattern": ...,
     "vocab": {base64 of a token's bytes: rank}, "special_tokens": {text: id}}

tokencoder neither writes nor reads `version`; a file without one is its own. A rank is a token's
id and, at the same time, the order in which it was learned: tiktoken merges the pair of lowest
rank first, so that merges need not be stored.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from talm_core.errors import ArtifactError, Problem
from talm_core.storage import artifact_files, atomic
from talm_core.storage.artifact_files import LARGE_BYTES
from talm_core.storage.workspace import Workspace, there, user_path
from talm_core.tokenizer import foreign
from talm_core.tokenizer.byte_level import BYTES, hidden

FILE_NAME = "tokencoder.json"
VERSION = 1
MOST_IDS = 1 << 22
"""More than any vocabulary has; for each id, a model has a row."""
END_OF_TEXT = "<|endoftext|>"
ROLE_TOKENS = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}
"""The special token that begins a message, by who speaks."""

BASE = Path(__file__).with_name("base.json")
"""The vocabulary that ships with talm; `talm_core.jobs.tokenizer.base` makes it anew."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens and their ids. `ranks` has every single byte and no holes: 0 to n - 1.

    `pattern` is the regular expression that splits text first; special tokens have ids of their
    own and are never the result of a merge.
    """

    name: str
    pattern: str
    ranks: dict[bytes, int] = field(repr=False)
    special_tokens: dict[str, int]

    @property
    def n_vocab(self) -> int:
        """The highest id plus one, special tokens included: rows of an embedding."""
        return 1 + max(len(self.ranks) - 1, *self.special_tokens.values(), -1)

    @property
    def identity(self) -> str:
        """`sha256:<hex>` of what decides about ids: pattern, ranks and special tokens. The name
        and the file's layout do not count."""
        digest = hashlib.sha256(f"{self.pattern}\0{len(self.ranks)}\0".encode())
        for token, rank in sorted(self.ranks.items(), key=lambda item: item[1]):
            digest.update(b"%d:%d:%b" % (rank, len(token), token))
        special = sorted(self.special_tokens.items(), key=lambda item: item[1])
        digest.update(json.dumps(special).encode())
        return f"sha256:{digest.hexdigest()}"

    @property
    def end_of_text(self) -> int:
        """The id of `<|endoftext|>`.

        Raises:
            ArtifactError: the vocabulary has none.
        """
        if END_OF_TEXT not in self.special_tokens:
            message = f"has no special token {END_OF_TEXT}"
            raise ArtifactError(Problem(f"tokenizer {self.name}", message))
        return self.special_tokens[END_OF_TEXT]

    def token_bytes(self) -> list[int]:
        """How many bytes of text each id stands for; 0 for special tokens and unused ids."""
        lengths = [0] * self.n_vocab
        for token, rank in self.ranks.items():
            lengths[rank] = len(token)
        return lengths

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """The vocabulary in a file written by `save` or by tokencoder, or in a `tokenizer.json` or
        `.tiktoken` of which tiktoken makes the same ids as the program it was written for.

        Raises:
            ArtifactError: missing, unreadable, damaged, contradicting itself, of another kind, or
                a version this talm does not know.
        """
        path = Path(path)
        data = _read(path)
        vocabulary = cls(
            name=data["name"] if isinstance(data.get("name"), str) else path.stem,
            pattern=data["regex_pattern"],
            ranks=_ranks(path, data["vocab"]),
            special_tokens=dict(data.get("special_tokens") or {}),
        )
        _check_special_tokens(path, vocabulary.special_tokens, vocabulary.ranks)
        return vocabulary

    def save(self, path: Path) -> None:
        """Write the file in one step; the same vocabulary always gives the same bytes."""
        ranks = sorted(self.ranks.items(), key=lambda item: item[1])
        special = sorted(self.special_tokens.items(), key=lambda item: item[1])
        data = {
            "version": VERSION,
            "name": self.name,
            "regex_pattern": self.pattern,
            "vocab": {base64.b64encode(token).decode(): rank for token, rank in ranks},
            "special_tokens": dict(special),
        }
        atomic.write_text(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def readable(token: bytes) -> str:
    """A token as text that can be shown anywhere: a space as ␣, what is no printable character
    or no whole one escaped."""
    text = token.decode("utf-8", "backslashreplace")
    return "".join(
        "␣" if character == " " else character if character.isprintable() else _escaped(character)
        for character in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _damaged(path: Path, message: str, value: object = None, hint: str = "") -> ArtifactError:
    return ArtifactError(Problem(str(path), f"is no tokenizer file: {message}", value, hint))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise ValueError(f"{key!r} is there twice")
        data[key] = value
    return data


def _read(path: Path) -> dict[str, Any]:
    """What the file holds, as a tokencoder file does, with the types of its outer fields
    checked."""
    content = _content(path)
    if path.suffix == ".tiktoken" or foreign.is_tiktoken(content):
        return foreign.from_tiktoken(path, content)
    try:
        data = json.loads(content, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        what = foreign.recognised(path, content)
        raise _damaged(path, f"it is {what}" if what else str(error)) from None
    if not isinstance(data, dict):
        raise _damaged(path, "it holds no JSON object")
    if "model" in data and "regex_pattern" not in data:
        return foreign.from_huggingface(path, data)
    if data and all(type(value) is int for value in data.values()):
        message = "it is a vocab.json, tokens without the merges that make them"
        raise _damaged(path, message, hint=f"give the {foreign.HUGGINGFACE} that lies beside it")
    if data.get("version", VERSION) != VERSION:
        message = f"this talm reads version {VERSION} of tokenizer files"
        raise ArtifactError(Problem(f"{path}: version", message, data["version"], "update talm"))
    for key, kind in {"regex_pattern": str, "vocab": dict}.items():
        if not isinstance(data.get(key), kind):
            raise _damaged(path, f"{key} is missing or of the wrong kind")
    if not isinstance(data.get("special_tokens"), dict | None):
        raise _damaged(path, "special_tokens is of the wrong kind")
    return data


def _content(path: Path) -> bytes:
    try:
        # Under this name a file lies in an artifact; under another it is somebody's own.
        if path.name == FILE_NAME:
            return artifact_files.read_bytes(path, most=LARGE_BYTES)
        if path.exists() and not path.is_dir() and not path.is_file():
            raise ArtifactError(Problem(str(path), "is no regular file"))
        with path.open("rb") as file:
            content = file.read(LARGE_BYTES + 1)
    except FileNotFoundError:
        raise ArtifactError(Problem(str(path), "there is no such tokenizer file")) from None
    except OSError as error:
        raise ArtifactError(Problem(str(path), f"cannot be read: {error.strerror}")) from None
    if len(content) > LARGE_BYTES:
        raise _damaged(path, f"it is larger than {LARGE_BYTES >> 20} MiB")
    return content


def _ranks(path: Path, entries: Mapping[str, Any]) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    for text, rank in entries.items():
        try:
            token = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise _damaged(path, "a token is not valid base64", text) from None
        if type(rank) is not int:
            raise _damaged(path, "a token's rank is not a whole number", rank)
        if not token or token in ranks:
            raise _damaged(path, "a token is empty or there twice", text)
        ranks[token] = rank
    if sorted(ranks.values()) != list(range(len(ranks))):
        raise _damaged(path, f"ranks are not 0 to {len(ranks) - 1}, each once")
    lacking = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if lacking:
        raise _damaged(path, f"{len(lacking)} of the 256 single bytes are missing")
    return ranks


def _check_special_tokens(
    path: Path, special_tokens: Mapping[str, Any], ranks: Mapping[bytes, int]
) -> None:
    """That every program takes them for the same ids: one that finds a token by its text must find
    one, be it written as text or as the characters that stand for its bytes."""
    seen: set[int] = set()
    for text, identifier in special_tokens.items():
        if not text or type(identifier) is not int or not len(ranks) <= identifier < MOST_IDS:
            raise _damaged(path, f"special token {text!r} has no id of its own", identifier)
        if identifier in seen:
            raise _damaged(path, f"special token {text!r} shares its id", identifier)
        seen.add(identifier)
        try:
            same = ordinary(text, ranks)
        except UnicodeEncodeError:
            raise _damaged(path, f"special token {text!r} is not valid Unicode") from None
        if same is not None:
            message = (
                f"special token {text!r} with id {identifier} is ordinary token {same} as well"
            )
            raise _damaged(path, message, hint="rename it, such as <|name|>")


def ordinary(special_token: str, ranks: Mapping[bytes, int]) -> int | None:
    """The rank of a special token that is an ordinary one as well: its text is, or is how some
    token is written in `tokenizer.json` and GGUF.

    Raises:
        UnicodeEncodeError: it has a lone surrogate.
    """
    same = ranks.get(special_token.encode())
    if same is None and all(character in BYTES for character in special_token):
        same = ranks.get(hidden(special_token))
    return same


def find_vocabulary(workspace: Workspace, text: str, *, key: str) -> Path:
    """The file of a tokenizer: `base`, a name in the workspace, or the path of a file (`.json`
    added when missing) or of a directory that holds one, a `tokenizer.json` where there is no
    other.

    Raises:
        ArtifactError: none of these; `key` is the setting the text came from.
    """
    if text == BASE.stem:
        return BASE
    path = user_path(text)
    try:
        named = workspace.find("tokenizer", text, key=key)
    except ArtifactError:
        inside = file_of(path)
        for candidate in (path, path.parent / f"{path.name}.json", inside):
            if there(candidate.is_file):
                return candidate
        raise
    if not artifact_files.occupied(named / FILE_NAME):
        raise ArtifactError(Problem(key, "this tokenizer is not finished", text, "train it anew"))
    return named / FILE_NAME


def file_of(directory: Path) -> Path:
    """The file of the vocabulary in a directory: tokencoder's, or a `tokenizer.json` where there
    is only that."""
    own, other = directory / FILE_NAME, directory / foreign.HUGGINGFACE
    return other if not artifact_files.occupied(own) and there(other.is_file) else own
