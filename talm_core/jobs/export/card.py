"""The page that describes a model on the Hub: https://huggingface.co/docs/hub/model-cards"""

from __future__ import annotations

from talm_core.model.transformer import ModelConfig
from talm_core.runtime.render import count

FILE_NAME = "README.md"

_TRANSFORMERS = """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(".")
tokenizer = AutoTokenizer.from_pretrained(".")
inputs = tokenizer("Once upon a time", return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=100)[0]))
```
"""
_GGUF = """\
```
llama-completion -m {file} -no-cnv -p "Once upon a time"
```
"""
_GGUF_CHAT = """\
```
llama-cli -m {file}
```
"""


def model_card(
    name: str, step: int | None, shape: ModelConfig, *, gguf: str = "", chat: bool = False
) -> str:
    """The text of the README: what is known of the model, and how it is used. `gguf` is the file
    of that name, without one the directory is one for `transformers`."""
    library = "gguf" if gguf else "transformers"
    kind = (
        "It has learned from conversations."
        if chat
        else "It is a base model: it continues a text and holds no conversation."
    )
    use = (_GGUF_CHAT if chat else _GGUF).format(file=gguf) if gguf else _TRANSFORMERS
    facts = {
        "architecture": "Llama",
        "parameters": f"{parameters(shape):,}",
        "layers": f"{shape.n_layer}",
        "width": f"{shape.n_embd:,}, feed-forward {shape.n_hidden:,}",
        "heads": f"{shape.n_head}, of keys and values {shape.n_kv_head}",
        "context": f"{shape.context_len:,} tokens",
        "vocabulary": f"{shape.vocab_size:,} ids",
    }
    if step is not None:
        facts["step"] = f"{step:,}"
    rows = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    return f"""\
---
library_name: {library}
pipeline_tag: text-generation
tags:
- talm
- llama
---

# {name}

A language model of {count(parameters(shape))} parameters, trained from scratch with talm. {kind}

| | |
|---|---|
{rows}

A text begins with `<|endoftext|>`, as documents did in training; the tokenizer puts it there.

{use}"""


def parameters(shape: ModelConfig) -> int:
    """How many numbers a model of this shape has learned."""
    c, keys = shape.n_embd, shape.n_kv_head * shape.head_dim
    layer = 2 * c * c + 2 * c * keys + 3 * c * shape.n_hidden + 2 * c
    tables = 1 if shape.tie_embeddings else 2
    return shape.n_layer * layer + c + tables * shape.vocab_size * c
