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
CUT = re.compile(
    r"(?<=[^\W_])(?=[\s!-/:-@\[-`{-~\u3001\u3002\uff0c\uff01\uff1f\uff1a\uff1b])"
    r"|(?<=[A-Za-z])(?=[0-9])"
)
"""Places where each of these patterns ends a piece, whatever comes before and after: between a
letter or a digit and white space or punctuation, and between a letter and a digit. A long text may
be cut there and gives the same pieces."""
