"""A saved model is what `transformers` takes it for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from talm_core.errors import ArtifactError
from talm_core.model import hf, hf_config
from talm_core.model.transformer import ModelConfig, Transformer
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import Vocabulary
from tests.core.test_transformer import ready

VOCABULARY = Vocabulary(
    name="tiny",
    pattern=r"\s?\w+|[^\w\s]+|\s+",
    ranks={bytes([i]): i for i in range(256)} | {b"he": 256, b"ll": 257, b"hell": 258, b"o w": 259},
    special_tokens={"<|endoftext|>": 260},
)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_transformers_gives_the_same_logits(tmp_path: Path, tied: bool, kv_heads: int) -> None:
    shape = ModelConfig(
        261, 2, 4, kv_heads, 32, 48, 16, rope_theta=500.0, tie_embeddings=tied, norm_epsilon=1e-4
    )
    model = ready(shape)
    hf.save(model, VOCABULARY, tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ids = torch.randint(261, (2, 16), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, model(ids), atol=1e-4, rtol=0)
    assert theirs.config.rope_parameters["rope_theta"] == 500.0
    assert theirs.generation_config.eos_token_id == 260


def test_transformers_gives_the_same_ids(tmp_path: Path) -> None:
    hf.save(ready(ModelConfig(261, 1, 4, 4, 32, 48, 16)), VOCABULARY, tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    ours = Tokenizer.from_vocabulary(Vocabulary.load(tmp_path / "tokencoder.json"))
    text = "hello world, well… <|endoftext|>\n\tdef"
    assert theirs(text)["input_ids"] == [260, *ours.encode(text, allowed_special="all")]
    assert theirs.model_input_names == ["input_ids", "attention_mask"]
    assert theirs.model_max_length == 16
    assert theirs.eos_token_id == 260


def test_transformers_generates_from_what_its_tokenizer_gives(tmp_path: Path) -> None:
    hf.save(ready(ModelConfig(261, 1, 4, 4, 32, 48, 16)), VOCABULARY, tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    given = AutoTokenizer.from_pretrained(tmp_path)("hello", return_tensors="pt")
    assert set(given) == {"input_ids", "attention_mask"}
    assert theirs.generate(**given, max_new_tokens=2).shape[1] > given["input_ids"].shape[1]


@pytest.mark.parametrize("chat", [False, True])
def test_only_a_model_that_learned_from_conversations_has_a_template(
    tmp_path: Path, chat: bool
) -> None:
    names = ("endoftext", "system", "user", "assistant")
    special = {f"<|{name}|>": 260 + index for index, name in enumerate(names)}
    vocabulary = replace(VOCABULARY, special_tokens=special)
    hf.save(ready(ModelConfig(264, 1, 4, 4, 32, 48, 16)), vocabulary, tmp_path, chat=chat)
    assert bool(AutoTokenizer.from_pretrained(tmp_path).chat_template) is chat
    assert bool(hf_config.template_of(tmp_path, vocabulary)) is chat


def test_a_saved_model_loads_as_it_was(tmp_path: Path) -> None:
    model = ready(ModelConfig(261, 2, 4, 2, 32, 48, 16, tie_embeddings=False))
    hf.save(model, VOCABULARY, tmp_path)
    again = hf.load(tmp_path)
    assert again.config == model.config
    for (name, ours), theirs in zip(model.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs), name


def test_damage_is_an_artifact_error(tmp_path: Path) -> None:
    hf.save(ready(ModelConfig(261, 1, 4, 4, 32, 48, 16)), VOCABULARY, tmp_path)
    good = json.loads((tmp_path / "config.json").read_text())
    for change, message in [
        ({"model_type": "gpt2"}, "no Llama"),
        ({"num_attention_heads": 3}, "contradict"),
        ({"hidden_size": "wide"}, "damaged"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "scaled"),
        ({"num_hidden_layers": 2}, "is missing"),
        ({"intermediate_size": 40}, "does not fit"),
    ]:
        (tmp_path / "config.json").write_text(json.dumps(good | change))
        with pytest.raises(ArtifactError, match=message):
            hf.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(good))
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ArtifactError, match="cannot be read"):
        hf.load(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ArtifactError, match="cannot be read"):
        hf.load(tmp_path)


def test_a_model_without_weights_of_its_own_head_says_tied(tmp_path: Path) -> None:
    hf.save(ready(ModelConfig(261, 1, 4, 4, 32, 48, 16)), VOCABULARY, tmp_path)
    assert isinstance(hf.load(tmp_path), Transformer)
    assert hf.load(tmp_path).output is None
