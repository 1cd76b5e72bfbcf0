"""The file Ollama makes a model from: https://github.com/ollama/ollama/blob/main/docs/modelfile.mdx"""

from __future__ import annotations

import json
import re

from talm_core.tokenizer.vocabulary import END_OF_TEXT, Vocabulary

FILE_NAME = "Modelfile"

_CHATML = """\
{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
_PLAIN = "{{ .Prompt }}"


def modelfile(
    gguf: str, vocabulary: Vocabulary, context_len: int, *, chat_template: str = ""
) -> str:
    """The text of a Modelfile beside the file `gguf`. A model that has seen no conversations
    continues what it is given, as it stands."""
    lines = [f"FROM ./{gguf}"]
    chatml = "<|im_start|>" in chat_template and "<|im_end|>" in vocabulary.special_tokens
    if chatml or not chat_template:
        lines.append(f'TEMPLATE """{_CHATML if chatml else _PLAIN}"""')
    lines.append(f"PARAMETER num_ctx {context_len}")
    lines += ["PARAMETER temperature 0.8", "PARAMETER top_p 0.95"]
    stops = [END_OF_TEXT, *(["<|im_end|>"] if chatml else [])]
    lines += [
        f"PARAMETER stop {json.dumps(text)}" for text in stops if text in vocabulary.special_tokens
    ]
    return "\n".join(lines) + "\n"


def model_name(name: str) -> str:
    """A name Ollama takes: lower case, letters, digits and `-._`."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._") or "talm"
