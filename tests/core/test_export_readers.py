"""What other programs take an export for: how a text begins, whether it holds conversations, and
what its card says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader
from gguf.vocab import SpecialVocab
from transformers import AutoModelForCausalLM, AutoTokenizer

from talm_core.jobs.export.commands import following
from talm_core.jobs.sample.config import SampleConfig
from talm_core.jobs.sample.job import sample
from talm_core.model import generate, hf
from talm_core.runtime.events import Finished, Generated
from talm_core.settings.schema import build
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer import patterns
from talm_core.tokenizer.hf import chat_template
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import Vocabulary
from tests.core.driving import events_of
from tests.core.test_export import RANKS, SHAPE, VOCABULARY, checkpoint, exported, run, value
from tests.core.test_transformer import ready


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


# As every tokenizer that talm trains has them.
ROLES = Vocabulary(
    "roles",
    patterns.DEFAULT,
    RANKS,
    {"<|endoftext|>": 260, "<|system|>": 261, "<|user|>": 262, "<|assistant|>": 263},
)


def as_before(directory: Path) -> None:
    """A base model's tokenizer as talm once wrote it: with its template of conversations, without
    what begins a text."""
    path = directory / "tokenizer_config.json"
    values = json.loads(path.read_text()) | {"chat_template": chat_template(ROLES)}
    del values["model_input_names"]
    path.write_text(json.dumps(values | {"of_others": 1}))
    path = directory / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"post_processor": None}))


@pytest.mark.parametrize("change", [lambda _: None, as_before])
def test_a_base_model_has_no_template(
    workspace: Workspace, change: Callable[[Path], object]
) -> None:
    checkpoint(workspace, vocabulary=ROLES, change=change)
    directory = exported(workspace)
    assert "tokenizer.chat_template" not in GGUFReader(directory / "nano-f16.gguf").fields
    assert 'TEMPLATE """{{ .Prompt }}"""' in (directory / "Modelfile").read_text()
    assert "base model" in (directory / "README.md").read_text()
    directory = exported(workspace, format="huggingface")
    theirs = AutoTokenizer.from_pretrained(directory)
    assert theirs.chat_template is None
    assert not (directory / "chat_template.jinja").exists()
    assert theirs("he")["input_ids"] == [260, 256]
    kept = json.loads((directory / "tokenizer_config.json").read_text())
    assert kept.get("of_others") == (1 if change is as_before else None)


def test_a_model_that_learned_from_conversations_has_one(workspace: Workspace) -> None:
    def change(directory: Path) -> None:
        hf.save(ready(SHAPE), ROLES, directory, chat=True)

    checkpoint(workspace, vocabulary=ROLES, change=change)
    *_, last = run(workspace)
    assert isinstance(last, Finished)
    directory = workspace.root / str(last.summary["directory"])
    template = value(GGUFReader(directory / "nano-f16.gguf"), "tokenizer.chat_template")
    assert "generation -%}" not in template
    assert "add_generation_prompt" in template
    own = chat_template(ROLES)
    assert own is not None
    assert "{%- generation -%}" in own
    assert following(directory, last.summary)[-1][0] == "llama-cli"
    directory = exported(workspace, format="huggingface")
    assert AutoTokenizer.from_pretrained(directory).chat_template == own
    assert "conversations" in (directory / "README.md").read_text()


def test_without_healing_talm_goes_on_as_transformers_does(workspace: Workspace) -> None:
    """Greedy, from a prompt that ends in a space."""
    _, source = checkpoint(workspace)
    inputs = AutoTokenizer.from_pretrained(source)("he ", return_tensors="pt")
    model = AutoModelForCausalLM.from_pretrained(source).eval()
    theirs = model.generate(**inputs, max_new_tokens=6, do_sample=False, eos_token_id=None)[0]
    asked = {"model": "nano", "prompt": "he ", "temperature": 0, "max_tokens": 6}
    config = build(SampleConfig, asked | {"token_healing": False})
    ours = [
        event.token
        for event in events_of(sample, config, workspace)
        if isinstance(event, Generated)
    ]
    assert ours == theirs[inputs["input_ids"].shape[1] :].tolist()[: len(ours)]
    assert ours
    healed = build(SampleConfig, asked)
    [first, *_] = [
        e.token for e in events_of(sample, healed, workspace) if isinstance(e, Generated)
    ]
    assert first in (32, 259)  # A space, or one with a letter.


def test_all_readers_begin_a_text_alike(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """talm, transformers from either export, and what llama.cpp's own converter would write."""
    _, source = checkpoint(workspace)
    ours = [260, *Tokenizer.from_vocabulary(VOCABULARY).encode("hello w")]
    read: list[list[int]] = []

    def stream(model: object, tokenizer: object, ids: list[int], **_: object) -> Iterator[Any]:
        read.append(ids)
        yield from ()

    monkeypatch.setattr(generate, "stream", stream)
    events_of(sample, build(SampleConfig, {"model": "nano", "prompt": "hello w"}), workspace)
    assert read == [ours]
    directory = exported(workspace, format="huggingface")
    for path in (source, directory):
        theirs = AutoTokenizer.from_pretrained(path)
        assert theirs("hello w")["input_ids"] == ours
        assert theirs("hello w", add_special_tokens=False)["input_ids"] == ours[1:]
        assert theirs("he", "ll")["input_ids"] == [260, 256, 260, 257]
        special = SpecialVocab(path)
        assert special.add_special_token["bos"] is True
        assert "eos" not in special.add_special_token
        assert special.special_token_ids["bos"] == 260
    reader = GGUFReader(exported(workspace) / "nano-f16.gguf")
    assert value(reader, "tokenizer.ggml.add_bos_token") is True
    assert value(reader, "tokenizer.ggml.bos_token_id") == 260


def test_the_card_describes_the_model(workspace: Workspace) -> None:
    model, _ = checkpoint(workspace)
    text = (exported(workspace, format="huggingface") / "README.md").read_text()
    head, _, body = text.removeprefix("---\n").partition("---\n")
    assert "library_name: transformers\npipeline_tag: text-generation" in head
    count = sum(parameter.numel() for parameter in model.parameters())
    assert f"| parameters | {count:,} |" in body
    assert "| step | 7 |" in body
    text = (exported(workspace) / "README.md").read_text()
    assert "library_name: gguf" in text
    assert "llama-completion -m nano-f16.gguf -no-cnv -p" in text


def test_a_card_of_ones_own_stays(workspace: Workspace) -> None:
    checkpoint(workspace, change=lambda path: (path / "README.md").write_text("# Mine"))
    assert (exported(workspace, format="huggingface") / "README.md").read_text() == "# Mine"
