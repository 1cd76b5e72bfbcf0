#!/bin/sh
# A vocabulary of single bytes has no merges. GGUFWriter.add_token_merges([]) writes no key at all
# and says nothing, and llama.cpp refuses such a file as a whole: "cannot find tokenizer merges in
# model file". One merge of parts that no text has is loaded, and changes no ids.
# Seen with gguf 0.19.0 and llama.cpp as of cyllama 0.2.18 (Python 3.11).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "gguf==0.19.0"
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys

from gguf import GGUFReader, GGUFWriter

KEY = "tokenizer.ggml.merges"


def keys(merges):
    path = f"{sys.argv[1]}/{len(merges)}.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_token_list(["a", "b"])
    writer.add_token_merges(merges)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return set(GGUFReader(path).fields)


none, one = keys([]), keys(["[no] [merge]"])
print("with no merges: ", KEY in none)
print("with one merge: ", KEY in one)
assert KEY not in none
assert KEY in one
PY
