"""What the files beside a model's weights say: `config.json`, `generation_config.json` and the
template of conversations. Loads no torch.

They may come from anybody: sizes are compared with what talm computes before anything is made of
them, and no file is read beyond what such a file can be.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from talm_core.errors import ArtifactError, Problem
from talm_core.model.config import ModelConfig
from talm_core.storage import artifact_files
from talm_core.storage.artifact_files import LARGE_BYTES, SMALL_BYTES, UnsafeFileError
from talm_core.tokenizer.hf import is_own_template, without_generation
from talm_core.tokenizer.vocabulary import MOST_IDS, Vocabulary

CONFIG = "config.json"
GENERATION = "generation_config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
CHAT = "talm_chat"
"""The key in a model's `config.json` that says it has learned from conversations."""

_MOST = {
    "vocab_size": MOST_IDS,
    "num_hidden_layers": 1_024,
    "num_attention_heads": 4_096,
    "num_key_value_heads": 4_096,
    "hidden_size": 1 << 17,
    "intermediate_size": 1 << 20,
    "max_position_embeddings": 1 << 24,
}
"""Sizes and what they are at most: some times those of the largest Llama there is."""

_PLAIN: dict[str, tuple[object, ...]] = {
    "hidden_act": ("silu", "swish"),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "partial_rotary_factor": (1, 1.0),
    "quantization_config": (),
}
"""What a plain Llama has in these keys, when it has them."""


def read_config(directory: Path) -> ModelConfig:
    """The shape in a directory's `config.json`.

    Raises:
        ArtifactError: missing, damaged, not a plain Llama, or of sizes no model has.
    """
    path = directory / CONFIG
    values = _object(path, required=True)
    _require_plain(path, values)
    size = _Sizes(path, values)
    heads = size("num_attention_heads")
    config = ModelConfig(
        vocab_size=size("vocab_size"),
        n_layer=size("num_hidden_layers"),
        n_head=heads,
        n_kv_head=size("num_key_value_heads", heads),
        n_embd=size("hidden_size"),
        n_hidden=size("intermediate_size"),
        context_len=size("max_position_embeddings", 2_048),
        rope_theta=_theta(path, values),
        tie_embeddings=values.get("tie_word_embeddings") is True,
        norm_epsilon=_number(path, values, "rms_norm_eps", 1e-6, most=1.0),
    )
    if config.n_head % config.n_kv_head or config.n_embd % (2 * config.n_head):
        raise ArtifactError(Problem(str(path), "its sizes contradict each other"))
    if values.get("head_dim") not in (None, config.head_dim):
        message = "has heads whose sizes do not add up to the width"
        raise ArtifactError(Problem(str(path), message, values["head_dim"]))
    return config


class _Sizes:
    """Whole numbers of a config, each asked for by its name."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self._path = path
        self._values = values

    def __call__(self, key: str, default: int | None = None) -> int:
        value = self._values.get(key)
        value = default if value is None else value
        if value is None:
            raise _damaged(self._path, f"{key} is missing")
        if type(value) is not int or not 1 <= value <= _MOST[key]:
            message = f"is damaged: {key} must be a whole number from 1 to {_MOST[key]:,}"
            shown = value if isinstance(value, int | float) else str(value)[:40]
            raise ArtifactError(Problem(str(self._path), message, _short(shown)))
        return value


def _short(value: object) -> object:
    """A number as it is unless it is one of hundreds of digits."""
    huge = isinstance(value, int) and abs(value) >= 10**20
    return "more than 20 digits" if huge else value


def _require_plain(path: Path, values: dict[str, Any]) -> None:
    kind = values.get("model_type")
    if kind != "llama":
        message = "is no Llama model, the one kind talm computes"
        raise ArtifactError(Problem(str(path), message, str(kind)[:80]))
    for key, plain in _PLAIN.items():
        value = values.get(key)
        if value is not None and value not in plain:
            message = f"has {key} = {str(value)[:40]!r}, which talm does not compute"
            raise ArtifactError(Problem(str(path), message))
    for key in ("rope_parameters", "rope_scaling"):
        rope = values.get(key)
        if rope is None:
            continue
        if not isinstance(rope, dict):
            raise _damaged(path, f"{key} is no JSON object")
        # Until transformers 4.45 the type was called `type`.
        how = rope.get("rope_type", rope.get("type"))
        others = rope.keys() - {"rope_type", "type", "rope_theta", "factor"}
        factor = rope.get("factor", 1)
        if how not in (None, "default") or others or factor not in (1, 1.0, None):
            message = f"has scaled positions ({key}: {str(how or 'by a factor')[:40]})"
            hint = "talm computes plain rotary positions alone"
            raise ArtifactError(Problem(str(path), message, hint=hint))


def _theta(path: Path, values: dict[str, Any]) -> float:
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    where = rope if rope.get("rope_theta") is not None else values
    return _number(path, where, "rope_theta", 10_000.0, most=1e12)


def _number(path: Path, values: dict[str, Any], key: str, default: float, *, most: float) -> float:
    value = values.get(key)
    value = default if value is None else value
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not math.isfinite(float(min(value, 1e300))) or not 0 < value <= most:
        message = f"is damaged: {key} must be a number above 0, at most {most:g}"
        raise ArtifactError(Problem(str(path), message, _short(value) if good else str(value)[:40]))
    return float(value)


def template_of(directory: Path, vocabulary: Vocabulary | None) -> str:
    """The template by which a model's conversations are written; empty for a base model. One with
    talm's own template is a base model unless its `config.json` says otherwise: they stood beside
    every model once.

    Raises:
        ArtifactError: a file that says it is damaged, or a template that is none.
    """
    file = directory / TEMPLATE
    path = directory / TOKENIZER_CONFIG
    template = _of_list(_object(path, most=LARGE_BYTES).get("chat_template"))
    if artifact_files.occupied(file):
        path = file
        try:
            template = _content(file, SMALL_BYTES).decode("utf-8")
        except UnicodeDecodeError:
            raise _damaged(file, "it is not UTF-8") from None
    if is_own_template(template, vocabulary) and _object(directory / CONFIG).get(CHAT) is not True:
        return ""
    if template:
        _require_template(path, template)
    return template


def _of_list(value: object) -> str:
    """A template as it stands, or of several the one without a purpose of its own."""
    if isinstance(value, list):
        named = [entry for entry in value if isinstance(entry, dict)]
        value = next((e.get("template") for e in named if e.get("name") == "default"), "")
    return value if isinstance(value, str) else ""


def _require_template(path: Path, template: str) -> None:
    from jinja2 import Environment, TemplateSyntaxError

    try:
        environment = Environment(extensions=["jinja2.ext.loopcontrols"])  # noqa: S701 - not rendered
        environment.parse(without_generation(template))
    except (TemplateSyntaxError, RecursionError) as error:
        why = getattr(error, "message", None) or "it is nested too deep"
        message = f"its chat template is damaged: {why}"
        hint = "mend it, or take it out to export the model without one"
        raise ArtifactError(Problem(str(path), message, hint=hint)) from None


def sampling(directory: Path) -> dict[str, object]:
    """How its `generation_config.json` recommends to sample; empty without one.

    Raises:
        ArtifactError: it is damaged.
    """
    keys = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
    values = _object(directory / GENERATION)
    return {key: values[key] for key in keys if values.get(key) is not None}


def _object(path: Path, *, required: bool = False, most: int = SMALL_BYTES) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none and none is required."""
    if not required and not artifact_files.occupied(path):
        return {}
    try:
        values = json.loads(_content(path, most))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ArtifactError):
            raise
        raise _damaged(path, "it is no JSON") from None
    if not isinstance(values, dict):
        raise _damaged(path, "it holds no JSON object")
    return values


def _content(path: Path, most: int) -> bytes:
    try:
        with artifact_files.reading_model(path) as file:
            content = file.read(most + 1)
    except UnsafeFileError as error:
        raise ArtifactError(Problem(str(path), str(error.strerror))) from None
    except OSError as error:
        raise ArtifactError(Problem(str(path), f"cannot be read: {error.strerror}")) from None
    if len(content) > most:
        raise _damaged(path, f"it is larger than {most >> 20} MiB")
    return content


def _damaged(path: Path, message: str) -> ArtifactError:
    return ArtifactError(Problem(str(path), f"is damaged: {message}"))
