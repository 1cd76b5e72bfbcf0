"""A checkpoint as one GGUF file, as llama.cpp and Ollama read it: architecture `llama`, written by
the `gguf` package, tensor by tensor.

llama.cpp's own converter knows a tokenizer by a hash of ids and refuses every new one, hence this.
Its attention rotates neighbouring elements of a head (2i, 2i + 1) where `transformers` rotates
halves (i, i + d/2): the rows of query and key are reordered, as its converter does.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFWriter, LlamaFileType, TokenType
from gguf.constants import GGML_QUANT_SIZES, GGML_QUANT_VERSION
from gguf.quants import quant_shape_to_byte_shape, quantize
from gguf.utility import size_label
from numpy.typing import NDArray

from talm_core.errors import ArtifactError, Problem
from talm_core.model.config import ModelConfig
from talm_core.model.weights import Weights
from talm_core.tokenizer import patterns
from talm_core.tokenizer.byte_level import merges, shown
from talm_core.tokenizer.hf import without_generation
from talm_core.tokenizer.vocabulary import END_OF_TEXT, Vocabulary

Floats = NDArray[np.float32]

KINDS = {"f32": Kind.F32, "f16": Kind.F16, "q8_0": Kind.Q8_0}
_FILE_TYPES = {
    "f32": LlamaFileType.ALL_F32,
    "f16": LlamaFileType.MOSTLY_F16,
    "q8_0": LlamaFileType.MOSTLY_Q8_0,
}
PRE_TOKENIZERS = {
    patterns.DEFAULT: "llama-bpe",
    patterns.LLAMA3: "llama-bpe",
    patterns.GPT2: "gpt-2",
}
"""What llama.cpp calls the way in which a pattern splits text."""

END_OF_TURN = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<|assistant_end|>")

_TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
}
_HEAD = {"output.weight": "lm_head.weight"}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


_NO_MERGE = "[no] [merge]"
"""llama.cpp refuses a file without any. No text has these parts: each is longer than a byte."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor of the file: its name, its name in `model.safetensors`, its shape, its type there,
    and the heads whose rows are reordered (0: none)."""

    name: str
    source: str
    shape: tuple[int, ...]
    kind: Kind
    heads: int = 0

    @property
    def byte_shape(self) -> tuple[int, ...]:
        """Its shape as bytes where it is quantized in blocks, else its shape."""
        return quant_shape_to_byte_shape(self.shape, self.kind) if self.blocked else self.shape

    @property
    def blocked(self) -> bool:
        return GGML_QUANT_SIZES[self.kind][0] > 1

    @property
    def size(self) -> int:
        """Bytes."""
        block, size = GGML_QUANT_SIZES[self.kind]
        return math.prod(self.shape) // block * size


def entries(config: ModelConfig, outtype: str) -> list[Entry]:
    """The file's tensors in its order. Vectors stay f32; rows that cannot be divided into the
    blocks of a type stay f16."""
    names = dict(_TOP)
    for layer in range(config.n_layer):
        for name, source in _LAYER.items():
            names[f"blk.{layer}.{name}.weight"] = f"model.layers.{layer}.{source}.weight"
    if not config.tie_embeddings:
        names |= _HEAD
    found = []
    for name, source in names.items():
        shape = _shape(name, config)
        kind = KINDS[outtype]
        if len(shape) == 1:
            kind = Kind.F32
        elif shape[-1] % GGML_QUANT_SIZES[kind][0]:
            kind = Kind.F16
        heads = {"attn_q": config.n_head, "attn_k": config.n_kv_head}.get(_part(name), 0)
        found.append(Entry(name, source, shape, kind, heads))
    return found


def _part(name: str) -> str:
    return name.removesuffix(".weight").rpartition(".")[2]


def _shape(name: str, config: ModelConfig) -> tuple[int, ...]:
    width, keys = config.n_embd, config.n_kv_head * config.head_dim
    shapes = {
        "token_embd": (config.vocab_size, width),
        "output": (config.vocab_size, width),
        "attn_q": (width, width),
        "attn_k": (keys, width),
        "attn_v": (keys, width),
        "attn_output": (width, width),
        "ffn_gate": (config.n_hidden, width),
        "ffn_up": (config.n_hidden, width),
        "ffn_down": (width, config.n_hidden),
    }
    return shapes.get(_part(name), (width,))


def permuted(rows: Floats, heads: int) -> Floats:
    """The rows of a query or key matrix with the two halves of each head interleaved."""
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, 2, half, -1).swapaxes(1, 2).reshape(rows.shape)


def write(
    path: Path,
    weights: Weights,
    config: ModelConfig,
    vocabulary: Vocabulary,
    *,
    name: str,
    outtype: str,
    chat_template: str = "",
    sampling: Mapping[str, object] | None = None,
) -> Iterator[int]:
    """Write the file at `path` from weights of the config's shapes; yields the bytes of each
    tensor written. One tensor is in memory at a time. `sampling` is what `generation_config.json`
    recommends.

    Raises:
        ArtifactError: the weights are damaged, or do not fit the type.
    """
    writer = GGUFWriter(path, "llama")
    try:
        _describe(writer, config, name, outtype)
        _recommend(writer, sampling or {})
        _describe_tokens(writer, config, vocabulary, chat_template)
        listed = entries(config, outtype)
        for entry in listed:
            element = np.dtype(np.uint8) if entry.blocked else _element(entry)
            writer.add_tensor_info(
                entry.name, entry.byte_shape, element, entry.size, raw_dtype=entry.kind
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for entry in listed:
            tensor: Floats = weights.tensor(entry.source).float().numpy()
            writer.write_tensor_data(_stored(entry, tensor))
            yield entry.size
    finally:
        writer.close()


def _element(entry: Entry) -> np.dtype[np.floating]:
    return np.dtype(np.float16 if entry.kind == Kind.F16 else np.float32)


def _stored(entry: Entry, tensor: Floats) -> NDArray[np.generic]:
    # A block of q8_0 has a scale of f16, for values up to 127 times it.
    limit = float(np.finfo(np.float16).max) * (127 if entry.blocked else 1)
    if entry.kind != Kind.F32 and np.abs(tensor).max(initial=0) > limit:
        message = f"{entry.source} holds a value above {limit:,.0f}"
        raise ArtifactError(Problem("outtype", message, hint="f32 holds it"))
    if entry.heads:
        tensor = permuted(tensor, entry.heads)
    stored: NDArray[np.generic] = quantize(np.ascontiguousarray(tensor), entry.kind)
    return stored


def _describe(writer: GGUFWriter, config: ModelConfig, name: str, outtype: str) -> None:
    writer.add_type("model")
    writer.add_name(name)
    count = sum(math.prod(entry.shape) for entry in entries(config, outtype))
    writer.add_size_label(size_label(count, 0, 0, 0))
    writer.add_file_type(_FILE_TYPES[outtype])
    writer.add_quantization_version(GGML_QUANT_VERSION)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.context_len)
    writer.add_embedding_length(config.n_embd)
    writer.add_block_count(config.n_layer)
    writer.add_feed_forward_length(config.n_hidden)
    writer.add_head_count(config.n_head)
    writer.add_head_count_kv(config.n_kv_head)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)


def _recommend(writer: GGUFWriter, sampling: Mapping[str, object]) -> None:
    """How to sample, where the checkpoint says it and the `gguf` package has a key for it."""
    keys = {
        "temperature": ("add_sampling_temp", float),
        "top_k": ("add_sampling_top_k", int),
        "top_p": ("add_sampling_top_p", float),
        "min_p": ("add_sampling_min_p", float),
        "repetition_penalty": ("add_sampling_penalty_repeat", float),
    }
    for key, (method, kind) in keys.items():
        value = sampling.get(key)
        # The keys came with gguf 0.18.
        add = getattr(writer, method, None)
        if add is not None and isinstance(value, int | float) and not isinstance(value, bool):
            add(kind(value))


def _describe_tokens(
    writer: GGUFWriter, config: ModelConfig, vocabulary: Vocabulary, chat_template: str
) -> None:
    texts, types = tokens(vocabulary, config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer(vocabulary))
    writer.add_token_list(texts)
    writer.add_token_types(types)
    pairs = [f"{shown(left)} {shown(right)}" for left, right in merges(vocabulary.ranks)]
    unmade = sum(len(token) > 1 for token in vocabulary.ranks) - len(pairs)
    if unmade and vocabulary.pattern == patterns.GPT2:
        # Of the two ways of splitting, only llama-bpe looks for whole pieces first.
        message = f"{unmade:,} of its tokens is made by no merge, and llama.cpp finds none such"
        message = message if unmade == 1 else message.replace("is made", "are made")
        hint = "--format huggingface keeps them"
        raise ArtifactError(Problem(f"tokenizer {vocabulary.name}", message, hint=hint))
    writer.add_token_merges(pairs or [_NO_MERGE])
    special: Mapping[str, int] = vocabulary.special_tokens
    end = special.get(END_OF_TEXT)
    if end is not None:
        # Each document begins with the end of the one before: that is how a text starts.
        writer.add_bos_token_id(end)
        writer.add_eos_token_id(end)
        writer.add_pad_token_id(end)
    writer.add_add_bos_token(end is not None)
    writer.add_add_eos_token(False)
    turn = next((special[text] for text in END_OF_TURN if text in special), None)
    if turn is not None:
        writer.add_eot_token_id(turn)
    if chat_template:
        writer.add_chat_template(without_generation(chat_template))


def pre_tokenizer(vocabulary: Vocabulary) -> str:
    """llama.cpp's name for the tokenizer's pattern.

    Raises:
        ArtifactError: it splits text in none of the ways llama.cpp knows.
    """
    if vocabulary.pattern not in PRE_TOKENIZERS:
        message = "splits text by a pattern of its own, which llama.cpp cannot"
        hint = "--format huggingface keeps it"
        raise ArtifactError(Problem(f"tokenizer {vocabulary.name}", message, hint=hint))
    return PRE_TOKENIZERS[vocabulary.pattern]


def tokens(vocabulary: Vocabulary, size: int) -> tuple[list[str], list[int]]:
    """The text and type of each of `size` ids: bytes as GPT-2 shows them, special tokens as they
    are written, and a name of its own for an id that stands for nothing."""
    texts = [""] * size
    types = [int(TokenType.UNUSED)] * size
    for token, index in vocabulary.ranks.items():
        texts[index], types[index] = shown(token), int(TokenType.NORMAL)
    for text, index in vocabulary.special_tokens.items():
        texts[index], types[index] = text, int(TokenType.CONTROL)
    known = set(texts)
    for index, text in enumerate(texts):
        if not text:
            name = f"[PAD{index}]"
            while name in known:
                name = f"[{name}]"
            texts[index] = name
    return texts, types
