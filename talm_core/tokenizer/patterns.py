"""The regular expressions that split text into pieces before merging; no token crosses a piece.

The first two are tokencoder's named patterns, as tokenizer files carry them. `LLAMA3` splits
exactly as `DEFAULT` does; `tokenizer.json` carries it because llama.cpp and Ollama recognise a
pre-tokenizer by this very string.
"""

from __future__ import annotations

import re

DEFAULT = (
    r"'(?i:[sdmt]|ll|ve|re)"
    r"|[^\r\n\p{L}\p{N}]?+\p{L}+"
    r"|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]"
    r"|\s+(?!\S)"
    r"|\s+"
)

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    r"|[^\r\n\p{L}\p{N}]?\p{L}+"
    r"|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+"
)

NAMED = {"default": DEFAULT, "gpt2": GPT2}
"""What `TokenizerConfig.pattern` may name."""

DEFAULT_REGEX_PATTERN = DEFAULT
GPT2_REGEX_PATTERN = GPT2
"""The names tokencoder gives the two, so that code written for it finds them."""

CUTTABLE = frozenset({DEFAULT, GPT2, LLAMA3})

_WORD = (
    "0-9A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0391-\u03a1\u03a3-\u03ce\u0410-\u044f\u0561-\u0587"
    "\u05d0-\u05ea\u0620-\u064a\u0904-\u0939\u0995-\u09a8\u0bae-\u0bb9\u0c15-\u0c28\u0e01-\u0e30"
    "\u10d0-\u10fa\u1200-\u1248\u1780-\u17b3\u1e00-\u1eff\u3041-\u3096\u30a1-\u30fa\u3400-\u4db5"
    "\u4e00-\u9fa5\uac00-\ud7a3"
)
"""Letters and digits in every edition of Unicode: Python's is not tiktoken's."""
_BEHIND = r"[\s!-/:-@\[-`{-~\u3001\u3002\uff0c\uff01\uff1f\uff1a\uff1b]"

CUT = re.compile(rf"(?<=[{_WORD}])(?={_BEHIND})|(?<=[A-Za-z])(?=[0-9])")
"""Places where each of these patterns ends a piece, whatever comes before and after: between a
letter or a digit and white space or punctuation, and between a letter and a digit. A long text may
be cut there and gives the same pieces."""
CUT_BEHIND = re.compile(rf"[{_WORD}](?={_BEHIND})")
"""A character behind which `CUT` cuts, but for letters before digits: found in a third of the
time."""

_DIALECT = {
    r"\w, \W, \b or \B": r"(?<!\\)(?:\\\\)*\\[wWbB]",
    "classes such as [:alpha:]": r"\[:\^?[a-z]+:\]",
    r"^, $ or \z": r"(?<![\[\\])\^|(?<!\\)\$|(?<!\\)(?:\\\\)*\\[AzZ]",
    "flags other than (?i": r"\(\?[imsxuUR]*[msxuUR]",
    r"\p without braces": r"(?<!\\)(?:\\\\)*\\[pP][A-Za-z]",
    "properties by name and value": r"\\[pP]\{[^}]*=",
    "differences of classes": r"\[[^\]]*(?:--|~~)",
}
_KNOWN_DIALECT = {kind: re.compile(text) for kind, text in _DIALECT.items()}


def dialect(pattern: str) -> list[str]:
    """What in a pattern of one's own takes in other characters where `tokenizer.json` is read,
    with Oniguruma, than where talm encodes: to the one `²` is no `\\w`, and U+200D is one to the
    other. Empty where both split any text alike."""
    if pattern in CUTTABLE:
        return []
    return [kind for kind, known in _KNOWN_DIALECT.items() if known.search(pattern)]
