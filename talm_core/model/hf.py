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
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from talm_core.errors import ArtifactError, Problem
from talm_core.model.transformer import ModelConfig, Transformer
from talm_core.storage import atomic
from talm_core.tokenizer.hf import chat_template, write_huggingface
from talm_core.tokenizer.vocabulary import END_OF_TEXT, FILE_NAME, Vocabulary

CONFIG = "config.json"
GENERATION = "generation_config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
WEIGHTS = "model.safetensors"
CHAT = "talm_chat"
"""The key in a model's `config.json` that says it has learned from conversations."""

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
    model = Transformer(read_config(directory), dtype=dtype)
    load_weights(dict(model.named_parameters()), directory / WEIGHTS)
    return model


@torch.no_grad()
def load_weights(
    named: dict[str, Tensor], path: Path, *, part: Callable[[Tensor, Tensor], Tensor] | None = None
) -> None:
    """Fill tensors named as our parameters from a file `save_weights` wrote. `part` makes of a
    whole tensor what belongs into a given one, where that is a part of it.

    Raises:
        ArtifactError: the file is missing, damaged or of another shape.
    """
    try:
        tensors = load_file(path)
        for name, tensor in named.items():
            whole = torch.cat([tensors[key] for key in _keys(name)])
            tensor.copy_(whole if part is None else part(whole, tensor))
    except (OSError, SafetensorError) as error:
        raise ArtifactError(Problem(str(path), f"cannot be read: {error}")) from None
    except KeyError as error:
        raise ArtifactError(Problem(str(path), f"is damaged: {error} is missing")) from None
    except RuntimeError as error:
        raise ArtifactError(Problem(str(path), f"does not fit its config: {error}")) from None


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


def template_of(directory: Path, vocabulary: Vocabulary | None) -> str:
    """The template by which a model's conversations are written; empty for a base model. One with
    talm's own template is a base model unless its `config.json` says otherwise: they stood beside
    every model once.

    Raises:
        ArtifactError: a file that says it is damaged.
    """
    file = directory / TEMPLATE
    template = _string(directory / TOKENIZER_CONFIG, "chat_template")
    if file.is_file():
        template = file.read_text(encoding="utf-8")
    own = None if vocabulary is None else chat_template(vocabulary)
    if template == own and _value(directory / CONFIG, CHAT) is not True:
        return ""
    return template


def sampling(directory: Path) -> dict[str, object]:
    """How its `generation_config.json` recommends to sample; empty without one.

    Raises:
        ArtifactError: it is damaged.
    """
    keys = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
    found = {key: _value(directory / GENERATION, key) for key in keys}
    return {key: value for key, value in found.items() if value is not None}


def _string(path: Path, key: str) -> str:
    value = _value(path, key)
    return value if isinstance(value, str) else ""


def _value(path: Path, key: str) -> object:
    """A value of a JSON object in a file; None without it, or without the file."""
    try:
        value: object = json.loads(path.read_bytes()).get(key)
        return value
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ArtifactError(Problem(str(path), f"cannot be read: {error.strerror}")) from None
    except (ValueError, AttributeError, RecursionError) as error:
        raise ArtifactError(Problem(str(path), f"is damaged: {error}")) from None


def read_config(directory: Path) -> ModelConfig:
    """The shape in a directory's `config.json`.

    Raises:
        ArtifactError: missing, damaged, or not a plain Llama.
    """
    path = directory / CONFIG
    try:
        values = json.loads(path.read_bytes())
        if values["model_type"] != "llama" or values.get("hidden_act", "silu") != "silu":
            raise ArtifactError(Problem(str(path), "is no Llama model", values["model_type"]))
        rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
        if rope.get("rope_type", "default") != "default" or values.get("attention_bias"):
            message = "has scaled positions or biases, which talm does not compute"
            raise ArtifactError(Problem(str(path), message))
        heads = int(values["num_attention_heads"])
        config = ModelConfig(
            vocab_size=int(values["vocab_size"]),
            n_layer=int(values["num_hidden_layers"]),
            n_head=heads,
            n_kv_head=int(values.get("num_key_value_heads") or heads),
            n_embd=int(values["hidden_size"]),
            n_hidden=int(values["intermediate_size"]),
            context_len=int(values["max_position_embeddings"]),
            rope_theta=float(rope.get("rope_theta") or values.get("rope_theta") or 10_000.0),
            tie_embeddings=bool(values.get("tie_word_embeddings", False)),
            norm_epsilon=float(values.get("rms_norm_eps", 1e-6)),
        )
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise ArtifactError(Problem(str(path), message)) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(Problem(str(path), f"is damaged: {error}")) from None
    _check(path, config, values)
    return config


def _check(path: Path, config: ModelConfig, values: dict[str, Any]) -> None:
    sizes = (config.n_layer, config.n_head, config.n_kv_head, config.n_embd, config.context_len)
    if min(sizes) < 1 or config.n_head % config.n_kv_head or config.n_embd % (2 * config.n_head):
        raise ArtifactError(Problem(str(path), "its sizes contradict each other"))
    if values.get("head_dim") not in (None, config.head_dim):
        message = "has heads whose sizes do not add up to the width"
        raise ArtifactError(Problem(str(path), message, values["head_dim"]))
