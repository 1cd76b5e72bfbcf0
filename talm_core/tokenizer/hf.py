"""A vocabulary in the files of the Hugging Face world: `tokenizer.json` with its configuration.

A token its bytes do not merge into is reached by tiktoken only as a whole piece; `ignore_merges`
does the same in `tokenizers`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from talm_core.storage import atomic
from talm_core.tokenizer import patterns
from talm_core.tokenizer.byte_level import merges, shown
from talm_core.tokenizer.vocabulary import END_OF_TEXT, ROLE_TOKENS, Vocabulary

FILES = ("tokenizer.json", "tokenizer_config.json")


def write_huggingface(
    vocabulary: Vocabulary, directory: Path, *, context_len: int | None = None, chat: bool = True
) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`, each in one step.

    Encodes any text to `<|endoftext|>`, with which every document begins in training, and the ids
    `Tokenizer.encode(text, allowed_special="all")` gives; without special tokens, to the latter.
    `context_len` is that of the model they stand beside. A model that has not learned from
    conversations must have no template of them (`chat`): programs would hold one with it.
    """
    files = huggingface_files(vocabulary, context_len=context_len, chat=chat)
    for name, text in files.items():
        atomic.write_text(directory / name, text)


def huggingface_files(
    vocabulary: Vocabulary, *, context_len: int | None = None, chat: bool = True
) -> dict[str, str]:
    """What `write_huggingface` writes, by the files' names."""
    contents = _tokenizer(vocabulary), _configuration(vocabulary, context_len, chat=chat)
    return {
        name: json.dumps(data, indent=1, ensure_ascii=False) + "\n"
        for name, data in zip(FILES, contents, strict=True)
    }


def other_ids(vocabulary: Vocabulary) -> str:
    """Why `tokenizer.json` may give other ids than talm; empty where it gives the same."""
    differing = patterns.dialect(vocabulary.pattern)
    if not differing:
        return ""
    return (
        f"the pattern of tokenizer {vocabulary.name} has {' and '.join(differing)}, which take in"
        " other characters where tokenizer.json is read: some texts get other ids there than here;"
        r" say which characters are meant, such as [\p{L}\p{N}_] for \w"
    )


def _tokenizer(vocabulary: Vocabulary) -> dict[str, Any]:
    ranks = sorted(vocabulary.ranks.items(), key=lambda item: item[1])
    special = sorted(vocabulary.special_tokens.items(), key=lambda item: item[1])
    pattern = patterns.LLAMA3 if vocabulary.pattern == patterns.DEFAULT else vocabulary.pattern
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    split = {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added_token(text, identifier) for text, identifier in special],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [split, byte_level | {"use_regex": False}],
        },
        "post_processor": _post_processor(vocabulary),
        "decoder": byte_level | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": {shown(token): rank for token, rank in ranks},
            "merges": _merges([(shown(a), shown(b)) for a, b in merges(vocabulary.ranks)]),
        },
    }


def _merges(pairs: list[tuple[str, str]]) -> list[str] | list[list[str]]:
    """Merges as `a b`, which every version of `tokenizers` reads: no token that is shown has a
    space. A line that begins with `#version` is taken for a heading; with such a token they are
    pairs, which versions before 0.20 do not know."""
    if any(left.startswith("#version") for left, _ in pairs):
        return [[left, right] for left, right in pairs]
    return [f"{left} {right}" for left, right in pairs]


def _post_processor(vocabulary: Vocabulary) -> dict[str, Any] | None:
    """What puts `<|endoftext|>` in front of a text, and of the second of a pair, as Llama 3 does
    with its first token."""
    identifier = vocabulary.special_tokens.get(END_OF_TEXT)
    if identifier is None:
        return None

    def begun(sequence: str, type_id: int) -> list[dict[str, Any]]:
        return [
            {"SpecialToken": {"id": END_OF_TEXT, "type_id": type_id}},
            {"Sequence": {"id": sequence, "type_id": type_id}},
        ]

    return {
        "type": "TemplateProcessing",
        "single": begun("A", 0),
        "pair": [*begun("A", 0), *begun("B", 1)],
        "special_tokens": {
            END_OF_TEXT: {"id": END_OF_TEXT, "ids": [identifier], "tokens": [END_OF_TEXT]}
        },
    }


def _added_token(text: str, identifier: int) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": identifier, "content": text, **flags, "special": True}


def _configuration(
    vocabulary: Vocabulary, context_len: int | None, *, chat: bool
) -> dict[str, Any]:
    data: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        # As transformers writes "no limit".
        "model_max_length": int(1e30) if context_len is None else context_len,
        # Without this list, older versions add `token_type_ids`, which no Llama takes.
        "model_input_names": ["input_ids", "attention_mask"],
    }
    if END_OF_TEXT in vocabulary.special_tokens:
        data |= dict.fromkeys(("bos_token", "eos_token", "pad_token"), END_OF_TEXT)
    template = chat_template(vocabulary) if chat else None
    if template is not None:
        data["chat_template"] = template
    return data


def chat_template(vocabulary: Vocabulary) -> str | None:
    """The Jinja template by which `apply_chat_template` gives what `talm_core.tokenizer.chat`
    renders; None where there are no tokens for roles. What stands between the tags `generation` is
    what the assistant says."""
    return _template(vocabulary, "said.text", _CONTENT)


def is_own_template(template: str, vocabulary: Vocabulary | None) -> bool:
    """Whether it is the template talm writes for this vocabulary, or has written once: from before
    a content might come in parts."""
    if vocabulary is None or not template:
        return False
    return template in (chat_template(vocabulary), _template(vocabulary, "message['content']", ""))


def _template(vocabulary: Vocabulary, text: str, content: str) -> str | None:
    """The template in which `content` makes `text` of what a message says."""
    special = vocabulary.special_tokens
    if not {END_OF_TEXT, *ROLE_TOKENS.values()} <= special.keys():
        return None
    return _TEMPLATE.format(
        end=json.dumps(END_OF_TEXT),
        roles=json.dumps(ROLE_TOKENS),
        special=json.dumps([*special]),
        text=text,
        content=content,
    )


def without_generation(template: str) -> str:
    """A chat template without the tags around what the assistant says: they matter to training
    alone, and only `transformers` knows them. What remains renders the same."""
    return _GENERATION.sub("", template)


# With what the tags' dashes, or Jinja's `trim_blocks` and `lstrip_blocks`, take away around them.
_GENERATION = re.compile(
    r"(?:\s*\{%-|^[ \t]*\{%|\{%\+?)\s*(?:end)?generation\s*(?:-%\}\s*|\+%\}|%\}\n?)", re.MULTILINE
)

# The text of a message, which may come in parts, as of programs that send pictures as well.
_CONTENT = (
    "{%- set said = namespace(text='') -%}"
    "{%- if message['content'] is string -%}"
    "{%- set said.text = message['content'] -%}"
    "{%- else -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part is string -%}"
    "{%- set said.text = said.text ~ part -%}"
    "{%- elif part['type'] == 'text' -%}"
    "{%- set said.text = said.text ~ part['text'] -%}"
    "{%- else -%}"
    "{{- raise_exception('a message holds a part that is no text: ' ~ part['type']) -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- endif -%}"
)

_TEMPLATE = (
    "{{%- set roles = {roles} -%}}"
    "{{{{- {end} -}}}}"
    "{{%- for message in messages -%}}"
    "{{%- if message['role'] not in roles -%}}"
    "{{{{- raise_exception('there is no role ' ~ message['role']) -}}}}"
    "{{%- endif -%}}"
    "{content}"
    "{{%- for token in {special} -%}}"
    "{{%- if token in {text} -%}}"
    "{{{{- raise_exception('a message holds the special token ' ~ token) -}}}}"
    "{{%- endif -%}}"
    "{{%- endfor -%}}"
    "{{{{- roles[message['role']] -}}}}"
    "{{%- if message['role'] == 'assistant' -%}}"
    "{{%- generation -%}}{{{{- {text} ~ {end} -}}}}{{%- endgeneration -%}}"
    "{{%- else -%}}"
    "{{{{- {text} -}}}}"
    "{{%- endif -%}}"
    "{{%- endfor -%}}"
    "{{%- if add_generation_prompt -%}}"
    "{{{{- roles['assistant'] -}}}}"
    "{{%- endif -%}}"
)
