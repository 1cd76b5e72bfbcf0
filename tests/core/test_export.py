"""Models written for other programs, read back by others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from talm_core.cli.main import main
from talm_core.errors import ArtifactError, ConfigError, InputError, RunError, WorkspaceError
from talm_core.jobs.export.config import ExportConfig
from talm_core.jobs.export.job import export
from talm_core.model import gguf, hf, hf_config, ollama
from talm_core.model.transformer import ModelConfig, Transformer
from talm_core.runtime.events import Event, Finished, Notice, Progress, Started
from talm_core.settings.schema import build
from talm_core.storage import unfinished
from talm_core.storage.workspace import Workspace
from talm_core.tokenizer import patterns
from talm_core.tokenizer.tokenizer import Tokenizer
from talm_core.tokenizer.vocabulary import Vocabulary
from talm_core.training.checkpoint import write
from tests.core.driving import events_of, stepped
from tests.core.test_transformer import ready
from tests.core.test_unfinished_exports import begun

RANKS = {bytes([i]): i for i in range(256)} | {b"he": 256, b"ll": 257, b"hell": 258, b" w": 259}
VOCABULARY = Vocabulary(
    name="tiny",
    pattern=patterns.DEFAULT,
    ranks=RANKS,
    special_tokens={"<|endoftext|>": 260, "<|im_end|>": 262},
)
SHAPE = ModelConfig(
    264, 2, 4, 2, 32, 64, 16, rope_theta=500.0, tie_embeddings=False, norm_epsilon=1e-4
)


def checkpoint(
    workspace: Workspace,
    shape: ModelConfig = SHAPE,
    vocabulary: Vocabulary = VOCABULARY,
    change: Callable[[Path], object] = lambda _: None,
) -> tuple[Transformer, Path]:
    """A model's run with one checkpoint, as training leaves it but for a change."""
    model = ready(shape)

    def fill(directory: Path) -> None:
        hf.save(model, vocabulary, directory)
        (directory / "training.safetensors").write_bytes(b"state")
        change(directory)

    directory = workspace.folder("pretrain") / "nano"
    directory.mkdir(parents=True)
    (directory / "config.toml").touch()
    return model, write(directory, 7, fill, {}, keep=2, expected_bytes=1)


def run(workspace: Workspace, **values: Any) -> list[Event]:
    return events_of(export, build(ExportConfig, {"model": "nano"} | values), workspace)


def exported(workspace: Workspace, **values: Any) -> Path:
    """The directory an export made."""
    *_, last = run(workspace, **values)
    assert isinstance(last, Finished)
    return workspace.root / str(last.summary["directory"])


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def strings(reader: GGUFReader, key: str) -> list[str]:
    field = reader.fields[key]
    return [bytes(field.parts[index]).decode() for index in field.data]


def value(reader: GGUFReader, key: str) -> Any:
    return reader.fields[key].contents()


def unpermuted(rows: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """What llama.cpp's order of a head's rows is in `transformers`: even rows first, then odd."""
    parts = rows.reshape(heads, rows.shape[0] // heads, -1)
    return np.concatenate([parts[:, 0::2], parts[:, 1::2]], axis=1).reshape(rows.shape)


# --- GGUF ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    ("outtype", "kind", "error"), [("f32", "F32", 0.0), ("f16", "F16", 2**-11), ("q8_0", "Q8_0", 0)]
)
def test_tensors_are_those_of_the_checkpoint(
    workspace: Workspace, outtype: str, kind: str, error: float, tied: bool
) -> None:
    _, source = checkpoint(workspace, ModelConfig(**_values(SHAPE) | {"tie_embeddings": tied}))
    weights = load_file(source / "model.safetensors")
    reader = GGUFReader(exported(workspace, outtype=outtype) / f"nano-{outtype}.gguf")
    found = {tensor.name: tensor for tensor in reader.tensors}
    assert set(found) == {
        entry.name for entry in gguf.entries(hf_config.read_config(source), outtype)
    }
    assert ("output.weight" in found) is not tied
    assert len(found) == 2 + 9 * 2 + (not tied)
    for entry in gguf.entries(hf_config.read_config(source), outtype):
        tensor = found[entry.name]
        expected = weights[entry.source].numpy()
        stored = dequantize(tensor.data, tensor.tensor_type).reshape(expected.shape)
        if entry.heads:
            stored = unpermuted(stored, entry.heads)
        if expected.ndim == 1:
            assert tensor.tensor_type == GGMLQuantizationType.F32
            assert np.array_equal(stored, expected)
            continue
        assert tensor.tensor_type.name == kind
        if outtype == "f32":
            assert np.array_equal(stored, expected)
        elif outtype == "f16":
            np.testing.assert_allclose(stored, expected, rtol=error, atol=1e-7)
        else:
            # Half a step of each block of 32, whose scale is itself rounded to f16.
            steps = np.abs(expected.reshape(-1, 32)).max(axis=1, keepdims=True) / 127
            off = np.abs(stored - expected).reshape(-1, 32)
            assert (off <= steps * (0.5 + 127 * 2**-11) + 1e-9).all()


def _values(shape: ModelConfig) -> dict[str, Any]:
    return {name: getattr(shape, name) for name in shape.__dataclass_fields__}


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_transformers_computes_the_same_from_the_file(workspace: Workspace, kv_heads: int) -> None:
    """An independent reader of GGUF, which orders the rows of query and key back."""
    model, _ = checkpoint(workspace, ModelConfig(**_values(SHAPE) | {"n_kv_head": kv_heads}))
    file = exported(workspace, outtype="f32") / "nano-f32.gguf"
    config = LlamaConfig(**load_gguf_checkpoint(file)["config"])
    assert config.rope_parameters["rope_theta"] == 500.0
    theirs = LlamaForCausalLM(config).eval()
    said = load_gguf_checkpoint(file, return_tensors=True, model_to_load=theirs)
    theirs.load_state_dict(said["tensors"])
    ids = torch.randint(264, (2, 16), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, model(ids), atol=1e-4, rtol=0)


def test_what_the_file_says_of_the_model(workspace: Workspace) -> None:
    checkpoint(workspace)
    reader = GGUFReader(exported(workspace) / "nano-f16.gguf")
    said = {
        "general.architecture": "llama",
        "general.name": "nano",
        "general.file_type": 1,
        "general.size_label": "35K",
        "general.quantization_version": 2,
        "general.sampling.top_k": 0,
        "llama.context_length": 16,
        "llama.embedding_length": 32,
        "llama.block_count": 2,
        "llama.feed_forward_length": 64,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.attention.key_length": 8,
        "llama.attention.value_length": 8,
        "llama.rope.dimension_count": 8,
        "llama.rope.freq_base": 500.0,
        "llama.vocab_size": 264,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.bos_token_id": 260,
        "tokenizer.ggml.eos_token_id": 260,
        "tokenizer.ggml.eot_token_id": 262,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
    }
    assert {key: value(reader, key) for key in said} == said
    epsilon = value(reader, "llama.attention.layer_norm_rms_epsilon")
    assert epsilon == pytest.approx(1e-4)
    assert value(reader, "general.sampling.temp") == pytest.approx(0.8)
    assert value(reader, "general.sampling.top_p") == pytest.approx(0.95)
    assert "tokenizer.chat_template" not in reader.fields


def test_tokens_and_merges_are_those_of_the_tokenizer(workspace: Workspace) -> None:
    _, source = checkpoint(workspace)
    reader = GGUFReader(exported(workspace) / "nano-f16.gguf")
    texts = strings(reader, "tokenizer.ggml.tokens")
    types = value(reader, "tokenizer.ggml.token_type")
    expected = json.loads((source / "tokenizer.json").read_text())
    assert len(texts) == len(types) == SHAPE.vocab_size
    assert {text: index for index, text in enumerate(texts[:260])} == expected["model"]["vocab"]
    assert types[:260] == [1] * 260
    assert texts[260:] == ["<|endoftext|>", "[PAD261]", "<|im_end|>", "[PAD263]"]
    assert types[260:] == [3, 5, 3, 5]
    merges = [pair.split(" ") for pair in strings(reader, "tokenizer.ggml.merges")]
    assert merges == [["h", "e"], ["l", "l"], ["he", "ll"], ["Ġ", "w"]]
    assert [pair.split(" ") for pair in expected["model"]["merges"]] == merges


def test_transformers_reads_the_same_ids_from_the_file(workspace: Workspace) -> None:
    checkpoint(workspace)
    theirs = AutoTokenizer.from_pretrained(exported(workspace), gguf_file="nano-f16.gguf")
    ours = Tokenizer.from_vocabulary(VOCABULARY)
    for text in ("hello world", "he'll  12345\n\n\tx", "naïve 日本語 🙂"):
        ids = theirs(text, add_special_tokens=False)["input_ids"]
        assert ids == ours.encode(text), text


def test_rows_that_do_not_divide_into_blocks_stay_f16(workspace: Workspace) -> None:
    checkpoint(workspace, ModelConfig(264, 1, 4, 4, 48, 64, 16))
    events = run(workspace, outtype="q8_0")
    [notice] = [event for event in events if isinstance(event, Notice)]
    # All but the one from the feed-forward's 64 rows.
    assert notice.message.startswith("7 of 11 tensors stay f16")
    reader = GGUFReader(workspace.root / "exports/nano-gguf-q8_0/nano-q8_0.gguf")
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert kinds["blk.0.ffn_down.weight"] == "Q8_0"
    assert kinds["blk.0.attn_q.weight"] == "F16"
    assert kinds["output_norm.weight"] == "F32"


def test_a_chat_template_goes_along(workspace: Workspace) -> None:
    template = "{% for m in messages %}<|im_start|>{{ m.role }}{% endfor %}"

    def change(directory: Path) -> None:
        path = directory / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": template}))

    checkpoint(workspace, change=change)
    directory = exported(workspace)
    assert value(GGUFReader(directory / "nano-f16.gguf"), "tokenizer.chat_template") == template
    text = (directory / "Modelfile").read_text()
    assert '<|im_start|>assistant\n"""\n' in text
    assert 'PARAMETER stop "<|im_end|>"' in text


def test_the_modelfile_beside_it(workspace: Workspace) -> None:
    checkpoint(workspace)
    assert (exported(workspace) / "Modelfile").read_text() == (
        "FROM ./nano-f16.gguf\n"
        'TEMPLATE """{{ .Prompt }}"""\n'
        "PARAMETER num_ctx 16\n"
        "PARAMETER temperature 0.8\n"
        "PARAMETER top_p 0.95\n"
        'PARAMETER stop "<|endoftext|>"\n'
    )
    assert ollama.model_name("Nano+2_x") == "nano-2_x"
    assert ollama.model_name("+") == "talm"


def test_a_pattern_llama_cpp_does_not_know_is_refused(workspace: Workspace) -> None:
    own = Vocabulary("own", r"\w+|\W+", RANKS, {"<|endoftext|>": 260})
    checkpoint(workspace, vocabulary=own)
    with pytest.raises(ArtifactError, match="--format huggingface keeps it"):
        run(workspace)
    assert not list((workspace.root / "exports").iterdir())
    events = run(workspace, format="huggingface")
    [notice] = [event for event in events if isinstance(event, Notice)]
    assert notice.level == "warning"
    assert "tokenizer own has \\w, \\W, \\b or \\B, which take in other" in notice.message


@pytest.mark.parametrize(("wrong", "told"), [(1e6, "above 65,504"), (float("nan"), "no numbers")])
def test_weights_that_do_not_fit_are_refused(workspace: Workspace, wrong: float, told: str) -> None:
    def change(directory: Path) -> None:
        weights = load_file(directory / "model.safetensors")
        weights["model.layers.1.mlp.up_proj.weight"][3, 5] = wrong
        save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})

    checkpoint(workspace, change=change)
    with pytest.raises(ArtifactError, match=told):
        run(workspace)
    assert not list((workspace.root / "exports").iterdir())


# --- Hugging Face ----------------------------------------------------------------------------


def test_a_model_directory_without_training_state(workspace: Workspace) -> None:
    model, _ = checkpoint(workspace)
    directory = exported(workspace, format="huggingface")
    assert directory == workspace.root / "exports" / "nano-huggingface"
    assert sorted(file.name for file in directory.iterdir()) == [
        "README.md",
        *("config.json", "generation_config.json", "model.safetensors"),
        *("tokencoder.json", "tokenizer.json", "tokenizer_config.json"),
    ]
    theirs = AutoModelForCausalLM.from_pretrained(directory).eval()
    ids = torch.randint(264, (2, 16), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, model(ids), atol=1e-4, rtol=0)
    theirs_ids = AutoTokenizer.from_pretrained(directory)("hello w")["input_ids"]
    assert theirs_ids == [260, *Tokenizer.from_vocabulary(VOCABULARY).encode("hello w")]


# --- the job ---------------------------------------------------------------------------------


def test_events_and_what_they_count(workspace: Workspace) -> None:
    checkpoint(workspace)
    first, *middle, last = run(workspace)
    assert isinstance(first, Started)
    assert (first.job, first.name) == ("export", "nano")
    assert all(isinstance(event, Progress) for event in middle)
    end = middle[-1]
    assert isinstance(end, Progress)
    assert end.done == end.total == sum(entry.size for entry in gguf.entries(SHAPE, "f16"))
    assert isinstance(last, Finished)
    files = list((workspace.root / "exports/nano-gguf-f16").iterdir())
    assert last.summary == {
        "format": "gguf",
        "outtype": "f16",
        "tensors": 21,
        "file": "nano-f16.gguf",
        "modelfile": "Modelfile",
        "ollama": "nano",
        "step": 7,
        "bytes": sum(file.stat().st_size for file in files),
        "directory": "exports/nano-gguf-f16",
    }


def test_what_exists_is_refused_and_left_as_it_is(workspace: Workspace, tmp_path: Path) -> None:
    checkpoint(workspace)
    target = tmp_path / "mine"
    target.mkdir()
    (target / "keep").write_text("kept")
    with pytest.raises(WorkspaceError, match="exists already"):
        run(workspace, output=str(target))
    assert (target / "keep").read_text() == "kept"
    assert exported(workspace, output=str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"


@pytest.mark.parametrize("format_", ["huggingface", "gguf"])
def test_a_run_that_goes_on_leaves_what_is_being_exported(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    _, path = checkpoint(workspace)
    seen = []

    def go_on(*_: object, step: int = 8) -> None:
        for number in (step, step + 1):
            write(path.parent, number, lambda at: (at / "x").touch(), {}, keep=2, expected_bytes=1)
            seen.append(path.is_dir())

    monkeypatch.setattr("talm_core.jobs.export.job._require_space", go_on)
    exported(workspace, model=str(path), format=format_)
    assert seen == [True, True]
    # The next time it is in nobody's way.
    go_on(step=10)
    assert not path.exists()


def test_a_stop_leaves_nothing(workspace: Workspace) -> None:
    checkpoint(workspace)
    events = stepped(export, build(ExportConfig, {"model": "nano"}), workspace)
    next(events)
    next(events)
    assert len(list((workspace.root / "exports").iterdir())) == 1
    events.close()
    assert not list((workspace.root / "exports").iterdir())


def test_what_a_killed_one_left_is_swept_by_the_next(workspace: Workspace, tmp_path: Path) -> None:
    """Another of the same model, to another place."""
    checkpoint(workspace)
    (tmp_path / "there").mkdir()
    killed = begun(workspace.root, tmp_path / "there" / "m")
    killed.kill()
    killed.communicate()
    (left,) = (tmp_path / "there").iterdir()
    exported(workspace)
    assert not left.exists()
    assert not (workspace.root / unfinished.FOLDER).exists()


def test_a_checkpoint_by_its_directory_has_its_step_in_its_name(workspace: Workspace) -> None:
    _, source = checkpoint(workspace)
    assert exported(workspace, model=str(source)).name == "nano-7-gguf-f16"


def test_a_checkpoint_by_its_name(workspace: Workspace) -> None:
    checkpoint(workspace)
    target = exported(workspace, model="nano/checkpoint-000007", format="huggingface")
    assert target.name == "nano-7-huggingface"
    with pytest.raises(ArtifactError, match="nano has no such checkpoint") as error:
        exported(workspace, model="nano/checkpoint-000008")
    assert error.value.problems[0].key == "model"


def test_a_full_disk_is_told_before(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint(workspace)
    usage = shutil.disk_usage(workspace.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(RunError, match="MB left"):
        run(workspace)
    assert not list((workspace.root / "exports").iterdir())


def test_what_is_missing_is_told(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="there is no such model"):
        run(workspace)
    _, source = checkpoint(workspace)
    (source / "model.safetensors").unlink()
    for form in ("gguf", "huggingface"):
        with pytest.raises((ArtifactError, RunError), match=r"model\.safetensors"):
            run(workspace, format=form)
    with pytest.raises(ConfigError, match="only format gguf has it"):
        build(ExportConfig, {"model": "nano", "format": "huggingface", "outtype": "f32"})


def test_the_command_says_what_to_do_next(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint(workspace)
    words = ["export", "nano", "--workspace", str(workspace.root)]
    assert main([*words, "-f", "gguf", "--outtype", "q8_0"]) == 0
    out, err = capsys.readouterr()
    directory = workspace.root / "exports" / "nano-gguf-q8_0"
    assert out.splitlines()[-1] == str(directory)
    assert f"talm: next: ollama create nano -f {directory}/Modelfile\n" in err
    file = directory / "nano-q8_0.gguf"
    assert f"talm: next: llama-completion -m {file} -no-cnv -p 'Once upon a time'\n" in err
    assert main([*words, "-f", "gguf", "--outtype", "q8_0"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*words, "-f", "huggingface", "--json"]) == 0
    out, err = capsys.readouterr()
    said = [json.loads(line)["event"] for line in out.splitlines()]
    assert (said[0], said[-1], err) == ("Started", "Finished", "")
