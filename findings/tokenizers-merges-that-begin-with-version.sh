#!/bin/sh
# A merge of tokenizer.json that is written as one string and whose left token begins with
# "#version" is taken for the header line of an old merges.txt and dropped without a word: the same
# text gets other ids. Written as a pair ["#version", "s"] the merge is kept.
# Seen with tokenizers 0.23.1 (Python 3.11): string 2 tokens, pair 1 token.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "tokenizers==0.23.1"
"$folder/venv/bin/python" - <<'PY'
import json

from tokenizers import Tokenizer

word = "#version"
parts = [word[:end] for end in range(1, len(word) + 1)]
tokens = list(dict.fromkeys([*word, "s", *parts, word + "s"]))
vocabulary = {token: number for number, token in enumerate(tokens)}
merges = [(parts[n], word[n + 1]) for n in range(len(word) - 1)] + [(word, "s")]


def tokenizer(written):
    model = {"type": "BPE", "vocab": vocabulary, "merges": written}
    return Tokenizer.from_str(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))


as_pairs = tokenizer([list(pair) for pair in merges]).encode(word + "s").tokens
as_strings = tokenizer([" ".join(pair) for pair in merges]).encode(word + "s").tokens
print("as pairs:  ", as_pairs)
print("as strings:", as_strings)
assert as_pairs == ["#versions"], as_pairs
assert as_strings == ["#version", "s"], as_strings
PY
