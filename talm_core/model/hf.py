"""A model as a Hugging Face directory: `config.json`, `generation_config.json`, `model.safetensors`
and the tokenizer's files. `transformers`, vLLM and converters read it as it stands.

In files, query, key and value are matrices of their own, and so are gate and up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from talm_core.errors import ArtifactError, Problem
from talm_core.model.config import ModelConfig
from talm_core.model.hf_config import CHAT, CONFIG, GENERATION, read_config
from talm_core.model.transformer import Transformer
from talm_core.model.weight_files import WEIGHTS
from talm_core.model.weights import Weights
from talm_core.storage import atomic
from talm_core.tokenizer.hf import write_huggingface
from talm_core.tokenizer.vocabulary import END_OF_TEXT, FILE_NAME, Vocabulary

# Where each of our parameters stands in a file; several names are stacked along the rows.
_TOP = {
    "embedding": "model.embed_tokens.weight",
    "norm": "model.norm.weight",
    "output": "lm_head.weight",
}
_BLOCK = {
    "attention_norm": ("input_layernorm",),
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention_out": ("self_attn.o_proj",),
    "feed_norm": ("post_attention_layernorm",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}


def save(
    model: Transformer, vocabulary: Vocabulary, directory: Path, *, chat: bool = False
) -> None:
    """Write the model and its tokenizer into an existing directory. Weights are fp32. `chat`: it
    has learned from conversations, and its template of them goes along."""
    save_named(dict(model.named_parameters()), model.config, vocabulary, directory, chat=chat)


def save_named(
    named: dict[str, Tensor],
    shape: ModelConfig,
    vocabulary: Vocabulary,
    directory: Path,
    *,
    chat: bool = False,
) -> None:
    """The same for tensors named as a model's parameters."""
    save_weights(named, shape, directory / WEIGHTS)
    config, generation = _configurations(shape, vocabulary)
    if chat:
        config[CHAT] = True
    atomic.write_text(directory / CONFIG, json.dumps(config, indent=2) + "\n")
    atomic.write_text(directory / GENERATION, json.dumps(generation, indent=2) + "\n")
    write_huggingface(vocabulary, directory, context_len=shape.context_len, chat=chat)
    vocabulary.save(directory / FILE_NAME)


def save_weights(named: dict[str, Tensor], config: ModelConfig, path: Path) -> None:
    """Write tensors named as our parameters under the names the rest of the world knows."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in named.items():
        pieces = torch.split(tensor.detach().cpu(), rows_of(name, config, tensor.shape[0]))
        for key, piece in zip(_keys(name), pieces, strict=True):
            tensors[key] = piece.contiguous()
    save_file(tensors, path, metadata={"format": "pt"})


def load(directory: Path, *, dtype: torch.dtype = torch.float32) -> Transformer:
    """The model of a directory that `save` wrote, or of any `LlamaForCausalLM` of the same kind.
    `dtype` is what it computes in.

    Raises:
        ArtifactError: missing, damaged, or an architecture talm does not know.
    """
    config = read_config(directory)
    Weights(directory).require(shapes(config))
    model = Transformer(config, dtype=dtype)
    load_weights(dict(model.named_parameters()), directory)
    return model


def shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The tensors of a model in files, by name."""
    wide, keys = config.n_embd, config.n_kv_head * config.head_dim
    of_block = {
        "input_layernorm": (wide,),
        "self_attn.q_proj": (wide, wide),
        "self_attn.k_proj": (keys, wide),
        "self_attn.v_proj": (keys, wide),
        "self_attn.o_proj": (wide, wide),
        "post_attention_layernorm": (wide,),
        "mlp.gate_proj": (config.n_hidden, wide),
        "mlp.up_proj": (config.n_hidden, wide),
        "mlp.down_proj": (wide, config.n_hidden),
    }
    found: dict[str, tuple[int, ...]] = {_TOP["embedding"]: (config.vocab_size, wide)}
    for layer in range(config.n_layer):
        for piece, shape in of_block.items():
            found[f"model.layers.{layer}.{piece}.weight"] = shape
    found[_TOP["norm"]] = (wide,)
    if not config.tie_embeddings:
        found[_TOP["output"]] = (config.vocab_size, wide)
    return found


@torch.no_grad()
def load_weights(
    named: dict[str, Tensor],
    directory: Path,
    *,
    part: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> None:
    """Fill tensors named as our parameters from a directory's weights, one after the other. `part`
    makes of a whole tensor what belongs into a given one, where that is a part of it.

    Raises:
        ArtifactError: a file is missing, damaged or of another shape.
    """
    weights = Weights(directory)
    for name, tensor in named.items():
        try:
            whole = torch.cat([weights.tensor(key) for key in _keys(name)])
            if part is None and whole.shape != tensor.shape:  # copying would spread it
                raise RuntimeError(f"{name} is {tuple(whole.shape)}, not {tuple(tensor.shape)}")
            tensor.copy_(whole if part is None else part(whole, tensor))
        except RuntimeError as error:
            message = f"does not fit its config: {error}"
            raise ArtifactError(Problem(str(weights.path), message)) from None


def rows_of(name: str, config: ModelConfig, rows: int) -> list[int]:
    """Into how many rows each a parameter is divided in files."""
    part = name.rpartition(".")[2]
    if part == "qkv":
        key = config.n_kv_head * config.head_dim
        return [config.n_head * config.head_dim, key, key]
    return [config.n_hidden, config.n_hidden] if part == "gate_up" else [rows]


def _keys(name: str) -> Iterator[str]:
    """The names of a parameter's pieces in files: `blocks.3.down` is layer 3's `mlp.down_proj`."""
    if name in _TOP:
        yield _TOP[name]
        return
    _, layer, part = name.split(".")
    for piece in _BLOCK[part]:
        yield f"model.layers.{layer}.{piece}.weight"


def _configurations(
    config: ModelConfig, vocabulary: Vocabulary
) -> tuple[dict[str, Any], dict[str, Any]]:
    end = vocabulary.special_tokens.get(END_OF_TEXT)
    tokens = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    model = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.n_embd,
        "intermediate_size": config.n_hidden,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.n_kv_head,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.context_len,
        "initializer_range": 0.02,
        "rms_norm_eps": config.norm_epsilon,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        # transformers 5 reads the first, everything older the second.
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": config.tie_embeddings,
        "use_cache": True,
        "dtype": "float32",
        "torch_dtype": "float32",
    }
    generation = {"do_sample": True, "temperature": 0.8, "top_p": 0.95, "top_k": 0}
    return model | tokens, generation | tokens
